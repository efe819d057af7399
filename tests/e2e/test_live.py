"""Live events of a whole system: followers at two gateways, over a real broker, while parts of it are killed."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from tests.support import upstream as upstream_server
from tests.support.system import KEY, System, http_tool
from websockets.sync.client import connect

from toolyard.client.answers import EventReader
from toolyard.client.shapes import Event

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.timeout(600)]

AUTH = {"Authorization": f"Bearer {KEY}"}
LIFE = ["accepted", "started", "succeeded"]


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, amqp_url_module: str, postgres_url_module: str
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    process, address = upstream_server.spawn(folder / "effects.jsonl")
    allow = address.removeprefix("http://")
    with process, System(folder, amqp=amqp_url_module, database=postgres_url_module, allow=allow) as running:
        running.start_all(gateways=2)
        with running.client() as client:
            client.post("/v1/tools", json=http_tool("fine", "POST", f"{address}/echo")).raise_for_status()
            # No 5xx: where earlier calls were long ago, those of one test would open the breaker that `fine` shares.
            client.post("/v1/tools", json=http_tool("broken", "POST", f"{address}/status/404")).raise_for_status()
        yield running


class Following:
    """A stream at one gateway; it follows once it is answered."""

    def __init__(self, response: httpx.Response) -> None:
        self._chunks = response.iter_bytes()
        self._reader = EventReader()
        self._events: list[Event] = []

    def next(self, number: int) -> list[Event]:
        """So many events."""
        while len(self._events) < number:
            self._read()
        told, self._events = self._events[:number], self._events[number:]
        return told

    def _read(self) -> None:
        self._events += self._reader.read(next(self._chunks))


@contextmanager
def following(system: System, name: str, last: str | None = None, **query: Any) -> Iterator[Following]:
    """Follow at this gateway."""
    headers = {} if last is None else {"Last-Event-ID": last}
    with (
        system.client(name) as client,
        client.stream("GET", "/v1/events", params=query, headers=headers) as response,
    ):
        assert response.status_code == 200, response.read()
        yield Following(response)


def make_calls(system: System, name: str, number: int, *, wait: int = 60, **said: Any) -> list[str]:
    """Calls that end, waited for; gives their ids."""
    call = {"tool": "fine", "arguments": {}, **said}
    with system.client(name) as client:
        answer = client.post("/v1/calls/batch", json={"calls": [call] * number}, headers={"Prefer": f"wait={wait}"})
    answer.raise_for_status()
    return [each["call_id"] for each in answer.json()["calls"]]


def by_call(events: list[Event]) -> Mapping[str, list[str]]:
    """What was told of each call, in order."""
    told: dict[str, list[str]] = {}
    for event in events:
        told.setdefault(event.data["subject"], []).append(event.event)
    return told


def test_calls_of_one_gateway_are_followed_at_another(system: System):
    with following(system, "gateway2", conversation="one") as stream:
        ids = make_calls(system, "gateway1", 50, conversation="one")
        make_calls(system, "gateway1", 5, conversation="other")
        told = by_call(stream.next(150))

    assert told == dict.fromkeys(ids, LIFE)


def test_both_gateways_tell_the_same_live_and_from_before(system: System):
    same = {"conversation": "same"}
    with following(system, "gateway1", **same) as one, following(system, "gateway2", **same) as two:
        make_calls(system, "gateway1", 20, conversation="same")
        make_calls(system, "gateway2", 20, tool="broken", conversation="same")
        first, second = one.next(120), two.next(120)
    with following(system, "gateway2", since=first[0].id, **same) as again:
        third = again.next(119)

    assert first == second
    assert third == first[1:]
    assert {event.event for event in first} == {*LIFE, "failed"}


def test_a_killed_gateway_is_left_for_the_other_one_and_nothing_is_missed(system: System):
    with following(system, "gateway1", conversation="killed") as stream:
        ids = make_calls(system, "gateway2", 30, conversation="killed")
        told = stream.next(25)
        system.processes["gateway1"].kill()
    ids += make_calls(system, "gateway2", 30, conversation="killed")
    with following(system, "gateway2", last=told[-1].id, conversation="killed") as stream:
        ids += make_calls(system, "gateway2", 10, conversation="killed")
        told += stream.next(3 * len(ids) - len(told))
    system.start("gateway1", "gateway")
    system.ready("gateway1")

    assert by_call(told) == dict.fromkeys(ids, LIFE)
    assert len({event.id for event in told}) == len(told)


@pytest.mark.proof
def test_followers_wait_for_a_scheduler_that_is_started_again(system: System):
    with following(system, "gateway2", conversation="leader") as stream:
        ids = make_calls(system, "gateway1", 5, conversation="leader")
        told = stream.next(15)
        system.processes["scheduler"].kill()
        ids += make_calls(system, "gateway1", 5, wait=0, conversation="leader")
        system.start("scheduler", "scheduler")
        told += stream.next(15)

    assert by_call(told) == dict.fromkeys(ids, LIFE)


def test_a_socket_follows_several_conversations_from_a_time_on(system: System):
    ids = [make_calls(system, "gateway1", 3, conversation=f"talk-{number}") for number in range(3)]
    url = system.url("gateway2").replace("http", "ws") + "/v1/ws"
    heard: dict[str, list[str]] = {"0": [], "2": []}
    with connect(url, additional_headers=AUTH, proxy=None, open_timeout=60) as socket:
        assert json.loads(socket.recv(60)) == {"type": "ready"}
        for number in heard:
            wanted = {"conversation": f"talk-{number}", "states": ["succeeded"], "since": "2020-01-01T00:00:00Z"}
            socket.send(json.dumps({"type": "subscribe", "id": number, **wanted}))
        while sum(map(len, heard.values())) < 6:
            message = json.loads(socket.recv(60))
            if message["type"] == "event":
                heard[message["id"]].append(message["event"]["data"]["call_id"])

    assert {number: sorted(told) for number, told in heard.items()} == {"0": sorted(ids[0]), "2": sorted(ids[2])}
