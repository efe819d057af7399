"""What of the log is believed: a record that cannot be true is passed over, and never in the way of the others."""

from typing import Any

import pytest
from msgspec import structs
from tests.support.ledger import ENVELOPE, NOW, Said, Story, message_of, pause, records_of

from toolyard.contracts import codec
from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import Control, Granted, ToolChanged
from toolyard.transport import topology
from toolyard.transport.base import Message
from toolyard_scheduler.reading import Opened, open_records

STORY = Story()
GRANTED = Granted(v=VERSION, sender="s1", time=NOW, claim_id="w1:1", call_id="c1", attempt=1, fence=1, lease=15.0)
CHANGED = ToolChanged(v=VERSION, sender="g1", time=NOW, org="default", tool="lookup", version=2)


def opened(*contents: Said | Message) -> Opened:
    into = Opened()
    open_records(ENVELOPE, records_of(contents), into)
    return into


def moved(control: Control) -> Message:
    """Signed under the key of a claim."""
    key = topology.control_key("claim", pool="http", org="default")
    return ENVELOPE._seal(topology.CONTROL, key, codec.encode(control), {})


@pytest.mark.parametrize(
    "message",
    [
        Message(topology.CONTROL, "control", b"{}", "m1", {}),
        Message(topology.CONTROL, "", b"{}", "m1", {}),
        Message("", "claim", b"{}", "m1", {}),
        Message(topology.EVENTS, "call", b"{}", "m1", {}),
        Message(topology.CALLS, "", b"{}", "m1", {}),
    ],
    ids=lambda message: f"{message.exchange} {message.key}",
)
def test_a_message_under_a_key_that_is_none_of_ours_stops_nothing(message: Message):
    assert [entry.content for entry in opened(message, STORY.accepted()).entries] == [STORY.accepted()]


@pytest.mark.parametrize("control", [GRANTED, CHANGED])
def test_what_stands_under_the_key_of_another_kind_is_passed_over(control: Control):
    result = opened(moved(control), STORY.claim())

    assert (result.passed_over, [entry.content for entry in result.entries]) == (1, [STORY.claim()])


UNBELIEVABLE: list[tuple[Said, dict[str, Any]]] = [
    (STORY.claim(), {"attempt": 1_000_000}),
    (STORY.claim(), {"attempt": -1}),
    (STORY.claim(), {"time": 1e18}),
    (STORY.claim(), {"claim_id": "w" * 301}),
    (STORY.claim(), {"deadline": -1.0}),
    (STORY.ended(), {"attempt": 1_000_000}),
    (STORY.ended(), {"finished_at": 1e18}),
    (STORY.ended(), {"started_at": -1e18}),
    (STORY.ended(), {"sequence": 10**30}),
    (STORY.ending(), {"attempt": 10**30}),
    (STORY.accepted(), {"call": structs.replace(STORY.call, version=10**30)}),
    (STORY.accepted(), {"attempt": 1_000_000}),
    (STORY.accepted(), {"call": structs.replace(STORY.call, conversation="c" * 301)}),
    (pause(), {"name": "t" * 301}),
]


@pytest.mark.parametrize(("content", "fields"), UNBELIEVABLE, ids=lambda each: str(each)[:40])
def test_what_cannot_be_true_is_passed_over(content: Any, fields: dict[str, Any]):
    result = opened(structs.replace(content, **fields))

    assert (result.passed_over, result.entries) == (1, [])


@pytest.mark.parametrize("time", [0.0, 253_402_300_799.0])
def test_the_first_second_and_the_last_are_believed(time: float):
    assert len(opened(structs.replace(STORY.ended(), time=time, finished_at=time)).entries) == 1


@pytest.mark.parametrize(
    "bad",
    [
        codec.encode(structs.replace(STORY.ended(), attempt=10**30)),
        codec.encode(structs.replace(STORY.ended(), v=2)),
    ],
    ids=["cannot be true", "of a newer version"],
)
def test_of_outcomes_that_travel_together_those_that_can_be_read_are_heard_in_their_order(bad: bytes):
    ends = [Story(f"c{n}").ended(at=float(n)) for n in (3, 1, 2)]
    encoded = [codec.encode(end) for end in ends]
    result = opened(ENVELOPE.outcomes("http", "g1", [encoded[0], bad, *encoded[1:]]))

    assert ([entry.content for entry in result.entries], result.passed_over) == (ends, 1)
    assert {(entry.offset, entry.message_id) for entry in result.entries} == {(0, result.entries[0].message_id)}
    assert result.newest == NOW + 3.0


def test_what_only_newer_versions_know_is_passed_over_and_not_counted():
    unknown = b'{"v":1,"event":"teleported"}'
    end = STORY.ended()
    result = opened(ENVELOPE.outcomes("http", "g1", [unknown, codec.encode(end)]))

    assert ([entry.content for entry in result.entries], result.passed_over) == ([end], 0)
    assert ["'teleported'" in str(error) for error in result.newer] == [True]


@pytest.mark.parametrize(
    ("content", "times"),
    [
        (message_of(STORY.accepted()), [(0, NOW)]),
        (ENVELOPE.call(STORY.dispatched(at=3_600.0), event="dispatched"), []),
        (ENVELOPE.call(STORY.dispatched(attempt=2), event="dispatched"), []),
    ],
    ids=["accepted", "dispatched", "dispatched again"],
)
def test_only_what_was_just_accepted_tells_what_time_it_is(content: Message, times: list[tuple[int, float]]):
    """What waited for an hour and is dispatched now would make our clock an hour wrong."""
    assert opened(content).times == times


def test_a_record_from_the_future_does_not_hide_that_the_ledger_lags():
    ahead = opened(structs.replace(STORY.ended(), time=NOW + 86_400.0))

    assert ahead.newest_after(NOW - 5.0, NOW) == NOW
    assert opened(STORY.claim(at=-3.0)).newest_after(NOW - 5.0, NOW) == NOW - 3.0
    assert opened().newest_after(NOW - 5.0, NOW) == NOW - 5.0
