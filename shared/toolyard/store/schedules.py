"""Recurring schedules: what an org wants called again and again, and which of them are due.

Gateways write what callers ask for, under a version; the scheduler moves ``next_at``, by compare-and-set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from toolyard.contracts.schedules import Failure, Firing, ScheduleSpec
from toolyard.errors import Refused
from toolyard.store.base import Page
from toolyard.store.database import Database
from toolyard.store.tables import calls, schedules
from toolyard.store.values import clean, json_text, read_cursor, write_cursor

_spec = msgspec.json.Decoder(ScheduleSpec)
_firing = msgspec.json.Decoder(Firing)
_failure = msgspec.json.Decoder(Failure)


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A schedule as it is kept.

    Attributes:
        version: grows with every change that somebody asks for, not with its firings.
        created_by: the id of the API key.
        next_at: the slot to fire next; ``None`` while it is paused.
        last: its newest firing.
        failure: why its newest slot was not fired.
        left_out: slots that were not fired because the call before had not ended.
    """

    schedule_id: str
    org: str
    spec: ScheduleSpec
    version: int
    created_by: str
    created_at: float
    updated_at: float
    paused: bool
    next_at: float | None
    last: Firing | None = None
    failure: Failure | None = None
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """What became of the due slots of a schedule.

    Attributes:
        row: the schedule as it was read; it is moved only if it still is at this version and slot.
        next_at: the slot to fire next.
        last: the newest firing; ``None`` leaves the one that is there.
        failure: why the newest slot was not fired; ``None`` where it was.
        left_out: how many slots were left out.
    """

    row: ScheduleRow
    next_at: float | None
    last: Firing | None = None
    failure: Failure | None = None
    left_out: int = 0


_COLUMNS: Final = (
    schedules.c.schedule_id,
    schedules.c.org,
    schedules.c.spec,
    schedules.c.version,
    schedules.c.created_by,
    schedules.c.created_at,
    schedules.c.updated_at,
    schedules.c.paused,
    schedules.c.next_at,
    schedules.c.last_firing,
    schedules.c.failure,
    schedules.c.left_out,
)
_MOVE: Final = text(
    "UPDATE schedules SET next_at = :next_at, last_firing = coalesce(:last_firing, last_firing), failure = :failure,"
    " left_out = left_out + :left_out"
    " WHERE schedule_id = :schedule_id AND version = :version AND next_at = :seen"
)


class SqlSchedules:
    """The schedules of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- for gateways -------------------------------------------------------------------------
    def create(self, row: ScheduleRow) -> None:
        """Add a schedule. Raises `Refused` (conflict) where its name is taken in its org."""
        values = {
            "schedule_id": row.schedule_id,
            "org": row.org,
            "created_by": row.created_by,
            "created_at": row.created_at,
            "left_out": 0,
            **_said(row),
        }
        with self._database.write() as connection:
            try:
                connection.execute(insert(schedules), values)
            except IntegrityError:
                detail = f"there is a schedule {row.spec.name!r} already; change it with PUT"
                raise Refused("conflict", detail) from None

    def replace(self, row: ScheduleRow, *, expected: int) -> None:
        """Save a changed schedule.

        Raises:
            Refused: not_found; precondition_failed where ``expected`` is not the current version.
        """
        with self._database.write() as connection:
            here = (schedules.c.schedule_id == row.schedule_id) & (schedules.c.version == expected)
            if connection.execute(update(schedules).where(here).values(**_said(row))).rowcount == 1:
                return
        raise self._not_as_expected(row.org, row.spec.name, expected)

    def delete(self, org: str, name: str, *, expected: int) -> None:
        """Remove a schedule; calls that it fired go on. Raises as `replace` does."""
        with self._database.write() as connection:
            here = (schedules.c.org == clean(org)) & (schedules.c.name == clean(name))
            if connection.execute(delete(schedules).where(here, schedules.c.version == expected)).rowcount == 1:
                return
        raise self._not_as_expected(org, name, expected)

    def get(self, org: str, name: str) -> ScheduleRow | None:
        """One schedule of this org."""
        wanted = select(*_COLUMNS).where(schedules.c.org == clean(org), schedules.c.name == clean(name))
        with self._database.read() as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else _row(row)

    def list(self, org: str, *, cursor: str | None, limit: int) -> Page[ScheduleRow]:
        """The org's schedules by name. Raises ValueError for a cursor that is none of ours."""
        statement = select(*_COLUMNS).where(schedules.c.org == clean(org))
        if cursor is not None:
            statement = statement.where(schedules.c.name > read_cursor(cursor, tuple[str])[0])
        with self._database.read() as connection:
            rows = [_row(row) for row in connection.execute(statement.order_by(schedules.c.name).limit(limit + 1))]
        more = len(rows) > limit
        return Page(rows[:limit], write_cursor(rows[limit - 1].spec.name) if more else None)

    def _not_as_expected(self, org: str, name: str, expected: int) -> Refused:
        found = self.get(org, name)
        if found is None:
            return Refused("not_found", f"there is no schedule {name!r}")
        detail = f"the schedule {name!r} is at version {found.version}, not {expected}; read it again"
        return Refused("precondition_failed", detail, extra={"version": found.version})

    # ---- for the scheduler --------------------------------------------------------------------
    def due(self, now: float, limit: int) -> Sequence[ScheduleRow]:
        """Schedules of all orgs whose slot has come, the longest overdue first."""
        wanted = select(*_COLUMNS).where(schedules.c.next_at <= now).order_by(schedules.c.next_at).limit(limit)
        with self._database.read() as connection:
            return [_row(row) for row in connection.execute(wanted)]

    def open_calls(self, call_ids: Sequence[str]) -> Mapping[str, bool]:
        """Those of these calls that the ledger knows, and whether they have not ended."""
        wanted = select(calls.c.call_id, calls.c.finished_at).where(calls.c.call_id.in_(call_ids))
        with self._database.read() as connection:
            return {call_id: finished_at is None for call_id, finished_at in connection.execute(wanted)}

    def move(self, moves: Sequence[Move]) -> None:
        """Move these on, each unless it was changed, paused, deleted or moved meanwhile."""
        if moves:
            with self._database.write() as connection:
                connection.execute(_MOVE, [_moved(each) for each in moves])


def _said(row: ScheduleRow) -> dict[str, Any]:
    """What somebody asked for; a change of it forgets why a slot was not fired."""
    return {
        "name": clean(row.spec.name),
        "version": row.version,
        "spec": json_text(row.spec),
        "updated_at": row.updated_at,
        "paused": row.paused,
        "next_at": row.next_at,
        "failure": None,
    }


def _moved(move: Move) -> dict[str, Any]:
    return {
        "schedule_id": move.row.schedule_id,
        "version": move.row.version,
        "seen": move.row.next_at,
        "next_at": move.next_at,
        "last_firing": None if move.last is None else json_text(move.last),
        "failure": None if move.failure is None else clean(json_text(move.failure)),
        "left_out": move.left_out,
    }


def _row(row: Any) -> ScheduleRow:
    return ScheduleRow(
        schedule_id=row.schedule_id,
        org=row.org,
        spec=_spec.decode(row.spec),
        version=row.version,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        paused=bool(row.paused),
        next_at=row.next_at,
        last=None if row.last_firing is None else _firing.decode(row.last_firing),
        failure=None if row.failure is None else _failure.decode(row.failure),
        left_out=row.left_out,
    )
