"""Who may start an attempt: each line of the claim protocol that the ledger keeps (docs/concepts/claims.md)."""

from typing import Any

import pytest
from tests.support.ledger import NOW, Story, pause

from toolyard.contracts.calls import error_info
from toolyard.contracts.control import ClaimRefused, Granted, Paused, Pauses
from toolyard.contracts.tools import RetryPolicy
from toolyard.store.ledger_rows import LedgerRow
from toolyard_scheduler.entries import Content, Entry, Folded
from toolyard_scheduler.folding import fold
from toolyard_scheduler.rows import Around

STORY = Story()
AGAIN = Story(rerunnable=True)
LATER = Around(NOW + 10_000.0, "s1")
UNKNOWN = error_info("upstream_error", "500", retryable=True)


def folded(*contents: Content, around: Around = LATER) -> Folded:
    result = Folded()
    fold([Entry(offset, f"m{offset}", content) for offset, content in enumerate(contents)], result, around)
    return result


def row_of(*contents: Content, around: Around = LATER) -> LedgerRow:
    return folded(*contents, around=around).rows["c1"]


def words(*contents: Content, around: Around = LATER) -> list[str]:
    """What each claim was told."""
    messages = [answer.message for answer in folded(*contents, around=around).answers]
    return [
        "granted" if isinstance(each, Granted) else each.reason for each in messages if not isinstance(each, Pauses)
    ]


# ---- one grant ----------------------------------------------------------------------------------------
def test_a_claim_is_granted_and_the_call_runs():
    result = folded(STORY.accepted(), STORY.claim())
    row, (answer,) = result.rows["c1"], result.answers

    assert isinstance(answer.message, Granted)
    assert (answer.reply, answer.message.fence, answer.message.lease, answer.first) == ("w1", 1, 15.0, None)
    assert (row.state, row.holder, row.attempts) == ("running", "w1:1", 1)
    assert [(grant.claim_id, grant.lasts) for grant in result.granted] == [("w1:1", 30.0 + 5.0)]


def test_the_same_claim_gets_the_same_answer_and_another_one_is_told_that_it_was_started():
    claims = (STORY.claim(), STORY.claim("w2:1"), STORY.claim(), STORY.claim("w2:1"))

    assert words(STORY.accepted(), *claims) == ["granted", "started", "granted", "started"]
    assert row_of(STORY.accepted(), *claims).fence == 1


def test_a_claim_of_an_older_attempt_was_started():
    assert words(STORY.accepted(), STORY.dispatched(attempt=2), STORY.claim()) == ["started"]


def test_a_claim_after_the_end_is_told_so():
    assert words(STORY.accepted(), STORY.ended(), STORY.claim()) == ["terminal"]


def test_a_claim_without_its_call_makes_the_call():
    row = row_of(STORY.claim(queue_timeout=5.0, rerunnable=True))

    assert row.call is not None
    assert (row.call.queue_timeout, row.call.rerunnable, row.call.timeout, row.holder) == (5.0, True, 30.0, "w1:1")


def test_a_submission_with_another_body_is_granted_nothing():
    assert words(STORY.accepted(), STORY.claim(body_hash="other")) == ["started"]


def test_the_gateway_of_a_rerunnable_call_is_told_before_a_second_worker_may_speak():
    (answer,) = folded(AGAIN.accepted(), AGAIN.claim()).answers

    assert answer.first is not None
    assert (answer.first.gateway, answer.first.attempt) == ("g1", 1)


def test_what_was_delivered_before_runs_alone():
    (answer,) = folded(AGAIN.accepted(), AGAIN.claim(again=True)).answers

    assert isinstance(answer.message, Granted)
    assert answer.message.alone


# ---- given back ---------------------------------------------------------------------------------------
def test_a_grant_that_is_given_back_costs_nothing():
    row = row_of(STORY.accepted(), STORY.claim(), STORY.released())

    assert (row.state, row.holder, row.attempts, row.due_at) == ("queued", None, 0, None)


def test_a_claim_that_was_given_back_is_never_granted_again_but_another_is():
    said = (STORY.accepted(), STORY.claim(), STORY.released(), STORY.claim(), STORY.claim("w2:1"))

    assert words(*said) == ["granted", "started", "granted"]
    assert row_of(*said).fence == 2


def test_a_claim_that_was_refused_is_never_granted_though_the_grant_is_given_back():
    said = (STORY.accepted(), STORY.claim(), STORY.claim("w2:1"), STORY.released(), STORY.claim("w2:1"))

    assert words(*said) == ["granted", "started", "started"]


def test_where_another_message_was_dropped_a_released_attempt_is_dispatched():
    row = row_of(STORY.accepted(), STORY.claim(), STORY.claim("w2:1"), STORY.released(at=0.7))

    assert row.due_at == NOW + 0.7


def test_what_was_due_when_it_was_granted_is_due_again_when_it_is_given_back():
    """The claim may be an old one whose delivery is gone, and the dispatch was put off for it."""
    due = (STORY.accepted(), STORY.claim(), STORY.claim("w2:1"), STORY.released(at=0.7))
    row = row_of(*due, STORY.claim("w3:1"), STORY.released("w3:1", at=0.9))

    assert (row.holder, row.due_at) == (None, NOW + 0.9)


def test_a_release_of_somebody_elses_claim_frees_nothing():
    assert row_of(STORY.accepted(), STORY.claim(), STORY.released("w2:1")).holder == "w1:1"


def test_a_grant_is_given_back_though_a_later_attempt_was_claimed_meanwhile():
    """Its lease would lapse else, and a call that never began would end with an unknown effect."""
    said = (STORY.accepted(), STORY.claim(), STORY.claim("w2:1", 2), STORY.released(), STORY.claim())
    row = row_of(*said)
    assert (row.holder, row.attempt, row.state, row.due_at) == (None, 1, "queued", NOW + 0.6)
    assert words(*said) == ["granted", "started", "started"]


def test_what_is_said_of_a_later_attempt_leaves_the_attempt_that_is_held():
    """No scheduler dispatched it; the holder's outcome must not pass for that of an older attempt."""
    said = (STORY.accepted(), STORY.claim(), STORY.claim("w2:1", 2), STORY.started(attempt=3))
    outcome = STORY.ended("failed", claim_id="w1:1", effect="none")

    assert row_of(*said).attempt == 1
    assert (row_of(*said, outcome).state, row_of(*said, outcome).effect) == ("failed", "none")


# ---- overdue, cancelled, paused -----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("fields", "at", "word"),
    [
        ({"queue_timeout": 5.0}, 4.0, "granted"),
        ({"queue_timeout": 5.0}, 6.0, "terminal"),
        ({"queue_timeout": 5.0, "rerunnable": True}, 6.0, "started"),
        ({"deadline": NOW + 5.0}, 6.0, "terminal"),
    ],
)
def test_what_is_overdue_is_not_granted(fields: dict[str, Any], at: float, word: str):
    story = Story(**fields)

    assert words(story.accepted(), story.claim(at=at)) == [word]


def test_an_overdue_call_that_nobody_can_have_started_expires_without_effect():
    story = Story(queue_timeout=5.0)
    row = row_of(story.accepted(), story.claim(at=6.0))

    assert (row.settled, row.doomed, row.effect) == (True, "expired", "none")


def test_an_overdue_call_that_may_be_running_is_ended_by_the_two_marks():
    story = Story(queue_timeout=5.0, rerunnable=True)
    said = (story.accepted(), story.claim(at=6.0))
    row = row_of(*said)
    assert (row.settled, row.doomed, row.watch_at) == (False, "expired", NOW + 6.0)

    row = row_of(*said, story.ending(code="expired"), story.settled())
    assert (row.settled, row.doomed, row.effect) == (True, "timed_out", "unknown")


def test_a_workers_clock_that_is_ahead_expires_nothing():
    story = Story(queue_timeout=5.0)

    assert words(story.accepted(), story.claim(at=300.0), around=Around(NOW + 1.0)) == ["granted"]


def test_time_in_which_a_call_was_parked_is_not_time_in_the_queue():
    story = Story(queue_timeout=5.0, not_before=NOW + 60.0)
    said = (story.accepted(), story.dispatched(at=60.5))

    assert words(*said, story.claim(at=64.0)) == ["granted"]
    assert words(*said, story.claim(at=66.0)) == ["terminal"]


def test_a_paused_tool_is_parked_and_dispatched_when_it_is_resumed():
    paused = Around(NOW, "s1", frozenset({Paused(kind="tool", org="default", name="lookup")}))
    row = row_of(STORY.accepted(), STORY.claim(), around=paused)

    assert words(STORY.accepted(), STORY.claim(), around=paused) == ["paused"]
    assert (row.state, row.parked_for, row.due_at, row.holder) == ("scheduled", "paused", None, None)
    assert pause().name == "lookup"


def test_a_claim_that_was_told_of_a_pause_is_not_granted_when_its_repeat_is_read_after_it():
    """Its message is dropped: the grant would lapse, and a call that never began end with an unknown effect."""
    result = Folded()
    paused = frozenset({Paused(kind="tool", org="default", name="lookup")})
    for around, claim in [(LATER.with_pauses(paused), STORY.claim()), (LATER, STORY.claim(at=1.0))]:
        fold([Entry(0, "m0", STORY.accepted()), Entry(1, "m1", claim)], result, around)
    assert [answer.message.reason for answer in result.answers if isinstance(answer.message, ClaimRefused)] == [
        "paused",
        "started",
    ]
    assert (result.rows["c1"].state, result.rows["c1"].holder) == ("scheduled", None)


def test_what_a_worker_parks_after_the_pause_has_ended_is_due_at_once():
    assert row_of(AGAIN.accepted(), AGAIN.parked(at=1.0)).due_at == NOW + 1.0


# ---- cancel -------------------------------------------------------------------------------------------
def test_a_queued_call_that_needs_a_claim_is_cancelled_at_once_without_effect():
    row = row_of(STORY.accepted(), STORY.cancel())

    assert (row.settled, row.doomed, row.effect) == (True, "cancelled", "none")
    assert words(STORY.accepted(), STORY.cancel(), STORY.claim()) == ["terminal"]


def test_a_running_call_is_given_time_to_answer_the_cancel():
    row = row_of(STORY.accepted(), STORY.claim(), STORY.cancel(at=1.0))

    assert (row.settled, row.doomed, row.watch_at) == (False, "cancelled", NOW + 3.0)


def test_a_cancel_that_nobody_answered_ends_with_an_unknown_effect():
    said = (STORY.accepted(), STORY.claim(), STORY.cancel())
    marks = (STORY.ending(code="cancelled", claim_id="w1:1"), STORY.settled(claim_id="w1:1"))
    row = row_of(*said, *marks)

    assert (row.settled, row.doomed, row.effect, row.holder) == (True, "cancelled", "unknown", None)


def test_the_holder_of_a_cancelled_call_that_never_started_it_promises_that_nothing_happened():
    row = row_of(STORY.accepted(), STORY.claim(), STORY.cancel(), STORY.released())

    assert (row.settled, row.doomed, row.effect) == (True, "cancelled", "none")


def test_not_started_is_an_end_only_if_nobody_else_holds_a_grant():
    dropped = AGAIN.ended("cancelled", started_at=None, effect="none")

    assert row_of(AGAIN.accepted(), dropped).state == "cancelled"
    assert row_of(AGAIN.accepted(), AGAIN.claim(), dropped).state == "running"


def test_a_parked_retry_keeps_the_effect_of_the_attempts_it_has_had():
    story = Story(rerunnable=True, retry=RetryPolicy(max_attempts=3))
    broke = story.ended("failed", effect="unknown", final=False, error=UNKNOWN)
    row = row_of(story.accepted(), broke, story.cancel())

    assert (row.settled, row.doomed, row.effect) == (True, "cancelled", "unknown")


def test_a_call_that_waits_for_its_time_was_never_anywhere():
    story = Story(rerunnable=True, not_before=NOW + 60.0)
    row = row_of(story.accepted(), story.cancel())

    assert (row.state, row.settled, row.effect) == ("scheduled", True, "none")


# ---- silence ------------------------------------------------------------------------------------------
def lapse(story: Story, claim_id: str = "w1:1", attempt: int = 1) -> tuple[Content, Content]:
    mark = story.ending(attempt, claim_id=claim_id, code="outcome_unknown")
    return mark, story.settled(attempt, claim_id=claim_id)


def test_silence_after_a_claim_is_an_unknown_outcome_and_never_granted_again():
    said = (STORY.accepted(), STORY.claim(), *lapse(STORY))
    row = row_of(*said)

    assert (row.settled, row.doomed, row.effect) == (True, "outcome_unknown", "unknown")
    assert words(*said, STORY.claim("w2:1")) == ["granted", "terminal"]


def test_silence_of_what_may_run_twice_is_followed_by_an_attempt_in_the_lane_of_one():
    row = row_of(AGAIN.accepted(), AGAIN.claim(), *lapse(AGAIN))

    assert (row.state, row.attempt, row.alone, row.due_at, row.deaths) == ("retrying", 2, True, NOW + 391.0, 0)


def test_a_call_that_kills_its_worker_alone_three_times_is_poisoned():
    said: list[Content] = [AGAIN.accepted()]
    for attempt in (1, 2, 3):
        claim = AGAIN.claim(f"w{attempt}:1", attempt, again=True)
        said += [AGAIN.dispatched(attempt), claim, *lapse(AGAIN, f"w{attempt}:1", attempt)]
    row = row_of(*said)

    assert (row.settled, row.doomed, row.effect, row.deaths) == (True, "poisoned", "unknown", 3)


def test_an_ending_counts_for_the_claim_that_it_names():
    said = (STORY.accepted(), STORY.claim(), STORY.released(), STORY.claim("w2:1"), *lapse(STORY))

    assert (row_of(*said).holder, row_of(*said).ending) == ("w2:1", False)


def test_an_outcome_before_the_second_mark_wins():
    first, second = lapse(STORY)
    row = row_of(STORY.accepted(), STORY.claim(), first, STORY.ended(claim_id="w1:1", fence=1), second)

    assert (row.state, row.effect, row.watch_at) == ("succeeded", "done", None)
