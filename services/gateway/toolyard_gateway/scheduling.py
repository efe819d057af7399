"""Schedules as callers see them: from a definition to what is kept, checked as a call would be, and back.

Called by the schedule operations. When a schedule fires, `toolyard.contracts.recurrence` knows; the scheduler does it.
"""

from dataclasses import replace
from typing import Any, Final

import msgspec

from toolyard import ids
from toolyard.clock import from_rfc3339, rfc3339
from toolyard.contracts import recurrence
from toolyard.contracts.schedules import Cron, Interval, ScheduleSpec, When
from toolyard.errors import FieldError, FieldsRefused, Refused
from toolyard.store.schedules import ScheduleRow
from toolyard_gateway.admission import DEFAULT_DEADLINE
from toolyard_gateway.api.schedule_models import ScheduleDefinition
from toolyard_gateway.fields import check_queue_timeout, check_user
from toolyard_gateway.principals import Principal
from toolyard_gateway.registry import CompiledTool
from toolyard_gateway.schemas import argument_errors

#: Runs that are shown.
SHOWN: Final = 5
#: Seconds that a schedule may begin ahead.
_AHEAD: Final = 10 * 366 * 86_400.0


# ---- from a definition --------------------------------------------------------------------------


def read_spec(said: ScheduleDefinition, now: float, before: ScheduleSpec | None = None) -> ScheduleSpec:
    """What a definition asks for; an interval that stays as it was goes on with its slots.

    Raises:
        FieldsRefused: it could never fire, or contradicts itself; says where and why.
    """
    problems = _contradictions(said)
    start_at = _start(said, now, problems)
    if problems:
        raise FieldsRefused(tuple(problems))
    when = _when(said)
    anchor = _anchor(when, start_at, now)
    if before is not None and (before.when, before.start_at) == (when, start_at):
        anchor = before.anchor
    found = recurrence.problems(when, anchor=anchor, now=now)
    if found:
        raise FieldsRefused(found)
    tool, _, version = said.tool.partition("@")
    return ScheduleSpec(
        name=said.name,
        tool=tool,
        when=when,
        anchor=anchor,
        version=int(version) if version else None,
        arguments=said.arguments,
        start_at=start_at,
        missed=said.missed,
        catch_up=said.catch_up or 1,
        overlap=said.overlap,
        user=said.user,
        conversation=said.conversation,
        context=said.context,
        timeout=said.timeout,
        queue_timeout=said.queue_timeout,
        deadline=said.deadline,
    )


def _contradictions(said: ScheduleDefinition) -> list[FieldError]:
    found = []
    if (said.cron is None) == (said.every is None):
        found.append(FieldError("cron", "or every: give one of them, and not both"))
    if said.timezone is not None and said.cron is None:
        found.append(FieldError("timezone", "belongs to cron; leave it out"))
    if said.missed != "catch_up" and said.catch_up is not None:
        found.append(FieldError("catch_up", 'belongs to "missed": "catch_up"; leave it out, or say so'))
    if said.missed == "catch_up" and said.catch_up is None:
        found.append(FieldError("catch_up", "is missing: say how many missed runs are made up for"))
    if said.overlap == "skip" and (said.catch_up or 1) > 1:
        found.append(FieldError("overlap", "skip would leave out all but the first of those made up for; choose one"))
    return found


def _start(said: ScheduleDefinition, now: float, problems: list[FieldError]) -> float | None:
    if said.start_at is None:
        return None
    try:
        start = from_rfc3339(said.start_at)
    except ValueError as error:
        problems.append(FieldError("start_at", str(error)))
        return None
    if not 0.0 <= start <= now + _AHEAD:
        problems.append(FieldError("start_at", "lies before 1970 or more than ten years ahead"))
    return round(start, 3)


def _when(said: ScheduleDefinition) -> When:
    if said.cron is not None:
        zone = "UTC" if said.timezone is None else said.timezone
        return Cron(expression=" ".join(said.cron.split()), timezone=zone)
    if said.every is None:
        raise AssertionError("one of both was given")
    return Interval(seconds=float(said.every))


def _anchor(when: When, start_at: float | None, now: float) -> float:
    if start_at is not None:
        return start_at
    return round(now + when.seconds, 3) if isinstance(when, Interval) else 0.0


def check_call(spec: ScheduleSpec, tool: CompiledTool) -> ScheduleSpec:
    """Check arguments, context and limits as the door does for a call; gives back the spec with the version noted.

    Raises:
        FieldsRefused: they do not fit the tool.
    """
    deadline = spec.deadline or tool.spec.deadline or DEFAULT_DEADLINE
    errors = argument_errors(tool.validator, spec.arguments, "arguments")
    errors += check_queue_timeout(spec.queue_timeout, deadline)
    errors += check_user(spec.user, needed=tool.needs_user)
    if errors:
        raise FieldsRefused(errors)
    missing = sorted(tool.needs_context - (spec.context or {}).keys())
    if missing:
        fields = tuple(FieldError(f"context.{name}", "is needed by the tool; give it") for name in missing)
        raise FieldsRefused(fields, code="context_required")
    return msgspec.structs.replace(spec, checked=tool.spec.version)


# ---- rows ---------------------------------------------------------------------------------------


def new_row(spec: ScheduleSpec, principal: Principal, now: float, *, paused: bool) -> ScheduleRow:
    """A new schedule."""
    return ScheduleRow(
        schedule_id=ids.new_id(),
        org=principal.org,
        spec=spec,
        version=1,
        created_by=principal.key_id,
        created_at=now,
        updated_at=now,
        paused=paused,
        next_at=_next(spec, now, paused=paused),
    )


def changed_row(row: ScheduleRow, now: float, *, spec: ScheduleSpec | None = None, paused: bool) -> ScheduleRow:
    """The next version of a schedule. What was missed while it was paused is not made up for."""
    spec = spec or row.spec
    next_at = _next(spec, now, paused=paused)
    return replace(
        row, spec=spec, version=row.version + 1, updated_at=now, paused=paused, next_at=next_at, failure=None
    )


def _next(spec: ScheduleSpec, now: float, *, paused: bool) -> float | None:
    return None if paused else recurrence.next_slot(spec.when, spec.anchor, now)


def same_request(row: ScheduleRow, spec: ScheduleSpec, principal: Principal) -> bool:
    """Whether a schedule is what this request would have made, had it not been made before."""

    def asked(of: ScheduleSpec) -> ScheduleSpec:
        return msgspec.structs.replace(of, anchor=0.0, checked=0)

    return (row.created_by, row.version, asked(row.spec)) == (principal.key_id, 1, asked(spec))


def not_found(name: str) -> Refused:
    """There is no such schedule."""
    return Refused("not_found", f"There is no schedule {name[:64]!r}.")


# ---- as it is shown -----------------------------------------------------------------------------

_SHOWN_WHERE_SET: Final = ("user", "conversation", "context", "timeout", "queue_timeout", "deadline")


def view(row: ScheduleRow, *, runs: bool = True) -> dict[str, Any]:
    """A schedule as the public surface shows it; ``runs``: with its next runs, which take a while to work out."""
    spec = row.spec
    shown: dict[str, Any] = {
        "schedule_id": row.schedule_id,
        "name": spec.name,
        "version": row.version,
        "tool": spec.tool if spec.version is None else f"{spec.tool}@{spec.version}",
        "arguments": spec.arguments,
        **_when_view(spec),
        "missed": spec.missed,
        "overlap": spec.overlap,
        "paused": row.paused,
        "created_by": row.created_by,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
        "left_out": row.left_out,
    }
    shown |= {name: value for name in _SHOWN_WHERE_SET if (value := getattr(spec, name)) is not None}
    if spec.missed == "catch_up":
        shown["catch_up"] = spec.catch_up
    if row.next_at is not None:
        shown["next_at"] = rfc3339(row.next_at)
    if runs:
        shown["next_runs"] = [rfc3339(slot) for slot in _runs(row)]
    if row.last is not None:
        last = row.last
        shown["last"] = {"slot": rfc3339(last.slot), "call_id": last.call_id, "fired_at": rfc3339(last.at)}
    if row.failure is not None:
        failed = row.failure
        shown["last_error"] = {"slot": rfc3339(failed.slot), "code": failed.code, "message": failed.message}
    return shown


def _when_view(spec: ScheduleSpec) -> dict[str, Any]:
    when = spec.when
    shown: dict[str, Any] = (
        {"cron": when.expression, "timezone": when.timezone} if isinstance(when, Cron) else {"every": when.seconds}
    )
    return shown if spec.start_at is None else shown | {"start_at": rfc3339(spec.start_at)}


def _runs(row: ScheduleRow) -> tuple[float, ...]:
    if row.next_at is None:
        return ()
    spec = row.spec
    return (row.next_at, *recurrence.next_slots(spec.when, spec.anchor, row.next_at, SHOWN - 1))
