"""Both clients with a real gateway, also while it is killed and started again."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.support.awaited import Awaited
from tests.support.embedded import Dev
from tests.support.processes import free_port
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

from toolyard.client import NO_KEY, AsyncClient, Call, CallFailed, Client, Refused, requests
from toolyard.ids import new_id

pytestmark = pytest.mark.usefixtures("uncounted")

#: More than an HTTP client keeps connections by itself.
AT_ONCE = 150
COLOURS: dict[str, type[Any]] = {"sync": Client, "async": Awaited}


class Restarted:
    """The system in one process, at one address however often it dies."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self._folder, self._port = folder, free_port()
        self._env = {"TOOLYARD_EGRESS_ALLOW": f"127.0.0.1:{upstream.port}", "TOOLYARD_CONCURRENCY": str(2 * AT_ONCE)}
        self.start()

    def start(self) -> None:
        self.dev = Dev(self._folder, "--no-upstream", port=self._port, env=self._env).wait_until_ready()
        self.url, self.key = self.dev.told["address"], self.dev.told["api_key"]

    def kill(self) -> None:
        self.dev.process.kill()
        self.dev.client.close()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, upstream_module: Upstream) -> Iterator[Restarted]:
    running = Restarted(tmp_path_factory.mktemp("dev"), upstream_module)
    echo = {"type": "http", "method": "POST", "url": f"{upstream_module.url}/echo"}
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    running.dev.create_tool("echo", echo, parameters=city, key_fields=["city"])
    running.dev.create_tool("broken", {"type": "http", "method": "POST", "url": f"{upstream_module.url}/status/400"})
    running.dev.create_tool("held", {"type": "http", "method": "GET", "url": f"{upstream_module.url}/held"})
    yield running
    running.kill()


@pytest.fixture(params=COLOURS.values(), ids=list(COLOURS))
def client(request: pytest.FixtureRequest, system: Restarted) -> Iterator[Any]:
    with request.param(system.url, system.key) as made:
        yield made


def test_a_call_and_its_output(client: Any):
    call = client.call("echo", {"city": "Bern"}, user="ada", conversation="c", context={"tenant": 7})
    assert (call.state, call.effect, call.user, call.context) == ("succeeded", "done", "ada", {"tenant": 7})
    assert call.output()["path"] == "/echo"
    assert client.get(call.call_id) == call
    assert not call.deduplicated


def test_a_call_that_fails_is_a_call(client: Any):
    call = client.call("broken")
    assert (call.state, call.error.code, call.error.phase) == ("failed", "upstream_error", None)
    with pytest.raises(CallFailed):
        call.output()


def test_a_call_that_is_refused_is_an_error_with_its_fields(client: Any):
    with pytest.raises(Refused) as caught:
        client.call("echo", {"city": 7})
    assert (caught.value.refusal, caught.value.fields[0].path) == ("validation_failed", "arguments.city")


def test_the_same_key_is_the_same_call(client: Any):
    key = new_id()
    first, second = (client.call("echo", {"city": "Bern"}, idempotency_key=key) for _ in range(2))
    assert (first.call_id, first.deduplicated) == (second.call_id, not second.deduplicated)


def test_without_a_key_the_key_fields_of_the_tool_decide(client: Any):
    city = {"city": new_id()}
    keyed = {client.call("echo", city).call_id for _ in range(2)}
    plain = {client.call("echo", city, idempotency_key=NO_KEY).call_id for _ in range(2)}
    assert (len(keyed), len(plain)) == (2, 1)


def test_many_calls_are_answered_in_order(client: Any):
    wanted: list[Any] = [{"tool": "echo", "arguments": {"city": str(number)}} for number in range(120)]
    wanted[7] = {"tool": "nothing"}
    wanted[110] = {"tool": "broken", "deadline": 20}
    made = client.call_many(wanted, wait=60)
    assert (made[7].refusal, made[110].error.code) == ("tool_not_found", "upstream_error")
    calls = [one for one in made if isinstance(one, Call) and one.succeeded]
    assert [call.arguments["city"] for call in calls] == [str(n) for n in range(120) if n not in (7, 110)]


def test_a_call_is_followed_and_cancelled(client: Any, upstream_module: Upstream):
    upstream_module.hold()
    try:
        call = client.call("held", wait=0)
        wait_until(upstream_module.held, within=60, what="the tool to be called")
        assert client.cancel(call.call_id, wait=20).state == "cancelled"
        one, other = client.call_many([{"tool": "held", "conversation": "gone"}] * 2, wait=0)
        assert client.cancel(conversation="gone") == 2
        assert client.get(one.call_id, wait=20).state == client.get(other.call_id, wait=20).state == "cancelled"
    finally:
        upstream_module.let_go()
    events = list(client.events(call.call_id))
    assert [event.event for event in events][:: len(events) - 1] == ["accepted", "cancelled"]
    assert list(client.events(call.call_id, last_event_id=events[0].id)) == events[1:]


def test_tools_and_turns(client: Any):
    names = [tool["function"]["name"] for tool in client.tools(format="openai", q="echo")]
    assert names == ["echo"]
    assert {tool["name"] for tool in client.tools(format="anthropic")} == {"echo", "broken", "held"}
    function = {"name": "echo", "arguments": '{"city": "Bern"}'}
    message = {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": function}]}
    turn = client.turn(message, format="openai")
    assert [one["tool_call_id"] for one in turn.messages] == ["c1"]
    assert [(one.tool, one.state, one.code) for one in turn.calls] == [("echo", "succeeded", None)]


async def test_as_many_wait_at_once_as_the_program_asks_for(system: Restarted, upstream_module: Upstream):
    upstream_module.hold()
    try:
        async with AsyncClient(system.url, system.key) as client:
            asked = [asyncio.ensure_future(client.call("held", wait=60)) for _ in range(AT_ONCE)]
            all_held = lambda: len(upstream_module.held()) == AT_ONCE  # noqa: E731
            await asyncio.to_thread(wait_until, all_held, within=60, what="all of them to be called at once")
            upstream_module.let_go()
            assert Counter([(await one).state for one in asked]) == {"succeeded": AT_ONCE}
    finally:
        upstream_module.let_go()


def all_calls(client: Client) -> list[Any]:
    """Those of each colour; none until the ledger knows them all, which a busy machine may take its time for."""
    calls: list[Any] = client.send(requests.list_calls(conversation="killed"))["items"]
    return calls if len(calls) == len(COLOURS) else []


@pytest.mark.timeout(600)
def test_waits_and_streams_go_on_when_the_gateway_was_killed(system: Restarted, upstream_module: Upstream):
    """The tools are read-only: they are called again."""
    upstream_module.hold()
    followed = threading.Barrier(len(COLOURS) + 1)

    def wait(kind: type[Any]) -> Call:
        with kind(system.url, system.key) as client:
            call: Call = client.call("held", wait=120, conversation="killed")
            return call

    def follow(call_id: str) -> list[Any]:
        with Client(system.url, system.key) as client:
            events = client.events(call_id)
            told = [next(events)]
            followed.wait(90)
            return told + list(events)

    with ThreadPoolExecutor(2 * len(COLOURS)) as threads:
        waiting = [threads.submit(wait, kind) for kind in COLOURS.values()]
        try:
            wait_until(lambda: len(upstream_module.held()) == len(COLOURS), within=60, what="both tools to be called")
            with Client(system.url, system.key) as client:
                calls = wait_until(lambda: all_calls(client), within=60, what="the ledger to know both calls")
            streams = [threads.submit(follow, call["call_id"]) for call in calls]
            followed.wait(90)
            system.kill()
            system.start()
        finally:
            upstream_module.let_go()
        ended = [one.result(90) for one in waiting]
        told = [one.result(90) for one in streams]

    assert [call.state for call in ended] == ["succeeded"] * len(COLOURS)
    assert {call.call_id for call in ended} == {call["call_id"] for call in calls}
    for events in told:
        assert [event.event for event in events][:: len(events) - 1] == ["accepted", "succeeded"]
        assert len({event.id for event in events}) == len(events)
