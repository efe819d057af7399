"""The lambda pool beside bare boto3 threads: calls per second and CPU per call, with 256 in flight in one process.

    python benchmarks/aws_lambda.py                 three rounds of everything, about two minutes
    python benchmarks/aws_lambda.py --ways boto3 executor --seconds 5

A server that speaks the Invoke API and answers after 200 ms is a process of its own on the same machine; it runs no
function. Ways to invoke, in interleaved rounds:

- ``boto3``: threads that call ``client.invoke`` and read the answer, and nothing else (the SDK's retries off, a
  connection for each thread);
- ``tuned``: the same with what the executor sets beside: fewer switches between threads, no checks of parameters;
- ``executor``: attempts of the executor on one event loop;
- ``worker``: `toolyard worker lambda` over a private RabbitMQ: each call is a signed message, verified and run, its
  outcome confirmed and the message acknowledged. The broker and the scheduler, which keeps the ledger meanwhile, are
  processes of their own on the same cores. Calls wait in the queue before it is measured, and its own count tells how
  many ended: nobody publishes or listens beside it;
- ``beside``: the same while a client publishes each call and waits for its end, on the same cores too.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import accounting

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from toolyard import ids  # noqa: E402
from toolyard.clock import SYSTEM  # noqa: E402
from toolyard.contracts.calls import VERSION, Call, CallMessage  # noqa: E402
from toolyard.contracts.codec import encode  # noqa: E402
from toolyard.contracts.events import Ended, Succeeded  # noqa: E402
from toolyard.contracts.tools import LambdaBinding, PinnedTool  # noqa: E402

REGION, FUNCTION = "eu-central-1", "price-list"
ARGUMENTS = {"city": "Bern", "days": 3}
ANSWER = b'{"temperature":21.5,"unit":"C","station":"BER","notes":["clear","dry"]}'
LOG = (
    b"START RequestId: 8f5b Version: $LATEST\nEND RequestId: 8f5b\nREPORT RequestId: 8f5b\tDuration: 199.51 ms\tBilled \
Duration: 200 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t\n"
)
SIGNING = "bench:" + "5a" * 32
#: Seconds that calls run before they are counted.
WARM_UP = 3.0
#: More calls in a second than any way works off, and how many are published side by side.
FASTEST, TOGETHER = 1_400, 200


def call(gateway: str = "g") -> Call:
    """Of a tool that may run twice, so that nobody is asked for leave."""
    now = SYSTEM.now()
    return Call(
        call_id=ids.new_id(), org="default", tool="price", version=1, pool="lambda", gateway=gateway, principal="p",
        arguments=ARGUMENTS, body_hash="h", accepted_at=now, deadline=now + 120, timeout=30, rerunnable=True,
        traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    )  # fmt: skip


TOOL = PinnedTool(binding=LambdaBinding(function_name=FUNCTION, aws_region=REGION))


# ---- the server ---------------------------------------------------------------------------------


class Server(asyncio.Protocol):
    """Answers each request after a pause; requests of a connection come one after another."""

    pause = 0.2
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nx-amzn-RequestId: "
        b"8f5b0b0e-0b0e-4b0e-8b0e-0b0e0b0e0b0e\r\nX-Amz-Executed-Version: $LATEST\r\nX-Amz-Log-Result: %s\r\n\r\n"
    ) % (len(ANSWER), base64.b64encode(LOG))
    transport: Any
    rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.rest += data
        head, end, body = self.rest.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        if end and len(body) >= int(length or 0):
            self.rest = b""
            asyncio.get_running_loop().call_later(self.pause, self.answer)

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.head + ANSWER)


async def serve(pause: float) -> None:
    Server.pause = pause
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


# ---- ways to invoke: each prints one JSON object ---------------------------------------------------


class Count:
    """Latencies of what ended after the warm-up, and what the process used meanwhile."""

    def __init__(self, seconds: float) -> None:
        self.begin = time.perf_counter() + WARM_UP
        self.end = self.begin + seconds
        self.latencies: list[float] = []
        self.cpu = 0.0

    def going(self) -> bool:
        return time.perf_counter() < self.end

    def ended(self, began: float) -> None:
        now = time.perf_counter()
        if self.begin <= now < self.end:
            self.latencies.append(now - began)

    def watch(self, used: Callable[[], float]) -> None:
        """In a thread: what was used between begin and end."""
        time.sleep(max(0.0, self.begin - time.perf_counter()))
        before = used()
        time.sleep(max(0.0, self.end - time.perf_counter()))
        self.cpu = used() - before

    def row(self) -> dict[str, float]:
        taken = sorted(self.latencies)
        calls = max(len(taken), 1)
        return {
            "calls/s": len(taken) / (self.end - self.begin),
            "cpu": self.cpu / calls * 1e3,
            "p50": taken[calls // 2] * 1e3 if taken else 0.0,
            "p99": taken[calls * 99 // 100] * 1e3 if taken else 0.0,
        }


def watched(count: Count, used: Callable[[], float]) -> threading.Thread:
    watching = threading.Thread(target=count.watch, args=(used,), daemon=True)
    watching.start()
    return watching


def bare(in_flight: int, seconds: float, *, tuned: bool) -> dict[str, float]:
    import boto3
    from botocore.config import Config

    lean: dict[str, Any] = {"parameter_validation": False, "user_agent": "bench"} if tuned else {}
    sys.setswitchinterval(0.02 if tuned else sys.getswitchinterval())
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=3,
        read_timeout=35,
        tcp_keepalive=True,
        max_pool_connections=in_flight,
        **lean,
    )
    client: Any = boto3.client("lambda", region_name=REGION, config=config)
    context = base64.b64encode(json.dumps({"custom": {"call_id": ids.new_id()}}).encode()).decode()
    payload = json.dumps(ARGUMENTS).encode()
    count = Count(seconds)

    def work() -> None:
        while count.going():
            began = time.perf_counter()
            answer = client.invoke(FunctionName=FUNCTION, Payload=payload, LogType="Tail", ClientContext=context)
            assert json.loads(answer["Payload"].read())["unit"] == "C"
            count.ended(began)

    watching = watched(count, time.process_time)
    threads = [threading.Thread(target=work, daemon=True) for _ in range(in_flight)]
    for thread in threads:
        thread.start()
    for thread in [*threads, watching]:
        thread.join()
    return count.row()


async def executor(in_flight: int, seconds: float) -> dict[str, float]:
    from toolyard_executors.context import Attempt
    from toolyard_executors.kinds.aws_lambda import LambdaExecutor

    runs = LambdaExecutor(concurrency=in_flight)
    await runs.open()
    plan, count = runs.prepare(TOOL), Count(seconds)

    async def one() -> None:
        attempt = Attempt(
            call=call(), tool=TOOL, plan=plan, number=1, ends_at=SYSTEM.monotonic() + 30, clock=SYSTEM,
            get_secret=lambda org, name: None,
        )  # fmt: skip
        began = time.perf_counter()
        finished = await runs.run(attempt)
        assert finished.result is not None, finished.error
        count.ended(began)

    async def keep_calling() -> None:
        while count.going():
            await one()

    watching = watched(count, time.process_time)
    await asyncio.gather(*(keep_calling() for _ in range(in_flight)))
    await asyncio.to_thread(watching.join)
    await runs.close()
    return count.row()


async def publish(in_flight: int, seconds: float, url: str, worker: int) -> dict[str, float]:
    """Calls to a worker, by a gateway of which only the queues are there."""
    import msgspec

    from toolyard.security.signing import Keyring
    from toolyard.transport import topology
    from toolyard.transport.base import Delivery
    from toolyard.transport.connect import connect
    from toolyard.transport.envelope import Envelope

    name, envelope = f"bench{ids.new_id()[-6:]}", Envelope(Keyring.parse(SIGNING))
    transport, tool = connect(url, name=name, declare=True), msgspec.Raw(encode(TOOL))
    waiting: dict[str, asyncio.Future[None]] = {}

    def heard(delivery: Delivery) -> None:
        if delivery.exchange == topology.EVENTS:
            for event in envelope.open_events(delivery):
                if isinstance(event, Ended) and (waiter := waiting.pop(event.call_id, None)) is not None:
                    assert isinstance(event, Succeeded), event
                    waiter.set_result(None)
        delivery.ack()

    await transport.open()
    queue = topology.reply_queue(name)
    await transport.own_queue(queue, topology.reply_bindings(name))
    await transport.consume(queue, heard, prefetch=1000)
    count = Count(seconds)

    async def keep_calling() -> None:
        while count.going():
            made, began = call(name), time.perf_counter()
            ended = waiting[made.call_id] = asyncio.get_running_loop().create_future()
            message = CallMessage(v=VERSION, call=made, tool=tool, budget=made.deadline - made.accepted_at)
            await transport.publish(envelope.call(message))
            await ended
            count.ended(began)

    watching = watched(count, lambda: accounting.cpu([worker]))
    await asyncio.gather(*(keep_calling() for _ in range(in_flight)))
    await asyncio.to_thread(watching.join)
    await transport.close()
    return count.row()


async def fill(url: str, metrics: str, seconds: float, worker: int) -> dict[str, float]:
    """Calls that wait in the queue before it is measured how fast they are worked off."""
    import msgspec

    from toolyard.security.signing import Keyring
    from toolyard.transport.connect import connect
    from toolyard.transport.envelope import Envelope

    name, envelope = f"bench{ids.new_id()[-6:]}", Envelope(Keyring.parse(SIGNING))
    transport, tool = connect(url, name=name, declare=True), msgspec.Raw(encode(TOOL))
    await transport.open()
    before, many = ended(metrics), int(FASTEST * (seconds + WARM_UP))
    for start in range(0, many, TOGETHER):
        made = [call(name) for _ in range(min(TOGETHER, many - start))]
        messages = [CallMessage(v=VERSION, call=each, tool=tool, budget=120.0) for each in made]
        await asyncio.gather(*(transport.publish(envelope.call(each)) for each in messages))
    await transport.close()
    began, first, used = time.perf_counter(), ended(metrics), accounting.cpu([worker])
    await asyncio.sleep(seconds)
    taken, done, spent = time.perf_counter() - began, ended(metrics) - first, accounting.cpu([worker]) - used
    left = ended(metrics) - before
    assert left < many, f"all {many} calls were worked off: more must wait"
    while ended(metrics) - before < many:  # the next way has the machine for itself
        time.sleep(0.2)  # noqa: ASYNC251 - nothing else runs in this process
    return {"calls/s": done / taken, "cpu": spent / done * 1e3, "p50": 0.0, "p99": 0.0}


def ended(metrics: str) -> int:
    """How many calls a worker has ended well, by its own count."""
    with urllib.request.urlopen(metrics) as answer:
        lines = answer.read().decode().splitlines()
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("tool_executions_total{")))


def looped(main: Coroutine[Any, Any, Any]) -> Any:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


# ---- the whole ----------------------------------------------------------------------------------


def environment(port: int) -> dict[str, str]:
    """Of a process whose AWS is the server."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TOOLYARD_"))}
    return {
        **own,
        "AWS_ENDPOINT_URL_LAMBDA": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "AKIABENCHBENCHBENCHX",
        "AWS_SECRET_ACCESS_KEY": "k" * 40,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextlib.contextmanager
def running(*arguments: str, env: dict[str, str] | None = None) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, str(HERE / "aws_lambda.py"), *arguments]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextlib.contextmanager
def system(folder: Path, env: dict[str, str], in_flight: int) -> Iterator[tuple[str, str, int]]:
    """A broker, a scheduler and a worker: the broker's address, and the worker's metrics and process."""
    from tests.support.rabbit import RabbitNode
    from tests.support.system import System

    aws = {name: value for name, value in env.items() if name.startswith("AWS_")}
    with RabbitNode(schedulers=os.cpu_count() or 1) as broker:
        url = broker.url()
        with System(folder, amqp=url, database=f"sqlite:///{folder / 'ledger.db'}", allow="") as started:
            started.env["TOOLYARD_SIGNING_KEYS"] = SIGNING
            started.start("scheduler", "scheduler")
            started.ready("scheduler")
            concurrency = {"TOOLYARD_CONCURRENCY": str(in_flight)}
            worker = started.start("worker", "worker", "lambda", env=aws | concurrency)
            started.ready("worker")
            yield url, f"{started.url('worker')}/metrics", worker.pid


def measured(way: str, options: argparse.Namespace, env: dict[str, str], *more: str) -> dict[str, float]:
    arguments = ["--in-flight", str(options.in_flight), "--seconds", str(options.seconds), "--role", way, *more]
    with running(*arguments, env=env) as process:
        out, _ = process.communicate()
    found: dict[str, float] = json.loads(out)
    return found


def play(options: argparse.Namespace) -> None:
    if options.role == "server":
        looped(serve(options.pause))
        return
    if options.role in {"boto3", "tuned"}:
        row = bare(options.in_flight, options.seconds, tuned=options.role == "tuned")
    elif options.role == "executor":
        row = looped(executor(options.in_flight, options.seconds))
    elif options.role == "worker":
        row = looped(fill(options.url, options.metrics, options.seconds, options.pid))
    else:
        row = looped(publish(options.in_flight, options.seconds, options.url, options.pid))
    print(json.dumps(row))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds that the server takes")
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=["boto3", "tuned", "executor", "worker", "beside"])
    parser.add_argument("--role", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--metrics", help=argparse.SUPPRESS)
    parser.add_argument("--pid", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        play(options)
        return
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running("--role", "server", "--pause", str(options.pause)))
        assert server.stdout is not None
        env = environment(int(server.stdout.readline()))
        more: dict[str, list[str]] = {}
        if {"worker", "beside"} & {*options.ways}:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url, metrics, pid = stack.enter_context(system(folder, env, options.in_flight))
            more["worker"] = more["beside"] = ["--url", url, "--metrics", metrics, "--pid", str(pid)]
            measured("beside", options, env, *more["beside"])  # what came within its first seconds it has claimed
        rows: dict[str, list[dict[str, float]]] = {way: [] for way in options.ways}
        for _ in range(options.rounds):
            for way in options.ways:
                rows[way].append(measured(way, options, env, *more.get(way, [])))
    table(rows, options)


def table(rows: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> None:
    print(f"{options.in_flight} in flight, {options.pause * 1000:.0f} ms, medians of {options.rounds} rounds")
    print("  ".join(f"{name:>11}" for name in ("", "calls/s", "of boto3", "CPU ms/call", "p50 ms", "p99 ms")))
    medians = {
        way: {name: statistics.median(row[name] for row in found) for name in found[0]} for way, found in rows.items()
    }
    base = medians.get("boto3", {}).get("calls/s", 0.0)
    for way, row in medians.items():
        ratio = f"{row['calls/s'] / base:.0%}" if base else ""
        times = [f"{row[name]:.0f}" if row[name] else "" for name in ("p50", "p99")]
        cells = [way, f"{row['calls/s']:,.0f}", ratio, f"{row['cpu']:.3f}", *times]
        print("  ".join(f"{cell:>11}" for cell in cells))


if __name__ == "__main__":
    main()
