"""What one call costs the transport over RabbitMQ: publish, confirm, deliver, answer, confirm, deliver, ack.

    python benchmarks/transport.py amqp://guest:guest@127.0.0.1:5672/bench [--calls 20000] [--flight 1 64 256]

This process is the gateway, a second one the worker; messages are signed and verified, with 8 CloudEvents headers, on
the real topology (quorum queue, log stream, reply queue). The vhost must exist; its queues are declared.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time

import uvloop

from toolyard import ids
from toolyard.clock import rfc3339
from toolyard.security.signing import HEADER, Keyring
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Header, Message
from toolyard.transport.rabbitmq import RabbitTransport

KEYS = Keyring({"bench": bytes(32)})
ARGUMENTS = b'{"city": "' + b"x" * 700 + b'"}'
RESULT = b'{"sunny": "' + b"y" * 300 + b'"}'
CALL_KEY = topology.call_key("accepted", "http", "default", "bench", "weather")
EVENT_KEY = topology.call_key("succeeded", "http", "default", "bench", "weather")


def sealed(exchange: str, key: str, call_id: str, body: bytes, event: str) -> Message:
    message_id = ids.new_id()
    headers: dict[str, Header] = {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": f"{call_id}/1/{event}",
        "cloudEvents_source": "/toolyard/http",
        "cloudEvents_type": f"io.toolyard.call.{event}.v1",
        "cloudEvents_subject": call_id,
        "cloudEvents_time": rfc3339(time.time()),
        "cloudEvents_sequence": 1_000_000,
        "cloudEvents_datacontenttype": "application/json",
        HEADER: KEYS.sign(exchange, key, message_id, "", body),
    }
    return Message(exchange, key, body, message_id, headers, kind="call", correlation_id=call_id)


def verify(delivery: Delivery) -> None:
    signature = delivery.headers.get(HEADER)
    KEYS.verify(signature, delivery.exchange, delivery.key, delivery.message_id, "", delivery.body)


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def open_transport(url: str, name: str, *, fast: bool, declare: bool) -> RabbitTransport:
    transport = RabbitTransport(url, name=name, declare=declare, watch=("http",), fast=fast)
    await transport.open()
    if not transport.health.ok:
        raise SystemExit(f"the broker does not serve: {transport.health}")
    return transport


# ---- the worker ---------------------------------------------------------------------------------
async def worker(url: str, *, fast: bool) -> None:
    """Answers calls; prints the CPU it has used whenever a line comes in, and ends with its input."""
    transport = await open_transport(url, "bench worker", fast=fast, declare=False)

    async def run(delivery: Delivery) -> None:
        verify(delivery)
        await transport.publish(sealed(topology.EVENTS, EVENT_KEY, delivery.correlation_id, RESULT, "succeeded"))
        delivery.ack()

    await transport.work("http", run, slots=512)
    while await asyncio.to_thread(sys.stdin.readline):
        print(cpu(), flush=True)
    await transport.close()


class WorkerProcess:
    def __init__(self, url: str, *, fast: bool) -> None:
        args = [sys.executable, __file__, url, "--worker", "fast" if fast else "plain"]
        self._process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def cpu(self) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def end(self) -> None:
        self._process.communicate(timeout=20)


# ---- the gateway --------------------------------------------------------------------------------
class Gateway:
    def __init__(self, transport: RabbitTransport) -> None:
        self._transport = transport
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self.latencies: list[float] = []

    async def listen(self) -> None:
        queue = topology.reply_queue("bench")
        await self._transport.own_queue(queue, topology.reply_bindings("bench"))
        await self._transport.consume(queue, self._answer, prefetch=2000)

    def _answer(self, delivery: Delivery) -> None:
        verify(delivery)
        waiting = self._waiting.pop(delivery.correlation_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        delivery.ack()

    async def call(self) -> None:
        call_id = ids.new_id()
        answer = self._waiting[call_id] = asyncio.get_running_loop().create_future()
        begun = time.perf_counter()
        await self._transport.publish(sealed(topology.CALLS, CALL_KEY, call_id, ARGUMENTS, "accepted"))
        await answer
        self.latencies.append(time.perf_counter() - begun)

    async def calls(self, count: int, flight: int) -> float:
        left = iter(range(count))

        async def client() -> None:
            for _ in left:
                await self.call()

        begun = time.perf_counter()
        await asyncio.gather(*[client() for _ in range(flight)])
        return time.perf_counter() - begun


async def measure(url: str, calls: int, flights: list[int], *, fast: bool) -> list[dict[str, object]]:
    transport = await open_transport(url, "bench gateway", fast=fast, declare=True)
    process = WorkerProcess(url, fast=fast)
    gateway = Gateway(transport)
    await gateway.listen()
    await gateway.calls(500, 10)
    rows: list[dict[str, object]] = []
    for flight in flights:
        count = calls if flight > 1 else max(calls // 10, 100)
        gateway.latencies.clear()
        mine, theirs = cpu(), process.cpu()
        took = await gateway.calls(count, flight)
        mine, theirs = cpu() - mine, process.cpu() - theirs
        order = sorted(gateway.latencies)
        rows.append(
            {
                "lane": "fast" if fast else "plain",
                "in flight": flight,
                "calls/s": round(count / took),
                "p50 ms": round(order[len(order) // 2] * 1000, 2),
                "p99 ms": round(order[len(order) * 99 // 100] * 1000, 2),
                "gateway CPU ms": round(mine / count * 1000, 4),
                "worker CPU ms": round(theirs / count * 1000, 4),
            }
        )
    process.end()
    await transport.close()
    return rows


def show(rows: list[dict[str, object]]) -> None:
    names = list(rows[0])
    widths = [max(len(name), *(len(str(row[name])) for row in rows)) for name in names]
    for line in [names, *([str(row[name]) for name in names] for row in rows)]:
        print("  ".join(str(cell).rjust(width) for cell, width in zip(line, widths, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--flight", type=int, nargs="+", default=[1, 64, 256])
    parser.add_argument("--lanes", nargs="+", choices=["plain", "fast"], default=["plain", "fast"])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", choices=["plain", "fast"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        uvloop.run(worker(args.url, fast=args.worker == "fast"))
        return
    rows: list[dict[str, object]] = []
    for lane in args.lanes:
        rows += uvloop.run(measure(args.url, args.calls, args.flight, fast=lane == "fast"))
    if args.json:
        print(json.dumps(rows))
    else:
        show(rows)


if __name__ == "__main__":
    main()
