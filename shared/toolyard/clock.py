"""Time, replaceable in tests. The only place that asks the operating system what time it is."""

import re
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Protocol

#: Exactly the grammar of the RFC; that the day exists, and the offset's range, is left to the calendar.
_RFC3339: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)


class Clock(Protocol):
    """Two clocks in one: absolute times are compared by the scheduler alone, durations by everyone."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""


class SystemClock:
    """The machine's own clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


SYSTEM = SystemClock()


def rfc3339(seconds: float) -> str:
    """A time as the public surface writes it: RFC 3339, UTC, milliseconds (cut, not rounded)."""
    whole = int(seconds // 1)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}Z"


@lru_cache(maxsize=1024)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def from_rfc3339(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time.

    A leap second counts as the second after it, as in the machine's own time.

    Raises:
        ValueError: it is none; ISO 8601 has many more forms.
    """
    if _RFC3339.fullmatch(text) is None:
        raise ValueError("is no time of RFC 3339 with its offset, as in 2026-01-31T12:00:00Z")
    leap = text[17:19] == "60"
    try:
        moment = datetime.fromisoformat(text.upper() if not leap else f"{text[:17]}59{text[19:]}".upper()).timestamp()
    except ValueError as error:
        raise ValueError(f"is no time that there is ({error}); write one as in 2026-01-31T12:00:00Z") from None
    if leap and (moment // 1 + 1) % 86_400:
        raise ValueError("has a leap second where none can be; write a time as in 2026-01-31T12:00:00Z")
    return moment + leap
