"""The http executor alone, without a broker: calls per second and CPU per call against an upstream that takes 50 ms.

Run it: python benchmarks/http_executor.py. The upstream is a process of its own on the same machine.
"""

import argparse
import asyncio
import resource
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from multiprocessing import Process, Queue
from typing import Any

import msgspec

from toolyard import ids
from toolyard.clock import SYSTEM
from toolyard.contracts.calls import Call
from toolyard.contracts.tools import HttpBinding, PinnedTool
from toolyard.security.egress import AllowList
from toolyard_executors.context import Attempt
from toolyard_executors.kinds.http import HttpExecutor

ANSWER = b'{"temperature":21.5,"unit":"C","station":"BER","notes":["clear","dry"]}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)


class Upstream(asyncio.Protocol):
    """Answers each request after a pause; requests of a connection come one after another."""

    pause = 0.05

    transport: Any
    rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.rest += data
        head, end, body = self.rest.partition(b"\r\n\r\n")
        if not end:
            return
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        if len(body) >= int(length or 0):
            self.rest = b""
            asyncio.get_running_loop().call_later(self.pause, self.transport.write, HEAD + ANSWER)


def serve(ports: "Queue[int]", pause: float) -> None:
    async def main() -> None:
        Upstream.pause = pause
        server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=1024)
        ports.put(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    runner(main)


def runner(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())


async def measure(port: int, in_flight: int, seconds: float) -> list[str]:
    executor = HttpExecutor(allow=AllowList.parse("127.0.0.1"))
    await executor.open()
    binding = HttpBinding(
        method="POST",
        url=f"http://127.0.0.1:{port}/v1/${{arguments.city}}",
        headers={"X-Tenant": "${context.tenant}"},
        body={"city": "${arguments.city}", "days": "${arguments.days}"},
    )
    tool = PinnedTool(binding=binding)
    plan = executor.prepare(tool)
    taken: list[float] = []

    async def one() -> None:
        now = SYSTEM.now()
        call = Call(
            call_id=ids.new_id(), org="default", tool="t", version=1, pool="http", gateway="g", principal="p",
            arguments={"city": "Bern", "days": 3}, body_hash="h", accepted_at=now, deadline=now + 60, timeout=30,
            context={"tenant": "acme"}, traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        )  # fmt: skip
        attempt = Attempt(
            call=call, tool=tool, plan=plan, number=1, ends_at=SYSTEM.monotonic() + 30, clock=SYSTEM,
            get_secret=lambda org, name: None,
        )  # fmt: skip
        begun = time.perf_counter()
        finished = await executor.run(attempt)
        taken.append(time.perf_counter() - begun)
        assert finished.result is not None, finished.error
        assert msgspec.json.decode(finished.result.text())["unit"] == "C"

    async def keep_calling(until: float) -> None:
        while time.perf_counter() < until:
            await one()

    async def phase(length: float) -> None:
        until = time.perf_counter() + length
        await asyncio.gather(*(keep_calling(until) for _ in range(in_flight)))

    await phase(min(1.0, seconds))
    taken.clear()
    cpu, begun = time.process_time(), time.perf_counter()
    await phase(seconds)
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    await executor.close()
    cuts = statistics.quantiles(taken, n=100)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        f"{in_flight}", f"{len(taken) / wall:,.0f}", f"{cpu / len(taken) * 1000:.3f}",
        f"{cuts[49] * 1000:.1f}", f"{cuts[98] * 1000:.1f}", f"{memory:.0f}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds that the upstream takes")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 64, 256])
    options = parser.parse_args()
    ports: Queue[int] = Queue()
    upstream = Process(target=serve, args=(ports, options.pause), daemon=True)
    upstream.start()
    port = ports.get(timeout=30)
    names = ["in flight", "calls/s", "CPU ms/call", "p50 ms", "p99 ms", "peak MB"]
    print("  ".join(f"{name:>11}" for name in names))
    for in_flight in options.in_flight:
        row: list[str] = []

        async def once(in_flight: int = in_flight, row: list[str] = row) -> None:
            row += await measure(port, in_flight, options.seconds)

        runner(once)
        print("  ".join(f"{cell:>11}" for cell in row))
        sys.stdout.flush()
    upstream.terminate()


if __name__ == "__main__":
    main()
