"""The load of `scaling` and `million`: `POST /v1/calls` in a closed loop, at a fraction of what an HTTP library costs.

    python benchmarks/posts.py TOOL IN_FLIGHT KEY URL [URL]

Opens IN_FLIGHT connections, shared out among the gateways, and prints READY. Each line ``CALLS SECONDS`` that it reads
is a phase, which ends after so many calls or so many seconds; it is answered with one JSON line, as those of `load`.
The load shares the machine with what it measures: so it is one write and one search a call, and knows HTTP no further.
"""

import asyncio
import json
import re
import sys
import time
from typing import Any, cast
from urllib.parse import urlsplit

import load
import uvloop

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)")


def request(tool: str, key: str, url: str) -> bytes:
    """The bytes of one call."""
    body = json.dumps({"tool": tool, "arguments": load.arguments()}).encode()
    head = (
        f"POST /v1/calls HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Phase:
    """Some calls: how many are still to be made, and how those went that were."""

    def __init__(self, calls: int, seconds: float) -> None:
        self._left = calls
        self.begun = time.perf_counter()
        self._until = self.begun + seconds
        self.latencies: list[float] = []
        self.errors = 0

    def next(self) -> bool:
        """Whether one more is to be made; it counts as made."""
        if self._left <= 0 or time.perf_counter() >= self._until:
            return False
        self._left -= 1
        return True


class Caller(asyncio.Protocol):
    """One connection, with one call in flight."""

    def __init__(self, asked: bytes) -> None:
        self._asked = asked
        self._got = b""
        self._transport: asyncio.Transport | None = None
        self._phase = Phase(0, 0)
        self._sent = 0.0
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports are no subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(
                exc or ConnectionResetError("a gateway closed a connection in the midst of a call")
            )

    async def run(self, phase: Phase) -> None:
        """Make calls until the phase has no more."""
        self._phase = phase
        self._done = asyncio.get_running_loop().create_future()
        self._send()
        await self._done

    def _send(self) -> None:
        assert self._transport is not None
        assert self._done is not None
        if not self._phase.next():
            self._done.set_result(None)
            return
        self._sent = time.perf_counter()
        self._transport.write(self._asked)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        length = _LENGTH.search(head)
        if length is None:
            raise AssertionError(f"an answer without a length: {head!r}")
        if len(body) < int(length[1]):
            return
        self._got = b""
        self._note(body)
        self._send()

    def _note(self, body: bytes) -> None:
        if b'"state":"succeeded"' in body:
            self._phase.latencies.append(time.perf_counter() - self._sent)
        else:
            self._phase.errors += 1
            print(body.decode(), file=sys.stderr)


async def _connected(tool: str, in_flight: int, key: str, urls: list[str]) -> list[Caller]:
    loop = asyncio.get_running_loop()
    callers = []
    for number in range(in_flight):
        caller = Caller(request(tool, key, urls[number % len(urls)]))
        where = urlsplit(urls[number % len(urls)])
        await loop.create_connection(lambda caller=caller: caller, str(where.hostname), where.port or 80)  # type: ignore[misc]
        callers.append(caller)
    return callers


def _report(phase: Phase) -> dict[str, Any]:
    wall, took = time.perf_counter() - phase.begun, sorted(phase.latencies)
    p50, p99 = (took[len(took) * share // 100] * 1e3 if took else None for share in (50, 99))
    return {"calls": len(took), "wall": wall, "p50": p50, "p99": p99, "errors": phase.errors}


async def main() -> None:
    """Serve the commands."""
    tool, in_flight, key, *urls = sys.argv[1:]
    callers = await _connected(tool, int(in_flight), key, urls)
    print("READY", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        calls, seconds = line.split()
        phase = Phase(int(calls), float(seconds))
        await asyncio.gather(*(caller.run(phase) for caller in callers))
        print(json.dumps(_report(phase)), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
