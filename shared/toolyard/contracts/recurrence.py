"""When a schedule fires: its slots, strictly rising, and which of them are due. Pure; knows neither clock nor store.

An interval is counted from its anchor. What a cron expression means, also where clocks are changed, is said in `cron`.
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from math import floor
from typing import Final, NamedTuple

from toolyard.contracts import cron
from toolyard.contracts.schedules import Cron, Interval, Missed, When
from toolyard.errors import FieldError

#: Seconds: the shortest and the longest interval.
SHORTEST: Final = 1.0
LONGEST: Final = 366 * 86_400.0
#: Seconds after its time within which a slot counts as fired in time and not as missed: a standby takes over sooner.
IN_TIME: Final = 60.0
#: Slots that may be made up for at most.
MOST_CAUGHT_UP: Final = 100
#: Seconds that are looked back for missed slots, further and further: most are near.
_LOOK_BACK: Final = (3_600.0, 86_400.0, 32 * 86_400.0, 400 * 86_400.0, float("inf"))


class Due(NamedTuple):
    """What is due at a moment.

    Attributes:
        slots: those to fire, in order.
        next_at: the first slot after that moment; ``None`` where none will ever come.
    """

    slots: tuple[float, ...]
    next_at: float | None


# ---- checking -----------------------------------------------------------------------------------


def problems(when: When, *, anchor: float, now: float) -> tuple[FieldError, ...]:
    """What is wrong with it, by the field of the public surface; nothing where it fires some day after ``now``."""
    if isinstance(when, Interval):
        return _interval_problems(when)
    found = cron.problems(when)
    if not found and next_slot(when, anchor, now) is None:
        return (FieldError("cron", "never fires within the next 50 years; write days that exist"),)
    return found


def _interval_problems(when: Interval) -> tuple[FieldError, ...]:
    if when.seconds < SHORTEST:
        return (FieldError("every", f"is under a second; the shortest period is {SHORTEST:g}"),)
    if when.seconds > LONGEST:
        return (FieldError("every", f"is over a year; the longest period is {LONGEST:.0f} seconds"),)
    return ()


# ---- slots --------------------------------------------------------------------------------------


def next_slot(when: When, anchor: float, after: float) -> float | None:
    """The first slot after this moment; ``None`` where none comes within 50 years."""
    return next(slots(when, anchor, after), None)


def next_slots(when: When, anchor: float, after: float, count: int) -> tuple[float, ...]:
    """So many slots after this moment, fewer where there are no more."""
    return tuple(islice(slots(when, anchor, after), count))


def slots(when: When, anchor: float, after: float) -> Iterator[float]:
    """All slots after this moment, strictly rising, the same whatever moment one begins with.

    Args:
        when: free of `problems`.
        anchor: no slot lies before it; an interval is counted from it, in whole milliseconds.
        after: exclusive.
    """
    if isinstance(when, Interval):
        return _interval_slots(when, anchor, after)
    return _cron_slots(when, anchor, after)


def _interval_slots(when: Interval, anchor: float, after: float) -> Iterator[float]:
    number = max(floor((after - anchor) / when.seconds), 0)
    while True:
        slot = round(anchor + number * when.seconds, 3)
        if slot > after:
            yield slot
        number += 1


def _cron_slots(when: Cron, anchor: float, after: float) -> Iterator[float]:
    return (slot for slot in cron.slots(when, max(after, anchor - 1.0)) if slot >= anchor)


# ---- what is due --------------------------------------------------------------------------------


def due(when: When, anchor: float, *, missed: Missed, catch_up: int, first: float, now: float) -> Due:
    """What is to be fired now, and when to look again.

    The newest slot is fired if it is in time, by every policy. One that is late is fired by ``run_once`` (instead of
    all those that were missed) and by ``catch_up``, which fires the newest n, late or not.

    Args:
        when: free of `problems`.
        anchor: as for `slots`.
        missed: the policy.
        catch_up: the n of ``catch_up``.
        first: the earliest slot that was not dealt with; at most ``now``.
        now: this moment.
    """
    newest = _newest(when, anchor, first, now, catch_up if missed == "catch_up" else 1)
    if missed == "skip" and now - newest[-1] > IN_TIME:
        newest = ()
    return Due(newest, next_slot(when, anchor, max(now, first)))


def _newest(when: When, anchor: float, first: float, now: float, count: int) -> tuple[float, ...]:
    """The newest slots from ``first`` to ``now``, in order; at least one, because ``first`` is one."""
    if isinstance(when, Interval):
        whole = floor((now - first) / when.seconds)
        begin = first + max(whole - count - 1, 0) * when.seconds  # one more: the last may be after now by a rounding
        return _up_to(when, anchor, begin, first, now, count)
    for back in _LOOK_BACK:
        found = _up_to(when, anchor, now - back, first, now, count)
        if len(found) == count or now - back <= first:
            return found
    raise AssertionError("the last look back reaches everything")


def _up_to(when: When, anchor: float, begin: float, first: float, now: float, count: int) -> tuple[float, ...]:
    kept = deque((first,) if begin <= first else (), maxlen=count)
    for slot in slots(when, anchor, max(begin, first)):
        if slot > now:
            break
        kept.append(slot)
    return tuple(kept)
