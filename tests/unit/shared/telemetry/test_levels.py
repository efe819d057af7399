"""Log levels for a while: for an org or a tool, no longer than was said, and at no cost to the rest."""

import logging

import pytest

from toolyard.contracts.control import LogLevel, LogLevelSet
from toolyard.telemetry import levels
from toolyard.telemetry.levels import LONGEST, Levels

NOW = 1_800_000_000.0


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def found(clock: Clock) -> Levels:
    made = Levels(clock)
    made.begin("info", lambda _: None)
    return made


def told(level: LogLevel, seconds: float = 60, *, org: str = "acme", tool: str = "", time: float = NOW) -> LogLevelSet:
    return LogLevelSet(v=1, sender="g1", time=time, org=org, tool=tool, level=level, seconds=seconds)


def test_as_long_as_nobody_says_otherwise_the_usual_level_holds(found: Levels):
    assert not found.detail
    assert [found.wanted(number, "acme", "t") for number in (logging.DEBUG, logging.INFO)] == [False, True]


def test_a_tool_of_one_org_is_told_in_detail_and_nothing_else(found: Levels):
    found.hear(told("debug", tool="lookup"), NOW)
    assert found.detail
    assert found.wanted(logging.DEBUG, "acme", "lookup")
    assert not any(found.wanted(logging.DEBUG, *one) for one in (("acme", "other"), ("else", "lookup"), ("", "")))
    assert found.wanted(logging.INFO, "else", "lookup")


def test_a_level_of_an_org_is_for_all_its_tools_but_those_that_have_one_of_their_own(found: Levels):
    found.hear(told("debug"), NOW)
    found.hear(told("error", tool="noisy"), NOW)
    assert found.wanted(logging.DEBUG, "acme", "lookup")
    assert found.wanted(logging.DEBUG, "acme", "")
    assert not found.wanted(logging.WARNING, "acme", "noisy")
    assert found.of("acme") == [("", "debug", 60.0), ("noisy", "error", 60.0)]
    assert found.of("else") == []


def test_it_ends_by_itself(found: Levels, clock: Clock):
    said: list[int] = []
    found.begin("warning", said.append)
    found.hear(told("debug", tool="lookup"), NOW)
    clock.at += 59
    assert found.wanted(logging.DEBUG, "acme", "lookup")
    clock.at += 1
    assert not found.wanted(logging.INFO, "acme", "lookup")
    assert not found.detail
    assert said == [logging.WARNING, logging.DEBUG, logging.WARNING]


def test_what_is_heard_late_does_not_last_longer(found: Levels, clock: Clock):
    found.hear(told("debug", 60), NOW + 50)
    assert found.of("acme") == [("", "debug", 10.0)]
    found.hear(told("debug", 60), NOW + 61)
    assert found.of("acme") == []


def test_whatever_a_clock_says_it_lasts_as_long_as_was_said_and_a_day_at_most(found: Levels):
    found.hear(told("debug", 60), NOW - 1_000)
    found.hear(told("debug", 1e9, tool="t"), NOW)
    assert found.of("acme") == [("", "debug", 60.0), ("t", "debug", LONGEST)]


def test_the_one_that_ends_first_makes_room(found: Levels, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(levels, "MOST", 2)
    for number, seconds in enumerate((30, 10, 20)):
        found.hear(told("debug", seconds, tool=f"t{number}"), NOW)
    assert [tool for tool, _, _ in found.of("acme")] == ["t0", "t2"]


def test_an_org_makes_room_among_its_own(found: Levels, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(levels, "MOST_OF_ORG", 2)
    found.hear(told("debug", 1, org="else"), NOW)
    for number, seconds in enumerate((30, 10, 20)):
        found.hear(told("debug", seconds, tool=f"t{number}"), NOW)
    assert [tool for tool, _, _ in found.of("acme")] == ["t0", "t2"]
    assert found.of("else") == [("", "debug", 1.0)]
