"""Following an org with a real gateway, also while it is killed and started again: the clients and the command."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.awaited import Awaited
from tests.support.embedded import Dev, clean_environment
from tests.support.processes import Process, console_script, free_port

from toolyard.client import Client, FeedEvent, Refused
from toolyard.ids import new_id

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.timeout(180)]

COLOURS: dict[str, type[Any]] = {"sync": Client, "async": Awaited}
CITY = {"city": "Bern"}
LIFE = ["accepted", "started", "succeeded"]


class System:
    """`toolyard dev` with its samples, at one address however often it dies."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.start()

    def start(self) -> None:
        self.dev = Dev(self._folder, port=self._port).wait_until_ready()
        self.url, self.key = self.dev.told["address"], self.dev.told["api_key"]

    def kill(self) -> None:
        self.dev.process.kill()
        self.dev.client.close()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    running = System(tmp_path_factory.mktemp("dev"))
    yield running
    running.kill()


@pytest.fixture(params=COLOURS.values(), ids=list(COLOURS))
def client(request: pytest.FixtureRequest, system: System) -> Iterator[Any]:
    with request.param(system.url, system.key) as made:
        yield made


def next_of(events: Iterator[Any], number: int) -> list[FeedEvent]:
    told = [next(events) for _ in range(number)]
    assert all(isinstance(event, FeedEvent) for event in told), told
    return told


def test_a_call_that_is_made_in_the_block_is_told_from_its_beginning(client: Any):
    conversation = new_id()
    with client.follow(conversation=conversation) as events:
        call = client.call("weather", CITY, conversation=conversation, user="ada")
        told = next_of(events, 3)
    assert [event.event for event in told] == LIFE
    assert {(event.call_id, event.tool, event.user) for event in told} == {(call.call_id, "weather", "ada")}
    end = told[-1]
    assert (end.last, end.state, end.effect, end.attempt) == (True, "succeeded", call.effect, 1)
    assert end.result is not None
    assert end.result.structured == call.output()
    assert (end.started_at, end.finished_at) == (call.started_at, call.finished_at)


def test_it_goes_on_behind_a_cursor_and_begins_at_a_time(client: Any):
    conversation = new_id()
    with client.follow(conversation=conversation) as events:
        client.call("weather", CITY, conversation=conversation)
        told = next_of(events, 3)
    with client.follow(conversation=conversation, since=told[0].cursor) as events:
        assert next_of(events, 2) == told[1:]
    with client.follow(conversation=conversation, since=told[0].time) as events:
        assert next_of(events, 3) == told


def test_what_is_not_wanted_is_not_told(client: Any):
    conversation = new_id()
    with client.follow(conversation=conversation, states=["failed", "succeeded"]) as events:
        client.call("weather", CITY)
        client.call("weather", CITY, conversation=conversation)
        failed = client.call("weather", {"city": "Atlantis"}, conversation=conversation)
        told = next_of(events, 2)
    assert [event.state for event in told] == ["succeeded", "failed"]
    assert told[1].call_id == failed.call_id
    assert told[1].error == failed.error


@pytest.mark.parametrize("since", ["yesterday", "999999999999-0", "4711"])
def test_a_place_that_is_none_is_refused_before_the_block_begins(client: Any, since: str):
    with pytest.raises(Refused) as caught, client.follow(since=since):
        pytest.fail("it follows")
    assert caught.value.refusal == "validation_failed"


@pytest.mark.parametrize("colour", COLOURS)
def test_it_goes_on_when_the_gateway_was_killed(system: System, colour: str):
    conversation = new_id()
    with (
        COLOURS[colour](system.url, system.key, retry_for=60) as client,
        client.follow(conversation=conversation) as events,
    ):
        calls = [client.call("weather", CITY, conversation=conversation)]
        told = next_of(events, 2)
        system.kill()
        system.start()
        calls.append(client.call("weather", CITY, conversation=conversation))
        told += next_of(events, 4)
    assert [(event.call_id, event.event) for event in told] == [(call.call_id, word) for call in calls for word in LIFE]


@pytest.mark.parametrize("as_json", [False, True], ids=["for people", "for scripts"])
def test_the_command_prints_what_happens_until_ctrl_c(system: System, as_json: bool):
    conversation = new_id()
    with Client(system.url, system.key) as client:
        before = client.call("weather", {"city": "Atlantis"}, conversation=conversation)
        options = ["--conversation", conversation, "--since", before.created_at.isoformat()]
        command = ["events", "tail", *options, "--url", system.url, *(["--json"] if as_json else [])]
        env = {**clean_environment(), "TOOLYARD_API_KEY": system.key}
        with Process(console_script("toolyard", *command), env=env) as process:
            process.wait_for_line("upstream_error", within=60)
            after = client.call("weather", CITY, conversation=conversation)
            process.wait_for_line(f"{after.call_id}.*Bern" if as_json else f"succeeded  weather  {after.call_id}")
            process.send(signal.SIGINT)
            assert process.wait(within=60) == 130
            lines = process.output().splitlines()
    if as_json:
        documents = [json.loads(line) for line in lines]
        assert [one["type"].split(".")[3] for one in documents] == ["accepted", "started", "failed", *LIFE]
        assert {one["subject"] for one in documents} == {before.call_id, after.call_id}
        assert len({one["cursor"] for one in documents}) == 6
    else:
        assert lines[0] == "Following; Ctrl-C ends it."
        assert [line.split()[1:4] for line in lines[1:]] == [
            [word, "weather", call.call_id]
            for call, life in ((before, ["accepted", "started", "failed"]), (after, LIFE))
            for word in life
        ]
