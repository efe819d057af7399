"""What traces cost: CPU a call of gateway, worker and scheduler with telemetry off, at 5 % of the roots, and at 100 %.

    python benchmarks/telemetry.py                     about two minutes
    python benchmarks/telemetry.py --rounds 15

Three systems stand side by side over one broker and one database server, and take turns: in each round each of them
runs the same load, calls of an HTTP tool by ``POST /v1/calls``, and then has time to export to a real receiver, which
is a process of its own. The ratios are medians of the ratios of each round; an idle system's own CPU counts in all.
"""

import argparse
import asyncio
import contextlib
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, Final

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import aiohttp
import load
import uvloop
from live import _upstream

from tests.support.collector import Collector
from tests.support.postgres import PostgresNode
from tests.support.rabbit import RabbitNode
from tests.support.system import KEY, System, http_tool

AUTHORIZATION: Final = {"Authorization": f"Bearer {KEY}"}
#: How much is recorded, as it is printed -> the variables of its system.
SUBJECTS: Final = {
    "off": None,
    "5 % of roots": {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.05"},
    "100 %": {"OTEL_TRACES_SAMPLER": "parentbased_always_on"},
}
PARTS: Final = {"gateway1": "gateway", "worker": "worker", "scheduler": "scheduler"}
#: Milliseconds between two exports; seconds after a load, in which what is left is exported.
EVERY: Final = "2000"
AFTERWARDS: Final = 2.5
#: Seconds until a worker claims no more than it must.
FIRST: Final = 8.0
Row = dict[str, float]


@contextlib.contextmanager
def _systems(collector: Collector, upstream: str) -> Iterator[dict[str, System]]:
    with contextlib.ExitStack() as stack:
        broker, postgres = stack.enter_context(RabbitNode()), stack.enter_context(PostgresNode())
        systems = {}
        for number, (name, variables) in enumerate(SUBJECTS.items()):
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="toolyard-telemetry-")))
            amqp, database = broker.add_vhost(f"telemetry{number}"), postgres.create_database()
            system = System(folder, amqp=amqp, database=database, allow="127.0.0.1")
            if variables is not None:
                system.env |= collector.env(**variables, OTEL_BSP_SCHEDULE_DELAY=EVERY)
            stack.enter_context(system).start_all()
            with system.client() as client:
                client.post("/v1/tools", json=http_tool("wait", "GET", upstream)).raise_for_status()
            systems[name] = system
        time.sleep(FIRST)
        yield systems


async def _calls(url: str, number: int, rate: float) -> None:
    """Make so many calls a second, whatever becomes of them: a system that is slower batches no less."""
    body = {"tool": "wait", "arguments": load.arguments()}

    async def one(session: aiohttp.ClientSession) -> None:
        async with session.post(f"{url}/v1/calls", json=body) as answer:
            document = await answer.json()
        if document.get("state") != "succeeded":
            raise AssertionError(document)

    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(headers=AUTHORIZATION, connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        begun = time.perf_counter()
        for each in range(number):
            await asyncio.sleep(max(begun + each / rate - time.perf_counter(), 0.0))
            group.create_task(one(session))


def _used(pid: int) -> float:
    """Milliseconds of CPU time that a process has used, to the nanosecond."""
    return time.clock_gettime_ns(~pid << 3 | 2) / 1e6  # CLOCK_PROCESS_CPUTIME_ID of another process


def _round(system: System, options: argparse.Namespace) -> Row:
    """CPU a call of each part, in milliseconds."""
    pids = {part: system.processes[name].pid for name, part in PARTS.items()}
    before = {part: _used(pid) for part, pid in pids.items()}
    uvloop.run(_calls(system.url(), options.calls, options.rate))
    time.sleep(AFTERWARDS)
    row = {part: (_used(pid) - before[part]) / options.calls for part, pid in pids.items()}
    return row | {"all": sum(row.values())}


def _print(rows: dict[str, list[Row]], spans: int, options: argparse.Namespace) -> None:
    about = f"{options.rounds} rounds of {options.calls} calls, {options.rate:g} a second, 50 ms upstream"
    print(f"CPU ms a call, and its ratio to telemetry off (medians of {about})\n")
    print(f"| telemetry | {' | '.join(PARTS.values())} | all | ratio |")
    print("|---|" + "---:|" * (len(PARTS) + 2))
    for name, measured in rows.items():
        cells = [f"{_middle(measured, part):.3f}" for part in (*PARTS.values(), "all")]
        ratio = statistics.median(row["all"] / off["all"] for row, off in zip(measured, rows["off"], strict=True))
        print(f"| {name} | {' | '.join(cells)} | {ratio:.3f} |")
    print(f"\nspans received: {spans:,}")


def _middle(rows: list[Row], column: str) -> float:
    return statistics.median(row[column] for row in rows)


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--calls", type=int, default=1_500, help="of each load")
    parser.add_argument("--rate", type=float, default=500.0, help="calls a second")
    options = parser.parse_args()
    rows: dict[str, list[Row]] = {name: [] for name in SUBJECTS}
    with _upstream() as upstream, Collector() as collector, _systems(collector, upstream) as systems:
        _warm_up(systems, options)
        for number in range(options.rounds):
            turns: list[Any] = [*systems.items()]
            for name, system in turns[number % 3 :] + turns[: number % 3]:
                rows[name].append(_round(system, options))
        spans = len(collector.spans())
    _print(rows, spans, options)


def _warm_up(systems: dict[str, System], options: argparse.Namespace) -> None:
    for system in systems.values():
        uvloop.run(_calls(system.url(), 300, options.rate))


if __name__ == "__main__":
    main()
