"""Whether an attempt that failed is followed by another one, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.unit.shared.contracts.samples import CALL_MINIMAL

from toolyard.contracts.calls import Call, error_info
from toolyard.contracts.retries import LONGEST_PAUSE, may_follow, pause_after
from toolyard.contracts.tools import RetryPolicy
from toolyard.states import Effect

BUSY = error_info("upstream_error", "busy", retryable=True)
WRONG = error_info("upstream_error", "wrong", retryable=False)


def call(*, rerunnable: bool = False, codes: tuple[str, ...] = (), attempts: int = 3) -> Call:
    return structs.replace(
        CALL_MINIMAL, rerunnable=rerunnable, retry=RetryPolicy(max_attempts=attempts, codes=codes, backoff=0.5)
    )


def test_a_call_without_a_policy_has_one_attempt():
    assert not may_follow(CALL_MINIMAL, 1, BUSY, "none")


def test_attempts_are_counted():
    assert [may_follow(call(), attempt, BUSY, "none") for attempt in (1, 2, 3, 4)] == [True, True, False, False]


def test_a_success_is_not_followed():
    assert not may_follow(call(), 1, None, "done")


@pytest.mark.parametrize(
    ("effect", "rerunnable", "follows"),
    [
        ("none", False, True),
        ("done", False, False),
        ("unknown", False, False),
        ("none", True, True),
        ("done", True, True),
        ("unknown", True, True),
    ],
)
def test_what_may_have_had_an_effect_is_tried_again_only_if_it_may_run_twice(
    effect: Effect, rerunnable: bool, follows: bool
):
    assert may_follow(call(rerunnable=rerunnable), 1, BUSY, effect) is follows


def test_a_policy_names_its_codes_or_leaves_it_to_the_executor():
    assert not may_follow(call(), 1, WRONG, "none")
    assert may_follow(call(codes=("upstream_error",)), 1, WRONG, "none")
    assert not may_follow(call(codes=("timed_out",)), 1, BUSY, "none")


def test_what_the_upstream_asked_for_comes_first():
    assert pause_after(call(), 1, error_info("rate_limited", "slow down", retry_after=7.5)) == 7.5


@given(attempt=st.integers(1, 10_000))
def test_a_pause_is_within_its_bound_and_the_same_each_time(attempt: int):
    pause = pause_after(call(), attempt, BUSY)
    assert 0 <= pause <= min(0.5 * 2.0 ** min(attempt - 1, 30), LONGEST_PAUSE)
    assert pause == pause_after(call(), attempt, BUSY)


def test_calls_that_failed_together_come_back_at_different_times():
    pauses = [pause_after(structs.replace(call(), call_id=f"c{n}"), 4, BUSY) for n in range(100)]
    assert len(set(pauses)) == 100
    assert max(pauses) - min(pauses) > 3
