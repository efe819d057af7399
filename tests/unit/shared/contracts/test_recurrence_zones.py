"""Cron through every kind of change that clocks have made since 1970, in all zones, against the rule in a few lines.

The rule walks through UTC in small steps and looks at the clock on the wall; it knows nothing of folds and gaps.
"""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise, takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolyard.contracts.recurrence import problems, slots
from toolyard.contracts.schedules import Cron

ZONES = sorted(set((resources.files("tzdata") / "zones").read_text().split()) - {"Factory"})
BY_THE_WALL = (
    "30 2 * * *",
    "0,30 0-3 * * *",
    "15 0 * * *",
    "0 0 * * *",
    "59 23 * * *",
    "5-20 1,2 * * *",
    "45 1-23/2 * * 0",
    "0 12 30 12 *",
    "10 0,23 1 * *",
)
BY_ELAPSED_TIME = (
    "* * * * *",
    "*/15 * * * *",
    "0 * * * *",
    "30 * * * *",
    "*/20 3 * * *",
    "0 */2 * * *",
    "45 */3 * * *",
    "* 0 * * *",
    "*/7 1,23 * * 6",
    "15 * 30 12 *",
)


# ---- the rule -----------------------------------------------------------------------------------
class Fields:
    """An expression of numbers, steps, ranges and lists; days of the week as numbers."""

    def __init__(self, expression: str) -> None:
        bounds = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
        words = expression.split()
        self.by_the_wall = words[0][0] != "*" != words[1][0]
        self._sets = [self._numbers(word, *bound) for word, bound in zip(words, bounds, strict=True)]

    @staticmethod
    def _numbers(word: str, low: int, high: int) -> set[int]:
        found: set[int] = set()
        for term in word.split(","):
            span, _, step = term.partition("/")
            first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
            found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
        return found

    def match(self, wall: datetime) -> bool:
        minutes, hours, days, months, weekdays = self._sets
        if wall.minute not in minutes or wall.hour not in hours:
            return False
        return wall.day in days and wall.month in months and wall.isoweekday() % 7 in weekdays


def minutes_after(wall: datetime, until: datetime) -> Iterator[datetime]:
    """The whole minutes after one reading of the clock, up to another one."""
    minute = wall.replace(second=0) + timedelta(minutes=1)
    while minute <= until:
        yield minute
        minute += timedelta(minutes=1)


class Reading(NamedTuple):
    """What the clock shows at a moment, if a whole minute, and the minutes that it has reached or gone past by then."""

    moment: float
    minute: datetime | None
    passed: tuple[datetime, ...]


@lru_cache(maxsize=500)
def readings(zone: str, begin: int, end: int, step: int) -> tuple[Reading, ...]:
    """The clock on the wall, read again and again."""
    found, furthest = [], None
    for moment in range(begin, end, step):
        wall = datetime.fromtimestamp(moment, ZoneInfo(zone)).replace(tzinfo=None, fold=0)
        passed = () if furthest is None else tuple(minutes_after(furthest, wall))
        furthest = wall if furthest is None else max(furthest, wall)
        found.append(Reading(float(moment), None if wall.second else wall, passed))
    return tuple(found[1:])


def fired(fields: Fields, clock: tuple[Reading, ...]) -> list[float]:
    """When it fires, by readings of the clock on the wall.

    A fixed time fires when the clock first shows it or has gone past it; any other fires whenever the clock shows it.
    """
    if fields.by_the_wall:
        return [read.moment for read in clock if any(map(fields.match, read.passed))]
    return [read.moment for read in clock if read.minute is not None and fields.match(read.minute)]


# ---- every kind of change -----------------------------------------------------------------------
class Change(NamedTuple):
    """Clocks of a zone are changed at a moment, from one offset to another."""

    zone: str
    at: int
    before: int
    after: int


def transitions(zone: str) -> tuple[int, ...]:
    """The moments since 1970 at which something changes, read out of the zone's own file."""
    data = resources.files("tzdata").joinpath("zoneinfo", *zone.split("/")).read_bytes()
    start = 0
    for width in (4, 8):  # the same twice: for times of 32 bits, and of 64
        universal, standard, leaps, times, types, letters = struct.unpack(">20x6l", data[start : start + 44])
        body = start + 44
        start = body + times * (width + 1) + types * 6 + letters + leaps * (width + 4) + standard + universal
    return tuple(moment for moment in struct.unpack(f">{times}q", data[body : body + 8 * times]) if moment > 0)


def offset(zone: str, moment: float) -> int:
    shift = datetime.fromtimestamp(moment, ZoneInfo(zone)).utcoffset()
    assert shift is not None
    return int(shift.total_seconds())


@cache
def kinds() -> tuple[Change, ...]:
    """The first change of each kind: from the same offset to the same, at the same time of the day."""
    found: dict[tuple[int, int, int], Change] = {}
    for zone in ZONES:
        for at in transitions(zone):
            before, after = offset(zone, at - 1), offset(zone, at)
            if before != after:
                found.setdefault((before, after, (at + before) % 86_400), Change(zone, at, before, after))
    return tuple(found.values())


def around(change: Change) -> tuple[Reading, ...]:
    """The clock on the wall from an hour before a change to an hour after it."""
    beside = abs(change.after - change.before) + 3_600
    step = 60 if change.before % 60 == change.after % 60 == 0 else 30
    return readings(change.zone, change.at - beside, change.at + beside, step)


def begins(change: Change) -> tuple[float, ...]:
    jump = abs(change.after - change.before)
    return (change.at - jump - 3_600, change.at - 1.5, change.at, change.at + jump / 2)


def slots_until(expression: str, zone: str, begin: float, end: float) -> list[float]:
    return list(takewhile(lambda slot: slot <= end, slots(Cron(expression=expression, timezone=zone), 0.0, begin)))


@pytest.mark.parametrize("expression", BY_THE_WALL + BY_ELAPSED_TIME)
def test_every_kind_of_change_that_there_was(expression: str):
    fields = Fields(expression)
    for change in kinds():
        clock = around(change)
        expected = fired(fields, clock)
        for begin in begins(change):
            found = slots_until(expression, change.zone, begin, clock[-1].moment)
            assert found == [slot for slot in expected if slot > begin], change


def test_the_changes_are_many_and_odd_ones_among_them():
    jumps = {change.after - change.before for change in kinds()}
    assert {-10_800, -1_800, 1_800, 2_700, 3_600, 7_200, 86_400} <= jumps
    assert len(kinds()) > 150


# ---- any zone, any moment -----------------------------------------------------------------------
@given(
    zone=st.sampled_from(ZONES),
    expression=st.sampled_from(BY_THE_WALL + BY_ELAPSED_TIME),
    hour=st.integers(24, 80 * 366 * 24),
)
@settings(max_examples=300, deadline=None)
def test_any_hours_of_any_zone(zone: str, expression: str, hour: int):
    begin, end = hour * 3_600, (hour + 5) * 3_600
    clock = readings(zone, begin, end, 30)
    assert slots_until(expression, zone, begin, end - 30) == fired(Fields(expression), clock)


# ---- odd ones, one by one -----------------------------------------------------------------------
def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}+00:00").timestamp()


@pytest.mark.parametrize(
    ("zone", "expression", "after", "expected"),
    [
        # Lord Howe Island goes from 02:00 to 02:30, and from 02:00 back to 01:30.
        ("Australia/Lord_Howe", "*/20 3 * * *", "2026-10-03T14:00", ["03T16:00", "03T16:20", "03T16:40"]),
        ("Australia/Lord_Howe", "30 * * * *", "2026-04-04T14:00", ["04T14:30", "04T15:00", "04T16:00"]),
        ("Pacific/Chatham", "*/15 3 * * *", "2026-09-26T13:00", ["26T14:00", "27T13:15", "27T13:30"]),
        ("Asia/Kathmandu", "0 9 * * *", "2026-01-01T00:00", ["01T03:15", "02T03:15", "03T03:15"]),
        ("Europe/Dublin", "30 1 * * *", "2026-03-28T12:00", ["29T01:00", "30T00:30", "31T00:30"]),
        # A day that has no midnight has no minutes of its first hour either.
        ("America/Santiago", "*/30 0 * * *", "2026-09-05T12:00", ["07T03:00", "07T03:30", "08T03:00"]),
        # Samoa had no 30 December 2011.
        ("Pacific/Apia", "0 9 * * *", "2011-12-29T12:00", ["29T19:00", "30T10:00", "30T19:00"]),
        ("Pacific/Apia", "0 */12 * * *", "2011-12-29T12:00", ["29T22:00", "30T10:00", "30T22:00"]),
    ],
)
def test_odd_zones(zone: str, expression: str, after: str, expected: list[str]):
    found = slots(Cron(expression=expression, timezone=zone), 0.0, at(after))
    assert [datetime.fromtimestamp(next(found), UTC).strftime("%dT%H:%M") for _ in expected] == expected


def test_slots_rise_in_the_hour_that_exists_twice():
    found = slots(Cron(expression="*/20 * * * *", timezone="Europe/Berlin"), 0.0, at("2026-10-24T23:30"))
    several = [next(found) for _ in range(12)]
    assert {later - earlier for earlier, later in pairwise(several)} == {1_200.0}


# ---- which zones --------------------------------------------------------------------------------
@pytest.mark.parametrize("zone", ["localtime", "Factory"])
def test_a_zone_that_depends_on_the_machine_is_refused(zone: str):
    (found,) = problems(Cron(expression="* * * * *", timezone=zone), anchor=0.0, now=0.0)
    assert found.path == "timezone"
    assert found.message == f"{zone} is whatever a machine is set to; name a place, as in Europe/Zurich, or UTC"


def test_all_others_are_taken():
    refused = [zone for zone in ZONES if problems(Cron(expression="0 * * * *", timezone=zone), anchor=0.0, now=0.0)]
    assert refused == []
