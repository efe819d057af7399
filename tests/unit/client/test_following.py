"""A stream that breaks goes on behind its last event, and tells each event once."""

import json
from typing import Any

import pytest
from tests.unit.client.playing import CALL_ID, Stage, call

from toolyard.client import Event, Refused, Unexpected, Unreachable
from toolyard.client.following import Following


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def following(stage: Stage) -> Following:
    return stage.asking.events(CALL_ID)


def sse(*events: tuple[str, str]) -> bytes:
    return b"".join(f"id: {id_}\nevent: {name}\ndata: {json.dumps(call(name))}\n\n".encode() for id_, name in events)


def asked(following: Following) -> str | None:
    return following.request().headers.get("Last-Event-ID")


def names(following: Following, chunk: bytes) -> list[str]:
    return [event.event for event in following.read(chunk)]


def test_it_goes_on_behind_the_last_event_and_tells_none_twice(following: Following):
    assert asked(following) is None
    assert names(following, sse(("0", "accepted"), ("1000001", "started")) + b"id: 1999999\nevent: suc") == [
        "accepted",
        "started",
    ]
    following.pause(Unreachable("cut"))

    assert asked(following) == "1000001"
    assert names(following, sse(("1000001", "started"), ("1999999", "succeeded"))) == ["succeeded"]
    assert following.ended


def test_nothing_is_told_behind_the_end(following: Following):
    assert names(following, sse(("1", "succeeded"), ("2", "late_result"))) == ["succeeded"]


def test_it_begins_where_it_is_told_to(stage: Stage):
    assert asked(stage.asking.events(CALL_ID, last_event_id="7")) == "7"


def test_events_without_an_id_are_all_told(following: Following):
    data = b'event: progress\ndata: {"done": 1}\n\n'
    assert names(following, data + data) == ["progress", "progress"]
    assert asked(following) is None


def test_an_event_gives_its_call(following: Following):
    (event,) = following.read(sse(("1", "succeeded")))
    assert event.call is not None
    assert (event.call.output(), event.last) == ({"max": 21}, True)
    assert Event(id="", event="progress", data={"done": 1}).call is None
    with pytest.raises(Unexpected):
        _ = Event(id="", event="progress", data={"call_id": 1}).call


@pytest.mark.parametrize("error", [None, Unreachable("cut"), Refused("unavailable", "?"), Unexpected("?", status=504)])
def test_it_is_asked_again_as_long_as_is_tried(stage: Stage, following: Following, error: Any):
    for _ in range(50):
        following.request()
        try:
            stage.passed += following.pause(error).seconds
        except (Unreachable, Refused, Unexpected):
            break
    assert stage.passed == pytest.approx(30)


@pytest.mark.parametrize("error", [Refused("not_found", "?"), Unexpected("?")])
def test_what_stays_wrong_is_told_at_once(following: Following, error: Any):
    following.request()
    with pytest.raises(type(error)):
        following.pause(error)


def test_a_quiet_stream_that_proxies_cut_is_followed_for_hours(stage: Stage, following: Following):
    for _ in range(200):
        following.request()
        assert names(following, b": still here\n\n") == []
        stage.passed += 60 + following.pause(Unreachable("cut")).seconds
        following.request()
        stage.passed += 60
        following.pause(None)


def test_an_event_shows_that_somebody_is_there(stage: Stage, following: Following):
    for number in range(100):
        following.request()
        assert names(following, sse((str(number), "started"))) == ["started"]
        stage.passed += following.pause(Unreachable("cut")).seconds
