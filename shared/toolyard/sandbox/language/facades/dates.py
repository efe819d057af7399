"""Dates and times: datetime, zoneinfo, time, calendar.

Time zones are read from files, and a locked process has none: all are read beforehand and kept.
"""

import calendar
import datetime as dt
import time
import zoneinfo
from typing import Final

from toolyard.sandbox.language.classes import may_inherit
from toolyard.sandbox.language.facades.facade import Facade, facade

_ZONES: Final[dict[str, "ZoneInfo"]] = {}


class ZoneInfo(zoneinfo.ZoneInfo):
    """A time zone by its name; one that was not read beforehand does not exist."""

    def __new__(cls, key: str) -> "ZoneInfo":  # noqa: D102
        if type(key) is not str or key not in _ZONES:
            raise zoneinfo.ZoneInfoNotFoundError(f"No time zone found with key {key!s}")
        return _ZONES[key]

    @classmethod
    def no_cache(cls, key: str) -> "ZoneInfo":
        """The same: zones do not change."""
        return cls(key)


def read_zones() -> None:
    """Read every time zone of this machine, once."""
    if not _ZONES:
        for name in zoneinfo.available_timezones():
            _ZONES[name] = zoneinfo.ZoneInfo.__new__(ZoneInfo, name)


def available_timezones() -> set[str]:
    """The names of all time zones."""
    return set(_ZONES)


may_inherit(dt.tzinfo)

MODULES: Final[dict[str, Facade]] = {
    "datetime": facade("datetime", dt, "MAXYEAR MINYEAR UTC date datetime time timedelta timezone tzinfo"),
    "zoneinfo": facade(
        "zoneinfo", zoneinfo, "ZoneInfoNotFoundError", ZoneInfo=ZoneInfo, available_timezones=available_timezones
    ),
    "time": facade(
        "time",
        time,
        "asctime ctime gmtime localtime mktime monotonic monotonic_ns perf_counter perf_counter_ns process_time sleep "
        "strftime strptime struct_time time time_ns",
    ),
    "calendar": facade(
        "calendar",
        calendar,
        "Calendar FRIDAY MONDAY SATURDAY SUNDAY THURSDAY TUESDAY TextCalendar WEDNESDAY isleap leapdays month "
        "monthcalendar monthrange timegm weekday",
        day_abbr=tuple(calendar.day_abbr),
        day_name=tuple(calendar.day_name),
        month_abbr=tuple(calendar.month_abbr),
        month_name=tuple(calendar.month_name),
    ),
}
