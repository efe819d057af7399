"""What followers are told of each record: every kind of event, repeats, late results; the same whenever it is read."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Raw, structs
from tests.support.ledger import ENVELOPE, NOW, Said, Story, pause, records_of
from tests.unit.scheduler.feed_reader import Reader, opened, outline

from toolyard.contracts import codec
from toolyard.contracts.calls import Report, Result, error_info
from toolyard.contracts.events import WITHDRAWN, Claimed, Parked, SoftTimeout
from toolyard.contracts.feed import Cursor, EventView, FeedItem, Interest
from toolyard.transport.base import Message
from toolyard_scheduler import feed
from toolyard_scheduler.entries import Entry

STORY = Story(conversation="talk", user="u1")
BROKE = error_info("upstream_error", "500", retryable=True)


def told(*said: Said | Message) -> list[FeedItem]:
    """What is told of these, each read and applied before the next one."""
    reader = Reader()
    return [item for record in records_of(said) for item in reader.read([record])]


def words(items: Sequence[FeedItem]) -> list[tuple[str, str]]:
    return [(item.event, item.state) for item in items]


def view(item: FeedItem) -> EventView:
    return msgspec.json.decode(item.body, type=EventView)


# ---- every kind -----------------------------------------------------------------------------------
def test_an_accepted_call_is_told_with_all_that_tells_it_apart():
    story = Story(conversation="talk", user="u1", test=True, traceparent="00-4bf9-00f0-01")
    (item,) = told(story.accepted())

    assert (item.cursor, item.event_id, item.tool) == (Cursor(0, 2), "c1/0/accepted", "lookup")
    assert (item.state, item.time, item.conversation) == ("accepted", NOW, "talk")
    assert msgspec.json.decode(item.body) == {
        "specversion": "1.0",
        "id": "c1/0/accepted",
        "source": "/orgs/default",
        "type": "io.toolyard.call.accepted.v1",
        "subject": "c1",
        "time": "2027-01-15T08:00:00.000Z",
        "sequence": "0",
        "datacontenttype": "application/json",
        "traceparent": "00-4bf9-00f0-01",
        "data": {
            "call_id": "c1",
            "org": "default",
            "tool": "lookup",
            "version": 1,
            "state": "accepted",
            "attempt": 0,
            "deadline": "2027-01-15T08:05:00.000Z",
            "conversation": "talk",
            "user": "u1",
            "test": True,
        },
    }


def test_a_call_for_later_is_accepted_as_scheduled():
    (item,) = told(Story(not_before=NOW + 60.0).accepted())

    assert words([item]) == [("accepted", "scheduled")]
    assert (view(item).data.reason, view(item).data.due_at) == ("not_before", "2027-01-15T08:01:00.000Z")


def test_what_happens_to_a_call_is_told_in_its_order():
    about = STORY._about(1, 2, 8.0)
    soft = SoftTimeout(**about, ends_at=NOW + 10.0, worker="w1")
    items = told(STORY.accepted(), STORY.started(at=1.0), soft, STORY.ended(n=3, at=9.0, started_at=NOW + 1.0))

    assert words(items) == [
        ("accepted", "accepted"),
        ("started", "running"),
        ("soft_timeout", "running"),
        ("succeeded", "succeeded"),
    ]
    assert [item.event_id for item in items[1:]] == [
        "c1/1000001/started",
        "c1/1000002/soft_timeout",
        "c1/1000003/succeeded",
    ]
    data = view(items[-1]).data
    assert (data.effect, data.attempt, data.user, data.conversation) == ("done", 1, "u1", "talk")
    assert data.result is not None
    assert data.result.content == "result of attempt 1"
    assert (data.started_at, data.finished_at) == ("2027-01-15T08:00:01.000Z", "2027-01-15T08:00:09.000Z")
    assert view(items[2]).data.ends_at == "2027-01-15T08:00:10.000Z"
    assert {item.conversation for item in items} == {"talk"}


def test_what_the_worker_noted_is_told_with_the_end():
    noted = Report(logs="printed", isolation="full", requests=2)

    assert view(told(STORY.accepted(), STORY.ended(report=noted))[-1]).data.report == noted


@pytest.mark.parametrize("state", ["failed", "timed_out", "expired", "cancelled", "rejected"])
def test_every_end_is_told_with_its_error(state: Any):
    items = told(STORY.accepted(), STORY.ended(state, effect="unknown", started_at=None, by="scheduler"))

    assert words(items) == [("accepted", "accepted"), (state, state)]
    data = view(items[1]).data
    assert (data.effect, data.error, data.result) == ("unknown", error_info("tool_error", "attempt 1"), None)


@pytest.mark.parametrize(
    ("reason", "state"), [("retry", "retrying"), ("not_before", "scheduled"), ("paused", "scheduled")]
)
def test_a_parked_call_tells_what_it_waits_for(reason: Any, state: str):
    parked = Parked(**STORY._about(1, 900_004, 1.0), reason=reason, due_at=NOW + 5.0)
    item = told(STORY.accepted(), parked)[-1]

    assert words([item]) == [("parked", state)]
    assert (view(item).data.reason, view(item).data.due_at) == (reason, "2027-01-15T08:00:05.000Z")


def test_a_call_that_waits_for_its_user_tells_where_they_consent():
    asks = STORY.asks_its_user()
    waits = Parked(**STORY._about(2, 900_004, 2.0), reason="authorization", authorization=asks.authorization)
    items = told(STORY.accepted(), asks, waits)

    states = [("accepted", "accepted"), ("started", "running"), ("authorization_required", "awaiting_authorization")]
    assert words(items) == states
    shown = view(items[-1]).data.authorization
    assert shown is not None
    assert (shown.url, shown.provider) == ("https://consent.example/a1", "arcade/google")


def test_a_question_to_its_user_that_is_the_end_is_told_as_the_end():
    ended = STORY.asks_its_user(final=True, effect="unknown")

    assert words(told(STORY.accepted(), ended))[-1] == ("failed", "failed")


def test_what_is_said_among_the_parts_is_told_to_nobody():
    claimed = Claimed(**STORY._about(1, 900_003, 1.0))
    said = (STORY.claim(), claimed, STORY.ending(), STORY.settled(), STORY.dispatched(), pause())

    assert words(told(STORY.accepted(), *said)) == [("accepted", "accepted")]


def test_a_call_that_was_withdrawn_ends_as_cancelled():
    items = told(STORY.accepted(), STORY.withdrawn())

    assert words(items) == [("accepted", "accepted"), ("cancelled", "cancelled")]
    data = view(items[1]).data
    assert data.error is not None
    assert (data.effect, data.error.details, data.finished_at) == ("none", WITHDRAWN, view(items[1]).time)


def test_a_withdrawal_that_came_too_late_tells_nothing():
    items = told(STORY.accepted(), STORY.started(), STORY.withdrawn(), STORY.ended())

    assert [item.event for item in items] == ["accepted", "started", "succeeded"]


# ---- starts of short attempts ---------------------------------------------------------------------
@pytest.mark.parametrize("announced", [False, True])
def test_the_end_of_an_attempt_that_nobody_has_heard_of_tells_its_start(announced: bool):
    items = told(STORY.accepted(), STORY.ended(started_at=NOW + 1.0, announced=announced))
    starts = int(not announced)

    assert words(items)[1:] == [("started", "running")] * starts + [("succeeded", "succeeded")]
    if starts:
        assert (items[1].cursor, items[1].time, items[1].event_id) == (Cursor(1, 1), NOW + 1.0, "c1/1000001/started")
        assert view(items[1]).data.result is None
        assert view(items[1]).sequence == "1000001"
    assert items[-1].cursor == Cursor(1, 2)


def test_a_start_that_was_published_all_the_same_is_told_once():
    end = STORY.ended(started_at=NOW + 1.0)

    assert [word for word, _ in words(told(STORY.accepted(), STORY.started(), end))][1:] == ["started", "succeeded"]


def test_a_verdict_tells_no_start():
    verdict = STORY.verdict(started_at=NOW + 1.0, finished_at=NOW + 1.1)

    assert [word for word, _ in words(told(STORY.accepted(), verdict))] == ["accepted", "timed_out"]


# ---- failures, late results, repeats --------------------------------------------------------------
def failed(attempt: int = 1, **fields: Any) -> Any:
    given: dict[str, Any] = {"effect": "none", "error": BROKE, "announced": True}
    return STORY.ended("failed", attempt, **(given | fields))


def test_a_failure_that_may_be_followed_is_an_attempt_that_failed():
    items = told(STORY.accepted(), STORY.started(), failed(final=False))

    assert words(items)[-1] == ("attempt_failed", "retrying")
    assert (view(items[-1]).data.error, view(items[-1]).data.effect) == (BROKE, "none")
    assert items[-1].event_id == "c1/1000002/attempt_failed"


def test_the_failure_of_an_older_attempt_ends_nothing():
    items = told(STORY.accepted(), STORY.started(2), failed(1), STORY.ended(attempt=2, at=5.0))

    assert [word for word, _ in words(items)] == ["accepted", "started", "attempt_failed", "succeeded"]


def test_what_comes_after_the_end_is_a_late_result_and_the_state_stays():
    items = told(STORY.accepted(), STORY.verdict(), STORY.ended(at=401.0, started_at=NOW + 1.0))

    assert words(items)[1:] == [("timed_out", "timed_out"), ("late_result", "timed_out")]
    assert view(items[-1]).data.result is not None


def test_what_comes_while_the_end_is_decided_is_late_too():
    said = (STORY.started(), STORY.ending(), STORY.settled(), STORY.ended(at=395.0), STORY.verdict())

    assert words(told(STORY.accepted(), *said))[2:] == [("late_result", "timed_out"), ("timed_out", "timed_out")]


def test_a_repeat_is_told_once():
    said = (STORY.accepted(), STORY.accepted(), STORY.started(), STORY.started(), STORY.ended(), STORY.ended())

    assert [word for word, _ in words(told(*said))] == ["accepted", "started", "succeeded"]


def test_a_further_submission_tells_nothing():
    other = structs.replace(STORY.ended(), body_hash="foreign")
    said = (STORY.accepted(gateway="g2"), STORY.accepted(body_hash="foreign"), other, STORY.ended(announced=True))

    assert [item.cursor for item in told(STORY.accepted(), *said)] == [Cursor(0, 2), Cursor(4, 2)]


def test_a_call_of_another_org_under_the_same_id_tells_nothing():
    theirs = structs.replace(STORY.started(), org="other")
    reader = Reader()
    reader.read(records_of([STORY.accepted()]))

    assert list(feed.items(opened(records_of([theirs], 1)), {"c1": outline(reader.rows["c1"])}, feed.Repeats())) == []


def test_what_is_told_of_a_call_that_was_dropped_is_what_its_events_say():
    said = [STORY.accepted(), STORY.started(), failed(final=False), failed(2), STORY.ended(attempt=2, announced=True)]
    items = Reader().made(opened(records_of(said)))

    assert [word for word, _ in words(items)] == ["accepted", "started", "attempt_failed", "failed", "succeeded"]
    assert items[1].conversation is None


def test_of_events_that_travel_together_each_has_a_place_of_its_own():
    stories = [Story(f"c{n}", org=org) for n, org in enumerate(("default", "other", "default"))]
    ends = [codec.encode(each.ended(started_at=NOW + 1.0)) for each in stories]
    items = told(*(each.accepted() for each in stories), ENVELOPE.outcomes("http", "g1", ends))

    assert [(item.call_id, item.event, str(item.cursor)) for item in items[2:]] == [
        ("c0", "started", "3-1"),
        ("c0", "succeeded", "3-2"),
        ("c2", "started", "3-5"),
        ("c2", "succeeded", "3-6"),
    ]


# ---- what it is made of ---------------------------------------------------------------------------
def test_a_result_that_is_no_text_or_too_long_is_told_as_far_as_it_can_be():
    broken = STORY.ended(result=Result(structured=Raw(b'{"a":"\xff\xc3\xa9"}')))
    long = STORY.ended(result=Result(structured=Raw(b'"' + b'\\"' * 2_000_000 + b'"')))
    items = [list(feed.items([Entry(1, "m", end)], {}, feed.Repeats()))[-1] for end in (broken, long)]

    first = view(items[0]).data.result
    assert first is not None
    assert first.content == '{"a":"\N{REPLACEMENT CHARACTER}\u00e9"}'
    assert view(items[1]).data.result is None
    assert view(items[1]).data.state == "succeeded"


def test_a_memory_of_repeats_forgets_the_oldest_and_knows_the_earliest_place():
    repeats = feed.Repeats(most=2)

    assert [repeats.is_one(name, Cursor(5, 2)) for name in "abc"] == [False] * 3
    assert not repeats.is_one("a", Cursor(9, 2)), "forgotten"
    assert not repeats.is_one("c", Cursor(5, 2)), "read again"
    assert not repeats.is_one("c", Cursor(3, 2)), "read again from before"
    assert repeats.is_one("c", Cursor(5, 2))


@pytest.mark.parametrize(
    ("only", "wanted"),
    [
        (None, True),
        (Interest(), True),
        (Interest(tool="lookup", call_id="c1"), True),
        (Interest(tool="other"), False),
        (Interest(call_id="c2"), False),
        (Interest(tool="lookup", call_id="c2"), False),
        (Interest(conversation="another"), True),
    ],
)
def test_what_nobody_can_want_is_seen_without_a_row(only: Interest | None, wanted: bool):
    entries = opened(records_of([STORY.accepted(), STORY.ended()]))

    assert [feed.may_be_wanted(entry, only) for entry in entries] == [wanted, wanted]
