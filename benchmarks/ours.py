"""Toolyard's side of the benchmark: scheduler, worker and gateway as they ship, and the two clients that load them.

    python benchmarks/ours.py scheduler | worker | gateway | client | http-client

``client`` is a gateway without its HTTP front: calls enter by the same door and are answered by the same correlator.
``http-client`` posts to a gateway process. The worker is the shipped one with a no-op tool beside the http tool.
"""

import asyncio
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Any

import aiohttp
import httpx
import load
import uvloop

from toolyard import ids
from toolyard.contracts.calls import Result
from toolyard.contracts.tools import PinnedTool
from toolyard.process import settle
from toolyard.security.egress import AllowList
from toolyard.security.secrets import Secrets
from toolyard.security.signing import Keyring
from toolyard.store.connect import open_store
from toolyard.store.crossing import Crossing
from toolyard.telemetry.logs import configure
from toolyard.transport.connect import connect
from toolyard.transport.envelope import Envelope
from toolyard_executors.context import Attempt
from toolyard_executors.judgement import MARGIN
from toolyard_executors.executor import Executor, Finished, Standing
from toolyard_executors.kinds.http import HttpExecutor
from toolyard_executors.worker import Worker
from toolyard_gateway.admission import Asked
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.app import build
from toolyard_gateway.assembly import Given

KEY = "ty_bench_" + "k" * 32
AUTHORIZATION = {"Authorization": f"Bearer {KEY}"}
SIGNING = "bench:" + "5a" * 32
ALLOW = "127.0.0.1"
NOOP = "http://127.0.0.1:8099/noop"


def envelope() -> Envelope:
    return Envelope(Keyring.parse(SIGNING))


def tools() -> list[dict[str, Any]]:
    schema = {
        "type": "object",
        "properties": {
            "query": {"type": "string", "maxLength": 2000},
            "limit": {"type": "integer", "minimum": 1},
            "options": {"type": "object"},
            "session": {"type": "string"},
        },
        "required": ["query"],
    }
    return [
        {
            "name": name,
            "description": name,
            "parameters": schema,
            "binding": {"type": "http", "method": method, "url": url},
        }
        for name, method, url in (("noop", "GET", NOOP), ("claimed", "POST", NOOP), ("http", "GET", load.UPSTREAM))
    ]


class WithNoop:
    """The http executor, and beside it a tool that does nothing."""

    def __init__(self, http: Executor) -> None:
        self._http = http
        self.pool = http.pool
        self._done = Finished("done", Result(content='{"echo":10}'))

    async def open(self) -> None:
        await self._http.open()

    async def close(self) -> None:
        await self._http.close()

    def standing(self) -> Standing:
        return self._http.standing()

    def prepare(self, tool: PinnedTool) -> Any:
        noop = getattr(tool.binding, "url", "") == NOOP
        return None if noop else self._http.prepare(tool)

    def circuit(self, attempt: Attempt) -> str | None:
        return "noop:80" if attempt.plan is None else self._http.circuit(attempt)

    async def run(self, attempt: Attempt) -> Finished:
        if attempt.plan is None:
            return self._done
        return await self._http.run(attempt)


async def worker() -> None:
    transport = connect(load.AMQP_URL, name="bench worker", declare=True)
    await transport.open()
    runner = Worker(
        transport=transport,
        envelope=envelope(),
        executors=[WithNoop(HttpExecutor(allow=AllowList.parse(ALLOW)))],
        secrets=Secrets([]),
        worker_id=ids.new_id()[-12:],
        concurrency=512,
    )
    await runner.start()
    settle()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.stop(1)
    await transport.close()


async def client() -> None:
    store = open_store(os.environ["BENCH_DATABASE_URL"], connections=4)
    app = build(
        Given(
            transport=connect(load.AMQP_URL, name="bench gateway", declare=True, watch=("http",)),
            envelope=envelope(),
            store=store,
            crossing=Crossing(4),
            gateway_id="bench",
            egress_allow=AllowList.parse(ALLOW),
            first_key=KEY,
        )
    )
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://bench", headers=AUTHORIZATION) as http:
            for tool in tools():
                (await http.post("/v1/tools", json=tool)).raise_for_status()
        settle()
        await _until_ordinary()
        await load.asynchronous(await _through_the_door(app.state.parts))


async def _through_the_door(parts: Parts) -> Any:
    principal = await parts.authenticator.authenticate(KEY)
    arguments = load.arguments()

    async def ask(tool: str) -> bool:
        asked = Asked(principal=principal, tool=tool, arguments=arguments, size=1000)
        admission = await parts.door.admit(asked)
        answer = await parts.calls.outcome(admission, 30.0)
        return b'"state":"succeeded"' in answer.body

    return ask


async def _until_ordinary() -> None:
    """A worker claims whatever was accepted in its first seconds; the ordinary path is measured."""
    await asyncio.sleep(MARGIN + 3.0)


async def http_client() -> None:
    url = f"http://127.0.0.1:{os.environ['BENCH_GATEWAY_PORT']}"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector, headers=AUTHORIZATION) as session:
        for tool in tools():
            async with session.post("/v1/tools", json=tool) as answer:
                answer.raise_for_status()
        arguments = load.arguments()
        await _until_ordinary()

        async def ask(tool: str) -> bool:
            async with session.post("/v1/calls", json={"tool": tool, "arguments": arguments}) as answer:
                return b'"state":"succeeded"' in await answer.read()

        await load.asynchronous(ask)


def command(name: str, port: str) -> None:
    """A part as it ships; prints READY once it says so itself."""
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("TOOLYARD_")},
        "TOOLYARD_TRANSPORT_URL": load.AMQP_URL,
        "TOOLYARD_DATABASE_URL": os.environ["BENCH_DATABASE_URL"],
        "TOOLYARD_SIGNING_KEYS": SIGNING,
        "TOOLYARD_API_KEY": KEY,
        "TOOLYARD_EGRESS_ALLOW": ALLOW,
        "TOOLYARD_LOG_LEVEL": "warning",
        "TOOLYARD_PORT": port,
    }
    process = subprocess.Popen([str(pathlib.Path(sys.executable).with_name("toolyard")), name], env=env)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    _until_ready(f"http://127.0.0.1:{port}/readyz", process)
    print("READY", flush=True)
    sys.exit(process.wait())


def _until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise SystemExit(f"{url} did not become ready")


if __name__ == "__main__":
    role = sys.argv[1]
    if role in ("gateway", "scheduler"):
        command(role, os.environ[f"BENCH_{role.upper()}_PORT"])
    configure(service=role, level="warning", form="json")
    uvloop.run({"worker": worker, "client": client, "http-client": http_client}[role]())
