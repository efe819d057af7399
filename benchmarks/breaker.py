"""A provider that fails for a while, and another one beside it: what callers of both see, with the breaker or without.

    python benchmarks/breaker.py                       about a minute and a half: it fails for 30 s
    python benchmarks/breaker.py --how hangs           it does not answer at all; its tool has a timeout of 2 s
    python benchmarks/breaker.py --breaker off         the same, asked again and again

Both providers answer after 5 ms, on the loopback. Calls to either come at a fixed rate, whatever became of those
before. The table has the latency of ``POST /v1/calls`` for the provider that is well; below it stands how the calls to
the other one ended, and what its breakers did.
"""

import argparse
import asyncio
import collections
import contextlib
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, cast

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

import aiohttp
import uvloop

from tests.support.postgres import PostgresNode
from tests.support.processes import free_port
from tests.support.rabbit import RabbitNode
from tests.support.system import KEY, System, http_tool

#: Seconds that a provider takes to answer.
THINK: Final = 0.005
#: Seconds before the other one fails, and after it is well again, during which calls to both go on.
AROUND: Final = 10.0
#: Seconds at first that are not shown: connections, caches, and claims for what was accepted before a worker knew all.
WARM_UP: Final = 8.0
#: Seconds that a call to it has.
DEADLINE: Final = 120.0
RESPONSES: Final = {
    status: b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}" % status
    for status in (200, 503)
}


# ---- the provider: a process of its own ----------------------------------------------------------------


class Provider(asyncio.Protocol):
    """Answers GET after `THINK`, as it stands: ``well``, ``errors`` or ``hangs``."""

    stands = "well"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            if Provider.stands != "hangs":
                asyncio.get_running_loop().call_later(THINK, self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(RESPONSES[503 if Provider.stands == "errors" else 200])


async def provide(port: int, how: str) -> None:
    """SIGUSR1 makes it ill, SIGUSR2 well."""
    loop = asyncio.get_running_loop()
    for number, stands in ((signal.SIGUSR1, how), (signal.SIGUSR2, "well")):
        loop.add_signal_handler(number, setattr, Provider, "stands", stands)
    server = await loop.create_server(Provider, "127.0.0.1", port, backlog=2048)
    print("READY", flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def provider(how: str) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    port = free_port()
    process = subprocess.Popen([sys.executable, __file__, "provide", str(port), how], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process, f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()


# ---- the load ------------------------------------------------------------------------------------------


class Load:
    """Calls to both tools at a fixed rate.

    Attributes:
        took: phase -> seconds that calls to the other provider took, and how they ended.
        asked: ids of the calls to the one that fails, and when they were made.
    """

    def __init__(self, session: aiohttp.ClientSession, rate: float) -> None:
        self._session = session
        self._rate = rate
        self.phase = "before"
        self.took: dict[str, list[float]] = collections.defaultdict(list)
        self.states: collections.Counter[str] = collections.Counter()
        self.asked: dict[str, str] = {}

    async def run(self, seconds: float) -> None:
        """Make them for so long, and wait for those of the provider that is well."""
        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(self._rate * seconds)):
                await asyncio.sleep(max(begun + number / self._rate - time.perf_counter(), 0.0))
                group.create_task(self._well())
                group.create_task(self._failing())

    async def _well(self) -> None:
        phase, begun = self.phase, time.perf_counter()
        view = await self.post("well", wait=60)
        self.took[phase].append(time.perf_counter() - begun)
        self.states[view["state"]] += 1

    async def _failing(self) -> None:
        phase = self.phase
        self.asked[(await self.post("failing", wait=0))["call_id"]] = phase

    async def post(self, tool: str, *, wait: int) -> dict[str, Any]:
        body = {"tool": tool, "arguments": {}, "deadline": DEADLINE}
        async with self._session.post("/v1/calls", json=body, headers={"Prefer": f"wait={wait}"}) as response:
            response.raise_for_status()
            view: dict[str, Any] = await response.json()
            return view

    async def end_of(self, call_id: str) -> dict[str, Any]:
        while True:
            async with self._session.get(f"/v1/calls/{call_id}", params={"wait": 30}) as response:
                response.raise_for_status()
                view: dict[str, Any] = await response.json()
            if "finished_at" in view:
                return view


async def load(system: System, ill: "subprocess.Popen[bytes]", options: argparse.Namespace) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(system.url(), headers=headers, connector=connector) as session:
        calls = Load(session, options.rate)
        await calls.run(WARM_UP)
        calls.took.clear()
        calls.asked.clear()
        await calls.run(AROUND)
        calls.phase = "while it fails"
        ill.send_signal(signal.SIGUSR1)
        await calls.run(options.seconds)
        calls.phase = "after"
        ill.send_signal(signal.SIGUSR2)
        well_again = time.time()
        await calls.run(AROUND)
        views = dict(zip(calls.asked, await asyncio.gather(*map(calls.end_of, calls.asked)), strict=True))
    _print(options, calls, views, well_again)


def _print(options: argparse.Namespace, calls: Load, views: dict[str, dict[str, Any]], well_again: float) -> None:
    print(f"{options.rate:g} calls/s to each of two providers, {options.workers} workers, breaker {options.breaker}")
    print(f"\n{'the provider that is well':<28}{'calls':>8}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for phase, took in calls.took.items():
        took.sort()
        p50, p99, most = (1e3 * took[at] for at in (len(took) // 2, len(took) * 99 // 100, -1))
        print(f"{phase:<28}{len(took):>8}{p50:>9.1f}{p99:>9.1f}{most:>9.1f}")
    print(f"{'':<28}{', '.join(f'{count} {state}' for state, count in calls.states.items())} (warm-up included)")
    print(f"\n{'the provider that fails':<28}{'calls':>8}{'succeeded':>11}{'failed':>9}   how those failed")
    for phase in ("before", "while it fails", "after"):
        those = [view for call_id, view in views.items() if calls.asked[call_id] == phase]
        failed = collections.Counter(view["error"]["code"] for view in those if view["state"] != "succeeded")
        told = ", ".join(f"{count} {code}" for code, count in failed.items())
        bad = sum(failed.values())
        print(f"{phase:<28}{len(those):>8}{len(those) - bad:>11}{bad:>9}   {told}")
    ends = sorted(_seconds(view["finished_at"]) for view in views.values() if view["state"] == "succeeded")
    later = [end - well_again for end in ends if end > well_again]
    if later:
        print(f"first and last success after it was well again: {later[0]:.1f} s, {later[-1]:.1f} s")


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# ---- the run -------------------------------------------------------------------------------------------


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="that the provider fails")
    parser.add_argument("--how", choices=("errors", "hangs"), default="errors")
    parser.add_argument("--rate", type=float, default=40.0, help="calls a second to each provider")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--breaker", choices=("on", "off"), default="on")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="toolyard-breaker-")))
        broker = stack.enter_context(RabbitNode())
        postgres = stack.enter_context(PostgresNode())
        _, well = stack.enter_context(provider(options.how))
        ill, failing = stack.enter_context(provider(options.how))
        system = System(folder, amqp=broker.url(), database=postgres.url(), allow="127.0.0.1")
        system.env["TOOLYARD_BREAKER"] = options.breaker
        stack.enter_context(system).start_all()
        names = [f"worker{number}" for number in range(2, options.workers + 1)]
        for name in names:
            system.start(name, "worker", "http")
        system.ready(*names)
        with system.client() as client:
            for tool, url in (("well", well), ("failing", failing)):
                definition = http_tool(tool, "GET", url, timeout=2, deadline=DEADLINE)
                client.post("/v1/tools", json=definition).raise_for_status()
        uvloop.run(load(system, ill, options))
        for name in ("worker", *names):
            _breakers(system, name)


def _breakers(system: System, name: str) -> None:
    with system.client(name) as client:
        lines = client.get("/metrics").text.splitlines()
    words = ("toolyard_breaker_transitions_total{", "toolyard_circuit_open_total{", "toolyard_breaker_untold_total{")
    print(f"{name}: {'; '.join(line for line in lines if line.startswith(words)) or 'no breaker moved'}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["provide"]:
        uvloop.run(provide(int(sys.argv[2]), sys.argv[3]))
    else:
        main()
