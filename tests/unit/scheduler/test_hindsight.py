"""A record that is folded again comes to what was decided then, whatever the clock and the budget say today."""

from typing import Any

import pytest
from tests.support.ledger import ENVELOPE, NOW, Story, message_of, pause, records_of, resume

from toolyard.contracts.calls import VERSION, error_info
from toolyard.contracts.control import ClaimRefused, Granted, Paused
from toolyard.contracts.tools import RetryPolicy
from toolyard.store.decisions import Told
from toolyard.store.ledger_rows import LedgerRow, OpenCall
from toolyard_scheduler import telling
from toolyard_scheduler.entries import Content, Entry, Folded
from toolyard_scheduler.folding import fold
from toolyard_scheduler.rebuilding.hindsight import Hindsight, Known
from toolyard_scheduler.rebuilding.scouting import scout, unknown_keys
from toolyard_scheduler.rows import Around

AWAY = error_info("upstream_error", "nobody is there", retryable=True)
LATER = NOW + 7.0


def live(*contents: Content, now: float = LATER, granted: bool = True) -> tuple[LedgerRow, Folded]:
    folded = Folded()
    fold([Entry(n, f"m{n}", each) for n, each in enumerate(contents)], folded, Around(now, "s1", budget=Known(granted)))
    return folded.rows["c1"], folded


def again(*contents: Content, told: Told) -> LedgerRow:
    folded = Folded()
    fold([Entry(n, f"m{n}", each) for n, each in enumerate(contents)], folded, Hindsight(0.0, told=told))
    return folded.rows["c1"]


def told_by(*contents: Any) -> Told:
    return scout(ENVELOPE, records_of(contents)).told


def failed(story: Story, **fields: Any) -> Content:
    return story.ended("failed", effect="none", final=False, error=AWAY, **fields)


def ended_by_scheduler(story: Story, row: LedgerRow) -> Content:
    call = OpenCall(story.call, row.state, row.effect, row.attempt, row.attempts, doomed=row.doomed, error=row.error)
    return telling.ended(call, NOW + 9.0)


def test_another_attempt_that_the_budget_let_through_is_due_when_it_was():
    story = Story(retry=RetryPolicy(max_attempts=3))
    said = (story.accepted(), failed(story))
    row, folded = live(*said)

    assert row.state == "retrying"
    assert again(*said, told=told_by(*folded.parked)) == row


def test_another_attempt_that_the_budget_refused_is_refused_again_and_a_late_success_stays_late():
    story = Story(retry=RetryPolicy(max_attempts=3))
    said = (story.accepted(), failed(story), story.ended("succeeded", n=3))
    row, _ = live(*said, granted=False)

    assert (row.settled, row.late_results) == (True, 1)
    then = again(*said, told=told_by(ended_by_scheduler(story, row)))
    assert (then.settled, then.late_results, then.doomed, then.attempt) == (True, 1, row.doomed, row.attempt)


def test_a_fallback_that_came_in_place_of_another_attempt_comes_again():
    story = Story(retry=RetryPolicy(max_attempts=3), fallback="lambda")
    said = (story.accepted(), failed(story))
    row, folded = live(*said, granted=False)

    assert (row.diverted, row.attempt, row.waived) == (True, 2, 1)
    assert again(*said, told=told_by(*folded.parked)) == row


@pytest.mark.parametrize("claims", [("w1:1",), ("w1:1", "w2:1")])
def test_a_grant_lasts_until_it_lasted(claims: tuple[str, ...]):
    story = Story()
    said: list[Content] = [story.accepted(), *(story.claim(claim_id) for claim_id in claims)]
    row, folded = live(*said)
    answers = [each.message for each in folded.answers]

    assert row.runs_until == LATER + story.call.timeout + 5.0
    assert again(*said, told=told_by(*answers)) == row


def test_a_worker_whose_clock_was_ahead_is_judged_by_the_schedulers():
    """By its own clock it asked after the deadline; it was granted."""
    story = Story()
    said = (story.accepted(), story.claim(at=400.0))
    row, folded = live(*said)

    assert row.holder == "w1:1"
    assert again(*said, told=told_by(*(each.message for each in folded.answers))) == row


def test_what_nobody_told_is_taken_at_its_word():
    story = Story(retry=RetryPolicy(max_attempts=2, backoff=0.001))

    row = again(story.accepted(), failed(story, at=2.0), told=Told())

    assert row.state == "retrying"
    assert row.due_at is not None
    assert NOW + 2.0 <= row.due_at < NOW + 2.1


# ---- what is found in the log ---------------------------------------------------------------------
def test_a_grant_outweighs_what_a_repeat_of_its_claim_was_told():
    about: dict[str, Any] = {"v": VERSION, "sender": "s1", "claim_id": "w1:1", "call_id": "c1", "attempt": 1}
    granted = Granted(**about, time=NOW + 1.0, fence=1, lease=15.0)
    refused = ClaimRefused(**about, time=NOW + 9.0, reason="terminal")

    assert told_by(granted, refused).claims == {"w1:1": (NOW + 1.0, True)}
    assert told_by(refused, granted).claims == {"w1:1": (NOW + 1.0, True)}
    assert told_by(refused).claims == {"w1:1": (NOW + 9.0, False)}


def test_what_workers_say_is_no_decision():
    story = Story()
    told = told_by(story.accepted(), story.parked(), failed(story), story.ended(), story.dispatched(2))

    assert told == Told()


def test_of_a_pause_the_first_record_tells_whether_it_was_there_before():
    lookup, other = (Paused(kind="tool", org="default", name=name) for name in ("lookup", "other"))

    told = told_by(pause(), resume(), resume("other"), pause("other"))

    assert told.pauses == {lookup: True, other: False}


def test_a_decision_that_does_not_verify_is_none_and_its_key_is_named():
    story = Story()
    message = message_of(story.verdict())
    (record,) = records_of([message])
    forged = type(record)(
        0, record.exchange, record.key, record.body, record.message_id, {"toolyard-signature": "v1,other,00"}
    )

    assert scout(ENVELOPE, [forged]).told == Told()
    assert unknown_keys(ENVELOPE, [record, forged]) == {"other": 1}
