"""Every kind, held to what every kind must keep."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any

import pytest
import pytest_asyncio
from tests.support.arcade.engine import KEY, ArcadeEngine
from tests.support.aws.lambda_server import LambdaServer
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
from toolyard.contracts.tools import ARCADE_KEY, ArcadeBinding, HttpBinding, LambdaBinding, PinnedTool, SandboxBinding
from toolyard.sandbox.runner import Level, Runner
from toolyard.security.egress import AllowList
from toolyard.states import Effect
from toolyard.testing.executor_suite import SECRET, ExecutorSuite
from toolyard_executors.cancellation import Cancellations
from toolyard_executors.executor import Executor
from toolyard_executors.kinds.arcade import ArcadeExecutor
from toolyard_executors.kinds.aws_lambda import LambdaExecutor
from toolyard_executors.kinds.http import HttpExecutor
from toolyard_executors.kinds.sandbox import SandboxExecutor
from toolyard_executors.pauses import Pauses
from toolyard_executors.places import CONCURRENCY
from toolyard_executors.runtime import Runtime

#: Of the sandbox.
PLACES = 4


class Running:
    """Runs calls through a runtime.

    Attributes:
        secrets: of the org; ``call``: what each call has beside its arguments.
    """

    secrets: Mapping[str, str] = MappingProxyType({"TOKEN": SECRET})
    call: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, executor: Executor, seen: Callable[[str], bool], places: int = CONCURRENCY) -> None:
        self.executor = executor
        self._seen = seen
        self._places = asyncio.Semaphore(places)

    async def run(self, tool: PinnedTool, arguments: dict[str, Any] | None = None, *, timeout: float = 30) -> Ended:  # noqa: ASYNC109 - the call's
        async with self._places:  # a worker begins no more than it has places for
            return await self._run(*self._made(), tool, arguments=arguments or {}, timeout=timeout)

    async def run_and_cancel(self, tool: PinnedTool) -> Ended:
        runtime, transport = self._made()
        call_id = ids.new_id()
        running = asyncio.create_task(self._run(runtime, transport, tool, call_id=call_id))

        await async_wait_until(lambda: self.seen(call_id), within=60, what="the request")
        runtime.cancel(Cancel(v=VERSION, sender="g", time=0, org="default", call_id=call_id))
        return await running

    async def seen(self, call_id: str) -> bool:
        """Whether the world has seen the call."""
        return self._seen(call_id)

    def _made(self) -> tuple[Runtime, HandTransport]:
        transport = HandTransport()
        runtime = Runtime(
            executor=self.executor,
            transport=transport,
            envelope=ENVELOPE,
            get_secret=lambda org, name: self.secrets.get(name),
            cancellations=Cancellations(),
            pauses=Pauses(),
            clock=SYSTEM,
            worker_id="w1",
        )
        transport.ledger.tell = runtime.claims.answered  # type: ignore[assignment]
        return runtime, transport

    async def _run(self, runtime: Runtime, transport: HandTransport, tool: PinnedTool, **call: Any) -> Ended:
        delivery = a_delivery(a_message(a_call(pool=self.executor.pool, **self.call, **call), tool))
        await runtime.run(delivery)
        assert settled(delivery) == ["ack"]
        return transport.end()


def seen_by(upstream: Upstream) -> Callable[[str], bool]:
    """Whether a call has reached the upstream."""
    return lambda call_id: any(each.headers.get("idempotency-key") == call_id for each in upstream.requests)


class HttpKind(Running):
    """Http tools over the test's upstream; see `toolyard.testing.executor_suite.Kind`."""

    huge_effect: Effect = "done"

    def __init__(self, upstream: Upstream, executor: HttpExecutor) -> None:
        super().__init__(executor, seen_by(upstream))
        self.upstream = upstream
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


@pytest.fixture
async def http_kind(upstream: Upstream) -> AsyncIterator[HttpKind]:
    executor = HttpExecutor(allow=AllowList.parse("127.0.0.1"))
    await executor.open()
    yield HttpKind(upstream, executor)
    await executor.close()


class TestHttp(ExecutorSuite):
    """The suite, for http."""

    @pytest.fixture
    def kind(self, http_kind: HttpKind) -> HttpKind:
        return http_kind


def sandboxed(*lines: str, **binding: Any) -> PinnedTool:
    """A tool whose function has these lines."""
    body = "\n    ".join(lines)
    return a_tool(SandboxBinding(code=f"import os\n\ndef execute_tool(parameters, context):\n    {body}\n", **binding))


class SandboxKind(Running):
    """Sandboxed tools; those that reach out do so to the test's upstream."""

    huge_effect: Effect = "none"

    def __init__(self, upstream: Upstream, executor: SandboxExecutor) -> None:
        super().__init__(executor, seen_by(upstream), PLACES)
        token = {"environment_variables": ("TOKEN",)}
        self.echo = sandboxed("return parameters")
        self.fails = sandboxed("return {'success': False, 'message': 'no such city'}")
        self.hangs = self._reaching(f"{upstream.url}/sleep/3600")
        self.tells = sandboxed("return {'a': ['the token is ' + os.environ['TOKEN']]}", **token)
        self.fails_telling = sandboxed("raise ValueError('bad token ' + os.environ['TOKEN'])", **token)
        self.needs_secret = sandboxed("return 1", environment_variables=("MISSING",))
        self.needs_context = a_tool(sandboxed("return 1").binding, contexts=("tenant",))
        self.huge = sandboxed("return 'x' * 2_000_000")
        self.odd = sandboxed("return {'text': 'a\\0b', '\\0': 'c'}")
        self.out_of_reach = self._reaching(f"http://127.0.0.1:{free_port()}/")

    def _reaching(self, url: str) -> PinnedTool:
        return sandboxed(
            "import requests",
            f"requests.post({url!r}, headers={{'Idempotency-Key': context['call_id']}}, timeout=3600)",
            allowed_imports=("os", "requests"),
            allowed_hosts=("127.0.0.1",),
        )


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def sandbox() -> AsyncIterator[SandboxExecutor]:
    """One for all: what a run left behind would be seen by those that come after it."""
    runner = Runner(children=PLACES, memory=1 << 30, minimum=Level.DEGRADED)
    executor = SandboxExecutor(runner, allow=AllowList.parse("127.0.0.1"))
    await executor.open()
    yield executor
    await executor.close()


@pytest.mark.asyncio(loop_scope="class")
class TestSandbox(ExecutorSuite):
    """The suite, for sandbox."""

    @pytest.fixture
    def kind(self, upstream: Upstream, sandbox: SandboxExecutor) -> SandboxKind:
        return SandboxKind(upstream, sandbox)


def invoking(function: str, payload: Any = None) -> PinnedTool:
    """A tool whose function is given this, or the arguments."""
    return a_tool(LambdaBinding(function_name=function, aws_region="eu-central-1", payload_template=payload))


class LambdaKind(Running):
    """Lambda tools over the test's own AWS."""

    huge_effect: Effect = "done"

    def __init__(self, server: LambdaServer, executor: LambdaExecutor, away: LambdaExecutor) -> None:
        super().__init__(executor, lambda call_id: server.count(call_id) > 0)
        self.away = Running(away, self._seen)
        self.echo = invoking("echo")
        self.fails = invoking("raises", {"text": "no such city"})
        self.hangs = invoking("sleeps", {})
        self.tells = invoking("echo", {"a": ["the token is ${secrets.TOKEN}"]})
        self.fails_telling = invoking("raises", {"text": "bad token ${secrets.TOKEN}"})
        self.needs_secret = invoking("echo", "${secrets.MISSING}")
        self.needs_context = invoking("echo", "${context.tenant}")
        self.huge = invoking("many", {"bytes": 2_000_000})
        self.odd = invoking("odd")
        self.out_of_reach = invoking("echo", {"nobody": "listens"})

    async def run(self, tool: PinnedTool, arguments: dict[str, Any] | None = None, *, timeout: float = 30) -> Ended:  # noqa: ASYNC109 - the call's
        if tool is not self.out_of_reach:
            return await super().run(tool, arguments, timeout=timeout)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{free_port()}")
            return await self.away.run(tool, arguments, timeout=timeout)


@pytest.fixture
async def lambda_kind(lambda_server: LambdaServer) -> AsyncIterator[LambdaKind]:
    executor, away = LambdaExecutor(concurrency=128), LambdaExecutor(concurrency=1)
    await executor.open()
    await away.open()
    yield LambdaKind(lambda_server, executor, away)
    await executor.close()
    await away.close()


class TestLambda(ExecutorSuite):
    """The suite, for lambda."""

    @pytest.fixture
    def kind(self, lambda_kind: LambdaKind) -> LambdaKind:
        return lambda_kind


def of_arcade(name: str, **pinned: Any) -> PinnedTool:
    """A tool of the toolkit that stands behind the tests' engine."""
    return a_tool(ArcadeBinding(tool_name=f"Yard.{name}"), **pinned)


class ArcadeKind(Running):
    """Arcade tools over the tests' own engine. They have no templates: what each is given stands beside it."""

    huge_effect: Effect = "done"
    secrets = MappingProxyType({"TOKEN": SECRET, ARCADE_KEY: KEY})
    call = MappingProxyType({"user": "ann"})

    def __init__(self, engine: ArcadeEngine, executor: ArcadeExecutor) -> None:
        super().__init__(executor, lambda call_id: engine.count(call_id)[1] > 0)
        listed = {"secrets": ("TOKEN",)}
        self.echo = of_arcade("Echo")
        self.fails = of_arcade("Fatal")
        self.hangs = of_arcade("Naps")
        self.tells = of_arcade("Echo", **listed)
        self.fails_telling = of_arcade("Fatal", **listed)
        self.needs_secret = of_arcade("Nothing", secrets=("MISSING",))
        self.needs_context = of_arcade("Nothing", contexts=("tenant",))
        self.huge = of_arcade("Many")
        self.odd = of_arcade("Odd")
        self.out_of_reach = of_arcade("Nothing")
        self._given: list[tuple[PinnedTool, dict[str, Any]]] = [
            (self.fails, {"text": "no such city"}),
            (self.hangs, {"seconds": 3600.0}),
            (self.tells, {"value": {"a": [f"the token is {SECRET}"]}}),
            (self.fails_telling, {"text": f"bad token {SECRET}"}),
            (self.huge, {"size": 2_000_000}),
        ]

    async def run(self, tool: PinnedTool, arguments: dict[str, Any] | None = None, *, timeout: float = 30) -> Ended:  # noqa: ASYNC109 - the call's
        if tool is not self.out_of_reach:
            return await super().run(tool, arguments, timeout=timeout)
        there, self.executor = self.executor, ArcadeExecutor(concurrency=1, url=f"http://127.0.0.1:{free_port()}")
        await self.executor.open()
        try:
            return await super().run(tool, arguments, timeout=timeout)
        finally:
            await self.executor.close()
            self.executor = there

    async def _run(self, runtime: Runtime, transport: HandTransport, tool: PinnedTool, **call: Any) -> Ended:
        given = next((given for one, given in self._given if one is tool), {})
        if tool is self.echo:  # its one parameter takes any object
            given = {"value": call["arguments"]}
        return await super()._run(runtime, transport, tool, **{**call, "arguments": given})


@pytest.fixture
async def arcade_kind(arcade_engine: ArcadeEngine) -> AsyncIterator[ArcadeKind]:
    executor = ArcadeExecutor(concurrency=CONCURRENCY, url=arcade_engine.url)
    await executor.open()
    yield ArcadeKind(arcade_engine, executor)
    await executor.close()


class TestArcade(ExecutorSuite):
    """The suite, for arcade."""

    @pytest.fixture
    def kind(self, arcade_kind: ArcadeKind) -> ArcadeKind:
        return arcade_kind
