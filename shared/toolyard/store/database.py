"""One database, reached in one way: SQLite and PostgreSQL with their time limits, transactions and errors.

The parts of the store (`calls`, `tools`, `keys`, `ledger`, `journal`) run their statements in its transactions.
"""

import errno
import math
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.engine.interfaces import Dialect as SqlDialect
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from toolyard.errors import SettingsError
from toolyard.store.faults import translated
from toolyard.store.opened import OpenedFile

Dialect = Literal["sqlite", "postgresql"]

#: Seconds until a connection is given up; libpq knows no shorter limit.
_CONNECT_TIMEOUT: Final = 2
#: Seconds beyond the statement's limit before a silent server is given up; the server itself should answer first.
_SILENCE: Final = 0.5
#: Seconds that a transaction may stand still: a frozen process must not keep its locks.
_IDLE_IN_TRANSACTION: Final = 10
#: What to do once a file was removed. SQLite writes what stands in a WAL that was removed into the database at its end.
_REMEDY: Final = "what it held can be read here until this process ends; then restore it from a copy, or begin anew"
_REMEDY_WAL: Final = "end this process in good order (Ctrl-C), which saves what it held, and start it again"
#: Seconds of rest after which a connection is asked whether it still works; and the key under which a pool notes them.
_FRESH: Final = 1.0
_RESTS_SINCE: Final = "toolyard_rests_since"
#: The execution options of a connection whose transactions write.
WRITES: Final = {"toolyard_writes": True}


class Database:
    """Connections to one database, shared by threads.

    Args:
        url: ``postgresql://…`` or ``sqlite:///…``; the driver is ours.
        timeout: seconds that one statement may take, and that a lock is waited for.
        durable: SQLite only: a commit survives a power loss too.
        connections: how many threads may use it at a time.

    Raises:
        SettingsError: not such a URL, or a file that cannot be used.
    """

    def __init__(self, url: str, *, timeout: float = 2.0, durable: bool = False, connections: int = 8) -> None:
        self.url = parse_url(url)
        self._files: tuple[OpenedFile, ...] = ()
        self.dialect: Dialect = "sqlite" if self.url.get_backend_name() == "sqlite" else "postgresql"
        options: dict[str, Any] = {"pool_size": connections, "max_overflow": 0, "pool_timeout": timeout}
        if self.dialect == "sqlite":
            prepare_file(self.url)
            options["connect_args"] = {"timeout": timeout}
        # the connection that was used last comes first: its server process has statements and tables at hand
        self.engine = create_engine(self.url, pool_use_lifo=True, hide_parameters=True, **options)
        if self.dialect == "sqlite":
            on_sqlite(self.engine, durable=durable)
            self._watch(durable=durable)
        else:
            on_postgres(self.engine, timeout=timeout)
            look_before_use(self.engine)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes; it is committed when the block ends without an error.

        Raises:
            StoreLost: it was committed into a file that is gone.
        """
        with translated(), self.engine.connect().execution_options(**WRITES) as connection, connection.begin():
            yield connection
        self.check()
        for file in self._files:
            file.opened()

    def check(self) -> None:
        """Look whether what is written is kept.

        Raises:
            StoreLost: SQLite only: its file was removed or replaced; what stands there now is for another process.
        """
        for file in self._files:
            file.check()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _watch(self, *, durable: bool) -> None:
        """Make no further connection once a file is gone. The WAL stays the same only while somebody is connected.

        One process, which always is, promises durability: it loses with the WAL what it promised.
        """
        path = Path(str(self.url.database)).absolute()
        main, wal = OpenedFile(path, _REMEDY), OpenedFile(Path(f"{path}-wal"), _REMEDY_WAL)
        self._files = (main, wal) if durable else (main,)

        @event.listens_for(self.engine, "do_connect")
        def look(*_: object) -> None:
            self.check()

        @event.listens_for(self.engine, "connect")
        def remember(*_: object) -> None:
            main.opened()


def parse_url(url: str) -> URL:
    """The URL with our driver.

    Raises:
        SettingsError: not a URL of a database that we know; the text holds no password.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError("the database URL cannot be read; it is like postgresql://user@host/name") from None
    name = parsed.drivername
    if name in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if name != "sqlite":
        raise SettingsError(f"a database URL begins with postgresql:// or sqlite:///, not with {name}://")
    if not parsed.database or parsed.database == ":memory:":
        raise SettingsError("an SQLite database needs a file, as in sqlite:///toolyard.db")
    return parsed


def prepare_file(url: URL) -> None:
    """Make the folder and the file of an SQLite database, readable by its owner alone.

    Raises:
        SettingsError: it cannot be made or used.
    """
    path = Path(str(url.database)).absolute()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
    except OSError as error:
        raise SettingsError(f"the database file {path} cannot be opened: {error.strerror}") from None


def _make(path: Path) -> None:
    """Make the file. One that is there is not opened: to close it would drop the locks that SQLite has on it here.

    Without its locks another process that only looked at the database would take our WAL away when it leaves.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    if not path.is_file():
        raise OSError(errno.EINVAL, "it is not a file")
    if not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def on_sqlite(engine: Engine, *, durable: bool, foreign_keys: bool = True) -> None:
    """WAL, foreign keys, and transactions that begin when we say so (SQLAlchemy's documented way for this driver)."""

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("toolyard_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def on_postgres(engine: Engine, *, timeout: float | None) -> None:
    """Limits, so that a server that is away, frozen or slow is told soon; ``None`` sets none on statements."""
    from toolyard.store.patience import PatientConnection

    limit = "0" if timeout is None else f"{timeout * 1000:.0f}"

    @event.listens_for(engine, "do_connect")
    def do_connect(_: SqlDialect, __: object, args: list[Any], options: dict[str, Any]) -> PatientConnection:
        defaults = {"connect_timeout": _CONNECT_TIMEOUT, "application_name": "toolyard"}
        connection = PatientConnection.connect(*args, **{**defaults, **options})
        connection.patience = None if timeout is None else timeout + _SILENCE
        return connection

    @event.listens_for(engine, "connect")
    def connect(connection: PatientConnection, _: object) -> None:
        with ExitStack() as unless_it_works:
            unless_it_works.callback(connection.close)
            connection.autocommit = True
            connection.execute(
                f"SET statement_timeout={limit}; SET lock_timeout={limit};"
                f" SET idle_in_transaction_session_timeout='{_IDLE_IN_TRANSACTION}s'"
            )
            connection.autocommit = False
            unless_it_works.pop_all()


def look_before_use(engine: Engine) -> None:
    """Make new connections where the pool's are dead: a restarted server costs nobody an error.

    To ask costs as much as a small statement. A connection that was used just now, and on which nothing has come since,
    is not asked: a server that goes away says so, or its system does.
    """

    @event.listens_for(engine, "checkin")
    def rests(_: object, record: ConnectionPoolEntry) -> None:
        record.info[_RESTS_SINCE] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def look(connection: DBAPIConnection, record: ConnectionPoolEntry, _: object) -> None:
        since = record.info.get(_RESTS_SINCE, math.inf)  # a new one was just made
        try:
            if time.monotonic() - since >= _FRESH or not connection.is_quiet():
                engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error
