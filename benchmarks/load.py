"""The load, the same for every subject: about 1 KB of JSON a call, a closed loop with N calls in flight.

A client process prints READY, then reads lines ``TOOL INFLIGHT SECONDS`` and answers each with one JSON line
``{calls, wall, p50, p99, errors}`` (milliseconds). Only the standard library: peers import it too.
"""

import asyncio
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

AMQP_URL = os.environ.get("BENCH_AMQP_URL", "")
REDIS_URL = os.environ.get("BENCH_REDIS_URL", "")
UPSTREAM = os.environ.get("BENCH_UPSTREAM", "")

_numbers = itertools.count(1)
_QUERY = "abcdefghijklmnopqrstuvwxyz" * 18
_SESSION = "abcdefghijklmnopqrstuvwxyz" * 11


def arguments() -> dict[str, Any]:
    """What a call carries."""
    return {"query": _QUERY, "limit": 10, "options": {"lang": "en", "safe": True}, "session": _SESSION}


def call(tool: str) -> dict[str, Any]:
    """A call as the peers send it."""
    return {"id": f"{next(_numbers):012d}", "tool": tool, "arguments": arguments()}


def noop(request: dict[str, Any]) -> dict[str, Any]:
    """The tool that does nothing."""
    return {"id": request["id"], "status": "ok", "result": {"echo": request["arguments"]["limit"]}}


def _commands() -> Iterator[tuple[str, int, float]]:
    print("READY", flush=True)
    for line in sys.stdin:
        tool, inflight, seconds = line.split()
        yield tool, int(inflight), float(seconds)


def _report(latencies: list[float], wall: float, errors: int) -> None:
    latencies.sort()
    n = len(latencies)
    print(
        json.dumps(
            {
                "calls": n,
                "wall": wall,
                "p50": latencies[n // 2] * 1e3 if n else None,
                "p99": latencies[n * 99 // 100] * 1e3 if n else None,
                "errors": errors,
            }
        ),
        flush=True,
    )


async def asynchronous(ask: Callable[[str], Awaitable[bool]]) -> None:
    """``ask(tool)`` makes one call and says whether it went well."""
    commands = _commands()
    while (command := await asyncio.to_thread(next, commands, None)) is not None:
        tool, inflight, seconds = command
        latencies: list[float] = []
        errors = 0
        begin = time.perf_counter()
        end = begin + seconds

        async def one(tool: str = tool, end: float = end, latencies: list[float] = latencies) -> int:
            wrong = 0
            while (start := time.perf_counter()) < end:
                if await ask(tool):
                    latencies.append(time.perf_counter() - start)
                else:
                    wrong += 1
            return wrong

        errors = sum(await asyncio.gather(*(one() for _ in range(inflight))))
        _report(latencies, time.perf_counter() - begin, errors)


def threaded(ask: Callable[[str], bool]) -> None:
    """The same with one thread a call in flight."""
    ask("noop")
    for tool, inflight, seconds in _commands():
        latencies: list[float] = []
        wrong: list[int] = []
        gate = threading.Barrier(inflight + 1)
        stop = [0.0]

        def one(
            tool: str = tool,
            latencies: list[float] = latencies,
            wrong: list[int] = wrong,
            gate: threading.Barrier = gate,
            stop: list[float] = stop,
        ) -> None:
            ask("noop")  # opens this thread's connections before the clock runs
            gate.wait()
            gate.wait()
            while (start := time.perf_counter()) < stop[0]:
                if ask(tool):
                    latencies.append(time.perf_counter() - start)
                else:
                    wrong.append(1)

        threads = [threading.Thread(target=one) for _ in range(inflight)]
        for thread in threads:
            thread.start()
        gate.wait()
        print("MARK", flush=True)  # the CPU clock starts here
        begin = time.perf_counter()
        stop[0] = begin + seconds
        gate.wait()
        for thread in threads:
            thread.join()
        _report(latencies, time.perf_counter() - begin, len(wrong))


class Callbacks:
    """The same for single-threaded clients that hear of results by a callback.

    Args:
        send: begins a call; ``pump`` waits for events and calls `finished` for each result.
    """

    def __init__(self, send: Callable[[dict[str, Any]], None], pump: Callable[[], None]) -> None:
        self._send, self._pump = send, pump
        self._begun: dict[str, float] = {}
        self._latencies: list[float] = []
        self._due = 0
        self._end = 0.0

    def finished(self, call_id: str) -> None:
        """A result came."""
        begun = self._begun.pop(call_id, None)
        if begun is None:
            return
        now = time.perf_counter()
        self._latencies.append(now - begun)
        self._due += now < self._end

    def _phase(self, tool: str, inflight: int, seconds: float) -> float:
        self._latencies, self._due = [], inflight
        begin = time.perf_counter()
        self._end = begin + seconds
        while self._begun or self._due:
            while self._due:
                self._due -= 1
                request = call(tool)
                self._begun[request["id"]] = time.perf_counter()
                self._send(request)
            self._pump()
        return time.perf_counter() - begin

    def run(self) -> None:
        """Serve the commands."""
        self._phase("noop", 1, 0.01)
        for tool, inflight, seconds in _commands():
            wall = self._phase(tool, inflight, seconds)
            _report(self._latencies, wall, 0)
