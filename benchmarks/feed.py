"""Followers at the broker and what they cost: 100 queues bound to the feed, ten of them full and not read.

    python benchmarks/feed.py                          about a minute and a half
    python benchmarks/feed.py --rate 400 --rounds 3

Two systems stand side by side over one broker and one database server: one that publishes no feed, and one that does,
first for nobody and then for the followers. The full queues are bound to everything of the org, five refuse
(``reject-publish``) and five drop their oldest; the 90 that are read are bound to a tool each. Below the table stands
what the feed itself did: its rate while it caught up, how far it was behind, and what the followers read.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import pathlib
import re
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any, Final

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import aiohttp
import httpx
import load
import pika
import uvloop
from live import _upstream

from tests.support.postgres import PostgresNode
from tests.support.rabbit import RabbitNode
from tests.support.system import KEY, System, http_tool

AUTHORIZATION: Final = {"Authorization": f"Bearer {KEY}"}
FULL: Final = 10
PARTS: Final = ("gateway1", "worker", "scheduler")
#: Events that a short call tells.
TOLD: Final = ("accepted", "started", "succeeded")
#: Seconds until a worker claims no more than it must; and in which everything must have been published.
FIRST: Final = 8.0
PATIENCE: Final = 30.0
#: Seconds in which followers read what was published last.
AFTERWARDS: Final = 2.0
Row = dict[str, float]


class Reader:
    """The queues, and what came to those that are read. In a process of its own."""

    def __init__(self, url: str, tools: list[str]) -> None:
        self.seen: dict[str, list[str]] = defaultdict(list)
        self.ids: Counter[str] = Counter()
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.basic_qos(prefetch_count=500)
        for number in range(FULL):
            overflow = "reject-publish" if number % 2 else "drop-head"
            self._bind(f"follow.default.full{number}", "default.#", {"x-max-length": 10, "x-overflow": overflow})
        for tool in tools:
            self._bind(f"follow.default.{tool}", f"default.call.*.*.{tool}", {})
            self._channel.basic_consume(f"follow.default.{tool}", self._take)

    def _bind(self, queue: str, key: str, arguments: dict[str, Any]) -> None:
        self._channel.queue_declare(queue, durable=True, arguments=arguments)
        self._channel.queue_bind(queue, "toolyard.feed", key)

    def _take(self, channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        self.ids[properties.message_id] += 1
        if self.ids[properties.message_id] == 1:
            self.seen[properties.headers["cloudEvents_subject"]].append(method.routing_key.split(".")[2])
        channel.basic_ack(method.delivery_tag)

    def read(self, until: Connection) -> None:
        """Read until something comes from there; then tell what was read."""
        until.send("bound")
        while not until.poll():
            self._connection.process_data_events(time_limit=0.2)
        until.send((dict(self.seen), self.ids))
        self._connection.close()


def _read(url: str, tools: list[str], until: Connection) -> None:
    Reader(url, tools).read(until)


class Followers:
    """That process."""

    def __init__(self, url: str, tools: list[str]) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        spawning = multiprocessing.get_context("spawn")
        self._process = spawning.Process(target=_read, args=(url, tools, theirs), daemon=True)
        self._process.start()
        self._ours.recv()

    def close(self) -> tuple[dict[str, list[str]], Counter[str]]:
        """What they read: the events of each call, in order, and how often each event came."""
        self._ours.send("enough")
        read: tuple[dict[str, list[str]], Counter[str]] = self._ours.recv()
        self._process.join()
        return read


async def _calls(url: str, tools: list[str], seconds: float, rate: float) -> tuple[list[str], list[float]]:
    """So many calls a second: the ids of those that succeeded, and how long each took, in milliseconds."""
    ids: list[str] = []
    took: list[float] = []

    async def one(session: aiohttp.ClientSession, tool: str) -> None:
        began = time.perf_counter()
        async with session.post(f"{url}/v1/calls", json={"tool": tool, "arguments": load.arguments()}) as answer:
            document = await answer.json()
        if document.get("state") != "succeeded":
            return
        took.append((time.perf_counter() - began) * 1000)
        ids.append(document["call_id"])

    connector = aiohttp.TCPConnector(limit=0)
    async with (
        aiohttp.ClientSession(headers=AUTHORIZATION, connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        begun = time.perf_counter()
        for number in range(int(seconds * rate)):
            await asyncio.sleep(max(begun + number / rate - time.perf_counter(), 0.0))
            group.create_task(one(session, tools[number % len(tools)]))
    return ids, took


class Watch:
    """Looks at the numbers of a scheduler while calls are made."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.lags: list[float] = []
        self.rates: list[float] = []

    def look(self, name: str) -> float:
        """A number, as `/metrics` shows it; 0 where there is none."""
        text = httpx.get(f"{self._url}/metrics", trust_env=False).text
        found = re.search(rf"^{name}(?:\{{[^}}]*\}})? (\S+)", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def run(self, stop: threading.Event) -> None:
        """Look twice a second."""
        before, at = self.look("toolyard_feed_published_total"), time.perf_counter()
        while not stop.wait(0.5):
            self.lags.append(self.look("toolyard_feed_lag_seconds"))
            now, then = self.look("toolyard_feed_published_total"), time.perf_counter()
            self.rates.append((now - before) / (then - at))
            before, at = now, then


def _used(pid: int) -> float:
    return time.clock_gettime_ns(~pid << 3 | 2) / 1e6  # CLOCK_PROCESS_CPUTIME_ID of another process


def _round(system: System, broker: RabbitNode, tools: list[str], options: argparse.Namespace) -> tuple[Row, list[str]]:
    pids = {part: system.processes[part].pid for part in PARTS} | {"broker": broker.pid}
    before = {part: _used(pid) for part, pid in pids.items()}
    began = time.perf_counter()
    ids, took = uvloop.run(_calls(system.url(), tools, options.seconds, options.rate))
    wall = time.perf_counter() - began
    row = {part: (_used(pid) - before[part]) / len(ids) for part, pid in pids.items()}
    took.sort()
    middle, late = took[len(took) // 2], took[int(len(took) * 0.99)]
    failed = int(options.seconds * options.rate) - len(ids)
    return {"calls/s": len(ids) / wall, "failed": failed, "p50": middle, "p99": late, **row}, ids


@contextlib.contextmanager
def _systems(broker: RabbitNode, upstream: str, tools: list[str]) -> Iterator[dict[str, System]]:
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(PostgresNode())
        systems = {}
        for name in ("off", "on"):
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="toolyard-feed-")))
            amqp, database = broker.add_vhost(f"feed-{name}"), postgres.create_database()
            system = System(folder, amqp=amqp, database=database, allow="127.0.0.1")
            system.env["TOOLYARD_FEED"] = name
            stack.enter_context(system).start_all()
            with system.client() as client:
                for tool in tools:
                    client.post("/v1/tools", json=http_tool(tool, "GET", upstream)).raise_for_status()
            systems[name] = system
        time.sleep(FIRST)
        yield systems


def main() -> int:
    """Run the rounds and print what came of them; the exit code says whether the followers read everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load")
    parser.add_argument("--rate", type=float, default=200.0, help="calls a second")
    parser.add_argument("--followers", type=int, default=100, help=f"queues; {FULL} of them are full and not read")
    options = parser.parse_args()
    tools = [f"tool{number:02}" for number in range(options.followers - FULL)]
    rows: dict[str, list[Row]] = defaultdict(list)
    with _upstream() as upstream, RabbitNode() as broker, _systems(broker, upstream, tools) as systems:
        for system in systems.values():
            uvloop.run(_calls(system.url(), tools, 2.0, options.rate))
        for _ in range(options.rounds):
            rows["no feed"].append(_round(systems["off"], broker, tools, options)[0])
            rows["a feed, nobody follows"].append(_round(systems["on"], broker, tools, options)[0])
        return _followed(systems["on"], broker, tools, options, rows)


def _followed(
    system: System, broker: RabbitNode, tools: list[str], options: argparse.Namespace, rows: dict[str, list[Row]]
) -> int:
    watch, made = Watch(system.url("scheduler")), []
    followers = Followers(broker.url("feed-on"), tools)
    watching = threading.Thread(target=watch.run, args=(stop := threading.Event(),))
    watching.start()
    try:
        for _ in range(options.rounds):
            row, ids = _round(system, broker, tools, options)
            rows[f"a feed, {options.followers} queues, {FULL} full"].append(row)
            made += ids
        ends = time.monotonic() + PATIENCE
        while watch.look("toolyard_feed_lag_seconds") and time.monotonic() < ends:
            time.sleep(0.1)
        time.sleep(AFTERWARDS)
    finally:
        stop.set()
        watching.join()
        seen, read = followers.close()
    _print(rows, options)
    return _tell(watch, seen, read, made)


def _print(rows: dict[str, list[Row]], options: argparse.Namespace) -> None:
    print(
        f"{options.rate:g} calls/s to a 50 ms upstream, medians of {options.rounds} rounds of {options.seconds:g} s\n"
    )
    parts = ("gateway1", "worker", "scheduler", "broker")
    print("| | calls/s | failed | p50 ms | p99 ms | CPU ms a call: gateway | worker | scheduler | broker |")
    print("|---|" + "---:|" * 8)
    for name, measured in rows.items():
        middle = {column: statistics.median(row[column] for row in measured) for column in measured[0]}
        cpu = " | ".join(f"{middle[part]:.3f}" for part in parts)
        seen = f"{middle['calls/s']:.0f} | {middle['failed']:.0f} | {middle['p50']:.1f} | {middle['p99']:.1f}"
        print(f"| {name} | {seen} | {cpu} |")


def _tell(watch: Watch, seen: dict[str, list[str]], ids: Counter[str], made: list[str]) -> int:
    told = [seen.get(call_id, []) for call_id in made]
    missing = sum(len(TOLD) - len(words) for words in told)
    wrong = sum(words != [word for word in TOLD if word in words] for words in told)
    print(
        f"\nthe feed: at most {max(watch.rates, default=0):,.0f} events/s, at most {max(watch.lags, default=0):.2f} s"
    )
    print(f"behind the ledger; {watch.look('toolyard_feed_nacked_total'):,.0f} events were refused by full queues")
    repeats = sum(ids.values()) - len(ids)
    print(f"read by followers: {len(ids):,} events, {missing} missing, {repeats} repeated, {wrong} out of order")
    return 1 if missing or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
