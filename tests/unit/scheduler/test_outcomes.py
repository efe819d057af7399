"""Outcomes that nobody should have sent: of another claim, of another submission, or in a form that means nothing."""

import msgspec
import pytest
from tests.support.ledger import NOW, Story
from tests.unit.scheduler.test_claims import row_of, words

from toolyard.contracts.calls import Report, error_info
from toolyard.contracts.events import ENDS, End
from toolyard.contracts.tools import RetryPolicy
from toolyard.states import State

POLICY = RetryPolicy(max_attempts=3)
STORY = Story(retry=POLICY)
AGAIN = Story(rerunnable=True, retry=POLICY)
BROKE = error_info("upstream_error", "500", retryable=True)


def broke(story: Story, claim_id: str | None, *, final: bool = False) -> End:
    return story.ended("failed", effect="none", error=BROKE, claim_id=claim_id, final=final)


# ---- of somebody who does not hold the attempt --------------------------------------------------------
@pytest.mark.parametrize("final", [False, True])
def test_a_failure_told_by_another_claim_than_the_holders_ends_and_retries_nothing(final: bool):
    row = row_of(STORY.accepted(), STORY.claim(), broke(STORY, "w2:1", final=final))

    assert (row.state, row.holder, row.attempt) == ("running", "w1:1", 1)


def test_a_failure_told_without_a_claim_makes_no_second_start_of_what_another_holds():
    said = (STORY.accepted(), STORY.claim(), broke(STORY, None), STORY.claim("w2:1", 2))

    assert words(*said) == ["granted", "started"]


@pytest.mark.parametrize("final", [False, True])
def test_a_failure_told_without_a_claim_leaves_what_another_holds(final: bool):
    """What needed a claim and had none cannot know what its holder does (step 9: the ledger owns the end)."""
    row = row_of(STORY.accepted(), STORY.claim(), broke(STORY, None, final=final))
    assert (row.state, row.holder, row.attempt, row.settled) == ("running", "w1:1", 1, False)

    second = (
        broke(AGAIN, None),
        AGAIN.claim("w2:1", 2),
        msgspec.structs.replace(broke(AGAIN, None, final=final), attempt=2),
    )
    row = row_of(AGAIN.accepted(), *second)
    assert (row.state, row.holder, row.attempt, row.settled) == ("running", "w2:1", 2, False)


def test_a_success_ends_the_call_whoever_tells_it():
    assert row_of(STORY.accepted(), STORY.claim(), STORY.ended(claim_id="w2:1")).state == "succeeded"


@pytest.mark.parametrize("final", [False, True])
def test_while_another_holds_it_the_first_delivery_cannot_say_that_nothing_happened(final: bool):
    row = row_of(AGAIN.accepted(), AGAIN.claim(), broke(AGAIN, None, final=final))

    assert (row.state, row.effect) == ("failed" if final else "retrying", "unknown")


def test_the_outcome_of_a_later_attempt_than_the_one_held_is_an_end():
    """The ledger was set back behind that attempt."""
    row = row_of(STORY.accepted(), STORY.claim(), STORY.ended("failed", attempt=2, claim_id="w2:1"))

    assert (row.state, row.attempt, row.holder, row.effect) == ("failed", 2, None, "unknown")


# ---- of another submission under the same id ----------------------------------------------------------
def test_an_outcome_of_another_body_touches_nothing():
    foreign = STORY.ended("failed", body_hash="other", attempt=3, effect="done")
    row = row_of(STORY.accepted(), foreign)
    assert (row.state, row.attempt, row.attempts, row.started_at) == ("queued", 1, 0, None)

    over = (STORY.accepted(), STORY.ended("failed", effect="none"))
    assert row_of(*over, foreign) == row_of(*over)


# ---- in a form that means nothing ---------------------------------------------------------------------
def test_a_success_that_says_it_is_not_final_is_an_end_all_the_same():
    assert row_of(STORY.accepted(), STORY.ended(final=False)).state == "succeeded"


@pytest.mark.parametrize("state", [state for state in ENDS if state != "succeeded"])
def test_an_outcome_that_is_neither_final_nor_says_what_went_wrong_ends_the_call(state: State):
    row = row_of(STORY.accepted(), STORY.ended(state, error=None, final=False))

    assert row.settled
    assert row.error is not None


def test_a_verdict_of_a_code_that_nobody_knows_is_an_internal_error():
    row = row_of(STORY.accepted(), STORY.ending(code="nonsense"), STORY.settled())

    assert (row.settled, row.doomed, row.error and row.error.code) == (True, "internal", "internal")


def test_a_cancel_of_another_org_stops_nothing():
    assert row_of(STORY.accepted(), Story(org="other").cancel()).doomed is None


def test_a_worker_whose_clock_is_behind_keeps_its_attempt_as_long_as_any():
    row = row_of(STORY.accepted(), STORY.claim(at=-NOW))

    assert row.runs_until == NOW + 10_000.0 + 30.0 + 5.0


# ---- what a worker noted ------------------------------------------------------------------------------
NOTED = Report(logs="printed", isolation="full")


def test_what_the_worker_noted_is_kept_with_the_end():
    assert row_of(STORY.accepted(), STORY.ended(report=NOTED)).report == NOTED


def test_what_the_worker_noted_of_the_last_attempt_outlives_the_ledgers_verdict():
    story = Story(retry=RetryPolicy(max_attempts=1))
    row = row_of(story.accepted(), msgspec.structs.replace(broke(story, None), report=NOTED))
    assert (row.settled, row.report) == (True, NOTED)

    row = row_of(story.accepted(), msgspec.structs.replace(broke(story, None), report=NOTED), story.verdict("failed"))
    assert (row.state, row.report) == ("failed", NOTED)
