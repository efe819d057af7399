"""Requests from a queue while parts of the system are killed, stopped and cut off: one call each, and one answer."""

import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.outsider import Answered, Outsider
from tests.support.rabbit import RabbitNode
from tests.support.system import KEY, System, http_tool
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

from toolyard.client import AmqpClient

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.proof, pytest.mark.timeout(600)]

GATEWAYS = ("gateway1", "gateway2")
REQUESTS = 60
LAG = 5.0


@dataclass
class Place:
    """A system of two gateways, and what its tool does."""

    system: System
    upstream: Upstream
    url: str

    def publish(self, outsider: Outsider, number: int = REQUESTS) -> list[str]:
        """Requests for a tool that must not run twice, each held back by its upstream."""
        return [outsider.ask({"tool": "pay", "arguments": {}}, message_id=str(uuid.uuid4())) for _ in range(number)]

    def wait_until_running(self, number: int = REQUESTS) -> None:
        wait_until(lambda: len(self.upstream.held()) >= number, within=60, what=f"{number} calls at their upstream")

    def once_each(self, answered: list[Answered], asked: list[str]) -> None:
        """One call and one effect for each request."""
        assert sorted(one.correlation_id for one in answered) == sorted(asked)
        assert Counter(one.outcome for one in answered) == {"succeeded": len(asked)}
        calls = [one.body["call_id"] for one in answered]
        assert len(set(calls)) == len(calls)
        assert [self.upstream.count(call) for call in calls] == [1] * len(calls)

    def paused(self, *, paused: bool) -> None:
        with self.system.client("gateway2") as client:
            client.post(f"/v1/tools/look/{'pause' if paused else 'resume'}").raise_for_status()


@pytest.fixture(scope="module")
def place(
    private_broker_module: RabbitNode, tmp_path_factory: pytest.TempPathFactory, postgres_url_module: str
) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("system")
    url = private_broker_module.add_vhost("kills")
    with Upstream(effects=folder / "effects.jsonl") as upstream:
        allow = upstream.url.removeprefix("http://")
        with System(folder, amqp=url, database=postgres_url_module, allow=allow) as running:
            running.env["TOOLYARD_LOG_MAX_LAG"] = str(LAG)
            running.start_all(gateways=2)
            with running.client() as client:
                for tool in (
                    http_tool("pay", "POST", f"{upstream.url}/effects?held=1", timeout=120),
                    http_tool("look", "GET", f"{upstream.url}/echo"),
                    http_tool("long", "POST", f"{upstream.url}/held", timeout=120),
                ):
                    client.post("/v1/tools", json=tool).raise_for_status()
            yield Place(running, upstream, url)
    private_broker_module.delete_vhost("kills")


@pytest.fixture
def outsider(place: Place) -> Iterator[Outsider]:
    for name in GATEWAYS:
        if not place.system.processes[name].running:
            place.system.start(name, "gateway")
    place.system.ready(*GATEWAYS)
    with Outsider(place.url, key=KEY) as made:
        yield made
    place.upstream.let_go()


def in_hand(place: Place, name: str) -> int:
    """Requests that a gateway has in hand."""
    with place.system.client(name) as client:
        lines = client.get("/metrics").text.splitlines()
    return int(float(next(line for line in lines if line.startswith("toolyard_requests_in_hand ")).split()[1]))


def test_a_gateway_that_is_killed_leaves_its_requests_to_the_other(place: Place, outsider: Outsider):
    place.upstream.hold()
    asked = place.publish(outsider)
    place.wait_until_running()
    assert in_hand(place, "gateway1") > 0
    place.system.processes["gateway1"].kill()
    place.upstream.let_go()

    place.once_each(outsider.take(REQUESTS, within=120), asked)


def test_a_gateway_that_is_killed_over_and_over_makes_no_call_twice(place: Place, outsider: Outsider):
    asked = []
    for _ in range(3):
        asked += place.publish(outsider, 40)
        place.system.processes["gateway1"].kill()
        asked += place.publish(outsider, 40)
        place.system.start("gateway1", "gateway")
        place.system.ready("gateway1")
    answered = {one.correlation_id: one for one in outsider.take(len(asked), within=120)}
    while len(answered) < len(asked):  # an answer may come twice
        answered |= {one.correlation_id: one for one in outsider.take(1, within=120)}

    place.once_each(list(answered.values()), asked)


def test_a_gateway_that_is_stopped_hands_its_requests_back_and_on(place: Place, outsider: Outsider):
    place.upstream.hold()
    asked = place.publish(outsider)
    place.wait_until_running()
    assert in_hand(place, "gateway1") > 0
    assert place.system.processes["gateway1"].end_by(signal.SIGTERM, within=60) == 0
    place.upstream.let_go()

    place.once_each(outsider.take(REQUESTS, within=120), asked)


def test_while_no_gateway_is_there_requests_wait(place: Place, outsider: Outsider):
    place.upstream.hold()
    asked = place.publish(outsider)
    place.wait_until_running()
    for name in GATEWAYS:
        place.system.processes[name].send(signal.SIGTERM)
    asked += place.publish(outsider)
    for name in GATEWAYS:
        assert place.system.processes[name].wait(within=60) == 0
    place.upstream.let_go()
    for name in GATEWAYS:
        place.system.start(name, "gateway")

    place.once_each(outsider.take(2 * REQUESTS, within=120), asked)


def test_connections_that_the_broker_closes_lose_nothing(
    place: Place, outsider: Outsider, private_broker_module: RabbitNode
):
    outsider.close()
    place.upstream.hold()
    with AmqpClient(place.url, KEY) as client:
        begun = [client.submit("pay", {}, wait=200) for _ in range(REQUESTS)]
        place.wait_until_running()
        assert private_broker_module.close_connections("a drill", vhost="kills") >= len(GATEWAYS)
        place.upstream.let_go()
        calls = [future.result(timeout=300) for future in begun]

    assert {call.state for call in calls} == {"succeeded"}
    assert len({call.call_id for call in calls}) == REQUESTS
    assert [place.upstream.count(call.call_id) for call in calls] == [1] * REQUESTS


def test_a_call_that_takes_long_is_answered_by_a_ticket_that_outlives_its_gateway(place: Place, outsider: Outsider):
    """It is paused for longer than any gateway holds it."""
    place.paused(paused=True)
    asked = [outsider.ask({"tool": "look"}, message_id=str(uuid.uuid4())) for _ in range(20)]
    wait_until(lambda: in_hand(place, "gateway1") + in_hand(place, "gateway2") > 0, within=60, what="the requests")
    wait_until(
        lambda: in_hand(place, "gateway1") + in_hand(place, "gateway2") == 0, within=90, what="them to be let go of"
    )
    place.system.processes["gateway1"].kill()
    place.paused(paused=False)
    answered = outsider.take(20, within=120)

    assert sorted(one.correlation_id for one in answered) == sorted(asked)
    assert Counter(one.outcome for one in answered) == {"succeeded": 20}


def test_a_turn_that_takes_long_is_answered_by_a_ticket(place: Place, outsider: Outsider):
    place.upstream.hold()
    function = {"name": "long", "arguments": "{}"}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": function}],
    }
    before = len(place.upstream.held())
    outsider.ask({"format": "openai", "message": message, "deadline": 200}, type="turn")
    wait_until(lambda: len(place.upstream.held()) > before, within=60, what="the call to run")
    wait_until(
        lambda: in_hand(place, "gateway1") + in_hand(place, "gateway2") == 0, within=90, what="it to be let go of"
    )
    assert len(place.upstream.held()) == before + 1
    place.upstream.let_go()
    (answered,) = outsider.take(1, within=120)

    assert (answered.kind, answered.body["calls"][0]["state"]) == ("turn", "succeeded")


def test_while_the_ledger_is_behind_requests_stay_in_their_queue(place: Place, outsider: Outsider):
    scheduler = place.system.processes["scheduler"]

    def refused(name: str) -> bool:
        with place.system.client(name) as client:
            return client.post("/v1/calls", json={"tool": "look"}).status_code == 503

    def waiting() -> int:
        found: int = outsider.channel.queue_declare("toolyard.requests", passive=True).method.message_count
        return found

    with scheduler.suspended():
        wait_until(lambda: all(map(refused, GATEWAYS)), within=60, what="the gateways to refuse calls")
        asked: list[str] = []

        def stays() -> bool:
            asked.append(outsider.ask({"tool": "look"}))
            return waiting() > 0

        wait_until(stays, within=60, what="a request to stay in the queue", every=0.5)
        assert not outsider.answers
    answered = outsider.take(len(asked), within=120)

    assert Counter(one.outcome for one in answered) == {"succeeded": len(asked)}
