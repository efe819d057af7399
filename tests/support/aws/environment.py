"""One execution environment of a function: a real runtime (`awslambdaric`) in a process, and the Runtime API it asks.

Used by the Lambda server, on its loop. An environment runs one event at a time; one that failed to start, ran too long
or died is thrown away, as Lambda does.
"""

import asyncio
import json
import os
import re
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.connections import Listener
from tests.support.http1 import Answer, read_request, send
from tests.support.processes import Process

_API = "/2018-06-01/runtime/"
_LIMIT = 1 << 20


@dataclass
class Event:
    """What a function is to be given."""

    payload: bytes
    context: str | None
    milliseconds: int
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class Outcome:
    """What became of it: ``error`` where the function failed; ``log`` of this event alone, with Lambda's own lines."""

    payload: bytes
    error: bool = False
    log: str = ""


class Environment:
    """One process of a function.

    Args:
        handler: ``module.function`` in the folder ``root``.
        json_logs: whether Lambda's own lines are JSON.
    """

    def __init__(
        self, *, name: str, handler: str, root: Path, memory: int, version: str, json_logs: bool = False
    ) -> None:
        self.name, self.handler, self.root = name, handler, root
        self.memory, self.version, self.json_logs = memory, version, json_logs
        self.usable = True
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._ended: asyncio.Future[tuple[str, bytes]] | None = None
        self._asked = asyncio.Event()
        self._broken: bytes | None = None
        self._listener = Listener(self._serve, limit=_LIMIT)

    def start(self, folder: Path) -> None:
        """Start the process; it asks for its first event when it is ready."""
        self._begun, self._init = time.monotonic(), 0.0
        port = self._listener.listen()
        env: dict[str, str | None] = {name: None for name in os.environ if name.startswith(("AWS_", "COVERAGE"))}
        env |= {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": self.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory),
            "LAMBDA_TASK_ROOT": str(self.root),
            "PYTHONPATH": str(self.root),
            "PYTHONUNBUFFERED": "1",
        }
        log = folder / f"{self.name}-{uuid.uuid4().hex[:8]}.log"
        command = [sys.executable, "-m", "awslambdaric", f"{self.handler}"]
        self.process = Process(command, env=env, cwd=folder, log=log)

    async def close(self) -> None:
        """End the process and what it is connected to."""
        self.usable = False
        await asyncio.to_thread(self.process.kill)
        await self._listener.close()

    async def run(self, event: Event, timeout: float) -> Outcome:  # noqa: ASYNC109 - the function's own
        """Give the event to the function, and wait for what becomes of it, so many seconds at most."""
        self._ended = asyncio.get_running_loop().create_future()
        offset = self.process.log.stat().st_size
        exited, ready = asyncio.create_task(self._exited()), asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait([exited, ready], return_when=asyncio.FIRST_COMPLETED)  # its start takes none of its time
            self._given_at = time.monotonic()
            self._events.put_nowait(event)
            either: list[asyncio.Future[Any]] = [self._ended, exited]
            await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                how, payload = self._ended.result()
                outcome = Outcome(payload, error=how != "response")
            elif exited.done():
                outcome = self._died(event)
            else:
                text = f"RequestId: {event.request_id} Error: Task timed out after {timeout:.2f} seconds"
                outcome = _failed("Sandbox.Timedout", text)
                self.usable = False
        finally:
            exited.cancel()
            ready.cancel()
        outcome.log = self._log(event, offset, time.monotonic() - self._given_at)
        return outcome

    def _died(self, event: Event) -> Outcome:
        self.usable = False
        if self._broken is not None:
            return Outcome(self._broken, error=True)
        code = self.process.exit_code
        how = "signal: killed" if code is not None and code < 0 else f"exit status {code}"
        text = f"RequestId: {event.request_id} Error: Runtime exited with error: {how}"
        return _failed("Runtime.ExitError", text)

    def _log(self, event: Event, offset: int, seconds: float) -> str:
        with self.process.log.open("rb") as file:
            file.seek(offset)
            printed = file.read().decode(errors="replace")
        if printed and not printed.endswith("\n"):
            printed += "\n"
        ms = seconds * 1000
        report: dict[str, Any] = {
            "durationMs": round(ms, 2),
            "billedDurationMs": int(ms) + 1,
            "memorySizeMB": self.memory,
            "maxMemoryUsedMB": self._peak(),
        }
        if self._init:
            report["initDurationMs"], self._init = round(self._init * 1000, 2), 0.0
        if self.json_logs:
            record = {"requestId": event.request_id, "metrics": report, "status": "success"}
            start = {"type": "platform.start", "record": {"requestId": event.request_id, "version": self.version}}
            end = {"time": "2026-11-21T16:00:00.000Z", "type": "platform.report", "record": record}
            return f"{json.dumps(start)}\n{printed}{json.dumps(end)}\n"
        starting = f"Init Duration: {report['initDurationMs']} ms\t" if "initDurationMs" in report else ""
        return (
            f"START RequestId: {event.request_id} Version: {self.version}\n{printed}END RequestId: {event.request_id}\n"
            f"REPORT RequestId: {event.request_id}\tDuration: {report['durationMs']} ms\t"
            f"Billed Duration: {report['billedDurationMs']} ms\tMemory Size: {self.memory} MB\t"
            f"Max Memory Used: {report['maxMemoryUsedMB']} MB\t{starting}\n"
        )

    def _peak(self) -> int:
        """MiB; what was seen last of a process that has ended is not known any more."""
        try:
            found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())
        except OSError:
            return self.memory
        return self.memory if found is None else int(found[1]) >> 10

    async def _exited(self) -> None:
        """Returns when the process has ended."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        handle = os.pidfd_open(self.process.pid)
        loop.add_reader(handle, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)

    # ---- the Runtime API --------------------------------------------------------------------------
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await read_request(reader, writer)
                await send(writer, await self._answer(request.method, request.path, request.body))
        except (ConnectionError, asyncio.IncompleteReadError):  # the process has ended
            return

    async def _answer(self, method: str, path: str, body: bytes) -> Answer:
        match method, path.removeprefix(_API).split("/"):
            case "GET", ["invocation", "next"]:
                if not self._asked.is_set():
                    self._init = time.monotonic() - self._begun
                    self._asked.set()
                return self._given(await self._events.get())
            case "POST", ["invocation", _, ("response" | "error") as how]:
                if self._ended is not None and not self._ended.done():
                    self._ended.set_result((how, body))
                return _ok()
            case "POST", ["init", "error"]:
                self._broken = body
                return _ok()
        return Answer(404, body=b"{}")

    def _given(self, event: Event) -> Answer:
        self._given_at = time.monotonic()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": event.request_id,
            "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + event.milliseconds),
            "Lambda-Runtime-Invoked-Function-Arn": f"arn:aws:lambda:eu-central-1:123456789012:function:{self.name}",
            "Content-Type": "application/json",
        }
        if event.context is not None:
            headers["Lambda-Runtime-Client-Context"] = event.context
        return Answer(200, headers, event.payload)


def _ok() -> Answer:
    return Answer(202, {"Content-Type": "application/json"}, b'{"status":"OK"}')


def _failed(kind: str, message: str) -> Outcome:
    return Outcome(json.dumps({"errorType": kind, "errorMessage": message}).encode(), error=True)
