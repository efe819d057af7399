"""Errors of drivers become ours here, and nowhere else: nothing above knows SQLAlchemy's or a driver's exceptions.

Used around every statement. Texts of errors hold no parameter, no password and no row.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import exc

from toolyard.errors import StoreError, StoreUnavailable
from toolyard.store.base import NotStorable

MIGRATE = "bring it up to date with `toolyard scheduler --migrate`"

#: What an error of PostgreSQL means, by the class of its SQLSTATE (its first two characters; appendix A of the manual).
#: Of some the values alone are to blame, whatever state the server is in; of others the server's state, whatever the
#: values. The classes that do not stand here are told by the driver's kind of error.
POSTGRES: Final[dict[str, type[StoreError]]] = {
    "22": NotStorable,  # data: out of range, not of the type, not in the encoding
    "23": NotStorable,  # constraints
    "44": NotStorable,  # constraints of views
    "54": NotStorable,  # limits of the program: an index row, a text or a nesting that is too large
    "08": StoreUnavailable,  # the connection
    "25": StoreUnavailable,  # the transaction: of a standby that takes no writes, or one that stood still too long
    "28": StoreUnavailable,  # the server does not let us in
    "40": StoreUnavailable,  # the transaction was undone: a deadlock, a race
    "53": StoreUnavailable,  # disk, memory or connections are used up
    "55": StoreUnavailable,  # something is locked, or not ready
    "57": StoreUnavailable,  # an operator, a time limit, a start or a stop
    "58": StoreUnavailable,  # the machine below
    "F0": StoreUnavailable,  # the server's configuration
    "XX": StoreUnavailable,  # a defect of the server, or broken data
}
#: The same for SQLite, by its primary result code (https://sqlite.org/rescode.html).
SQLITE: Final[dict[int, type[StoreError]]] = {
    sqlite3.SQLITE_CONSTRAINT: NotStorable,
    sqlite3.SQLITE_MISMATCH: NotStorable,
    sqlite3.SQLITE_TOOBIG: NotStorable,
}
#: The kinds of error that drivers tell where they give no code: what they find wrong before they ask the server, or
#: that they do not reach it.
_KINDS: Final[tuple[tuple[type[exc.DBAPIError], type[StoreError]], ...]] = (
    (exc.DataError, NotStorable),
    (exc.IntegrityError, NotStorable),
    (exc.OperationalError, StoreUnavailable),
    (exc.InterfaceError, StoreUnavailable),
    (exc.InternalError, StoreUnavailable),
)
_TEXTS: Final[dict[type[StoreError], str]] = {
    NotStorable: "the database does not take these values",
    StoreUnavailable: "the database cannot be used",
    StoreError: "the database refused a statement",
}
#: No such table, column or schema.
_NO_SCHEMA: Final = frozenset({"42P01", "42703", "3F000"})
_LOCK_NOT_AVAILABLE: Final = "55P03"
_SQLITE_NO_SCHEMA: Final = ("no such table", "no such column", "has no column named")


@contextmanager
def translated() -> Iterator[None]:
    """Let errors of the database leave as ours.

    Raises:
        StoreUnavailable: it is away, locked, stopping or too slow; another try may succeed.
        NotStorable: the database will never take these values.
        StoreError: the tables are missing or of another version, or something is wrong with our statement.
    """
    try:
        yield
    except exc.DBAPIError as error:
        raise _ours(error) from error
    except exc.TimeoutError as error:
        raise StoreUnavailable("all connections to the database are in use") from error
    except (UnicodeError, OverflowError) as error:
        raise NotStorable(f"a value that no database takes: {type(error).__name__}") from error


def was_locked(error: StoreError) -> bool:
    """Whether what had to be locked was not given free in time."""
    return isinstance(error.__cause__, exc.DBAPIError) and _sqlstate(error.__cause__) == _LOCK_NOT_AVAILABLE


def _ours(error: exc.DBAPIError) -> StoreError:
    text = _first_line(error)
    if _misses_tables(error, text):
        return StoreError(f"the tables of the database are missing or of another version ({text}); {MIGRATE}")
    kind = _kind(error)
    return kind(f"{_TEXTS[kind]}: {text}")


def _kind(error: exc.DBAPIError) -> type[StoreError]:
    told = POSTGRES.get(_sqlstate(error)[:2]) or SQLITE.get(getattr(error.orig, "sqlite_errorcode", 0) & 0xFF)
    if told is not None:
        return told
    if error.connection_invalidated:
        return StoreUnavailable
    return next((kind for driver, kind in _KINDS if isinstance(error, driver)), StoreError)


def _misses_tables(error: exc.DBAPIError, text: str) -> bool:
    if isinstance(error.orig, sqlite3.OperationalError):
        return any(sign in text for sign in _SQLITE_NO_SCHEMA)
    return _sqlstate(error) in _NO_SCHEMA


def _sqlstate(error: exc.DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _first_line(error: exc.DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__
