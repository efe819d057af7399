"""Recurring schedules: what is called again and again, and when. Stored as JSON; times are seconds since 1970.

Gateways make them from what callers send; the scheduler fires them. When that is, `toolyard.contracts.recurrence` says.
"""

from typing import Any, Literal

from msgspec import Struct

#: What becomes of slots that passed while nobody could fire them: none is made up for, one, or the newest n.
Missed = Literal["skip", "run_once", "catch_up"]
#: What becomes of a slot whose predecessor's call has not ended: it is fired beside it, or left out.
Overlap = Literal["allow", "skip"]


class Cron(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="cron"):
    """Five fields: minute, hour, day of the month, month, day of the week; read in a time zone of the IANA database."""

    expression: str
    timezone: str = "UTC"


class Interval(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="interval"):
    """Every so many seconds, counted from the schedule's anchor, whatever happens to a single firing."""

    seconds: float


When = Cron | Interval


class ScheduleSpec(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be called, and when.

    Attributes:
        version: the tool's version; ``None`` is the one that is current when it fires.
        checked: the version that the arguments were checked against when this was saved.
        anchor: an interval's first slot; no slot lies before it.
        start_at: the earliest slot that was asked for, if one was.
        catch_up: how many missed slots are made up for, the newest ones; for ``missed="catch_up"``.
        timeout: seconds of one attempt; ``queue_timeout`` and ``deadline`` too are seconds from the firing on.
    """

    name: str
    tool: str
    when: When
    anchor: float
    version: int | None = None
    checked: int = 0
    arguments: dict[str, Any] = {}
    start_at: float | None = None
    missed: Missed = "run_once"
    catch_up: int = 1
    overlap: Overlap = "allow"
    user: str | None = None
    conversation: str | None = None
    context: dict[str, Any] | None = None
    timeout: float | None = None
    queue_timeout: float | None = None
    deadline: float | None = None


class Firing(Struct, frozen=True, kw_only=True):
    """The newest firing of a schedule; ``slot`` is when it was due."""

    slot: float
    call_id: str
    at: float


class Failure(Struct, frozen=True, kw_only=True):
    """Why a slot was not fired. The schedule goes on with the next one."""

    slot: float
    code: str
    message: str
