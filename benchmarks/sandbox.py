"""What a run of untrusted code costs: ``python benchmarks/sandbox.py [calls]``. Prints a table.

One caller, one call after the other, each the same trivial source. Four ways to run it:

- the jail, with every layer that this machine allows;
- a bare server that forks per call and protects nothing, as a measure of what the fork alone costs (only here: it is no
  way to run what is not trusted);
- `multiprocessing` with its forkserver, a process per call;
- a cold interpreter per call, by `subprocess.run`.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sandbox_guest as guest

from toolyard.sandbox.jail.jail import Jail, Level, Limits

HERE = Path(__file__).resolve().parent
SOURCE = b"result = sum(range(100))"
EXPECTED = b"4950"
WARM_UP = 20
COLD = """
import sys
sys.path[:0] = [sys.argv[1]]
import sandbox_guest
sys.stdout.buffer.write(sandbox_guest.serve("run", sys.stdin.buffer.read(), None))
"""

Times = list[float]


def _timed(call: Callable[[], bytes], calls: int) -> Times:
    times = []
    for number in range(calls + WARM_UP):
        start = time.perf_counter()
        answer = call()
        if number >= WARM_UP:
            times.append(time.perf_counter() - start)
        assert answer == EXPECTED, answer
    return times


async def _jailed(calls: int) -> tuple[str, Times]:
    jail = Jail("sandbox_guest", children=4, minimum=Level.DEGRADED, folders=[str(HERE)])
    found = await jail.start()
    times = []
    try:
        for number in range(calls + WARM_UP):
            start = time.perf_counter()
            verdict = await jail.run("run", SOURCE, limits=Limits())
            if number >= WARM_UP:
                times.append(time.perf_counter() - start)
            assert verdict.body == EXPECTED, verdict
    finally:
        await jail.stop()
    return found.level, times


# ---- a bare server that forks per call -----------------------------------------------------------


def _serve_bare(listening: socket.socket) -> None:
    while True:
        asked, _ = listening.accept()
        if os.fork() == 0:
            asked.sendall(guest.serve("run", asked.recv(1 << 16), None))
            os._exit(0)
        asked.close()
        os.wait()


@contextmanager
def _bare() -> Iterator[Callable[[], bytes]]:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(b"\0toolyard-bench-%d" % os.getpid())
    listening.listen()
    server = os.fork()
    if server == 0:
        _serve_bare(listening)

    def call() -> bytes:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(listening.getsockname())
            asking.sendall(SOURCE)
            return asking.recv(1 << 16)

    try:
        yield call
    finally:
        os.kill(server, 9)
        os.waitpid(server, 0)
        listening.close()


# ---- multiprocessing, and a cold interpreter ------------------------------------------------------


def _by_forkserver() -> bytes:
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=guest.work, args=(theirs, SOURCE))
    process.start()
    answer = ours.recv_bytes()
    process.join()
    return answer


def _cold() -> bytes:
    command = [sys.executable, "-I", "-c", COLD, str(HERE)]
    return subprocess.run(command, input=SOURCE, stdout=subprocess.PIPE, check=True).stdout


# ---- the table -----------------------------------------------------------------------------------


def _row(name: str, times: Times) -> dict[str, object]:
    ordered = sorted(times)
    return {
        "way": name,
        "p50_ms": round(statistics.median(ordered) * 1e3, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1e3, 2),
        "calls_per_second": round(len(times) / sum(times), 1),
    }


def main() -> None:
    """Measures one way after the other, and prints them side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calls", type=int, nargs="?", default=300)
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    args = parser.parse_args()
    with _bare() as call:
        bare = _row("a bare fork per call, without any layer", _timed(call, args.calls))
    level, times = asyncio.run(_jailed(args.calls))
    os.environ["PYTHONPATH"] = str(HERE)  # its server looks nowhere else for what it loads beforehand
    multiprocessing.set_forkserver_preload(["sandbox_guest"])
    del sys.modules["__main__"].__file__  # else each of its processes would load this program first
    rows = [
        _row(f"the jail, level {level}", times),
        bare,
        _row("multiprocessing, forkserver", _timed(_by_forkserver, max(20, args.calls // 3))),
        _row("a cold interpreter, subprocess.run", _timed(_cold, max(20, args.calls // 10))),
    ]
    if args.json:
        print("\n".join(map(json.dumps, rows)))
        return
    print(f"{'way':42} {'p50 ms':>8} {'p99 ms':>8} {'calls/s':>8}")
    for row in rows:
        print(f"{row['way']:42} {row['p50_ms']:>8} {row['p99_ms']:>8} {row['calls_per_second']:>8}")


if __name__ == "__main__":
    main()
