"""Many runs, with murder among them: ``python -m tests.sandbox.soak [runs] [kills] [servers] [--jail]``.

Children and fork servers are killed at random while runs are under way: calls through the pool's executor, or with
``--jail`` runs of a raw guest. Every run must end: as it would by itself, or as the crash that was done to it; and
neither descriptors, nor processes, nor memory may grow.
"""

import argparse
import asyncio
import collections
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from tests.integration.executors.sandboxes import Sandbox, sandboxed
from tests.support import leash
from tests.support.jail.yard import GUESTS
from tests.support.waiting import async_wait_until

from toolyard.sandbox.jail.jail import Jail, Limits

AT_A_TIME = 4
WARM_UP = 200
LIMITS = Limits(wall=30.0, cpu=10.0, memory=64 << 20)


class Subject(Protocol):
    """What is made to run, again and again."""

    jail: Jail

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def run(self, number: int) -> tuple[str, str, bool]:
        """One run: how it should end, how it ended, and whether that is explained by a murder."""


class Raw:
    """Runs of a raw guest, in the jail itself."""

    KINDS = (
        (b"result = sum(range(1000))", "answered"),
        (b"result = 'x' * 1000", "answered"),
        (b"1/0", "crashed"),
        (b"x = bytearray(1 << 30)", "out_of_memory"),
    )

    def __init__(self, renew_after: int) -> None:
        self.jail = Jail("raw_guest", children=AT_A_TIME, folders=[GUESTS], renew_after=renew_after)

    async def start(self) -> None:
        await self.jail.start()

    async def stop(self) -> None:
        await self.jail.stop()

    async def run(self, number: int) -> tuple[str, str, bool]:
        source, expected = self.KINDS[number % len(self.KINDS)]
        verdict = await self.jail.run("run", source, limits=LIMITS)
        killed = verdict.how == "lost" or (verdict.how == "crashed" and verdict.signal == signal.SIGKILL)
        return expected, verdict.how, killed


class Calls:
    """Calls of sandboxed tools, through the pool's executor."""

    TOOLS = (
        (sandboxed("print('n')", "return sum(range(1000))"), "succeeded"),
        (sandboxed("import re", "return {'key': os.environ['KEY']}", environment_variables=("KEY",)), "succeeded"),
        (sandboxed("return 1 / 0"), "tool_error"),
        (sandboxed("return 'x' * 10**9", memory_limit_mb=32), "resource_exhausted"),
    )

    def __init__(self, renew_after: int) -> None:
        self._sandbox = Sandbox(children=AT_A_TIME)
        self.jail = self._sandbox.jail
        self.jail._pool._renew_after = renew_after

    async def start(self) -> None:
        await self._sandbox.executor.open()

    async def stop(self) -> None:
        await self._sandbox.executor.close()

    async def run(self, number: int) -> tuple[str, str, bool]:
        tool, expected = self.TOOLS[number % len(self.TOOLS)]
        finished = await self._sandbox.run(tool, secrets={"KEY": f"secret {number}"})
        if finished.error is None:
            return expected, "succeeded", False
        killed = finished.error.code == "resource_exhausted" and finished.error.retryable
        return expected, finished.error.code, killed


@dataclass
class Size:
    """What must not grow: of the worker, and of the fork server with its children (`processes`)."""

    descriptors: int
    processes: int
    worker_kib: int
    server_kib: int


@dataclass
class Outcome:
    """The soak's result.

    Attributes:
        ends: how often each kind of run ended in each way. lost: runs that ended in a way that nothing explains.
    """

    ends: collections.Counter[str]
    lost: list[str]
    before: Size
    after: Size
    seconds: float
    servers: int


async def soak(kind: Callable[[int], Subject], runs: int, *, kills: int, servers: int) -> Outcome:
    """Makes so many runs; kills so many children, and so many fork servers, in between."""
    subject = kind(max(500, runs // 20))
    jail = subject.jail
    await subject.start()
    chance = random.Random(1)
    ends: collections.Counter[str] = collections.Counter()
    lost: list[str] = []
    seen = {_server(jail)}

    async def worker(numbers: range) -> None:
        for number in numbers:
            expected, ended, killed = await subject.run(number)
            ends[f"{expected} -> {ended}"] += 1
            if ended != expected and not killed:
                lost.append(f"{expected}: {ended}")

    async def murderer() -> None:
        victims = ["child"] * kills + ["server"] * servers
        chance.shuffle(victims)
        for done, victim in enumerate(victims, start=1):
            due = runs * done // (len(victims) + 1)
            await _until(partial(_reached, ends, due), every=0.001)
            _kill(jail, victim, chance)
            seen.add(_server(jail))

    async def everything(count: int) -> None:
        await asyncio.gather(*(worker(range(each, count, AT_A_TIME)) for each in range(AT_A_TIME)))

    try:
        await everything(WARM_UP)
        before = await _size(subject)
        ends.clear()
        start = time.monotonic()
        await asyncio.gather(everything(runs), murderer())
        seconds = time.monotonic() - start
        after = await _size(subject)
    finally:
        await subject.stop()
    return Outcome(ends, lost, before, after, seconds, len(seen - {0}))


def _kill(jail: Jail, victim: str, chance: random.Random) -> None:
    server = jail._pool._server
    if server is None or server.pid is None:
        return
    if victim == "server":
        with contextlib.suppress(ProcessLookupError):  # it was killed a moment ago
            os.kill(server.pid, signal.SIGKILL)
    elif server.children:
        chance.choice(list(server.children.values())).kill()


def _server(jail: Jail) -> int:
    return (jail._pool._server.pid or 0) if jail._pool._server else 0


async def _size(subject: Subject) -> Size:
    """Measured in a quiet moment: all children wait, and old servers are gone."""
    await subject.run(0)
    await _until(lambda: _whole(subject.jail), every=0.05)
    server = _server(subject.jail)
    return Size(_descriptors(), len(leash.members(server)), _resident(os.getpid()), _resident(server))


async def _until(check: Callable[[], bool], *, every: float) -> None:
    async def checked() -> bool:
        return check()

    await async_wait_until(checked, within=3600, what="the soak goes on", every=every)


def _reached(ends: collections.Counter[str], due: int) -> bool:
    return ends.total() >= due


def _whole(jail: Jail) -> bool:
    pool = jail._pool
    return len(pool._ready) == AT_A_TIME + 1 and not (pool._retired or pool._endings)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") >> 10


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int, nargs="?", default=20_000)
    parser.add_argument("kills", type=int, nargs="?", default=200)
    parser.add_argument("servers", type=int, nargs="?", default=5)
    parser.add_argument("--jail", action="store_true")
    args = parser.parse_args()
    outcome = asyncio.run(soak(Raw if args.jail else Calls, args.runs, kills=args.kills, servers=args.servers))
    print(f"{outcome.ends.total()} runs in {outcome.seconds:.0f} s, {outcome.servers} fork servers")
    for way, count in sorted(outcome.ends.items()):
        print(f"  {way:30} {count}")
    print(f"before {outcome.before}\nafter  {outcome.after}\nlost   {len(outcome.lost)} {outcome.lost[:5]}")


if __name__ == "__main__":
    main()
