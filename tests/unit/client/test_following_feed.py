"""The stream of an org goes on behind its cursor, tells each event once, and says where some are missing."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.client.playing import CALL_ID, Stage, frame, started, told

from toolyard.client import FeedEvent, Gap, Refused, Unexpected, Unreachable
from toolyard.client import following as module
from toolyard.client.following import FollowingFeed

FOLLOWS = b": following\n\n"


@pytest.fixture
def stage() -> Stage:
    return Stage()


def follow(stage: Stage, **wanted: Any) -> FollowingFeed:
    made = stage.asking.follow(**{"states": (), "since": None, **wanted})
    made.request()
    return made


@pytest.fixture
def following(stage: Stage) -> FollowingFeed:
    return follow(stage)


def asked(following: FollowingFeed) -> tuple[str | None, object]:
    request = following.request()
    return request.headers.get("Last-Event-ID"), request.query.get("since")


def cursors(following: FollowingFeed, chunk: bytes) -> list[str]:
    return [event.cursor for event in following.read(chunk)]


def test_an_event_is_a_typed_value(following: FollowingFeed):
    error = {"code": "upstream_error", "message": "404", "model_message": "It failed.", "status": 502}
    document = told(
        "failed",
        "failed",
        conversation="c-7",
        user="ada",
        effect="none",
        error=error,
        started_at="2027-01-15T08:00:00.500Z",
        finished_at="2027-01-15T08:00:01.000Z",
        later="a field of a later version",
    )
    (event,) = following.read(frame("4711-2", "failed", document))
    assert isinstance(event, FeedEvent)
    assert (event.cursor, event.event, event.state, event.last) == ("4711-2", "failed", "failed", True)
    assert (event.id, event.call_id, event.tool) == (f"{CALL_ID}/1/failed", CALL_ID, "weather")
    assert (event.conversation, event.user, event.effect, event.test) == ("c-7", "ada", "none", False)
    assert event.error is not None
    assert event.error.code == "upstream_error"
    assert event.time == event.finished_at == datetime(2027, 1, 15, 8, 0, 1, tzinfo=UTC)
    assert event.document == document


def test_the_answer_of_a_tool_comes_with_the_end(following: FollowingFeed):
    result = {"content": "7", "structured": 7}
    (event,) = following.read(frame("1-2", "succeeded", told("succeeded", "succeeded", result=result)))
    assert event.result is not None
    assert (event.result.content, event.result.structured) == ("7", 7)


def test_it_goes_on_behind_the_last_cursor_and_tells_none_twice(following: FollowingFeed):
    assert cursors(following, started(7) + started(8) + started(9)[:-5]) == ["7-2", "8-2"]
    following.pause(Unreachable("cut"))

    assert asked(following) == ("8-2", None)
    assert cursors(following, started(8) + started(9)) == ["9-2"]


def test_a_place_that_is_said_without_an_event_is_gone_on_behind(following: FollowingFeed):
    assert cursors(following, b"id: 12-0\n\n: still here\n\nid: 13-0\n") == []
    assert asked(following) == ("12-0", None)


def test_who_is_cut_off_goes_on_behind_what_was_read(following: FollowingFeed):
    assert cursors(following, started(7) + b'event: cut_off\ndata: {"cursor": "7-2"}\n\n') == ["7-2"]
    following.pause(None)
    assert asked(following) == ("7-2", None)


def test_where_to_begin_is_said_until_there_is_a_cursor(stage: Stage):
    following = follow(stage, since="2027-01-15T08:00:00Z")
    assert asked(following) == asked(following) == (None, "2027-01-15T08:00:00Z")
    assert cursors(following, started(7)) == ["7-2"]
    assert asked(following)[0] == "7-2"


def test_a_time_is_said_with_its_offset(stage: Stage):
    since = datetime(2027, 1, 15, 8, tzinfo=UTC)
    assert asked(follow(stage, since=since)) == (None, "2027-01-15T08:00:00+00:00")


@pytest.mark.parametrize(
    ("states", "said"), [((), None), (["failed", "timed_out"], ("failed", "timed_out")), ("failed", ("failed",))]
)
def test_what_is_wanted_is_said(stage: Stage, states: Any, said: tuple[str, ...] | None):
    query = follow(stage, conversation="c-7", tool=None, states=states).request().query
    assert (query["conversation"], query.get("state"), "tool" in query) == ("c-7", said, False)


def test_it_follows_once_the_gateway_says_so(following: FollowingFeed):
    assert not following.follows
    assert cursors(following, b": hello\n\n") == []
    assert not following.follows
    assert cursors(following, started(1) + FOLLOWS) == ["1-2"]
    assert following.follows
    following.request()
    assert following.follows


def test_who_says_where_to_begin_misses_nothing_from_the_first_moment(stage: Stage):
    assert follow(stage, since="7-2").follows


def test_what_is_not_kept_any_more_is_told_as_a_gap(following: FollowingFeed):
    gap, event = following.read(frame("99-0", "gap", {"cursor": "99-0"}) + started(100))
    assert gap == Gap(cursor="99-0")
    assert gap.event == "gap"
    assert isinstance(event, FeedEvent)


def test_a_loop_that_does_not_ask_for_gaps_goes_on():
    gap = Gap(cursor="99-0")
    own = {"event", "cursor", "last"}
    assert {name for name in (*FeedEvent.__struct_fields__, "last") if getattr(gap, name) is not None} == own
    assert not gap.last


def test_only_so_many_events_are_remembered(following: FollowingFeed, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "REMEMBERED", 2)
    assert cursors(following, started(1) + started(2) + started(2) + started(3)) == ["1-2", "2-2", "3-2"]
    assert cursors(following, started(3) + started(2) + started(1)) == ["1-2"]


def test_what_a_later_version_says_of_the_stream_is_passed_over(following: FollowingFeed):
    assert cursors(following, frame("7-0", "weather", {"sunny": True}) + frame("7-0", "note", "text")) == []


def test_what_is_no_event_of_a_gateway_is_told(following: FollowingFeed):
    with pytest.raises(Unexpected):
        list(following.read(frame("1-2", "started", {"specversion": "1.0", "data": 7})))
    with pytest.raises(Unexpected):
        list(following.read(frame("1-2", "started", told("started", "running", version="one"))))


def test_a_quiet_stream_that_proxies_cut_is_followed_for_hours(stage: Stage, following: FollowingFeed):
    for _ in range(200):
        following.request()
        stage.passed += 60
        stage.passed += following.pause(Unreachable("cut")).seconds
    assert stage.passed > 200 * 60


def test_it_is_given_up_when_nobody_answers_for_long_enough(stage: Stage, following: FollowingFeed):
    for _ in range(50):
        following.request()
        try:
            stage.passed += following.pause(Unreachable("refused", how="refused")).seconds
        except Unreachable:
            break
    assert stage.passed == pytest.approx(30)


@pytest.mark.parametrize("code", ["validation_failed", "unauthenticated", "forbidden"])
def test_a_refusal_that_stays_is_told_at_once(following: FollowingFeed, code: str):
    with pytest.raises(Refused):
        following.pause(Refused(code, "?"))
