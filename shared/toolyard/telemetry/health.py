"""A process's health for whoever watches it: `/livez`, `/readyz` and `/metrics` on a tiny HTTP server.

Workers and schedulers start one; gateways serve the same paths themselves. It knows nothing of what it reports: it asks
functions it was given, on the loop, at each request.
"""

import asyncio
import errno
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from toolyard.errors import SettingsError
from toolyard.telemetry import exposition
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import Board

_MAX_HEAD: Final = 8 * 1024
#: Seconds that a client may take to send its request and to read the answer.
_PATIENCE: Final = 5.0
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}
_JSON: Final = "application/json"
_ACCEPT: Final = b"accept:"

log = logger("health")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found.

    Attributes:
        reason: one sentence for people; empty where all is well.
        details: further plain values to show.
    """

    ok: bool
    reason: str = ""
    details: Mapping[str, object] = field(default_factory=dict)


#: Asked at each request; must not block.
Check = Callable[[], Verdict]


def alive() -> Verdict:
    """The check of a process that lives as long as its loop answers."""
    return Verdict(ok=True)


class HealthServer:
    """Serves the health of one process until it is stopped.

    Args:
        host: the address to listen on.
        port: the port that was asked for; ``None`` takes ``default``, or a free one where that is taken.
        default: the port of this kind of process.
        ready: whether work is being taken: it proves consumption, not only a process.
        live: whether the process should be left alone; not ok asks for a restart.
        metrics: what `/metrics` shows.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int | None,
        default: int,
        ready: Check,
        live: Check = alive,
        metrics: Board | None = None,
    ) -> None:
        self._host = host
        self._asked = port
        self._default = default
        self._ready = ready
        self._live = live
        self._metrics = metrics or Board()
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._stopped = False
        self.port = 0

    async def start(self) -> int:
        """Listen; returns the port.

        Raises:
            SettingsError: the port that was asked for is taken, or the address is not ours.
        """
        wanted = self._default if self._asked is None else self._asked
        try:
            self._server = await self._listen(wanted)
        except OSError as error:
            if self._asked is not None or error.errno != errno.EADDRINUSE:
                raise SettingsError(f"cannot listen on {self._host}:{wanted}: {error.strerror}") from error
            self._server = await self._listen(0)
        self.port = self._server.sockets[0].getsockname()[1]
        log.info("health is served", host=self._host, port=self.port)
        return self.port

    async def stop(self) -> None:
        """Listen no more, and end what is connected: a client that has sent nothing yet does not hold up the stop."""
        self._stopped = True
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)
        await server.wait_closed()

    async def _listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._accept, self._host, port, limit=_MAX_HEAD)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """No coroutine: a task that is cancelled before its first step would never close what it was given."""
        if self._stopped:  # accepted in the moment of it
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving[task] = writer
        task.add_done_callback(self._served)

    def _served(self, task: "asyncio.Task[None]") -> None:
        self._serving.pop(task).transport.abort()  # still open only where it was cancelled before its first step
        if not task.cancelled() and (error := task.exception()):
            log.error("a request could not be answered", exc_info=error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            log.debug("a request was not finished")
        finally:
            writer.transport.abort()  # nothing where all went well

    def _answer(self, head: bytes) -> bytes:
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3:
            return _response(400, _JSON, "")
        method, target, _ = words
        if method not in ("GET", "HEAD"):
            return _response(405, _JSON, "")
        status, kind, body = self._page(target.partition("?")[0], _accepted(head))
        return _response(status, kind, body, head_only=method == "HEAD")

    def _page(self, path: str, accept: str) -> tuple[int, str, str]:
        if path == "/metrics":
            return 200, *exposition.answer(self._metrics, accept)
        check = {"/livez": self._live, "/readyz": self._ready}.get(path)
        if check is None:
            return 404, _JSON, json.dumps({"status": "not found", "paths": ["/livez", "/readyz", "/metrics"]})
        verdict = check()
        shown = {"status": "ok" if verdict.ok else "unavailable", "reason": verdict.reason, **verdict.details}
        return 200 if verdict.ok else 503, _JSON, json.dumps(shown)


def _accepted(head: bytes) -> str:
    """What the client wants to be given, as far as it says so."""
    said = [line[len(_ACCEPT) :] for line in head.split(b"\r\n")[1:] if line[: len(_ACCEPT)].lower() == _ACCEPT]
    return b",".join(said).decode("latin-1")


def _response(status: int, kind: str, body: str, *, head_only: bool = False) -> bytes:
    payload = body.encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(payload)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if head_only else payload)
