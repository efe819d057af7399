"""Cron expressions: what is wrong with one, and when it fires in its time zone. Pure; called by `recurrence`.

Fields are read by cronsim, as Debian's cron reads them. What becomes of them where clocks are changed is decided here:

* An expression of fixed times (neither minute nor hour begin with ``*``) goes by the clock on the wall. A time fires at
  the first moment at which the clock shows it or has gone past it: where it does not exist, because clocks are put
  forward, that is the next moment that does, once for all times that were left out; where it exists twice, the first.
* Any other goes by elapsed time and fires whenever the clock shows it: ``*/15 * * * *`` fires every 15 minutes through
  either change, an hour that exists twice has its slots twice, and one that does not exist has none.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from difflib import get_close_matches
from functools import cache
from heapq import heappop, heappush
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field

from toolyard.contracts.schedules import Cron
from toolyard.errors import FieldError

_MAX_EXPRESSION: Final = 200
#: Names that the database has beside those of places: what they stand for differs from machine to machine.
_OF_THE_MACHINE: Final = frozenset({"localtime", "Factory", "posixrules"})
#: More than any clock was ever put back by.
_FURTHEST_BACK: Final = timedelta(days=1)


class _Field(NamedTuple):
    """One of the five: its name, what it takes, and how cronsim reads it."""

    name: str
    right: str
    low: int
    high: int
    read: Field


_FIELDS: Final = (
    _Field("minute", "0-59", 0, 59, Field.MINUTE),
    _Field("hour", "0-23", 0, 23, Field.HOUR),
    _Field("day of the month", "1-31, L or LW", 1, 31, Field.DAY),
    _Field("month", "1-12 or JAN-DEC", 1, 12, Field.MONTH),
    _Field("day of the week", "0-7 or SUN-SAT, as in MON-FRI, 5L or 1#2", 0, 7, Field.DOW),
)


# ---- what is wrong ------------------------------------------------------------------------------


def problems(when: Cron) -> tuple[FieldError, ...]:
    """What is wrong with time zone and expression, by the field of the public surface."""
    said = (("timezone", _zone_problem(when.timezone)), ("cron", _expression_problem(when.expression)))
    return tuple(FieldError(path, text) for path, text in said if text is not None)


def _zone_problem(name: str) -> str | None:
    if name in _zones():
        return None
    if name in _OF_THE_MACHINE:
        return f"{name} is whatever a machine is set to; name a place, as in Europe/Zurich, or UTC"
    near = get_close_matches(name[:64], _zones(), n=1)
    return f"is no time zone of the IANA database{f'; did you mean {near[0]}?' if near else ', as in Europe/Zurich'}"


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - _OF_THE_MACHINE


def _expression_problem(expression: str) -> str | None:
    words = expression.split()
    if len(expression) > _MAX_EXPRESSION:
        return f"is longer than {_MAX_EXPRESSION} characters"
    if len(words) != len(_FIELDS):
        more = "; the finest step is a minute, use every for seconds" if len(words) > len(_FIELDS) else ""
        return f"has {len(words)} fields; write five: {', '.join(field.name for field in _FIELDS)}{more}"
    for field, word in zip(_FIELDS, words, strict=True):
        for term in word.split(","):
            if not _is_read(field, term):
                return f"{field.name}: {_wrong(field, term)}"
    try:
        CronSim(expression, datetime(2024, 1, 1))  # noqa: DTZ001 - only its form is looked at
    except CronSimError:  # each field can be read: what is left is a day that its months do not have
        return f"day of the month: month {words[3]} has no day {words[2]}"
    return None


def _is_read(field: _Field, term: str) -> bool:
    try:
        field.read.parse(term.upper())
    except (CronSimError, AssertionError, ValueError):
        return False
    return True


def _wrong(field: _Field, term: str) -> str:
    """Why this term of a field cannot be read, and what can."""
    if not term:
        return f"has nothing beside a comma; a list is written as in {field.low},{field.high}"
    span, slash, step = term.partition("/")
    if slash and _is_read(field, span):
        return f"{term!r} has the step {step!r}; a step is a whole number from 1, as in */5"
    for number in re.findall(r"[0-9]+", span.partition("#")[0]):
        if not field.low <= int(number) <= field.high:
            return f"{number} is not in {field.right}"
    first, dash, last = span.partition("-")
    if dash and _is_read(field, first) and _is_read(field, last):
        return f"{span} runs backwards; write it as two, as in {first}-{field.high},{field.low}-{last}"
    return f"{term!r} is not in {field.right}"


# ---- slots --------------------------------------------------------------------------------------


def slots(when: Cron, after: float) -> Iterator[float]:
    """All slots after this moment, strictly rising; ends where none comes within 50 years.

    Args:
        when: free of `problems`.
        after: seconds since 1970, exclusive.
    """
    zone = ZoneInfo(when.timezone)
    minute, hour = when.expression.split()[:2]
    elapsed = minute.startswith("*") or hour.startswith("*")
    last = after
    for slot in (_by_elapsed_time if elapsed else _by_the_wall)(when.expression, zone, after):
        if slot > last:
            last = slot
            yield slot


def _by_the_wall(expression: str, zone: ZoneInfo, after: float) -> Iterator[float]:
    for wall in CronSim(expression, _shown(zone, after)):
        yield _first(zone, wall)


def _by_elapsed_time(expression: str, zone: ZoneInfo, after: float) -> Iterator[float]:
    """Every moment at which the clock shows a time of the expression, in the order of the moments.

    Times of an hour that exists twice come one after the other with both their moments: they are held back until no
    later time can have an earlier moment.
    """
    held: list[float] = []
    for wall in CronSim(expression, _earliest_shown(zone, after)):
        first = _first(zone, wall)
        while held and held[0] < first:
            yield heappop(held)
        for moment in {_moment(zone, wall, fold) for fold in (0, 1)}:
            if _shown(zone, moment) == wall:
                heappush(held, moment)
    while held:
        yield heappop(held)


# ---- the clock on the wall ----------------------------------------------------------------------


def _shown(zone: ZoneInfo, moment: float) -> datetime:
    """What the clock shows at a moment."""
    return datetime.fromtimestamp(moment, zone).replace(tzinfo=None, fold=0)


def _earliest_shown(zone: ZoneInfo, moment: float) -> datetime:
    """The earliest time that the clock shows from a moment on: sooner where it is about to be put back."""
    later = _shown(zone, moment + _FURTHEST_BACK.total_seconds())
    return min(_shown(zone, moment), later - _FURTHEST_BACK)


def _moment(zone: ZoneInfo, wall: datetime, fold: int) -> float:
    return wall.replace(tzinfo=zone, fold=fold).timestamp()


def _first(zone: ZoneInfo, wall: datetime) -> float:
    """The first moment at which the clock shows this time or has gone past it."""
    moment = _moment(zone, wall, 0)
    if _shown(zone, moment) == wall:
        return moment
    before, there = int(_moment(zone, wall, 1)), int(moment)  # it is left out: clocks are put forward in between
    while there - before > 1:
        middle = (before + there) // 2
        before, there = (before, middle) if _shown(zone, middle) >= wall else (middle, there)
    return float(there)
