"""Calls, read only: what gateways and an embedded process at its start ask of the ledger's projection.

The one thing written here is how often a call was found unfinished at a start; its state is the ledger's.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Double, case, func, literal, null, or_, select, tuple_, union_all

from toolyard.contracts.calls import Authorization, Call, ErrorInfo, Report, Result
from toolyard.states import State, is_terminal
from toolyard.store.base import CallFilter, CallRow, Page, PoolLoad, UnfinishedCall
from toolyard.store.database import Database
from toolyard.store.tables import calls
from toolyard.store.values import clean, read_cursor, write_cursor

_call = msgspec.json.Decoder(Call)
_result = msgspec.json.Decoder(Result)
_error = msgspec.json.Decoder(ErrorInfo)
_report = msgspec.json.Decoder(Report)
_authorization = msgspec.json.Decoder(Authorization)

COLUMNS: Final = (
    calls.c.call,
    calls.c.state,
    calls.c.effect,
    calls.c.attempts,
    calls.c.started_at,
    calls.c.finished_at,
    calls.c.result,
    calls.c.error,
    calls.c.report,
    calls.c.ending,
    calls.c.consent,
)


#: Calls among which the last success of a pool is looked for: all of them would be too many.
RECENT: Final = 5_000
#: Ended calls whose places in the log show where a time stands in it.
ENDED_BEFORE: Final = 50
_WAITS: Final = ("accepted", "queued")
#: Calls that are outlined with one statement.
TOGETHER: Final = 1_000


class CallOutline(NamedTuple):
    """What the feed needs of a call, without the call itself; the words are those of the ledger's rows."""

    call_id: str
    org: str
    gateway: str
    body_hash: str
    conversation: str | None
    user: str | None
    state: State
    attempt: int
    finished_at: float | None
    end_sequence: int | None
    late_results: int
    settled: bool
    doomed: str | None

    @property
    def over(self) -> bool:
        """Whether it has ended, or how it ends is decided."""
        return bool(self.settled) or is_terminal(self.state)


_outlined: Final = "call_id, org, gateway, body_hash, conversation, caller, state, attempt, finished_at, end_sequence"
_OUTLINE: Final = f"SELECT {_outlined}, late_results, settled, doomed FROM calls WHERE call_id"  # noqa: S608
_PG_OUTLINE: Final = f"{_OUTLINE} = ANY(%b)"
_LITE_OUTLINE: Final = f"{_OUTLINE} IN (SELECT value FROM json_each(?))"  # noqa: S608


def read_row(row: Sequence[Any]) -> CallRow:
    """A row of `COLUMNS`, decoded."""
    call, state, effect, attempts, started_at, finished_at, result, error, report, ending, consent = row[: len(COLUMNS)]
    return CallRow(
        call=_call.decode(call),
        state=state,
        effect=effect,
        attempts=attempts,
        started_at=started_at,
        finished_at=finished_at,
        result=None if result is None else _result.decode(result),
        error=None if error is None else _error.decode(error),
        report=None if report is None else _report.decode(report),
        ending=ending,
        authorization=None if consent is None else _authorization.decode(consent),
    )


class SqlCalls:
    """The calls of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, org: str, call_id: str) -> CallRow | None:
        """One call of this org."""
        wanted = select(*COLUMNS).where(calls.c.call_id == clean(call_id), calls.c.org == clean(org))
        with self._database.read() as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else read_row(row)

    def ended(self, call_ids: Sequence[str], *, or_asking: bool = False) -> Sequence[CallRow]:
        """Those of these calls that have ended, of any org, or wait for their users; one query."""
        told: ColumnElement[bool] = calls.c.finished_at.is_not(None)
        if or_asking:
            told = or_(told, calls.c.awaits.is_not(None))
        wanted = select(*COLUMNS).where(calls.c.call_id.in_(call_ids), told)
        with self._database.read() as connection:
            rows = connection.execute(wanted).all()
        return [read_row(row) for row in rows]

    def list(self, org: str, wanted: CallFilter, *, cursor: str | None, limit: int) -> Page[CallRow]:
        """The org's calls, newest first. Raises ValueError for a cursor that is none of ours."""
        conditions = [calls.c.org == clean(org), *_conditions(wanted)]
        if cursor is not None:
            place = read_cursor(cursor, tuple[float, str])
            conditions.append(tuple_(calls.c.accepted_at, calls.c.call_id) < place)
        statement = (
            select(*COLUMNS, calls.c.accepted_at, calls.c.call_id)
            .where(*conditions)
            .order_by(calls.c.accepted_at.desc(), calls.c.call_id.desc())
            .limit(limit + 1)
        )
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        more = len(rows) > limit
        rows = rows[:limit]
        return Page([read_row(row) for row in rows], write_cursor(rows[-1][-2], rows[-1][-1]) if more else None)

    def some(self, org: str, call_ids: Sequence[str]) -> Sequence[CallRow]:
        """Those of these calls that this org has, in no order; one query."""
        wanted = select(*COLUMNS).where(calls.c.call_id.in_(call_ids), calls.c.org == clean(org))
        with self._database.read() as connection:
            rows = connection.execute(wanted).all()
        return [read_row(row) for row in rows]

    def outlines(self, call_ids: Sequence[str]) -> dict[str, CallOutline]:
        """Those of these calls that have a row, of any org; one statement for each `TOGETHER` of them."""
        found: dict[str, CallOutline] = {}
        postgres = self._database.dialect == "postgresql"
        with self._database.read() as connection:
            for start in range(0, len(call_ids), TOGETHER):
                some = list(call_ids[start : start + TOGETHER])
                wanted: tuple[Any] = (some if postgres else msgspec.json.encode(some).decode(),)
                for row in connection.exec_driver_sql(_PG_OUTLINE if postgres else _LITE_OUTLINE, wanted):
                    found[row[0]] = CallOutline(*row)
        return found

    def open_ids(self, org: str, conversation: str, *, limit: int) -> Sequence[str]:
        """Calls of a conversation that have not ended."""
        wanted = select(calls.c.call_id).where(
            calls.c.org == clean(org), calls.c.conversation == clean(conversation), calls.c.finished_at.is_(None)
        )
        with self._database.read() as connection:
            return connection.execute(wanted.limit(limit)).scalars().all()

    def offset_before(self, org: str, moment: float) -> int | None:
        """An offset of the log before which nothing happened at this time (seconds since 1970) or later, if known.

        It is the smallest of the org's `ENDED_BEFORE` newest calls that had ended by then: of what ended, nothing was
        published anew, and so many of them leave room for clocks that differ.
        """
        table = calls.c
        ended = select(table.log_offset).where(
            table.org == clean(org),
            table.accepted_at < moment,
            table.finished_at < moment,
            table.log_offset.is_not(None),
        )
        newest = ended.order_by(table.accepted_at.desc()).limit(ENDED_BEFORE).subquery()
        with self._database.read() as connection:
            found: int | None = connection.execute(select(func.min(newest.c.log_offset))).scalar()
        return found

    def pools(self, org: str) -> Sequence[PoolLoad]:
        """What the org has in each pool that it has used lately; the last success among its `RECENT` newest calls."""
        table, here = calls.c, calls.c.org == clean(org)
        at_work = select(table.pool, table.state, table.accepted_at.label("since"), _no_time().label("ended"))
        newest = select(table.pool, table.state, table.finished_at).where(here)
        recent = newest.order_by(table.accepted_at.desc()).limit(RECENT).subquery()
        done = select(recent.c.pool, literal("succeeded"), _no_time(), recent.c.finished_at)
        found = union_all(
            at_work.where(here, table.finished_at.is_(None), table.state.in_((*_WAITS, "running"))),
            done.where(recent.c.state == "succeeded"),
        ).subquery()
        waits = found.c.state.in_(_WAITS)
        statement = select(
            found.c.pool,
            func.sum(case((waits, 1), else_=0)),
            func.sum(case((found.c.state == "running", 1), else_=0)),
            func.min(case((waits, found.c.since))),
            func.max(found.c.ended),
        ).group_by(found.c.pool)
        with self._database.read() as connection:
            return [PoolLoad(*row) for row in connection.execute(statement)]

    def unfinished(self) -> Sequence[UnfinishedCall]:
        """All calls that have not ended, oldest first."""
        statement = (
            select(*COLUMNS, calls.c.log_offset)
            .where(calls.c.finished_at.is_(None))
            .order_by(calls.c.log_offset, calls.c.call_id)
        )
        with self._database.read() as connection:
            rows = connection.execute(statement).all()
        return [UnfinishedCall(read_row(row), row[-1]) for row in rows]


def _no_time() -> ColumnElement[float | None]:
    return null().cast(Double)


def _conditions(wanted: CallFilter) -> list[ColumnElement[bool]]:
    equal = (
        (calls.c.tool, wanted.tool),
        (calls.c.state, wanted.state),
        (calls.c.conversation, wanted.conversation),
        (calls.c.caller, wanted.user),
    )
    conditions: list[ColumnElement[bool]] = [column == clean(value) for column, value in equal if value is not None]
    if wanted.since is not None:
        conditions.append(calls.c.accepted_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(calls.c.accepted_at < wanted.until)
    return conditions
