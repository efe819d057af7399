"""Drops what is too old: ended calls with their further submissions, authorizations, records of the embedded log.

The scheduler asks for a small piece at a time, each a transaction of its own, so that the ledger never waits for long.
No index of its own: a call ends after it was accepted, so that the list by time leads to all that may be too old.
"""

from typing import Final, NamedTuple

from sqlalchemy import delete, func, or_, select, tuple_

from toolyard.store.database import Database
from toolyard.store.tables import authorizations, calls, ledger, log, submissions

#: Rows that are looked at in one piece: 500 ended calls are gone in 15 to 60 ms (measured on 2 busy cores).
PIECE: Final = 500


class Place(NamedTuple):
    """How far an org's calls were looked through."""

    accepted_at: float
    call_id: str


class Piece(NamedTuple):
    """What became of a piece; ``place`` is where the next one begins, ``None`` behind the last."""

    dropped: int
    place: Place | None


class SqlRetention:
    """Drops old rows of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next_org(self, after: str) -> str | None:
        """The next org that has calls, by name; ``""`` asks for the first."""
        with self._database.read() as connection:
            return connection.execute(select(func.min(calls.c.org)).where(calls.c.org > after)).scalar()

    def drop_calls(self, org: str, before: float, place: Place | None, limit: int = PIECE) -> Piece:
        """Drop those of the next ``limit`` calls of this org that ended before this time."""
        table = calls.c
        wanted = select(table.accepted_at, table.call_id, table.finished_at).where(
            table.org == org, table.accepted_at < before
        )
        if place is not None:
            wanted = wanted.where(tuple_(table.accepted_at, table.call_id) > tuple(place))
        wanted = wanted.order_by(table.accepted_at, table.call_id).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(wanted).all()
        old = [call_id for _, call_id, finished in rows if finished is not None and finished < before]
        if old:
            with self._database.write() as connection:
                connection.execute(delete(submissions).where(submissions.c.call_id.in_(old)))
                connection.execute(delete(calls).where(table.call_id.in_(old)))
        more = len(rows) == limit
        return Piece(len(old), Place(rows[-1].accepted_at, rows[-1].call_id) if more else None)

    def drop_authorizations(self, before: float, limit: int = PIECE) -> int:
        """Drop authorizations that were over before this time, or should have been; how many. They are few."""
        table = authorizations.c
        over = (table.changed_at < before, or_(table.status != "pending", table.expires_at < before))
        key = tuple_(table.org, table.provider, table.authorization_id)
        with self._database.read() as connection:
            wanted = select(table.org, table.provider, table.authorization_id).where(*over).limit(limit)
            old = [tuple(row) for row in connection.execute(wanted)]
        if not old:
            return 0
        with self._database.write() as connection:  # one may have been asked for anew meanwhile
            return connection.execute(delete(authorizations).where(key.in_(old), *over)).rowcount

    def trim_log(self, before: float, limit: int = PIECE) -> int:
        """Drop the oldest records of the embedded log, as far as they are old and nobody needs them; how many.

        Needed are those that the ledger has not applied, the one at which it stands, and all from the newest
        message of a call that has not ended on: the log stays without holes.
        """
        with self._database.read() as connection:
            applied = connection.execute(select(ledger.c.log_offset).where(ledger.c.id == 1)).scalar() or 0
            oldest_open = select(func.min(calls.c.log_offset)).where(calls.c.finished_at.is_(None))
            end = min(applied, connection.execute(oldest_open).scalar() or applied)
            wanted = select(log.c.log_offset, log.c.appended_at).where(log.c.log_offset < end)
            rows = connection.execute(wanted.order_by(log.c.log_offset).limit(limit)).all()
        last = None
        for offset, appended_at in rows:
            if appended_at is not None and appended_at >= before:
                break
            last = offset
        if last is None:
            return 0
        with self._database.write() as connection:
            return connection.execute(delete(log).where(log.c.log_offset <= last)).rowcount
