"""Times that contradict each other: each pair is told with both names and with what would be right."""

import pytest

from toolyard import timing

ALL_IS_WELL: list[str] = []


@pytest.mark.parametrize(
    ("longest", "patience", "said"),
    [
        (None, None, []),
        (600.0, None, []),
        (600.0, 900.0, []),
        (None, 3600.0, []),
        (
            600.0,
            899.0,
            ["TOOLYARD_CONSUMER_TIMEOUT (899 s)", "TOOLYARD_LONGEST_ATTEMPT (600 s)", "of 900 s", "of 599 s"],
        ),
        (None, 600.0, ["TOOLYARD_CONSUMER_TIMEOUT (600 s)", "TOOLYARD_LONGEST_ATTEMPT (1500 s", "an attempt", "300 s"]),
        (10.0, None, ["TOOLYARD_LONGEST_ATTEMPT is 10 s", "from 30 s"]),
        (1501.0, 9000.0, ["TOOLYARD_LONGEST_ATTEMPT is 1501 s", "to 1500 s"]),
    ],
)
def test_the_broker_waits_for_the_longest_attempt(longest: float | None, patience: float | None, said: list[str]):
    problems = timing.of_attempts(longest, patience)
    assert len(problems) == bool(said)
    assert [each for each in said if each not in " ".join(problems).replace("a longest attempt", "an attempt")] == []


@pytest.mark.parametrize(
    ("longest", "drain", "grace", "said"),
    [
        (None, None, None, []),
        (None, None, 35.0, []),
        (600.0, None, 605.0, []),
        (600.0, 700.0, 705.0, []),
        (None, 10.0, 15.0, []),
        (None, None, 30.0, ["TOOLYARD_GRACE (30 s)", "TOOLYARD_DRAIN (30 s)", "a grace of 35 s"]),
        (600.0, None, 45.0, ["TOOLYARD_GRACE (45 s)", "TOOLYARD_DRAIN (600 s)", "a grace of 605 s"]),
        (600.0, 60.0, None, ["TOOLYARD_DRAIN (60 s)", "TOOLYARD_LONGEST_ATTEMPT (600 s)", "a drain of 600 s"]),
    ],
)
def test_the_drain_holds_the_longest_attempt_and_the_grace_the_drain(
    longest: float | None, drain: float | None, grace: float | None, said: list[str]
):
    problems = timing.of_drain(longest, drain, grace)
    assert len(problems) == bool(said)
    assert [each for each in said if each not in " ".join(problems)] == []


def test_a_drain_that_is_too_short_in_both_ways_is_told_in_both():
    assert len(timing.of_drain(600.0, 60.0, 30.0)) == 2


@pytest.mark.parametrize(("longest", "drain"), [(None, 30.0), (45.0, 45.0), (30.0, 30.0)])
def test_a_worker_drains_for_as_long_as_its_longest_attempt(longest: float | None, drain: float):
    assert timing.drain_of(None, longest) == drain
    assert timing.drain_of(99.0, longest) == 99.0


def test_the_log_keeps_four_times_what_the_ledger_may_be_behind():
    assert timing.of_lag(42 * 3600) == ALL_IS_WELL
    (problem,) = timing.of_lag(43 * 3600)
    assert "TOOLYARD_LOG_MAX_LAG (154800 s) contradicts x-max-age of toolyard.log (604800 s)" in problem
    assert "151200 s would do" in problem


def test_an_ended_call_is_kept_for_as_long_as_its_key_may_come_again():
    assert timing.of_retention(86_400) == ALL_IS_WELL
    (problem,) = timing.of_retention(3600)
    assert "TOOLYARD_RETENTION (3600 s)" in problem
    assert "86400 s would do" in problem


def test_what_the_log_keeps_is_what_is_declared():
    from toolyard.transport import topology

    days = str(topology.queue(topology.LOG).arguments["x-max-age"])
    assert days == f"{timing.LOG_KEPT / 86_400:g}D"
