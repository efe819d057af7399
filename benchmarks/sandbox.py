"""What a call of a sandboxed tool costs: ``python benchmarks/sandbox.py [calls]``. Prints a table.

Each call is the same tool: two imports, a count of words, JSON out. Five ways to run it:

- in this process, by the language alone: what the computing itself costs, with nothing between it and the machine;
- the pool, through its executor, with every layer that this machine allows;
- a bare server that forks for each call and protects nothing (only here: it is no way to run what is not trusted);
- `multiprocessing` with its forkserver, a process for each call;
- a cold interpreter for each call.

First one caller makes one call of each way in turn, with a pause after each, in which what it left to do is done: so
long does a call take, and whatever else the machine does hits all ways alike. Then each way alone makes one call after
the other without a pause: so many are done in a second, at so much CPU time of all processes. Then fifty calls are held
in the pool at once, and the memory of its processes is read.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import processes
import sandbox_bare as bare
import sandbox_guest as guest
import uvloop

from toolyard import ids
from toolyard.clock import SYSTEM
from toolyard.contracts.calls import Call
from toolyard.contracts.tools import PinnedTool, SandboxBinding
from toolyard.sandbox.runner import Level, Runner
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished
from toolyard_executors.kinds.sandbox import SandboxExecutor

HERE = Path(__file__).resolve().parent
WARM_UP = 10
AT_ONCE = 50
#: Seconds; forking another child and locking it takes a few milliseconds.
PAUSE = 0.015
MEBIBYTE = 1 << 20
COLD = """
import sys
sys.path[:0] = [sys.argv[1]]
import sandbox_guest
sys.stdout.buffer.write(sandbox_guest.run(sys.stdin.buffer.read()))
"""
HOLDS = """
import time

def execute_tool(parameters, context):
    kept = [{"number": number, "text": str(number)} for number in range(20_000)]
    time.sleep(parameters["seconds"])
    return len(kept)
"""


@dataclass
class Way:
    """One way to run the tool.

    Attributes:
        call: runs it and gives its value.
        seldom: a call of it is made where others make so many.
        times: seconds of calls that took turns with those of the other ways.
        in_a_row: calls that did not, and the seconds and the CPU seconds that they took together.
    """

    name: str
    call: Callable[[], Awaitable[Any]]
    seldom: int = 1
    times: list[float] = field(default_factory=list)
    in_a_row: tuple[int, float, float] = (1, 0.0, 0.0)

    async def take_a_turn(self) -> float:
        start = time.perf_counter()
        value = await self.call()
        taken = time.perf_counter() - start
        assert value == guest.EXPECTED, value
        return taken

    async def without_a_pause(self, calls: int) -> None:
        count = max(5, calls // self.seldom)
        cpu, start = processes.cpu(os.getpid()), time.perf_counter()
        for _ in range(count):
            await self.call()
        taken = time.perf_counter() - start
        await asyncio.sleep(0.5)  # what is done behind the last call belongs to it
        self.in_a_row = count, taken, processes.cpu(os.getpid()) - cpu

    def row(self) -> dict[str, object]:
        ordered = sorted(self.times)
        count, taken, cpu = self.in_a_row
        return {
            "way": self.name,
            "p50_ms": round(statistics.median(ordered) * 1e3, 2),
            "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1e3, 2),
            "calls_per_second": round(count / taken, 1),
            "cpu_ms": round(cpu / count * 1e3, 2),
        }


def value_of(answer: bytes) -> Any:
    return json.loads(answer)["value"]


# ---- the pool ------------------------------------------------------------------------------------


class Pool:
    """The pool's executor, as a runtime would use it."""

    def __init__(self, children: int) -> None:
        self.runner = Runner(children=children, memory=children * 128 * MEBIBYTE, minimum=Level.DEGRADED)
        self.executor = SandboxExecutor(self.runner)
        self.tools = {source: PinnedTool(binding=SandboxBinding(code=source)) for source in (guest.SOURCE, HOLDS)}
        self.plans = {source: self.executor.prepare(tool) for source, tool in self.tools.items()}

    def attempt(self, source: str, arguments: dict[str, Any]) -> Attempt:
        now = SYSTEM.now()
        call = Call(
            call_id=ids.new_id(),
            org="default",
            tool="t",
            version=1,
            pool="sandbox",
            gateway="g",
            principal="p",
            arguments=arguments,
            body_hash="h",
            accepted_at=now,
            deadline=now + 300,
            timeout=30.0,
        )
        return Attempt(
            call=call,
            tool=self.tools[source],
            plan=self.plans[source],
            number=1,
            ends_at=SYSTEM.monotonic() + 60,
            clock=SYSTEM,
            get_secret=lambda org, name: None,
        )

    async def call(self) -> Any:
        return value(await self.executor.run(self.attempt(guest.SOURCE, guest.PARAMETERS)))


def value(finished: Finished) -> Any:
    assert finished.error is None, finished.error
    assert finished.result is not None
    assert isinstance(finished.result.structured, msgspec.Raw)
    return msgspec.json.decode(finished.result.structured)


async def held(pool: Pool) -> dict[str, float]:
    """Memory of this process, and of all that are the pool's, while calls that hold something are under way."""
    before = processes.pss(os.getpid())
    running = [asyncio.create_task(pool.executor.run(pool.attempt(HOLDS, {"seconds": 20.0}))) for _ in range(AT_ONCE)]
    await asyncio.sleep(15)
    own = processes.pss(os.getpid())
    ends = [value(await each) for each in running]
    assert ends == [20_000] * AT_ONCE
    return {"before_mib": round(before / MEBIBYTE, 1), "at_once_mib": round(own / MEBIBYTE, 1)}


# ---- the others ----------------------------------------------------------------------------------


async def in_this_process(payload: bytes) -> Any:
    return value_of(guest.run(payload))


def start_bare(stack: AsyncExitStack) -> str:
    """Starts the bare server; returns the name of its socket."""
    listening = socket.socket(socket.AF_UNIX)
    stack.callback(listening.close)
    listening.bind(b"\0toolyard-bench-%d" % os.getpid())
    listening.listen()
    command = [sys.executable, str(HERE / "sandbox_bare.py"), str(listening.fileno())]
    server = subprocess.Popen(command, pass_fds=[listening.fileno()])
    stack.callback(server.wait)
    stack.callback(server.kill)
    name: str = listening.getsockname()
    return name


async def by_bare_fork(name: str, payload: bytes) -> Any:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(name)
        bare.send(asking, payload)
        return value_of(bare.receive(asking))


async def by_forkserver(payload: bytes) -> Any:
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=guest.work, args=(theirs, payload))
    process.start()
    answer = ours.recv_bytes()
    process.join()
    process.close()
    return value_of(answer)


async def cold(payload: bytes) -> Any:
    command = [sys.executable, "-I", "-c", COLD, str(HERE)]
    done = await asyncio.to_thread(subprocess.run, command, input=payload, stdout=subprocess.PIPE, check=True)
    return value_of(done.stdout)


# ---- the table -----------------------------------------------------------------------------------


async def measure(calls: int) -> tuple[list[dict[str, object]], dict[str, float]]:
    payload = guest.payload()
    async with AsyncExitStack() as stack:
        pool = Pool(8)
        await pool.executor.open()
        stack.push_async_callback(pool.executor.close)
        server = start_bare(stack)
        level = pool.executor.standing().details["isolation"]
        ways = [
            Way("in this process, the language alone", lambda: in_this_process(payload)),
            Way(f"the pool, isolation {level}", pool.call),
            Way("a bare fork per call, nothing around it", lambda: by_bare_fork(server, payload)),
            Way("multiprocessing, forkserver", lambda: by_forkserver(payload), seldom=2),
            Way("a cold interpreter, subprocess.run", lambda: cold(payload), seldom=25),
        ]
        for turn in range(-WARM_UP, calls):
            for way in ways:
                if turn % way.seldom == 0:
                    taken = await way.take_a_turn()
                    await asyncio.sleep(PAUSE)
                    way.times.extend([taken] if turn >= 0 else [])
        for way in ways:
            await way.without_a_pause(calls)
    crowd = Pool(AT_ONCE)
    await crowd.executor.open()
    try:
        memory = await held(crowd)
    finally:
        await crowd.executor.close()
    return [way.row() for way in ways], memory


def main() -> None:
    """Measures, and prints the ways side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("calls", type=int, nargs="?", default=500)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = str(HERE)  # the forkserver looks nowhere else for what it loads beforehand
    multiprocessing.set_forkserver_preload(["sandbox_guest"])
    del sys.modules["__main__"].__file__  # else each of its processes would load this program first
    rows, memory = uvloop.run(measure(args.calls))  # as a worker does
    if args.json:
        print("\n".join(map(json.dumps, [*rows, memory])))
        return
    print(f"{'way':42} {'p50 ms':>8} {'p99 ms':>8} {'calls/s':>8} {'CPU ms':>8}")
    for row in rows:
        print(f"{row['way']:42} {row['p50_ms']:>8} {row['p99_ms']:>8} {row['calls_per_second']:>8} {row['cpu_ms']:>8}")
    told = f"{AT_ONCE} calls at once: {memory['at_once_mib']} MiB in all processes, {memory['before_mib']} before"
    print(told)


if __name__ == "__main__":
    main()
