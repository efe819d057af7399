"""Following an org with a real gateway, also while it is killed and started again: the clients and the command."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from tests.support.awaited import Awaited
from tests.support.embedded import Dev, clean_environment
from tests.support.processes import Process, console_script, free_port

from toolyard.client import Client, FeedEvent, Refused, events
from toolyard.client.events import aio
from toolyard.ids import new_id

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.timeout(600)]

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


class Async:
    """`aio.over_http` as the tests of its twin can use it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._feed = aio.over_http(*args, **options)

    @property
    def cursor(self) -> str:
        return self._feed.cursor

    def __enter__(self) -> Self:
        self._runner.run(self._feed.__aenter__())
        return self

    def close(self) -> None:
        self._runner.run(self._feed.close())

    def __exit__(self, *_: object) -> None:
        self.close()
        self._runner.close()

    def __iter__(self) -> Iterator[FeedEvent | events.Gap]:
        while (event := self._runner.run(self._next())) is not None:
            yield event

    async def _next(self) -> FeedEvent | events.Gap | None:
        return await anext(self._feed, None)


@pytest.mark.proof
@pytest.mark.parametrize("over_http", [events.over_http, Async], ids=["sync", "async"])
def test_a_feed_outlives_gateways_and_tells_where_another_process_goes_on(system: System, over_http: Any):
    wanted: dict[str, Any] = {"conversation": new_id()}
    with over_http(system.url, system.key, **wanted) as feed, Client(system.url, system.key, retry_for=60) as client:
        coming = iter(feed)
        calls = [client.call("weather", CITY, **wanted)]
        told, saved = next_of(coming, 2), feed.cursor
        system.kill()
        system.start()
        calls.append(client.call("weather", CITY, **wanted))
        told += next_of(coming, 4)
        feed.close()
        assert list(coming) == []
    assert [(event.call_id, event.event) for event in told] == [(call.call_id, word) for call in calls for word in LIFE]
    with over_http(system.url, system.key, since=saved, until="now", **wanted) as again:
        assert list(again) == told[2:]
    assert saved == told[1].cursor
    assert again.cursor == told[-1].cursor


@pytest.mark.proof
def test_what_has_happened_is_replayed_and_exported_once(system: System, tmp_path: Path):
    conversation, file = new_id(), tmp_path / "events"
    env = {**environment(), "TOOLYARD_API_KEY": system.key}
    with Client(system.url, system.key) as client:
        for number in range(2):
            call = client.call("weather", CITY, conversation=conversation)
            client.get(call.call_id, wait=5)
            ran = command(env, "export", str(file), "--conversation", conversation, "--url", system.url, "--json")
            assert json.loads(ran)["events"] == len(LIFE), number
    lines = file.read_text().splitlines()
    held = [json.loads(line) for line in lines]
    assert [one["data"]["state"] for one in held] == ["accepted", "running", "succeeded"] * 2
    assert [JSONFormat().read(CloudEvent, line).get_id() for line in lines] == [one["id"] for one in held]
    replayed = command(env, "replay", "--conversation", conversation, "--url", system.url, "--json")
    assert [json.loads(line) for line in replayed.splitlines()] == held


def test_a_reader_that_leaves_a_replay_early_causes_no_words(system: System):
    env = {**environment(), "TOOLYARD_API_KEY": system.key}
    with Client(system.url, system.key) as client:
        client.call("weather", CITY)
    words = console_script("toolyard", "events", "tail", "--since", "0-0", "--url", system.url)
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.stdout.close()
        with Client(system.url, system.key) as client:
            client.call("weather", CITY)
        assert process.stderr.read() == "Following; Ctrl-C ends it.\n"


def environment() -> dict[str, str]:
    """Nothing of whoever runs the tests."""
    without = clean_environment()
    return {name: value for name, value in os.environ.items() if name not in without}


def command(env: dict[str, str], *words: str) -> str:
    """What `toolyard events` with these words prints."""
    done = subprocess.run(
        console_script("toolyard", "events", *words), env=env, check=True, capture_output=True, text=True
    )
    return done.stdout


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
