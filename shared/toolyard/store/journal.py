"""The log of the embedded transport: an ordered, durable table, written on a connection of its own.

The transport hands over anything that has the fields of a message and gets back rows; it is never imported here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from sqlalchemy import Connection, bindparam, func, insert, select, update

from toolyard.clock import SYSTEM, Clock
from toolyard.errors import StoreLost, StoreUnavailable, Unconfirmed
from toolyard.store.database import Database
from toolyard.store.tables import log
from toolyard.store.values import json_text

Header = str | int | float | bool
_headers = msgspec.json.Decoder(dict[str, Header])


class Entry(Protocol):
    """What is written: the fields that a message has."""

    @property
    def exchange(self) -> str:
        """Where it was published."""

    @property
    def key(self) -> str:
        """Its routing key."""

    @property
    def body(self) -> bytes:
        """Its bytes."""

    @property
    def message_id(self) -> str:
        """Its id."""

    @property
    def headers(self) -> Mapping[str, Header]:
        """Its headers, the signature among them."""

    @property
    def expiration(self) -> str:
        """Milliseconds as text, or empty."""

    @property
    def kind(self) -> str:
        """Its type."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """One record of the log."""

    offset: int
    exchange: str
    key: str
    body: bytes
    message_id: str
    headers: Mapping[str, Header]
    expiration: str
    kind: str


class SqlJournal:
    """A log in one database, with a single writer: the process that holds the lock of the data folder.

    Args:
        url: of a database that was migrated.
        clock: tells when a record was appended; the scheduler drops old ones.
    """

    def __init__(self, url: str, clock: Clock = SYSTEM) -> None:
        self._database = Database(url, timeout=10.0, durable=True, connections=2)
        self._clock = clock
        self._next: int | None = None

    def append(self, records: Sequence[Entry], /) -> Sequence[int]:
        """Write these at the end, all or none, durably; returns their offsets, which follow one another.

        Raises:
            Unconfirmed: the database went away at the commit: it is not known whether they were kept.
            StoreLost: what was kept is gone, and nothing is kept any more.
            StoreError: nothing was kept.
        """
        committing = False
        try:
            with self._database.write() as connection:
                first = self._next or _after(connection)
                offsets = range(first, first + len(records))
                if records:
                    now = self._clock.now()
                    connection.execute(insert(log), [_row(*each, now) for each in zip(offsets, records, strict=True)])
                committing = True
        except StoreLost:
            raise
        except StoreUnavailable as error:
            self._next = None
            if committing:
                raise Unconfirmed(f"the log may or may not have been written: {error}") from error
            raise
        self._next = offsets.stop
        return offsets

    def read(self, offset: int, limit: int) -> Sequence[LogRow]:
        """At most ``limit`` records from this offset on (inclusive), in order."""
        statement = select(log).where(log.c.log_offset >= offset).order_by(log.c.log_offset).limit(limit)
        with self._database.read() as connection:
            return [
                LogRow(
                    offset=row.log_offset,
                    exchange=row.exchange,
                    key=row.routing_key,
                    body=row.body,
                    message_id=row.message_id,
                    headers=_headers.decode(row.headers),
                    expiration=row.expiration,
                    kind=row.kind,
                )
                for row in connection.execute(statement)
            ]

    def check(self) -> None:
        """Look whether what was kept is still there.

        Raises:
            StoreLost: it is not; only another process can go on.
        """
        self._database.check()

    def replace_headers(self, headers: Mapping[int, Mapping[str, Header]]) -> None:
        """Give the records at these offsets other headers, all or none: for a log whose signing key is lost."""
        changed = [{"at": offset, "given": json_text(dict(given))} for offset, given in headers.items()]
        if not changed:
            return
        statement = update(log).where(log.c.log_offset == bindparam("at")).values(headers=bindparam("given"))
        with self._database.write() as connection:
            connection.execute(statement, changed)

    def last(self) -> int | None:
        """The offset of the newest record; none where there is none."""
        with self._database.read() as connection:
            return connection.execute(select(func.max(log.c.log_offset))).scalar()

    def close(self) -> None:
        """Close its connections."""
        self._database.close()


def _after(connection: Connection) -> int:
    return (connection.execute(select(func.max(log.c.log_offset))).scalar() or 0) + 1


def _row(offset: int, message: Entry, now: float) -> dict[str, object]:
    return {
        "log_offset": offset,
        "message_id": message.message_id,
        "exchange": message.exchange,
        "routing_key": message.key,
        "headers": json_text(dict(message.headers)),
        "expiration": message.expiration,
        "kind": message.kind,
        "body": message.body,
        "appended_at": now,
    }
