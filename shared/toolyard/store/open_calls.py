"""Calls that have not ended, as the scheduler's duties ask for them: what is overdue, due, held, or to be decided.

Read only: what a duty makes of them it publishes, and the record of that moves the row.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, and_, case, func, not_, or_, select

from toolyard.contracts.calls import Call, ErrorInfo
from toolyard.contracts.control import Paused
from toolyard.store.database import Database
from toolyard.store.ledger_rows import OpenCall, Waits
from toolyard.store.tables import calls, pauses
from toolyard.store.values import clean

_call = msgspec.json.Decoder(Call)
_error = msgspec.json.Decoder(ErrorInfo)
_table = calls.c
#: In the order of the fields of `OpenCall`.
_COLUMNS: Final = (
    _table.call,
    _table.state,
    _table.effect,
    _table.attempt,
    _table.attempts,
    _table.started_at,
    _table.holder,
    _table.alone,
    _table.ending,
    _table.ending_claim,
    _table.settled,
    _table.doomed,
    _table.watch_at,
    _table.due_at,
    _table.runs_until,
    _table.waived,
    _table.diverted,
    _table.error,
)


class SqlOpenCalls:
    """The open calls of one database. All lists begin with what has waited longest. Times: seconds since 1970."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def overdue(self, before: float, limit: int) -> Sequence[OpenCall]:
        """Whose deadline was earlier than this, and over which no verdict is under way."""
        waiting = (_table.deadline < before, _table.ending.is_(False), _table.settled.is_(False))
        return self._found(_table.deadline, limit, *waiting)

    def due(self, now: float, limit: int) -> Sequence[OpenCall]:
        """Whose next attempt is to be dispatched now."""
        return self._found(_table.due_at, limit, _table.due_at <= now)

    def watched(self, now: float, limit: int) -> Sequence[OpenCall]:
        """Whose verdict is to go on now."""
        return self._found(_table.watch_at, limit, _table.watch_at <= now)

    def held(self) -> Sequence[OpenCall]:
        """Whose attempt was granted to a claim."""
        return self._found(_table.call_id, None, _table.holder.is_not(None))

    def these(self, call_ids: Sequence[str]) -> Sequence[OpenCall]:
        """Those of these calls that are open; a thousand at most."""
        return self._found(_table.call_id, None, _table.call_id.in_(call_ids))

    def queued(self, pool: str, before: float, limit: int) -> Sequence[OpenCall]:
        """Which were accepted before that time, are this pool's now, and since then nothing was heard of."""
        still = (_in_queue_of(pool), _table.state == "queued", _table.accepted_at < before)
        free = (_table.holder.is_(None), _table.due_at.is_(None), _table.ending.is_(False), _table.settled.is_(False))
        found = self._found(_table.accepted_at, limit, *still, *free)
        return [each for each in found if not each.diverted or each.call.fallback == pool]

    def waits(self) -> Sequence[Waits]:
        """What waits for its start, by pool and by what it waits for; calls that were put off are not the oldest."""
        first = and_(_table.attempt == 1, not_(_table.call.contains('"not_before":')))
        still = (_table.finished_at.is_(None), or_(_table.state == "queued", _table.parked_for.is_not(None)))
        statement = (
            select(_table.pool, _table.parked_for, func.count(), func.min(case((first, _table.accepted_at))))
            .where(*still)
            .group_by(_table.pool, _table.parked_for)
        )
        with self._database.read() as connection:
            return [Waits(*row) for row in connection.execute(statement)]

    def pauses(self) -> frozenset[Paused]:
        """All that is paused."""
        with self._database.read() as connection:
            rows = connection.execute(select(pauses.c.kind, pauses.c.org, pauses.c.name)).all()
        return frozenset(Paused(kind=kind, org=org, name=name) for kind, org, name in rows)

    def _found(
        self, order: ColumnElement[Any], limit: int | None, *conditions: ColumnElement[bool]
    ) -> Sequence[OpenCall]:
        statement = select(*_COLUMNS).where(_table.finished_at.is_(None), *conditions).order_by(order).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        return [_open_call(row) for row in rows]


def _in_queue_of(pool: str) -> ColumnElement[bool]:
    """Calls that this pool runs: those that were accepted for it, and those whose fallback took over and is its own."""
    own = and_(_table.pool == clean(pool), not_(_table.diverted))
    return or_(own, and_(_table.diverted, _table.call.contains(f'"fallback":"{pool}"', autoescape=True)))


def _open_call(row: Any) -> OpenCall:
    columns: list[Any] = [_call.decode(row[0]), *row[1:-1], None if row[-1] is None else _error.decode(row[-1])]
    return OpenCall(*columns)
