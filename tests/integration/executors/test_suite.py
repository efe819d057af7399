"""The http kind, held to what every kind must keep."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.processes import free_port
from tests.support.upstream import Upstream
from tests.support.waiting import async_wait_until
from tests.unit.executors.fakes import ENVELOPE, HandTransport, a_delivery, settled
from tests.unit.executors.making import a_call, a_message, a_tool

from toolyard import ids
from toolyard.clock import SYSTEM
from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import Cancel
from toolyard.contracts.events import Ended
from toolyard.contracts.tools import HttpBinding, PinnedTool
from toolyard.security.egress import AllowList
from toolyard.testing.executor_suite import SECRET, ExecutorSuite
from toolyard_executors.cancellation import Cancellations
from toolyard_executors.kinds.http import HttpExecutor
from toolyard_executors.pauses import Pauses
from toolyard_executors.runtime import Runtime


class HttpKind:
    """Http tools over the test's upstream; see `toolyard.testing.executor_suite.Kind`."""

    def __init__(self, upstream: Upstream, executor: HttpExecutor) -> None:
        self.upstream = upstream
        self.executor = executor
        self.echo = self._tool("/status/200", body="${parameters}")
        self.fails = self._tool("/status/422", body="no such city")
        self.hangs = self._tool("/sleep/3600")
        self.tells = self._tool("/status/200", body='{"a": ["the token is ${secrets.TOKEN}"]}')
        self.fails_telling = self._tool("/status/500", body="bad token ${secrets.TOKEN}")
        self.needs_secret = self._tool("/status/200", body="${secrets.MISSING}")
        self.needs_context = self._tool("/status/200", body="${context.tenant}")
        self.huge = self._tool("/big/2000000")
        self.odd = self._tool("/nul")
        self.out_of_reach = a_tool(HttpBinding(method="POST", url=f"http://127.0.0.1:{free_port()}/"))

    def _tool(self, path: str, **query: str) -> PinnedTool:
        return a_tool(HttpBinding(method="POST", url=self.upstream.url + path, query=query))

    async def run(self, tool: PinnedTool, arguments: dict[str, Any] | None = None, *, timeout: float = 30) -> Ended:  # noqa: ASYNC109 - the call's
        return await self._run(*self._made(), tool, arguments=arguments or {}, timeout=timeout)

    async def run_and_cancel(self, tool: PinnedTool) -> Ended:
        runtime, transport = self._made()
        call_id = ids.new_id()
        running = asyncio.create_task(self._run(runtime, transport, tool, call_id=call_id))

        async def seen() -> bool:
            return any(request.headers["idempotency-key"] == call_id for request in self.upstream.requests)

        await async_wait_until(seen, within=30, what="the request")
        runtime.cancel(Cancel(v=VERSION, sender="g", time=0, org="default", call_id=call_id))
        return await running

    def _made(self) -> tuple[Runtime, HandTransport]:
        transport = HandTransport()
        runtime = Runtime(
            executor=self.executor,
            transport=transport,
            envelope=ENVELOPE,
            get_secret=lambda org, name: SECRET if name == "TOKEN" else None,
            cancellations=Cancellations(),
            pauses=Pauses(),
            clock=SYSTEM,
            worker_id="w1",
        )
        transport.ledger.tell = runtime.claims.answered  # type: ignore[assignment]
        return runtime, transport

    async def _run(self, runtime: Runtime, transport: HandTransport, tool: PinnedTool, **call: Any) -> Ended:
        delivery = a_delivery(a_message(a_call(**call), tool))
        await runtime.run(delivery)
        assert settled(delivery) == ["ack"]
        return transport.end()


@pytest.fixture
async def kind(upstream: Upstream) -> AsyncIterator[HttpKind]:
    executor = HttpExecutor(allow=AllowList.parse("127.0.0.1"))
    await executor.open()
    yield HttpKind(upstream, executor)
    await executor.close()


class TestHttp(ExecutorSuite):
    """The suite, for http."""
