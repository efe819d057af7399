"""A rebuilt ledger beside the one of a database: what differs, and putting it in its place, in one transaction.

`toolyard ledger rebuild` alone uses it. The rebuilt one is a file of its own; what the log does not tell of stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Table,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from toolyard.contracts.control import Paused
from toolyard.errors import LedgerMoved
from toolyard.store.database import Database
from toolyard.store.decisions import SqlDecisions
from toolyard.store.ledger import Position
from toolyard.store.tables import authorizations, calls, ledger, pauses, submissions

#: Rows that are looked at in one piece.
PIECE: Final = 500
#: Differences that are kept in words; all are counted.
SHOWN: Final = 100

Row = RowMapping
Columns = Mapping[Any, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One column of one row, or a whole row, in which two ledgers differ.

    Attributes:
        key: of the row: a call's id, mostly.
        column: empty where the whole row is missing on one side.
        database: what stands in the database; absent where it has no such row.
        log: what the log comes to; absent where it has no such row.
    """

    table: str
    key: str
    column: str = ""
    database: Any = None
    log: Any = None


@dataclass(slots=True)
class Comparison:
    """Two ledgers, side by side.

    Attributes:
        calls: how many are in both, and told by the log from their own record on.
        older: how many the database has whose own record is not in the log: the log cannot tell.
        missing: how many calls the database has from the time of the log that the log does not know.
        count: how many differences there are.
        differences: the first `SHOWN` of them.
    """

    calls: int = 0
    older: int = 0
    missing: int = 0
    count: int = 0
    differences: list[Difference] = field(default_factory=list)

    def note(self, difference: Difference) -> None:
        """Count it, and keep its words while there are few."""
        self.count += 1
        if len(self.differences) < SHOWN:
            self.differences.append(difference)


@contextmanager
def looked_at(database: Database) -> Iterator[Connection]:
    """The database as it stands at one moment, for as long as it takes: what is committed meanwhile is not seen."""
    with database.read() as connection:
        if database.dialect == "postgresql":
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield connection


def position_in(connection: Connection) -> int:
    """Where the ledger stands at the moment that is looked at."""
    return int(connection.execute(select(ledger.c.log_offset).where(ledger.c.id == 1)).scalar_one())


def compare(
    old: Connection, fresh: Database, decisions: SqlDecisions, *, first: int, since: float, dropped: float
) -> Comparison:
    """What differs.

    Args:
        old: the database, from `looked_at`.
        fresh: the rebuilt ledger.
        decisions: knows which calls the log tells of from their own record on.
        first: the offset at which the log begins.
        since: when that was: what is older is not in it.
        dropped: calls that ended before this time may be gone from the database.
    """
    found = Comparison()
    for piece in _pieces(fresh, calls, (calls.c.call_id,)):
        _compare_calls(old, fresh, decisions, piece, dropped, found)
    _compare_rest(old, fresh, authorizations, ("org", "provider", "authorization_id"), since, found)
    _compare_rest(old, fresh, pauses, ("kind", "org", "name"), since, found)
    _count_missing(old, fresh, first, since, found)
    return found


def _compare_calls(
    old: Connection, fresh: Database, decisions: SqlDecisions, piece: Sequence[Row], dropped: float, found: Comparison
) -> None:
    ids = [row["call_id"] for row in piece]
    told, there = decisions.accepted(ids), _by_key(old, calls, ids)
    again, again_there = _submissions(fresh, ids), _submitted(old, ids)
    for row in piece:
        call_id = row["call_id"]
        other = there.get(call_id)
        if call_id not in told:
            found.older += other is not None
        elif other is None:
            if row["finished_at"] is None or row["finished_at"] >= dropped:
                found.note(Difference("calls", call_id, log=row["state"]))
        else:
            found.calls += 1
            _compare_columns("calls", call_id, other, row, found)
            _compare_columns(
                "submissions",
                call_id,
                {"": sorted(again_there.get(call_id, ()))},
                {"": sorted(again.get(call_id, ()))},
                found,
            )


def _compare_columns(table: str, key: str, old: Columns, fresh: Columns, found: Comparison) -> None:
    for column, value in fresh.items():
        if old[column] != value:
            found.note(Difference(table, key, column, old[column], value))


def _compare_rest(
    old: Connection, fresh: Database, table: Table, key: tuple[str, ...], since: float, found: Comparison
) -> None:
    """Small tables: each row of the rebuilt ledger has its like, but for what is older than the log."""
    for piece in _pieces(fresh, table, tuple(table.c[name] for name in key)):
        for row in piece:
            word = " ".join(str(row[name]) for name in key)
            here = and_(*(table.c[name] == row[name] for name in key))
            other = old.execute(select(table).where(here)).mappings().one_or_none()
            if other is None:
                found.note(Difference(table.name, word, log="is there"))
            elif _began(other) >= since:
                _compare_columns(table.name, word, other, row, found)


def _began(row: Row) -> float:
    return float(row["created_at"] if "created_at" in row else row["paused_at"])


def _count_missing(old: Connection, fresh: Database, first: int, since: float, found: Comparison) -> None:
    last: str | None = None
    while True:
        wanted = select(calls.c.call_id, calls.c.accepted_at, calls.c.log_offset).order_by(calls.c.call_id).limit(PIECE)
        rows = old.execute(wanted if last is None else wanted.where(calls.c.call_id > last)).all()
        if not rows:
            return
        last = rows[-1].call_id
        with fresh.read() as connection:
            known = set(_by_key(connection, calls, [row.call_id for row in rows]))
        for call_id, accepted_at, offset in rows:
            if call_id in known:
                continue
            if accepted_at < since or (offset is not None and offset < first):
                found.older += 1
            else:
                found.missing += 1
                found.note(Difference("calls", call_id, database="is there"))


# ---- in its place -------------------------------------------------------------------------------


def put_in_place(
    database: Database, fresh: Database, decisions: SqlDecisions, *, lead: Position, place: Position
) -> int:
    """Let the rebuilt ledger be the database's, in one transaction; how many calls it has.

    Calls that the log does not tell from their own record on stay as they are, and so does all that is no projection
    of the log. Whoever leads afterwards goes on at ``place``, up to where the log was folded; ``lead`` is the epoch in
    which the database's ledger is held meanwhile.

    Raises:
        LedgerMoved: a scheduler has taken the ledger over; nothing was written.
    """
    with database.write() as connection:
        here = and_(ledger.c.id == 1, ledger.c.epoch == lead.epoch)
        values = {"log_offset": place.offset, "record_id": place.record_id, "record_time": place.record_time}
        if connection.execute(update(ledger).where(here).values(**values, beat=ledger.c.beat + 1)).rowcount != 1:
            raise LedgerMoved("a scheduler has begun to lead meanwhile; nothing was written")
        count = 0
        for piece in _pieces(fresh, calls, (calls.c.call_id,)):
            count += _replace_calls(connection, fresh, decisions, piece)
        _replace_authorizations(connection, fresh)
        connection.execute(delete(pauses))
        for piece in _pieces(fresh, pauses, (pauses.c.kind, pauses.c.org, pauses.c.name)):
            connection.execute(insert(pauses), [dict(row) for row in piece])
    return count


def _replace_calls(connection: Connection, fresh: Database, decisions: SqlDecisions, piece: Sequence[Row]) -> int:
    ids = [row["call_id"] for row in piece]
    told = decisions.accepted(ids)
    kept = set(_by_key(connection, calls, [call_id for call_id in ids if call_id not in told]))
    rows = [dict(row) for row in piece if row["call_id"] not in kept]
    mine = [row["call_id"] for row in rows]
    connection.execute(delete(submissions).where(submissions.c.call_id.in_(mine)))
    connection.execute(delete(calls).where(calls.c.call_id.in_(mine)))
    if rows:
        connection.execute(insert(calls), rows)
    again = [dict(row) for rows in _submission_rows(fresh, mine).values() for row in rows]
    if again:
        connection.execute(insert(submissions), again)
    return len(rows)


def _replace_authorizations(connection: Connection, fresh: Database) -> None:
    """Of what was asked for before the log began, the time of that is kept."""
    key = (authorizations.c.org, authorizations.c.provider, authorizations.c.authorization_id)
    for piece in _pieces(fresh, authorizations, key):
        for row in piece:
            here = and_(*(column == row[column.name] for column in key))
            began = connection.execute(select(authorizations.c.created_at).where(here)).scalar()
            connection.execute(delete(authorizations).where(here))
            created = row["created_at"] if began is None else min(began, row["created_at"])
            connection.execute(insert(authorizations), dict(row) | {"created_at": created})


# ---- their pieces -------------------------------------------------------------------------------


def _pieces(database: Database, table: Table, key: tuple[ColumnElement[Any], ...]) -> Iterator[Sequence[Row]]:
    """All rows, in the order of their key, some at a time."""
    last: Row | None = None
    names = [str(column.key) for column in key]
    while True:
        wanted = select(table).order_by(*key).limit(PIECE)
        if last is not None:
            wanted = wanted.where(_behind(key, [last[name] for name in names]))
        with database.read() as connection:
            rows = connection.execute(wanted).mappings().all()
        if not rows:
            return
        yield rows
        last = rows[-1]


def _behind(key: tuple[ColumnElement[Any], ...], place: Sequence[Any]) -> ColumnElement[bool]:
    first, value = key[0], place[0]
    further: ColumnElement[bool] = first > value
    return further if len(key) == 1 else or_(further, and_(first == value, _behind(key[1:], place[1:])))


def _by_key(connection: Connection, table: Table, ids: Sequence[str]) -> dict[str, Row]:
    wanted = select(table).where(table.c.call_id.in_(ids))
    return {row["call_id"]: row for row in connection.execute(wanted).mappings()}


def _submitted(connection: Connection, ids: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in connection.execute(select(submissions).where(submissions.c.call_id.in_(ids))):
        found.setdefault(row.call_id, []).append(tuple(row))
    return found


def _submissions(database: Database, ids: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    with database.read() as connection:
        return _submitted(connection, ids)


def _submission_rows(database: Database, ids: Sequence[str]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    with database.read() as connection:
        for row in connection.execute(select(submissions).where(submissions.c.call_id.in_(ids))).mappings():
            found.setdefault(row["call_id"], []).append(row)
    return found


def pauses_in(database: Database) -> dict[Paused, float]:
    """All that is paused, and since when."""
    with database.read() as connection:
        rows = connection.execute(select(pauses)).all()
    return {Paused(kind=row.kind, org=row.org, name=row.name): row.paused_at for row in rows}


def calls_in(database: Database) -> int:
    """How many calls there are."""
    with database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(calls)).scalar_one())
