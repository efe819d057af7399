"""Which failures are followed by another attempt, and when."""

from typing import Any

import pytest
from tests.support.ledger import NOW, Story
from tests.unit.scheduler.test_claims import LATER, UNKNOWN, folded, row_of

from toolyard.contracts.calls import error_info
from toolyard.contracts.tools import RetryPolicy
from toolyard_scheduler.budget import RetryBudget
from toolyard_scheduler.rows import Around


def test_a_failure_that_may_be_followed_parks_the_call_until_its_next_attempt():
    story = Story(retry=RetryPolicy(max_attempts=2, backoff=4.0))
    broke = story.ended("failed", effect="none", final=False, error=UNKNOWN, claim_id="w1:1")
    result = folded(story.accepted(), story.claim(), broke)
    row = result.rows["c1"]

    assert (row.state, row.attempt, row.holder, row.parked_for, row.attempts) == ("retrying", 2, None, "retry", 1)
    assert row.due_at is not None
    assert LATER.now <= row.due_at <= LATER.now + 4.0
    assert [(each.reason, each.due_at) for each in result.parked] == [("retry", row.due_at)]


def test_what_the_upstream_asked_for_comes_first():
    story = Story(retry=RetryPolicy(max_attempts=2))
    error = error_info("upstream_error", "503", retryable=True, retry_after=17.0)
    row = row_of(story.accepted(), story.ended("failed", effect="none", final=False, error=error))

    assert row.due_at == LATER.now + 17.0


@pytest.mark.parametrize("clock", [-600.0, 0.0, 600.0], ids=["behind", "right", "ahead"])
def test_a_retry_is_due_by_the_ledgers_clock_whatever_the_workers_says(clock: float):
    story = Story(retry=RetryPolicy(max_attempts=2), deadline=NOW + 900.0)
    error = error_info("upstream_error", "503", retryable=True, retry_after=17.0)
    broke = story.ended("failed", at=5.0 + clock, effect="none", final=False, error=error)

    assert row_of(story.accepted(), broke, around=Around(NOW + 5.0)).due_at == NOW + 5.0 + 17.0


def test_whether_it_is_retried_is_told_by_the_log_so_that_a_rebuilt_ledger_decides_the_same():
    story = Story(retry=RetryPolicy(max_attempts=2, backoff=1.0), deadline=NOW + 10.0)
    broke = story.ended("failed", at=5.0, effect="none", final=False, error=UNKNOWN)
    tomorrow = Around(NOW + 86_400.0)

    row = row_of(story.accepted(), broke, story.dispatched(2, at=6.0), story.ended(attempt=2, at=7.0), around=tomorrow)
    assert (row.state, row.attempts, row.late_results) == ("succeeded", 2, 0)


@pytest.mark.parametrize(
    ("fields", "effect"),
    [
        ({"retry": RetryPolicy(max_attempts=2)}, "unknown"),
        ({"retry": RetryPolicy(max_attempts=1)}, "none"),
        ({"retry": RetryPolicy(max_attempts=2, backoff=1e9), "deadline": NOW + 2.0}, "none"),
    ],
)
def test_what_may_not_be_tried_again_ends_as_it_was_reported(fields: dict[str, Any], effect: str):
    story = Story(**fields)
    row = row_of(story.accepted(), story.ended("failed", effect=effect, final=False, error=UNKNOWN))

    assert (row.settled, row.doomed, row.effect, row.error) == (True, "upstream_error", effect, UNKNOWN)


def test_a_success_of_an_older_attempt_ends_what_is_parked():
    story = Story(rerunnable=True, retry=RetryPolicy(max_attempts=2))
    broke = story.ended("failed", effect="unknown", final=False, error=UNKNOWN)
    row = row_of(story.accepted(), broke, story.ended("succeeded", n=3))

    assert (row.state, row.due_at, row.parked_for) == ("succeeded", None, None)


def test_a_tool_that_fails_all_the_time_is_not_tried_again_for_each_call():
    budget = RetryBudget()
    around = Around(NOW, "s1", budget=budget)
    while budget.spend("default", "lookup", NOW):
        pass
    story = Story(retry=RetryPolicy(max_attempts=2))
    broke = story.ended("failed", effect="none", final=False, error=UNKNOWN)

    assert row_of(story.accepted(), broke, around=around).settled
    for _ in range(5):
        budget.earn("default", "lookup")
    assert row_of(story.accepted(), broke, around=around).state == "retrying"
    assert budget.spend("default", "lookup", NOW + 1.0)
    assert budget.spend("default", "another", NOW)
