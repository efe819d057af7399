"""Followers and what they cost: calls at a fixed rate without and with 700 followers, 20 of which read nothing.

    python benchmarks/live.py                          about a minute and a half
    python benchmarks/live.py --rate 500 --rounds 5

Each follower that reads follows a conversation of its own; those that read nothing ask for all of the org. In further
rounds half of them lose their connection at the same moment, and go on behind their last cursor. The table has the
latency of ``POST /v1/calls`` and the CPU of the system a call; below it stands what the followers saw, in all rounds.
"""

import argparse
import asyncio
import contextlib
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
HERE = pathlib.Path(__file__).resolve().parent

import accounting  # noqa: E402
import aiohttp  # noqa: E402
import uvloop  # noqa: E402
from websockets.asyncio.client import ClientConnection, connect  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402

from tests.support.postgres import PostgresNode  # noqa: E402
from tests.support.processes import free_port  # noqa: E402
from tests.support.rabbit import RabbitNode  # noqa: E402
from tests.support.system import KEY, System, http_tool  # noqa: E402

AUTHORIZATION: Final = {"Authorization": f"Bearer {KEY}"}
#: What a short call tells.
TOLD: Final = ("accepted", "started", "succeeded")
#: Seconds until the last event must have come.
PATIENCE: Final = 30.0


# ---- the followers: a process of their own ---------------------------------------------------------


class Reader:
    """One follower of one conversation: what it saw, and where it stands."""

    #: Set when any of them was told something.
    news = asyncio.Event()

    def __init__(self, url: str, conversation: str) -> None:
        self.url = url
        self.conversation = conversation
        self.cursor = ""
        self.seen: dict[str, list[str]] = defaultdict(list)
        self.delays: list[float] = []
        self.cuts = 0
        self.follows = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def take(self, document: dict[str, Any]) -> None:
        """An event has come."""
        self.news.set()
        event = document["type"].split(".")[3]
        self.seen[document["subject"]].append(event)
        if event == "succeeded":
            self.delays.append(time.time() - _seconds(document["data"]["finished_at"]))

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            with contextlib.suppress(OSError, EOFError, ConnectionClosed):
                await self.once()
            self.cuts += 1

    async def once(self) -> None:
        """Follow until the connection is lost."""
        raise NotImplementedError

    async def cut(self) -> None:
        """Lose the connection, and go on."""
        self.follows.clear()
        self.stop()
        self.cuts += 1
        self.start()
        await self.follows.wait()

    def start(self) -> None:
        """Begin, in the background."""
        self.task = asyncio.create_task(self.run())

    def stop(self) -> None:
        """End."""
        if self.task is not None:
            self.task.cancel()


class SseReader(Reader):
    """By ``GET /v1/events``."""

    async def once(self) -> None:
        """See `Reader`."""
        asked = {"conversation": self.conversation, **({"since": self.cursor} if self.cursor else {})}
        async with _sse(self.url, asked) as (reader, _):
            async for line in reader:
                if line.startswith(b": following"):
                    self.follows.set()
                elif line.startswith(b"id: "):
                    self.cursor = line[4:].strip().decode()
                elif line.startswith(b"data: "):
                    self.take(json.loads(line[6:]))


class WebSocketReader(Reader):
    """By ``WS /v1/ws``."""

    async def once(self) -> None:
        """See `Reader`."""
        async with _websocket(self.url) as connection:
            since = {"since": self.cursor} if self.cursor else {}
            await connection.send(_subscribe(conversation=self.conversation, **since))
            async for text in connection:
                message = json.loads(text)
                self.cursor = message.get("cursor", self.cursor)
                if message["type"] == "subscribed":
                    self.follows.set()
                elif message["type"] == "event":
                    self.take(message["event"])
                elif message["type"] != "ready":
                    raise AssertionError(message)


@contextlib.asynccontextmanager
async def _sse(url: str, asked: dict[str, str]) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(_request(asked))
        yield reader, writer
    finally:
        writer.close()


def _request(asked: dict[str, str]) -> bytes:
    lines = (f"GET /v1/events?{urlencode(asked)} HTTP/1.1", "Host: bench", f"Authorization: Bearer {KEY}", "", "")
    return "\r\n".join(lines).encode()


def _websocket(url: str, **options: Any) -> connect:
    address = f"ws{url.removeprefix('http')}/v1/ws"
    return connect(address, additional_headers=AUTHORIZATION, compression=None, proxy=None, **options)


def _subscribe(**interest: str) -> str:
    return json.dumps({"type": "subscribe", "id": "s", **interest})


async def _silent_sse(url: str) -> socket.socket:
    """Ask for everything, and read nothing."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    address = urlsplit(url)
    made.connect((address.hostname, address.port))
    made.sendall(_request({}))
    return made


async def _silent_websocket(url: str) -> ClientConnection:
    connection = await _websocket(url, max_queue=1)
    await connection.send(_subscribe())
    return connection


async def follow(url: str, sse: int, ws: int, silent: int) -> None:
    """Follow; lines on standard input say what to do: ``cut``, or ``report {conversation: calls}``."""
    kinds: list[type[Reader]] = [SseReader] * (sse - silent // 2) + [WebSocketReader] * (ws - silent // 2)
    readers = [kind(url, f"c{number}") for number, kind in enumerate(kinds)]
    for reader in readers:
        reader.start()
    await asyncio.gather(*(reader.follows.wait() for reader in readers))
    kept = [await _silent_sse(url) for _ in range(silent // 2)]
    more = [await _silent_websocket(url) for _ in range(silent // 2)]
    print(len(readers), flush=True)
    lines = await _lines()
    async for line in lines:
        word, _, rest = line.decode().strip().partition(" ")
        if word == "cut":
            await asyncio.gather(*(reader.cut() for reader in readers[::2]))
            print("cut", flush=True)
        else:
            print(json.dumps(await _report(readers, json.loads(rest))), flush=True)
    for reader in readers:
        reader.stop()
    del kept, more


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _report(readers: list[Reader], made: dict[str, list[str]]) -> dict[str, Any]:
    """What was seen of these calls, once all has come or patience is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while any(_missing(reader, made) for reader in readers):
                Reader.news.clear()
                await Reader.news.wait()
    counts = Counter[str]()
    delays: list[float] = []
    for reader in readers:
        counts["missing"] += _missing(reader, made)
        for events in reader.seen.values():
            counts["events"] += len(events)
            counts["repeated"] += len(events) - len(set(events))
            counts["out of order"] += tuple(dict.fromkeys(events)) != TOLD[: len(set(events))]
        counts["foreign"] += len(set(reader.seen) - set(made.get(reader.conversation, ())))
        counts["reconnects"] += reader.cuts
        delays += reader.delays
    delays.sort()
    return {**counts, "p50": _at(delays, 50) * 1e3, "p99": _at(delays, 99) * 1e3}


def _missing(reader: Reader, made: dict[str, list[str]]) -> int:
    return sum(len(TOLD) - len(set(reader.seen[call_id])) for call_id in made.get(reader.conversation, ()))


# ---- the load: a process of its own ----------------------------------------------------------------


async def load(url: str, rate: float, seconds: float, conversations: int) -> None:
    """Make so many calls a second, whatever becomes of them, and print how long each took."""
    made: dict[str, list[str]] = defaultdict(list)
    took: list[float] = []

    async def call(session: aiohttp.ClientSession, number: int) -> None:
        conversation = f"c{number % conversations}"
        began = time.perf_counter()
        body = {"tool": "wait", "arguments": {"n": number}, "conversation": conversation}
        async with session.post(f"{url}/v1/calls", json=body) as answer:
            document = await answer.json()
        took.append(time.perf_counter() - began)
        if document.get("state") != "succeeded":
            raise AssertionError(document)
        made[conversation].append(document["call_id"])

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=AUTHORIZATION, connector=connector) as session:
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(begun + number / rate - time.perf_counter(), 0.0))
                group.create_task(call(session, number))
        wall = time.perf_counter() - begun
    took.sort()
    print(json.dumps({"made": made, "wall": wall, "p50": _at(took, 50) * 1e3, "p99": _at(took, 99) * 1e3}))


# ---- the run -----------------------------------------------------------------------------------------


def main() -> int:
    """Measure and print; 1 where a follower missed something or was told it twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=300.0, help="calls a second")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sse", type=int, default=500)
    parser.add_argument("--ws", type=int, default=200)
    parser.add_argument("--silent", type=int, default=20, help="of them, that read nothing")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="toolyard-live-")))
        broker = stack.enter_context(RabbitNode())
        postgres = stack.enter_context(PostgresNode())
        upstream = stack.enter_context(_upstream())
        system = System(folder, amqp=broker.url(), database=postgres.url(), allow="127.0.0.1")
        stack.enter_context(system).start_all()
        pids = [process.pid for process in system.processes.values()]
        with system.client() as client:
            client.post("/v1/tools", json=http_tool("wait", "GET", upstream)).raise_for_status()
        _load(system, options.rate, 2.0, 10)
        without = [_round(system, pids, options) for _ in range(options.rounds)]
        with _followers(system, options) as followers:
            made: dict[str, list[str]] = defaultdict(list)
            followed = [_round(system, pids, options, made) for _ in range(options.rounds)]
            came_back = [_round(system, pids, options, made, followers) for _ in range(options.rounds)]
            seen = followers.ask(f"report {json.dumps(made)}")
            cut_off = _cut_off(system)
    _print(options, without, followed, came_back)
    _tell(seen, cut_off)
    return 1 if any(seen.get(word) for word in ("missing", "repeated", "out of order", "foreign")) else 0


class Followers:
    """The process of the followers."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.number = int(self._line())

    def ask(self, line: str) -> Any:
        """Say this, and read the answer."""
        self.begin(line)
        answer = self._line()
        return json.loads(answer) if answer.startswith("{") else answer

    def begin(self, line: str) -> None:
        """Say this."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError("the followers have ended; their standard error tells why")
        return line


@contextlib.contextmanager
def _followers(system: System, options: argparse.Namespace) -> Iterator[Followers]:
    counts = [str(number) for number in (options.sse, options.ws, options.silent)]
    process = subprocess.Popen(
        [sys.executable, str(HERE / "live.py"), "follow", system.url(), *counts],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Followers(process)
    finally:
        process.kill()
        process.wait()


def _round(
    system: System,
    pids: list[int],
    options: argparse.Namespace,
    made: dict[str, list[str]] | None = None,
    cut: Followers | None = None,
) -> dict[str, float]:
    """One round: latency and CPU a call; half of these followers lose their connection in it."""
    before = accounting.cpu(pids)
    conversations = options.sse + options.ws - options.silent
    running = _begin_load(system, options.rate, options.seconds, conversations)
    if cut is not None:
        time.sleep(options.seconds / 2)  # the middle of the round
        cut.ask("cut")
    seen = _finish_load(running)
    if made is not None:
        for conversation, calls in seen["made"].items():
            made[conversation] += calls
    calls = sum(map(len, seen["made"].values()))
    return {"calls": calls / seen["wall"], "p50": seen["p50"], "p99": seen["p99"]} | {
        "cpu": (accounting.cpu(pids) - before) / calls * 1e3,
        "rss": accounting.rss_mb([system.processes["gateway1"].pid]),
    }


def _load(system: System, rate: float, seconds: float, conversations: int) -> dict[str, Any]:
    return _finish_load(_begin_load(system, rate, seconds, conversations))


def _begin_load(system: System, rate: float, seconds: float, conversations: int) -> "subprocess.Popen[str]":
    numbers = [str(number) for number in (rate, seconds, conversations)]
    command = [sys.executable, str(HERE / "live.py"), "load", system.url(), *numbers]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _finish_load(process: "subprocess.Popen[str]") -> dict[str, Any]:
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError("the load failed; its standard error tells why")
    seen: dict[str, Any] = json.loads(output)
    return seen


@contextlib.contextmanager
def _upstream() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, str(HERE / "upstream.py"), str(port)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield f"http://127.0.0.1:{port}/tool"
    finally:
        process.kill()
        process.wait()


def _cut_off(system: System) -> float:
    with system.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if "cut_off" in line and not line.startswith("#"))


def _print(options: argparse.Namespace, *rounds: list[dict[str, float]]) -> None:
    print(f"{options.rate:g} calls/s to a 50 ms upstream, medians of {options.rounds} rounds of {options.seconds:g} s")
    print(f"{'followers':<36}{'calls/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms a call':>15}{'gateway MiB':>13}")
    many = f"{options.sse} SSE, {options.ws} WebSocket ({options.silent} silent)"
    for name, rows in zip(("none", many, "the same, half of them come back"), rounds, strict=True):
        calls, p50, p99, cpu, rss = (
            statistics.median(row[word] for row in rows) for word in ("calls", "p50", "p99", "cpu", "rss")
        )
        print(f"{name:<36}{calls:>9.0f}{p50:>9.1f}{p99:>9.1f}{cpu:>15.2f}{rss:>13.0f}")


def _tell(seen: dict[str, Any], cut_off: float) -> None:
    words = ("events", "missing", "repeated", "out of order", "foreign", "reconnects")
    print(", ".join(f"{word}: {seen.get(word, 0):,}" for word in words))
    print(f"ms from the end of a call to its follower: p50 {seen['p50']:.0f}, p99 {seen['p99']:.0f}")
    print(f"followers that were cut off because they read nothing: {cut_off:g}")


def _at(values: list[float], percent: int) -> float:
    return values[min(len(values) * percent // 100, len(values) - 1)] if values else 0.0


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


if __name__ == "__main__":
    if sys.argv[1:2] == ["follow"]:
        uvloop.run(follow(sys.argv[2], *map(int, sys.argv[3:6])))
    elif sys.argv[1:2] == ["load"]:
        uvloop.run(load(sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])))
    else:
        sys.exit(main())
