"""When schedules fire: through both changes of the clock in both hemispheres, after an outage, and never too often."""

from datetime import UTC, datetime
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from toolyard.contracts.recurrence import IN_TIME, due, next_slot, next_slots, problems, slots
from toolyard.contracts.schedules import Cron, Interval, Missed, When

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC).timestamp()
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Asia/Kathmandu",
)


def at(text: str) -> float:
    """A moment, in UTC."""
    return datetime.fromisoformat(f"{text}+00:00").timestamp()


def in_utc(moments: tuple[float, ...]) -> list[str]:
    return [datetime.fromtimestamp(moment, UTC).strftime("%m-%dT%H:%M") for moment in moments]


def on_the_wall(moments: tuple[float, ...], zone: str) -> list[str]:
    return [datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%m-%d %H:%M") for moment in moments]


# ---- clocks that are changed ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("zone", "expression", "after", "expected"),
    [
        # North, forward: 02:00 becomes 03:00 on 2026-03-29 in Berlin, on 2026-03-08 in New York.
        ("Europe/Berlin", "30 2 * * *", "2026-03-28T00:00", ["03-28 02:30", "03-29 03:00", "03-30 02:30"]),
        ("Europe/Berlin", "0 3 * * *", "2026-03-28T12:00", ["03-29 03:00", "03-30 03:00"]),
        ("Europe/Berlin", "0,30 2 * * *", "2026-03-28T12:00", ["03-29 03:00", "03-30 02:00"]),
        ("America/New_York", "15 2 * * *", "2026-03-08T05:30", ["03-08 03:00", "03-09 02:15"]),
        # North, back: 03:00 becomes 02:00 on 2026-10-25, 02:00 becomes 01:00 on 2026-11-01.
        ("Europe/Berlin", "30 2 * * *", "2026-10-24T12:00", ["10-25 02:30", "10-26 02:30"]),
        ("Europe/Berlin", "30 2 * * *", "2026-10-25T00:45", ["10-26 02:30"]),
        ("America/New_York", "30 1 * * *", "2026-11-01T04:30", ["11-01 01:30", "11-02 01:30"]),
        # South, forward: 02:00 becomes 03:00 on 2026-10-04 in Sydney, by half an hour on Lord Howe Island.
        ("Australia/Sydney", "30 2 * * *", "2026-10-03T12:00", ["10-04 03:00", "10-05 02:30"]),
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00", ["10-04 02:30", "10-05 02:15"]),
        # South, back: 03:00 becomes 02:00 on 2026-04-05.
        ("Australia/Sydney", "30 2 * * *", "2026-04-04T12:00", ["04-05 02:30", "04-06 02:30"]),
        # A day that has no midnight: 2026-09-06 begins at 01:00 in Santiago.
        ("America/Santiago", "0 0 * * *", "2026-09-05T12:00", ["09-06 01:00", "09-07 00:00"]),
    ],
)
def test_a_fixed_time_that_is_not_there_fires_at_the_next_that_is_and_one_that_is_there_twice_fires_once(
    zone: str, expression: str, after: str, expected: list[str]
):
    found = next_slots(Cron(expression=expression, timezone=zone), 0.0, at(after), len(expected))
    assert on_the_wall(found, zone) == expected


@pytest.mark.parametrize(
    ("zone", "expression", "after", "expected"),
    [
        ("Europe/Berlin", "*/30 * * * *", "2026-03-29T00:00", ["03-29T00:30", "03-29T01:00", "03-29T01:30"]),
        ("Europe/Berlin", "*/30 * * * *", "2026-10-25T00:00", ["10-25T00:30", "10-25T01:00", "10-25T01:30"]),
        ("Europe/Berlin", "0 * * * *", "2026-10-24T23:30", ["10-25T00:00", "10-25T01:00", "10-25T02:00"]),
        ("Australia/Sydney", "0 * * * *", "2026-04-04T14:30", ["04-04T15:00", "04-04T16:00", "04-04T17:00"]),
    ],
)
def test_what_goes_by_elapsed_time_goes_on_through_a_change(
    zone: str, expression: str, after: str, expected: list[str]
):
    found = next_slots(Cron(expression=expression, timezone=zone), 0.0, at(after), len(expected))
    assert in_utc(found) == expected


# ---- slots ------------------------------------------------------------------------------------------
fields = st.sampled_from
expressions = st.builds(
    lambda *words: " ".join(words),
    fields(["*", "*/7", "0", "30", "5-10", "15,45", "59"]),
    fields(["*", "*/2", "0", "2", "1-3", "2,3", "23"]),
    fields(["*", "1", "L", "*/10", "13"]),
    fields(["*", "3", "10", "4-9"]),
    fields(["*", "SUN", "MON-FRI", "7", "1#2"]),
)
moments = st.floats(at("2025-01-01T00:00"), at("2031-01-01T00:00"))
whens = st.one_of(
    st.builds(lambda text, zone: Cron(expression=text, timezone=zone), expressions, st.sampled_from(ZONES)),
    st.builds(lambda seconds: Interval(seconds=seconds), st.floats(1.0, 86_400.0)),
)


@given(when=whens, anchor=moments, after=moments)
@settings(deadline=None, max_examples=300)
@example(when=Interval(seconds=1.0), anchor=NOW + 0.4, after=NOW)
@example(when=Cron(expression="30 2 * * *", timezone="Europe/Berlin"), anchor=0.0, after=at("2026-10-25T00:30"))
def test_slots_rise_strictly_and_are_the_same_whatever_moment_one_begins_with(when: When, anchor: float, after: float):
    found = list(islice(slots(when, anchor, after), 6))
    assert len(found) == 6
    assert all(earlier < later for earlier, later in pairwise([after, *found]))
    assert all(slot >= round(anchor, 3) for slot in found)
    for number, slot in enumerate(found[:-1]):
        assert next_slot(when, anchor, slot) == found[number + 1]
        assert next_slot(when, anchor, (slot + found[number + 1]) / 2) == found[number + 1]


def test_an_interval_is_counted_from_its_anchor_and_does_not_drift():
    every = Interval(seconds=1.1)
    assert next_slot(every, 100.0, 50.0) == 100.0
    assert next_slot(every, 100.0, 100.0) == 101.1
    assert next_slot(every, 100.0, 100.0 + 1.1 * 1_000_000) == 100.0 + 1_100_001.1


# ---- what is due ------------------------------------------------------------------------------------
HOURLY = Cron(expression="0 * * * *")
FIRST = at("2026-11-21T00:00")


@pytest.mark.parametrize(
    ("missed", "catch_up", "now", "expected"),
    [
        ("skip", 1, "2026-11-21T00:00", ["11-21T00:00"]),
        ("skip", 1, "2026-11-21T03:00", ["11-21T03:00"]),
        ("skip", 1, "2026-11-21T03:30", []),
        ("run_once", 1, "2026-11-21T03:30", ["11-21T03:00"]),
        ("run_once", 1, "2026-11-21T04:00", ["11-21T04:00"]),
        ("catch_up", 3, "2026-11-21T03:30", ["11-21T01:00", "11-21T02:00", "11-21T03:00"]),
        ("catch_up", 9, "2026-11-21T03:30", ["11-21T00:00", "11-21T01:00", "11-21T02:00", "11-21T03:00"]),
        ("catch_up", 2, "2027-11-21T03:30", ["11-21T02:00", "11-21T03:00"]),
    ],
)
def test_what_was_missed_is_made_up_for_as_the_policy_says(
    missed: Missed, catch_up: int, now: str, expected: list[str]
):
    found = due(HOURLY, 0.0, missed=missed, catch_up=catch_up, first=FIRST, now=at(now))
    assert in_utc(found.slots) == expected
    assert found.next_at == next_slot(HOURLY, 0.0, at(now))


@pytest.mark.parametrize("late", [IN_TIME, IN_TIME + 0.1])
def test_a_slot_counts_as_in_time_for_a_minute(late: float):
    found = due(HOURLY, 0.0, missed="skip", catch_up=1, first=FIRST, now=FIRST + late)
    assert found.slots == ((FIRST,) if late <= IN_TIME else ())


@given(when=whens, anchor=moments, outage=st.floats(0.0, 40 * 86_400.0), catch_up=st.integers(1, 5))
@settings(deadline=None, max_examples=200)
def test_what_is_due_is_the_newest_of_all_slots_that_passed(when: When, anchor: float, outage: float, catch_up: int):
    first = next_slot(when, anchor, anchor)
    assert first is not None
    now = min(first + outage, anchor + 300 * getattr(when, "seconds", 86_400.0)) if outage else first
    now = max(now, first)
    passed = []
    for slot in slots(when, anchor, anchor):
        if slot > now:
            break
        passed.append(slot)
    found = due(when, anchor, missed="catch_up", catch_up=catch_up, first=first, now=now)
    assert list(found.slots) == passed[-catch_up:]
    assert found.next_at == next_slot(when, anchor, now)


# ---- what is refused --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("when", "path", "words"),
    [
        (Cron(expression="hello"), "cron", "has 1 fields; write five"),
        (Cron(expression=""), "cron", "has 0 fields"),
        (Cron(expression="@daily"), "cron", "has 1 fields"),
        (Cron(expression="* * * * * *"), "cron", "use every for seconds"),
        (Cron(expression="61 * * * *"), "cron", "minute: 61 is not in 0-59"),
        (Cron(expression="0,5-77 * * * *"), "cron", "minute: 77 is not in 0-59"),
        (Cron(expression="* 24 * * *"), "cron", "hour: 24 is not in 0-23"),
        (Cron(expression="0 0 32 * *"), "cron", "day of the month: 32 is not in 1-31, L or LW"),
        (Cron(expression="0 0 0 * *"), "cron", "day of the month: 0 is not in 1-31"),
        (Cron(expression="0 0 1 13 *"), "cron", "month: 13 is not in 1-12 or JAN-DEC"),
        (Cron(expression="0 0 1 Foo *"), "cron", "month: 'Foo' is not in 1-12 or JAN-DEC"),
        (Cron(expression="0 0 * * 8"), "cron", "day of the week: 8 is not in 0-7 or SUN-SAT"),
        (Cron(expression="0 0 * * MON#6"), "cron", "day of the week: 'MON#6' is not in 0-7 or SUN-SAT"),
        (Cron(expression="*/0 * * * *"), "cron", "minute: '*/0' has the step '0'; a step is a whole number from 1"),
        (Cron(expression="* */x * * *"), "cron", "hour: '*/x' has the step 'x'"),
        (Cron(expression="99/2 * * * *"), "cron", "minute: 99 is not in 0-59"),
        (Cron(expression="0 22-6 * * *"), "cron", "hour: 22-6 runs backwards; write it as two, as in 22-23,0-6"),
        (Cron(expression="0 0 * * fri-mon"), "cron", "fri-mon runs backwards; write it as two, as in fri-7,0-mon"),
        (Cron(expression="1,,2 * * * *"), "cron", "minute: has nothing beside a comma"),
        (Cron(expression="\u0663 * * * *"), "cron", "minute: '\u0663' is not in 0-59"),
        (Cron(expression="* " * 500), "cron", "longer than 200"),
        (Cron(expression="0 0 30 2 *"), "cron", "day of the month: month 2 has no day 30"),
        (Cron(expression="0 0 */31 2 7#5"), "cron", "never fires"),
        (Cron(expression="* * * * *", timezone="Europe/Zuerich"), "timezone", "did you mean Europe/Zurich"),
        (Cron(expression="* * * * *", timezone="../../etc/passwd"), "timezone", "is no time zone"),
        (Cron(expression="* * * * *", timezone=""), "timezone", "is no time zone"),
        (Interval(seconds=0.5), "every", "under a second"),
        (Interval(seconds=-1.0), "every", "under a second"),
        (Interval(seconds=1e9), "every", "over a year"),
    ],
)
def test_what_cannot_fire_is_refused_by_its_field(when: When, path: str, words: str):
    (found,) = problems(when, anchor=0.0, now=NOW)
    assert found.path == path
    assert words in found.message


@given(st.text(alphabet="0123456789*/,-#LWSUNMON \u00b2\u0663", max_size=24))
@settings(max_examples=500, deadline=None)
@example("1#2 * * * *")
@example("* * * * \u00b2L")
@example("L/2 L/2 LW/2 L L/2")
def test_any_text_is_read_or_refused(text: str):
    found = problems(Cron(expression=text), anchor=0.0, now=NOW)
    assert {each.path for each in found} <= {"cron"}


@pytest.mark.parametrize("expression", ["0 0 29 2 *", "*/5 * * * *", "0 9 * JAN-MAR mon", "0 0 L * *", "0 12 * * 5L"])
def test_what_fires_some_day_is_taken(expression: str):
    assert problems(Cron(expression=expression, timezone="Europe/Berlin"), anchor=0.0, now=NOW) == ()
