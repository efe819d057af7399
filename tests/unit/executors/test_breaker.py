"""When a breaker opens, what it lets through, and what it makes of what other workers tell."""

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from toolyard_executors.breaker import Breaker, Policy, Window

POLICY = Policy(window=10, buckets=10, least=4, rate=0.5, first_pause=1, longest_pause=8, calm=60, idle=120)
HEARD: dict[str, Any] = {"openings": 1, "seconds": 2.0, "since": 5.0, "failures": 9}


def a_breaker(policy: Policy = POLICY) -> Breaker:
    numbers = itertools.count(1)
    return Breaker(policy, lambda: (f"e{next(numbers)}", 1_000.0))


def attempt(breaker: Breaker, now: float, *, failed: bool | None) -> bool:
    """One attempt that takes no time."""
    leave = breaker.admit(now)
    assert leave is not None
    return breaker.ended(leave, now, failed=failed)


def opened(now: float = 0.0) -> Breaker:
    breaker = a_breaker()
    changes = [attempt(breaker, now, failed=True) for _ in range(POLICY.least)]
    assert changes == [False] * (POLICY.least - 1) + [True]
    return breaker


# ---- opening ------------------------------------------------------------------------------------


def test_it_opens_once_enough_attempts_have_ended_and_half_of_them_failed():
    breaker = opened()
    assert (breaker.state, breaker.failures, breaker.episode, breaker.since) == ("open", 4, "e1", 1_000.0)
    assert breaker.admit(0.999) is None
    assert breaker.remaining(0.25) == 0.75


def test_fewer_failures_than_the_rate_never_open_it():
    breaker = a_breaker()
    for number in range(300):
        assert not attempt(breaker, number / 10, failed=number % 3 == 2)
    assert breaker.state == "closed"


def test_a_row_of_failures_opens_it_whatever_ended_well_before_if_it_lasts_for_a_moment():
    breaker = a_breaker()
    for _ in range(100):
        attempt(breaker, 0, failed=False)
    blow = [attempt(breaker, 1.0, failed=True) for _ in range(20)]
    assert not any(blow)
    attempt(breaker, 1.1, failed=False)
    row = [attempt(breaker, 2 + number / 10, failed=True) for number in range(6)]
    assert row == [False] * 5 + [True]


def test_what_says_nothing_of_the_provider_is_not_counted():
    breaker = a_breaker()
    for _ in range(100):
        assert not attempt(breaker, 0, failed=None)
    assert breaker.state == "closed"
    for _ in range(3):
        assert not attempt(breaker, 0, failed=True)


def test_failures_that_left_the_window_do_not_count():
    breaker = a_breaker()
    for _ in range(3):
        attempt(breaker, 0, failed=True)
    assert not attempt(breaker, 11, failed=True)
    assert breaker.state == "closed"


# ---- half-open ----------------------------------------------------------------------------------


def test_when_its_pause_is_over_one_attempt_at_a_time_is_let_through_and_a_success_closes_it():
    breaker = opened()
    leave = breaker.admit(1.0)
    assert (leave is not None, breaker.state) == (True, "half_open")
    assert breaker.admit(1.0) is None
    assert breaker.remaining(1.0) == 1.0
    assert leave is not None
    assert breaker.ended(leave, 1.5, failed=False)
    assert breaker.state == "closed"
    assert breaker.remaining(1.5) == 0.0


def test_a_probe_that_says_nothing_leaves_the_way_to_the_next_one():
    breaker = opened()
    assert not attempt(breaker, 1.0, failed=None)
    assert breaker.state == "half_open"
    assert attempt(breaker, 1.0, failed=False)


def test_each_probe_that_fails_doubles_the_pause_up_to_the_longest():
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(6):
        pauses.append(breaker.until - now)
        now = breaker.until
        assert attempt(breaker, now, failed=True)
    assert pauses == [1, 2, 4, 8, 8, 8]
    assert breaker.episode == "e1"


def test_a_breaker_that_opens_again_soon_goes_on_where_it_was_and_begins_anew_after_a_calm_time():
    breaker = opened()
    attempt(breaker, 1.0, failed=False)
    for _ in range(POLICY.least):
        attempt(breaker, 2.0, failed=True)
    assert (breaker.until, breaker.episode) == (4.0, "e2")
    attempt(breaker, 4.0, failed=False)
    for _ in range(POLICY.least):
        attempt(breaker, 100.0, failed=True)
    assert breaker.until == 101.0


def test_attempts_that_began_before_it_changed_say_nothing_any_more():
    breaker = a_breaker()
    slow = [breaker.admit(0) for _ in range(20)]
    for _ in range(POLICY.least):
        attempt(breaker, 0, failed=True)
    assert attempt(breaker, 1.0, failed=False)
    for leave in slow:
        assert leave is not None
        assert not breaker.ended(leave, 2.0, failed=True)
    assert breaker.state == "closed"


def test_it_is_forgotten_where_nobody_asks_for_long():
    breaker = opened()
    assert not breaker.lapse(1.0 + POLICY.idle)
    assert breaker.lapse(1.1 + POLICY.idle)
    assert breaker.state == "closed"
    assert not breaker.lapse(10_000)


def test_who_has_forgotten_it_still_believes_whoever_has_not():
    breaker = a_breaker()
    assert breaker.hear_open("x", 10.0, **HEARD)
    assert breaker.lapse(10.0 + 60.0 + POLICY.idle)
    assert breaker.hear_open("x", 200.0, **HEARD)
    assert breaker.state == "open"


def test_it_is_not_forgotten_while_its_probe_runs():
    breaker = opened()
    breaker.admit(1.0)
    assert not breaker.lapse(10_000)


# ---- other workers ------------------------------------------------------------------------------


def test_what_another_worker_opened_is_open_here_for_as_long_and_is_not_ours_to_tell():
    breaker = a_breaker()
    assert breaker.hear_open("x", 10.0, **HEARD)
    assert breaker.admit(11.9) is None
    assert (breaker.since, breaker.failures, breaker.tells) == (5.0, 9, False)
    assert attempt(breaker, 12.0, failed=True)
    assert (breaker.until, breaker.openings, breaker.tells) == (14.0, 2, True)


def test_nobody_keeps_ours_open_for_longer_than_we_would():
    breaker = a_breaker()
    assert breaker.hear_open("x", 10.0, **HEARD | {"seconds": 1e9})
    assert breaker.until == 18.0


def test_a_repeat_changes_nothing_and_a_further_opening_does():
    breaker = a_breaker()
    breaker.hear_open("x", 0.0, **HEARD)
    breaker.admit(2.0)
    assert not breaker.hear_open("x", 2.0, **HEARD)
    assert breaker.state == "half_open"
    assert breaker.hear_open("x", 2.0, **HEARD | {"openings": 2})
    assert breaker.remaining(2.0) == 2.0


def test_of_two_episodes_at_once_the_longer_one_goes_on():
    breaker = opened()
    assert not breaker.hear_open("x", 0.0, **HEARD | {"seconds": 0.5})
    assert breaker.episode == "e1"
    assert breaker.hear_open("x", 0.0, **HEARD | {"seconds": 3.0})
    assert (breaker.episode, breaker.until, breaker.tells) == ("x", 3.0, False)


def test_what_another_worker_closed_is_closed_and_what_is_still_told_of_it_is_not_believed():
    breaker = a_breaker()
    breaker.hear_open("x", 0.0, **HEARD)
    assert breaker.hear_closed("x", 0.5)
    assert breaker.admit(0.5) is not None
    assert not breaker.hear_open("x", 0.6, **HEARD)
    assert breaker.state == "closed"
    assert not breaker.hear_closed("y", 0.7)
    assert not breaker.hear_open("y", 0.8, **HEARD)


def test_an_opening_whose_pause_is_over_when_it_is_heard_opens_nothing():
    breaker = a_breaker()
    assert not breaker.hear_open("x", 0.0, **HEARD | {"seconds": 0.0})
    assert breaker.state == "closed"


# ---- in general ---------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=200))
def test_a_window_counts_what_ended_in_its_last_seconds(ends: list[tuple[float, bool]]):
    window, now, seen = Window(POLICY), 0.0, list[tuple[int, bool]]()
    for pause, failed in ends:
        now += pause
        window.add(now, failed=failed)
        seen.append((int(now), failed))
        inside = [bad for second, bad in seen if second > int(now) - 10]
        assert (window.ended, window.failed) == (len(inside), sum(inside))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0.01, 20)),
        st.tuples(st.just("begin"), st.just(0.0)),
        st.tuples(st.sampled_from(["fails", "succeeds", "says nothing"]), st.floats(0, 1)),
        st.tuples(st.sampled_from(["hear open", "hear more", "hear closed"]), st.floats(0.01, 10)),
        st.tuples(st.just("lapse"), st.just(0.0)),
    ),
    max_size=120,
)


@given(STEPS)
def test_whatever_happens_it_lets_through_what_it_should_and_closes_once_the_provider_is_well(
    steps: list[tuple[str, float]],
):
    breaker, now, under_way = a_breaker(), 0.0, list[int]()
    for step, number in steps:
        before = breaker.state
        if step == "wait":
            now += number
        elif step == "begin":
            waiting = before == "open" and now < breaker.until
            leave = breaker.admit(now)
            assert not (waiting and leave is not None)
            assert before != "closed" or leave is not None
            if leave is not None:
                assert breaker.state != "half_open" or leave not in under_way, "a second probe"
                under_way.append(leave)
        elif step == "hear closed":
            breaker.hear_closed("x", now)
            assert breaker.state == "closed"
        elif step.startswith("hear"):
            openings = 1 if step == "hear open" else breaker.openings + 1
            breaker.hear_open("x", now, **HEARD | {"seconds": number, "openings": openings})
        elif step == "lapse":
            breaker.lapse(now)
        elif under_way:
            leave = under_way.pop(int(number * (len(under_way) - 1)))
            changed = breaker.ended(leave, now, failed={"fails": True, "succeeds": False}.get(step))
            assert changed == (breaker.state != before)
        assert breaker.state != "open" or breaker.until - now <= POLICY.longest_pause
    for leave in under_way:
        breaker.ended(leave, now, failed=None)
    assert breaker.state == "closed" or attempt(breaker, now + POLICY.longest_pause, failed=False)
    assert breaker.state == "closed"
