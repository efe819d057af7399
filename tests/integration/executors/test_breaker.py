"""A provider that fails, and one beside it that does not: two http workers over RabbitMQ, a scheduler, a gateway.

The workers run in the test, so that their breakers have short pauses and can be looked at; all else is as shipped.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.numbers import text
from tests.support.system import KEY, System, http_tool
from tests.support.upstream import Upstream
from tests.support.waiting import async_wait_until

from toolyard.security.egress import AllowList
from toolyard.security.secrets import Secrets
from toolyard.security.signing import Keyring
from toolyard.transport.connect import connect
from toolyard.transport.envelope import Envelope
from toolyard_executors.breaker import Policy
from toolyard_executors.kinds.http import HttpExecutor
from toolyard_executors.worker import Worker

pytestmark = pytest.mark.usefixtures("uncounted")

WITHIN = 60.0
QUICK = Policy(least=5, first_pause=0.2, longest_pause=0.5)
#: For a worker that never opens a breaker by itself.
TRUSTING = Policy(least=1_000_000, first_pause=0.2, longest_pause=0.5)
ALLOW = "127.0.0.1"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, amqp_url_module: str) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    database = f"sqlite:///{folder / 'ledger.db'}"
    with System(folder, amqp=amqp_url_module, database=database, allow=ALLOW) as running:
        running.start("scheduler", "scheduler")
        running.ready("scheduler")
        running.start("gateway1", "gateway")
        running.ready("gateway1")
        yield running


@pytest.fixture
async def client(system: System) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {KEY}", "Prefer": f"wait={WITHIN:g}"}
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(
        base_url=system.url(), headers=headers, limits=limits, timeout=2 * WITHIN, trust_env=False
    ) as made:
        yield made


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Upstream]:
    """The one that fails."""
    with Upstream(effects=tmp_path / "provider.jsonl") as server:
        yield server


@asynccontextmanager
async def a_worker(system: System, name: str, policy: Policy) -> AsyncIterator[Worker]:
    transport = connect(str(system.env["TOOLYARD_TRANSPORT_URL"]), name=name, declare=True)
    await transport.open()
    worker = Worker(
        transport=transport,
        envelope=Envelope(Keyring.parse(str(system.env["TOOLYARD_SIGNING_KEYS"]))),
        executors=[HttpExecutor(allow=AllowList.parse(ALLOW))],
        secrets=Secrets([]),
        worker_id=name,
        concurrency=64,
        breaker=policy,
    )
    await worker.start()
    try:
        await so(lambda: worker.ready().ok, f"{name} to be ready")
        yield worker
    finally:
        await worker.stop(1)
        await transport.close()


async def so(check: Callable[[], Any], what: str) -> Any:
    async def look() -> Any:
        found = check()
        return await found if isinstance(found, Awaitable) else found

    return await async_wait_until(look, within=WITHIN, what=what)


async def save(client: httpx.AsyncClient, name: str, method: str, url: str, **fields: Any) -> None:
    answer = await client.post("/v1/tools", json=http_tool(name, method, url, **fields))
    assert answer.status_code == 201, answer.text


async def call(client: httpx.AsyncClient, tool: str) -> dict[str, Any]:
    answer = await client.post("/v1/calls", json={"tool": tool, "arguments": {}, "deadline": 2 * WITHIN})
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return view


async def breakers(client: httpx.AsyncClient, provider: Upstream) -> list[dict[str, Any]]:
    """What the API shows of the pool http that is about this provider."""
    page = (await client.get("/v1/pools")).json()
    [found] = [pool["breakers"] for pool in page["items"] if pool["name"] == "http"]
    return [each for each in found if each["circuit"] == provider.url.removeprefix("http://")]


def is_open(worker: Worker, circuit: str) -> bool:
    return f'toolyard_breaker_state{{pool="http",circuit="{circuit}"}} 2' in text(worker.board)


async def test_a_second_worker_learns_from_the_first_without_opening_by_itself(system, client, provider):
    circuit = provider.url.removeprefix("http://")
    await save(client, "learned", "GET", f"{provider.url}/provider")
    provider.ill = True
    async with a_worker(system, "b1", QUICK) as first, a_worker(system, "b2", TRUSTING) as second:
        failing = asyncio.gather(*(call(client, "learned") for _ in range(40)))
        await so(lambda: is_open(first, circuit), "the first worker's breaker")
        await so(lambda: 'transitions_total{pool="http",to="open"}' in text(second.board), "the second worker to hear")
        provider.ill = False
        await failing
        await so(lambda: not is_open(second, circuit), "the second worker's breaker to close")


async def test_others_go_on_while_a_provider_fails_and_calls_with_time_succeed_afterwards(
    system, client, provider, upstream
):
    again = {"retry": {"max_attempts": 20, "backoff": 0.1}}
    await save(client, "read", "GET", f"{provider.url}/provider", **again)
    await save(client, "pay", "POST", f"{provider.url}/provider")
    await save(client, "other", "GET", f"{upstream.url}/provider")
    async with AsyncExitStack() as stack:
        for name in ("b3", "b4"):
            await stack.enter_async_context(a_worker(system, name, QUICK))
        provider.ill = True
        before = [asyncio.create_task(call(client, "read")) for _ in range(20)]
        [shown] = await so(lambda: breakers(client, provider), "a breaker in the API")
        assert shown["failures"] >= QUICK.least

        meanwhile = [asyncio.create_task(call(client, tool)) for tool in ("read", "pay") for _ in range(20)]
        others = await asyncio.gather(*(call(client, "other") for _ in range(40)))
        assert {(each["state"], each["attempts"]) for each in others} == {("succeeded", 1)}

        provider.ill = False
        reads = await asyncio.gather(*before, *meanwhile[:20])
        assert {each["state"] for each in reads} == {"succeeded"}
        paid = await asyncio.gather(*meanwhile[20:])
        sent = Counter(request.headers["idempotency-key"] for request in provider.requests if request.method == "POST")
        assert [sent[each["call_id"]] for each in paid] == [1] * len(paid)
        codes = {each["error"]["code"] for each in paid if each["state"] != "succeeded"}
        assert codes <= {"upstream_error"}  # of one that the breaker tried the provider with
        assert "succeeded" in {each["state"] for each in paid}
        await so(lambda: _none(client, provider), "no breaker in the API")


async def _none(client: httpx.AsyncClient, provider: Upstream) -> bool:
    return not await breakers(client, provider)
