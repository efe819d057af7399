"""Whether our clock may judge: fresh records only, and never by one voice against all others."""

import pytest
from tests.support.ledger import NOW, HandClock

from toolyard_scheduler.clock_check import TOLERANCE, WINDOW, ClockCheck, ClockDiffersError


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def check(clock: HandClock) -> ClockCheck:
    found = ClockCheck(clock)
    found.own_came_back(10)
    return found


def hear(check: ClockCheck, clock: HandClock, *differences: float) -> None:
    """Records by makers whose clocks differ so, spread over a little more than a window."""
    for number in range(len(differences) * 4):
        clock.advance(WINDOW / len(differences) / 2)
        check.saw(11 + number, clock.now() + differences[number % len(differences)])


def test_a_clock_that_agrees_is_trusted_at_once(check: ClockCheck, clock: HandClock):
    assert not check.trusted
    check.saw(11, clock.now() - 0.1)
    assert check.trusted


def test_silence_is_taken_for_consent_after_a_while(check: ClockCheck, clock: HandClock):
    assert not check.trusted
    clock.advance(WINDOW)
    assert check.trusted


@pytest.mark.parametrize(("difference", "words"), [(-300.0, "300.0 s ahead of"), (300.0, "300.0 s behind")])
def test_a_clock_with_which_nobody_agrees_is_told(check: ClockCheck, clock: HandClock, difference: float, words: str):
    with pytest.raises(ClockDiffersError, match=words):
        hear(check, clock, difference)
    assert not check.trusted


def test_one_gateway_with_a_wrong_clock_proves_nothing(check: ClockCheck, clock: HandClock):
    hear(check, clock, 300.0, -0.2)

    assert check.trusted


def test_records_that_were_published_late_prove_nothing_as_long_as_others_were_not(check: ClockCheck, clock: HandClock):
    hear(check, clock, -40.0, -40.0, -40.0, -TOLERANCE / 2)

    assert check.trusted


def test_a_burst_of_records_that_were_held_up_proves_nothing(check: ClockCheck, clock: HandClock):
    clock.advance(60.0)
    for offset in range(11, 31):
        check.saw(offset, clock.now() - 40.0)
    clock.advance(WINDOW)
    check.saw(31, clock.now())

    assert check.trusted


def test_old_records_prove_nothing(clock: HandClock):
    check = ClockCheck(clock)
    for offset in range(50):
        clock.advance(1.0)
        check.saw(offset, NOW - 86_400.0)
    check.own_came_back(50)
    check.saw(50, NOW - 86_400.0)

    assert check.trusted


def test_a_lone_record_is_not_enough(check: ClockCheck, clock: HandClock):
    check.saw(11, clock.now() - 300.0)
    assert not check.trusted
    clock.advance(WINDOW)
    assert check.trusted

    check.saw(12, clock.now() - 300.0)
    with pytest.raises(ClockDiffersError):
        check.saw(13, clock.now() - 300.0)


def test_our_clock_is_disputed_as_long_as_only_those_were_heard_who_disagree(check: ClockCheck, clock: HandClock):
    assert check.undisputed
    check.saw(11, clock.now() + 300.0)
    assert not check.undisputed
    check.saw(12, clock.now() - TOLERANCE)
    check.saw(13, clock.now() + 300.0)
    assert check.undisputed


@pytest.mark.parametrize("time", [None, NOW + 1.5, NOW - 1.5])
def test_a_database_that_agrees_or_has_no_clock_of_its_own_is_fine(check: ClockCheck, time: float | None):
    check.compare_with_database(time)


def test_a_database_that_disagrees_is_believed(check: ClockCheck):
    with pytest.raises(ClockDiffersError, match=r"5\.0 s behind the database server's"):
        check.compare_with_database(NOW + 5.0)
