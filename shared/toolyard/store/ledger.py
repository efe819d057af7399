"""The writing side of calls: the ledger's batches, each in one transaction with the place in the log that it leads to.

The scheduler's ledger alone calls it. What a record means is decided there; here stands how it is written, in a few
statements a batch whatever its size.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    exists,
    false,
    insert,
    not_,
    select,
    text,
    update,
)

from toolyard.contracts.calls import Authorization, Call
from toolyard.contracts.control import Paused
from toolyard.errors import LedgerMoved, StoreError
from toolyard.store import ledger_consents
from toolyard.store import ledger_sql as sql
from toolyard.store.database import Database
from toolyard.store.ledger_consents import Asked
from toolyard.store.ledger_rows import ORDINARY, LedgerRow, Submission, aside_values
from toolyard.store.tables import calls, ledger, pauses, submissions
from toolyard.store.values import clean, json_text

Values = tuple[Any, ...]
_call = msgspec.json.Decoder(Call)
#: How many columns of a loaded row come before those of calls out of the ordinary.
_ORDINARY_COLUMNS = len(sql.LOADED) - len(sql.ASIDE)


@dataclass(frozen=True, slots=True)
class Position:
    """Where the ledger stands, and who keeps it.

    Attributes:
        offset: of the newest record that was applied; -1 before the first.
        record_id: the message id of that record.
        record_time: when the newest of the applied records was made.
        owner: the scheduler that leads; ``None`` where the last one stepped back.
        epoch: grows with every new owner; what an older one writes is refused.
        beat: grows while the owner lives.
    """

    offset: int
    record_id: str
    record_time: float
    owner: str | None
    epoch: int
    beat: int


class Batch:
    """One transaction of the ledger: what is there is loaded, folded by the caller, and saved.

    Whatever is done first moves the ledger's place before it; PostgreSQL does so in one statement with the first load.
    """

    def __init__(self, transaction: Connection, move: Mapping[str, Any]) -> None:
        self._transaction = transaction
        self._postgres = transaction.dialect.name == "postgresql"
        self._move: Mapping[str, Any] | None = move

    def move(self) -> None:
        """Move the place, if nothing did yet. Raises `LedgerMoved` where another scheduler leads."""
        move, self._move = self._move, None
        if move is not None:
            _expect_one(self._transaction.execute(sql.MOVE, move).rowcount)

    @property
    def _connection(self) -> Connection:
        self.move()
        return self._transaction

    def load(self, call_ids: Sequence[str]) -> dict[str, LedgerRow]:
        """Those of these calls that have a row."""
        if self._postgres and self._move is not None:
            found = self._move_and_load(self._move, call_ids)
        else:
            found = self._of(call_ids, sql.PG_LOAD, sql.LITE_LOAD)
        return {row[0]: _ledger_row(row) for row in found}

    def _move_and_load(self, move: Mapping[str, Any], call_ids: Sequence[str]) -> Iterable[Any]:
        """What is loaded is as old as the statement, which may have waited for another's place: then it moves none."""
        self._move = None
        rows = self._transaction.exec_driver_sql(sql.PG_MOVE_AND_LOAD, {**move, "call_ids": list(call_ids)}).all()
        _expect_one(min(len(rows), 1))
        return [row for row in rows if row[0] is not None]

    def know(self, rows: Mapping[str, LedgerRow], call_ids: Sequence[str]) -> None:
        """Load what these calls asked for into their rows."""
        if not call_ids:
            return
        for call_id, call in self._of(call_ids, sql.PG_KNOW, sql.LITE_KNOW):
            rows[call_id].known = _call.decode(call)

    def _of(self, call_ids: Sequence[str], postgres: str, lite: str) -> Iterable[Any]:
        if self._postgres:
            return self._connection.exec_driver_sql(postgres, (list(call_ids),))
        return self._connection.exec_driver_sql(lite, (msgspec.json.encode(call_ids).decode(),))

    def of_conversation(self, org: str, conversation: str) -> Sequence[str]:
        """The calls of a conversation that have not ended."""
        mine = (calls.c.org == clean(org), calls.c.conversation == clean(conversation), calls.c.finished_at.is_(None))
        return list(self._connection.execute(select(calls.c.call_id).where(*mine)).scalars())

    def save(self, rows: Iterable[LedgerRow]) -> Sequence[LedgerRow]:
        """Write what is new and what has changed; returns those in which something out of the ordinary changed."""
        ordinary: list[LedgerRow] = []
        whole: list[LedgerRow] = []
        for row in rows:
            if aside_values(row) != (row.loaded or ORDINARY):
                whole.append(row)
            elif row.new or row.changed:
                ordinary.append(row)
        self._write(ordinary, sql.PG_ORDINARY if self._postgres else sql.LITE_ORDINARY, _live)
        self._write(whole, sql.PG_WHOLE if self._postgres else sql.LITE_WHOLE, _live_and_aside)
        return whole

    def _write(self, rows: list[LedgerRow], statements: sql.Statements, values: Callable[[LedgerRow], Values]) -> None:
        if not rows:
            return
        new = [(*_given(row.call), *values(row), *_outcome(row)) for row in rows if row.new]
        self._execute(statements.insert, new)
        changed = [row for row in rows if not row.new]
        self._execute(statements.update, [(*values(row), *_outcome(row), row.call_id) for row in changed])
        names = [name for name, _ in sql.GIVEN]
        filled = [dict(zip(names, _given(row.call), strict=True)) for row in changed if row.call]
        if filled:
            self._connection.execute(sql.FILL, filled)

    def _execute(self, statement: sql.Statement, rows: list[Values]) -> None:
        if not rows:
            return
        if statement.arrays is None or len(rows) <= sql.FEW:
            self._connection.exec_driver_sql(statement.row, rows)
        else:
            self._connection.exec_driver_sql(statement.arrays, tuple(map(list, zip(*rows, strict=True))))

    def drop(self, call_ids: Sequence[str]) -> None:
        """Forget these calls: they are written anew."""
        if call_ids:
            self._connection.execute(delete(submissions).where(submissions.c.call_id.in_(call_ids)))
            self._connection.execute(delete(calls).where(calls.c.call_id.in_(call_ids)))

    def submitted(self, noted: Sequence[Submission]) -> None:
        """Note further submissions; those noted before stay as they are."""
        if noted:
            rows = [
                {
                    "call_id": each.call_id,
                    "gateway": clean(each.gateway),
                    "body_hash": clean(each.body_hash),
                    "submitted_at": each.submitted_at,
                    "conflict": each.conflict,
                }
                for each in noted
            ]
            self._connection.execute(sql.SUBMIT, rows)

    def asked_for(self, authorization: Authorization, asked: Asked, at: float) -> bool:
        """Note what a user is asked to consent to; what was asked for before is asked for anew.

        Whether nobody was being asked for it at that moment.
        """
        return ledger_consents.ask(self._connection, authorization, asked, at)

    def authorized(self, org: str, provider: str, authorization_id: str, status: str, at: float) -> float | None:
        """Note what became of an authorization, if that was not known yet; for how many seconds it had been asked for.

        ``None`` where there is none, it is over already, or that is about an earlier time than it is asked for now.
        """
        return ledger_consents.end(self._connection, org, provider, authorization_id, status, at)

    def waiting_for(self, org: str, provider: str, authorization_id: str) -> Sequence[str]:
        """The open calls that wait for an authorization."""
        return ledger_consents.waiting_for(self._connection, org, provider, authorization_id)

    def pause(self, paused: Paused, at: float) -> None:
        """Note that this is paused; what is paused already stays as it is."""
        row = {"kind": paused.kind, "org": clean(paused.org), "name": clean(paused.name), "paused_at": at}
        here = [pauses.c[name] == row[name] for name in ("kind", "org", "name")]
        if self._connection.execute(select(pauses.c.kind).where(*here)).one_or_none() is None:
            self._connection.execute(insert(pauses), row)

    def resume(self, over: Paused, at: float) -> int:
        """Note that a pause is over; what it parked and nothing else pauses is due. How many calls that is."""
        here = (pauses.c.kind == over.kind, pauses.c.org == clean(over.org), pauses.c.name == clean(over.name))
        self._connection.execute(delete(pauses).where(*here))
        waiting = (calls.c.parked_for == "paused", calls.c.due_at.is_(None), calls.c.finished_at.is_(None))
        due = update(calls).where(*waiting, _parked_by(over), *(not_(each) for each in _STILL_PAUSED)).values(due_at=at)
        return self._connection.execute(due).rowcount


class SqlLedger:
    """The ledger of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def position(self) -> Position:
        """Where it stands now."""
        columns = (ledger.c[name] for name in ("log_offset", "record_id", "record_time", "owner", "epoch", "beat"))
        with self._database.read() as connection:
            row = connection.execute(select(*columns).where(ledger.c.id == 1)).one_or_none()
        if row is None:
            raise StoreError("the ledger's place is missing in its table; restore the database from its backup")
        return Position(*row)

    def lead(self, seen: Position, owner: str) -> Position:
        """Become the owner, if nothing moved since ``seen``. Raises `LedgerMoved` where something did."""
        with self._database.write() as connection:
            moved = connection.execute(sql.LEAD, {"owner": owner, "epoch": seen.epoch, "beat": seen.beat}).rowcount
            _expect_one(moved)
        return Position(seen.offset, seen.record_id, seen.record_time, owner, seen.epoch + 1, seen.beat + 1)

    def beat(self, epoch: int) -> None:
        """Show that the owner of this epoch lives. Raises `LedgerMoved` where another leads."""
        with self._database.write() as connection:
            _expect_one(connection.execute(sql.BEAT, {"epoch": epoch}).rowcount)

    def clock(self) -> float | None:
        """What time the database server says it is; ``None`` where it is this machine's own clock."""
        if self._database.dialect == "sqlite":
            return None
        with self._database.read() as connection:
            return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())

    def forget(self) -> None:
        """Begin anew at the first record that the log still has; whoever led before steps back.

        What was folded before stays: records that come once more change nothing. Followers may be told once more.
        """
        with self._database.write() as connection:
            connection.execute(sql.FORGET)
            connection.execute(sql.FORGET_FEED)

    def release(self, epoch: int) -> None:
        """Step back, so that another may lead at once; nothing happens where another does already."""
        with self._database.write() as connection:
            connection.execute(sql.RELEASE, {"epoch": epoch})

    @contextmanager
    def batch(self, epoch: int, before: int, offset: int, record_id: str, record_time: float) -> Iterator[Batch]:
        """One transaction that moves the ledger from offset ``before`` to ``offset``, with all that is saved in it.

        The place is moved before anything is loaded or written: from then until the commit every other scheduler waits,
        and then finds it moved.

        Raises:
            LedgerMoved: another scheduler leads; nothing was written.
        """
        place = {"offset": offset, "record_id": clean(record_id), "record_time": record_time}
        with self._database.write() as connection:
            batch = Batch(connection, {**place, "epoch": epoch, "before": before})
            yield batch
            batch.move()

    def submissions(self, call_id: str) -> Sequence[Submission]:
        """The further submissions of a call, in the order they came."""
        table = submissions.c
        columns = (table.call_id, table.gateway, table.body_hash, table.submitted_at, table.conflict)
        statement = select(*columns).where(table.call_id == call_id).order_by(table.submitted_at)
        with self._database.read() as connection:
            return [Submission(*row) for row in connection.execute(statement)]


def _ledger_row(row: Any) -> LedgerRow:
    aside = tuple(row[_ORDINARY_COLUMNS:])
    found = LedgerRow(*row[:_ORDINARY_COLUMNS]) if aside == ORDINARY else LedgerRow(*row)
    found.ending = bool(found.ending)  # SQLite has no truth values
    if aside != ORDINARY:
        found.alone, found.refused, found.settled = bool(found.alone), bool(found.refused), bool(found.settled)
        found.diverted = bool(found.diverted)
        found.loaded = aside_values(found)
    return found


def _live(row: LedgerRow) -> Values:
    return sql.live_values(row)


def _live_and_aside(row: LedgerRow) -> Values:
    aside = (clean(value) if isinstance(value, str) else value for value in aside_values(row))
    return (*sql.live_values(row), *aside)


#: Whether a pause of its org, or of its tool, holds a call: asked of the table, because there may be thousands.
_STILL_PAUSED = (
    exists().where(pauses.c.kind == "org", pauses.c.name == calls.c.org),
    exists().where(pauses.c.kind == "tool", pauses.c.org == calls.c.org, pauses.c.name == calls.c.tool),
)


def _parked_by(paused: Paused) -> ColumnElement[bool]:
    """The calls that such a pause parks: one of a pool parks none."""
    if paused.kind == "org":
        return calls.c.org == clean(paused.name)
    if paused.kind == "tool":
        return and_(calls.c.org == clean(paused.org), calls.c.tool == clean(paused.name))
    return false()


def _given(call: Call | None) -> tuple[Any, ...]:
    if call is None:
        raise AssertionError("a new row needs its call")
    return (
        call.call_id,
        clean(call.org),
        clean(call.tool),
        clean(call.pool),
        clean(call.gateway),
        clean(call.body_hash),
        None if call.conversation is None else clean(call.conversation),
        None if call.user is None else clean(call.user),
        call.accepted_at,
        call.deadline,
        json_text(call),
    )


def _outcome(row: LedgerRow) -> tuple[str | None, ...]:
    parts = (row.result, row.error, row.report)
    return tuple(None if part is None else json_text(part) for part in parts)


def _expect_one(changed: int) -> None:
    if changed != 1:
        raise LedgerMoved("another scheduler keeps the ledger now; this one steps back to standby")
