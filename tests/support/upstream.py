"""A real HTTP/1.1 server for tools to call, with well-behaved and badly behaved routes, and a file that counts effects.

Run it in a thread of the test (`Upstream`), or as a process that can be killed:
`python -m tests.support.upstream PORT --effects FILE` (`spawn`). It knows nothing of the project.

Routes:
    /echo                      any method: method, path, query, headers and body as JSON
    /status/{code}             that status; ?retry_after= sets Retry-After, ?body= the body
    /sleep/{seconds}           answers after that time; the recorded request tells whether the client had left before
    /held                      any method: answers at once, or, while answers are held back (`hold`), when let go
    /second                    any method: 503 for the first request under its Idempotency-Key, then 200
    /provider                  any method: 503 while the server is ill (`ill`), else 200
    /drop                      closes the connection after reading the request
    /slow-body                 ?chunks=10&pause=0.1: a body that comes in pieces
    /big/{bytes}               a body of that size; ?length=no sends it without Content-Length
    /gzip-bomb                 ?bytes=67108864: that many zeros, compressed
    /nul                       JSON whose text holds an escaped NUL and a lone surrogate
    /redirect                  ?to=URL, ?code=302
    /text  /binary             a text in UTF-8; bytes that are no text
    /effects                   POST ?delay= records one effect for the Idempotency-Key, then answers; ?after= waits,
                               ?held=1 is held back like /held, and ?drop=1 closes, between the record and the answer;
                               GET: how often each key was seen
"""

import argparse
import asyncio
import contextlib
import functools
import json
import os
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.connections import Listener
from tests.support.http1 import Answer, Request, read_request, send
from tests.support.in_thread import InThread
from tests.support.processes import Process, free_port, python_module

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 1 << 20  # of a request's head
PIECE = 1 << 16


@dataclass(frozen=True)
class Effect:
    """One line of the effects file: the key, how often it has been seen with this one, and the body."""

    key: str
    n: int
    body: str


Handler = Callable[["Upstream", Request, asyncio.StreamReader, str], Awaitable[Answer]]
_routes: dict[str, Handler] = {}


class Upstream(InThread):
    """The server in a thread of its own, as a context manager.

    Args:
        effects: The file that `/effects` appends to.
        port: A free one if 0.

    Attributes:
        requests: Every request in the order of arrival.
        ill: Whether `/provider` fails.
        refused: The keys that `/second` has seen.
    """

    def __init__(self, *, effects: Path, port: int = 0) -> None:
        self.effects_file = effects
        self.port = port or free_port()
        self.requests: list[Request] = []
        self.ill = False
        self.refused: set[str] = set()
        self._counts = Counter(effect.key for effect in read_effects(effects))
        self._let_go = asyncio.Event()
        self._let_go.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def effects(self) -> list[Effect]:
        """All effects so far."""
        return read_effects(self.effects_file)

    def count(self, key: str) -> int:
        """How often an effect happened under this Idempotency-Key."""
        return sum(effect.key == key for effect in self.effects())

    def hold(self) -> None:
        """Keeps the answers of requests that come from now on and ask for it back, until `let_go`."""
        self.loop.call_soon_threadsafe(self._let_go.clear)

    def let_go(self) -> None:
        """Answers what is held back, and holds no more."""
        self.loop.call_soon_threadsafe(self._let_go.set)

    def held(self) -> list[Request]:
        """The requests whose answers are held back at this moment."""
        return [request for request in self.requests if request.held]

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Listens."""
        listener = Listener(self._serve_all, limit=LIMIT)
        listener.listen(self.port)
        try:
            yield
        finally:
            await listener.close()

    async def answer_when_let_go(self, request: Request, reader: asyncio.StreamReader) -> None:
        """Waits until answers are no longer held back, but not longer than the client does."""
        gate = asyncio.ensure_future(self._let_go.wait())
        left = asyncio.ensure_future(reader.read(1))
        request.held = True
        try:
            await asyncio.wait({gate, left}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            request.held = False
            request.abandoned = not left.cancel()
            gate.cancel()
            await asyncio.gather(gate, left, return_exceptions=True)
        if request.abandoned:
            raise ConnectionAbortedError

    def record_effect(self, request: Request) -> Effect:
        """Appends one line to the file, in one write: a kill leaves the whole line or none."""
        key = request.headers.get("idempotency-key", "")
        self._counts[key] += 1
        effect = Effect(key, self._counts[key], request.body.decode(errors="replace"))
        handle = os.open(self.effects_file, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
        try:
            os.write(handle, f"{json.dumps(vars(effect))}\n".encode())
        finally:
            os.close(handle)
        return effect

    async def _serve_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._serve_one(reader, writer):
                pass

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await read_request(reader, writer)
        self.requests.append(request)
        name, _, rest = request.path.lstrip("/").partition("/")
        handler = _routes.get(name, _unknown)
        answer = await handler(self, request, reader, rest)
        await send(writer, answer, head_only=request.method == "HEAD")
        return request.headers.get("connection", "").lower() != "close"


def read_effects(path: Path) -> list[Effect]:
    """The effects that a file holds; none if it does not exist yet."""
    if not path.exists():
        return []
    return [Effect(**json.loads(line)) for line in path.read_text().splitlines()]


def spawn(effects: Path, *, port: int | None = None) -> tuple[Process, str]:
    """Starts the server as a process of its own and returns it with its URL, once it answers."""
    port = port or free_port()
    process = Process(python_module("tests.support.upstream", str(port), "--effects", str(effects)), cwd=ROOT)
    try:
        process.wait_for_line(r"^listening")
    except BaseException:
        process.kill()
        raise
    return process, f"http://127.0.0.1:{port}"


# -- routes -----------------------------------------------------------------------------------------


def _route(name: str) -> Callable[[Handler], Handler]:
    def add(handler: Handler) -> Handler:
        _routes[name] = handler
        return handler

    return add


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(value).encode())


async def _unknown(_upstream: Upstream, request: Request, _reader: asyncio.StreamReader, _rest: str) -> Answer:
    return _json({"error": f"no route {request.path}"}, 404)


@_route("echo")
async def _echo(_upstream: Upstream, request: Request, _reader: asyncio.StreamReader, _rest: str) -> Answer:
    shown = {name: value for name, value in vars(request).items() if name not in ("abandoned", "held", "at", "target")}
    return _json({**shown, "body": request.body.decode(errors="replace")})


@_route("status")
async def _status(_upstream: Upstream, request: Request, _reader: asyncio.StreamReader, rest: str) -> Answer:
    after = request.query.get("retry_after")
    body = request.query.get("body", json.dumps({"status": int(rest)}))
    headers = {"Content-Type": "application/json"} | ({"Retry-After": after} if after is not None else {})
    without_body = int(rest) in {204, 304}
    return Answer(int(rest), headers, b"" if without_body else body.encode())


@_route("sleep")
async def _sleep(_upstream: Upstream, request: Request, reader: asyncio.StreamReader, rest: str) -> Answer:
    await _wait_or_leave(float(rest), request, reader)
    return _json({"slept": float(rest)})


@_route("held")
async def _held(upstream: Upstream, request: Request, reader: asyncio.StreamReader, _rest: str) -> Answer:
    await upstream.answer_when_let_go(request, reader)
    return _json({"held": True})


@_route("second")
async def _second(upstream: Upstream, request: Request, _reader: asyncio.StreamReader, _rest: str) -> Answer:
    key = request.headers.get("idempotency-key", "")
    first = key not in upstream.refused
    upstream.refused.add(key)
    return _json({"again": first}, 503 if first else 200)


@_route("provider")
async def _provider(upstream: Upstream, _request: Request, _reader: asyncio.StreamReader, _rest: str) -> Answer:
    return _json({"ill": True}, 503) if upstream.ill else _json({"ill": False})


@_route("drop")
async def _drop(_upstream: Upstream, _request: Request, _reader: asyncio.StreamReader, _rest: str) -> Answer:
    raise ConnectionAbortedError


@_route("slow-body")
async def _slow_body(_upstream: Upstream, request: Request, _reader: asyncio.StreamReader, _rest: str) -> Answer:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(int(request.query.get("chunks", 10))):
            yield f"piece {number}\n".encode()
            await asyncio.sleep(float(request.query.get("pause", 0.1)))

    return Answer(headers={"Content-Type": "text/plain"}, pieces=pieces())


@_route("big")
async def _big(_upstream: Upstream, request: Request, _reader: asyncio.StreamReader, rest: str) -> Answer:
    size = int(rest)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, PIECE):
            yield b"x" * min(PIECE, size - start)

    length = {} if request.query.get("length") == "no" else {"Content-Length": rest}
    return Answer(headers={"Content-Type": "text/plain", **length}, pieces=pieces())


@_route("gzip-bomb")
async def _gzip_bomb(_upstream: Upstream, request: Request, _reader: asyncio.StreamReader, _rest: str) -> Answer:
    body = await asyncio.to_thread(_compressed_zeros, int(request.query.get("bytes", 64 << 20)))
    return Answer(headers={"Content-Type": "text/plain", "Content-Encoding": "gzip"}, body=body)


@_route("nul")
async def _nul(_upstream: Upstream, _request: Request, _reader: asyncio.StreamReader, _rest: str) -> Answer:
    return Answer(headers={"Content-Type": "application/json"}, body=rb'{"text": "a\u0000b \ud800 c"}')


@_route("redirect")
async def _redirect(_upstream: Upstream, request: Request, _reader: asyncio.StreamReader, _rest: str) -> Answer:
    return Answer(int(request.query.get("code", 302)), {"Location": request.query["to"]})


@_route("text")
async def _text(_upstream: Upstream, _request: Request, _reader: asyncio.StreamReader, _rest: str) -> Answer:
    return Answer(headers={"Content-Type": "text/plain; charset=utf-8"}, body="plain text, grüße\n".encode())


@_route("binary")
async def _binary(_upstream: Upstream, _request: Request, _reader: asyncio.StreamReader, _rest: str) -> Answer:
    return Answer(body=bytes(range(256)))


@_route("effects")
async def _effects(upstream: Upstream, request: Request, reader: asyncio.StreamReader, _rest: str) -> Answer:
    if request.method != "POST":
        return _json(Counter(effect.key for effect in upstream.effects()))
    await asyncio.sleep(float(request.query.get("delay", 0)))
    effect = upstream.record_effect(request)
    await _wait_or_leave(float(request.query.get("after", 0)), request, reader)
    if request.query.get("held"):
        await upstream.answer_when_let_go(request, reader)
    if request.query.get("drop"):
        raise ConnectionAbortedError
    return _json(vars(effect))


async def _wait_or_leave(seconds: float, request: Request, reader: asyncio.StreamReader) -> None:
    """Waits, but not longer than the client does."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(reader.read(1), seconds)
        request.abandoned = True
        raise ConnectionAbortedError


@functools.cache
def _compressed_zeros(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(bytes(min(PIECE, size - start))) for start in range(0, size, PIECE))
    return packed + packer.flush()


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser(description="An HTTP server for tests.")
    parser.add_argument("port", type=int)
    parser.add_argument("--effects", type=Path, required=True)
    options = parser.parse_args()
    upstream = Upstream(effects=options.effects, port=options.port)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(upstream.serve(lambda: print(f"listening on {upstream.url}", flush=True)))


if __name__ == "__main__":
    main()
