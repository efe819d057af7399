"""Tools with a fallback: when it takes over, and what it may do then."""

from typing import Any

import pytest
from tests.support.ledger import NOW, Story
from tests.unit.scheduler.test_claims import row_of, words

from toolyard.contracts.calls import error_info
from toolyard.contracts.events import End
from toolyard.contracts.tools import RetryPolicy
from toolyard_scheduler.rows import Around

STORY = Story(pool="arcade", fallback="http")
SOON = Around(NOW + 3.0, "s1")


def broke(story: Story, attempt: int = 1, code: str = "upstream_error", **fields: Any) -> End:
    given: dict[str, Any] = {"effect": "none", "final": False, "error": error_info(code, "it failed")}
    return story.ended("failed", attempt, **(given | fields))


@pytest.mark.parametrize("code", ["circuit_open", "permission_denied", "unavailable", "upstream_error"])
def test_what_failed_without_an_effect_is_taken_over_at_once(code: str):
    row = row_of(STORY.accepted(), STORY.claim(), broke(STORY, code=code, claim_id="w1:1"), around=SOON)

    assert (row.state, row.attempt, row.diverted, row.due_at) == ("retrying", 2, True, NOW + 3.0)
    assert (row.holder, row.effect, row.waived) == (None, "none", 1)


@pytest.mark.parametrize("effect", ["done", "unknown"])
def test_after_an_effect_nothing_takes_over(effect: Any):
    row = row_of(STORY.accepted(), broke(STORY, effect=effect), around=SOON)

    assert (row.settled, row.diverted, row.effect) == (True, False, effect)


def test_an_earlier_attempt_with_an_unknown_effect_counts_too():
    story = Story(pool="arcade", fallback="http", rerunnable=True, retry=RetryPolicy(max_attempts=2))
    first = broke(story, effect="unknown", error=error_info("upstream_error", "cut", retryable=True))
    row = row_of(story.accepted(), first, story.dispatched(2), broke(story, 2), around=SOON)

    assert (row.settled, row.diverted, row.effect) == (True, False, "unknown")


def test_what_was_asked_wrongly_is_asked_wrongly_there_too():
    row = row_of(STORY.accepted(), broke(STORY, code="tool_error"), around=SOON)

    assert (row.settled, row.doomed, row.diverted) == (True, "tool_error", False)


def test_it_takes_over_behind_the_last_try_that_the_policy_allows():
    story = Story(pool="arcade", fallback="http", retry=RetryPolicy(max_attempts=2))
    busy = error_info("upstream_error", "503", retryable=True, retry_after=1.0)
    first = (story.accepted(), broke(story, error=busy))
    row = row_of(*first, around=SOON)
    assert (row.diverted, row.attempt) == (False, 2)

    row = row_of(*first, story.dispatched(2), broke(story, 2, error=busy), around=SOON)
    assert (row.diverted, row.attempt, row.waived) == (True, 3, 2)


def test_it_has_the_policy_for_itself_and_nothing_takes_over_from_it():
    story = Story(pool="arcade", fallback="http", retry=RetryPolicy(max_attempts=2))
    gone = error_info("permission_denied", "401")
    busy = error_info("upstream_error", "503", retryable=True, retry_after=1.0)
    said = (story.accepted(), broke(story, error=gone), story.dispatched(2), broke(story, 2, error=busy))
    row = row_of(*said, around=SOON)
    assert (row.state, row.attempt, row.diverted) == ("retrying", 3, True)

    row = row_of(*said, story.dispatched(3), broke(story, 3, error=busy), around=SOON)
    assert (row.settled, row.doomed) == (True, "upstream_error")


def test_it_starts_by_its_claim_and_ends_the_call():
    said = (STORY.accepted(), broke(STORY), STORY.dispatched(2))
    assert words(*said, STORY.claim("w2:1", 2, pool="http"), STORY.claim("w3:1", 2, pool="http")) == [
        "granted",
        "started",
    ]

    ended = STORY.ended(attempt=2, claim_id="w2:1", pool="http")
    row = row_of(*said, STORY.claim("w2:1", 2, pool="http"), ended)
    assert (row.state, row.attempts, row.effect) == ("succeeded", 2, "done")


def test_behind_the_deadline_nothing_takes_over():
    story = Story(pool="arcade", fallback="http", deadline=NOW + 1.0)
    row = row_of(story.accepted(), broke(story, finished_at=NOW + 2.0), around=SOON)

    assert (row.settled, row.diverted) == (True, False)
