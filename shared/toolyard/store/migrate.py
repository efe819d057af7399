"""The version of the tables: what this build expects, what a database has, and the way there.

Tables of a later version serve this build if they say so: an upgrade migrates first, and goes back without migrating.
`Store.migrate` and `Store.check` call it; the migrations themselves are alembic's, packaged beside this file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Final

from sqlalchemy import Connection, create_engine, inspect, pool, text

from toolyard.errors import StoreError, StoreUnavailable
from toolyard.store import database, faults

_FOLDER: Final = Path(__file__).parent / "migrations"
#: Any number; whoever migrates a PostgreSQL database holds this lock.
_LOCK: Final = 0x746F6F6C79617264 >> 1
#: Seconds that one migration waits for another on SQLite.
_PATIENCE: Final = 60.0
#: Seconds that it waits for a table on PostgreSQL, less than those who come later and wait behind it are patient; how
#: often, and with which pause.
_LOCKED, _TRIES, _PAUSE = 1.0, 60, 1.0


def revisions() -> list[str]:
    """All versions of the tables that this build knows, oldest first: the files' names begin with them."""
    return sorted(path.name.partition("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*_*.py"))


def migrate(url: str) -> None:
    """Bring a database to the version of this build, unless it is at a later one; two processes may do so at once.

    Raises:
        StoreUnavailable: the database is away, or somebody reads for so long that its tables cannot be changed.
        StoreError: the database is newer than this build can work with.
    """
    for _ in range(_TRIES):
        try:
            _migrate(url)
        except StoreUnavailable as error:
            if not faults.was_locked(error):
                raise
        else:
            return
        sleep(_PAUSE)
    raise StoreUnavailable("somebody holds tables that have to be changed: end what reads for long, and try again")


def _migrate(url: str) -> None:
    with exclusive(url) as connection:
        found = version(connection)
        if found is None or found in revisions()[:-1]:
            _upgrade(connection)
        else:
            check(connection)


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCKED}s'"))
    from alembic import command  # here, because a start that finds its tables as they should be needs none of it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def exclusive(url: str) -> Iterator[Connection]:
    """A transaction in which nobody else migrates this database."""
    parsed = database.parse_url(url)
    with faults.translated():
        if parsed.get_backend_name() == "sqlite":
            database.prepare_file(parsed)
            engine = create_engine(parsed, poolclass=pool.NullPool, connect_args={"timeout": _PATIENCE})
            database.on_sqlite(engine, durable=True, foreign_keys=False)
            options = database.WRITES
        else:
            engine = create_engine(parsed, poolclass=pool.NullPool, hide_parameters=True)
            database.on_postgres(engine, timeout=None)
            options = {}
        with engine.connect().execution_options(**options) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            yield connection


def version(connection: Connection) -> str | None:
    """The version of the tables of this database; none where it has no tables of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def check(connection: Connection) -> None:
    """Whether this build can work with this database.

    Raises:
        StoreError: it cannot; says what to do.
    """
    found, newest = version(connection), revisions()[-1]
    if found == newest:
        return
    if found is None:
        raise StoreError(f"the database has no tables yet; {faults.MIGRATE}")
    if found in revisions():
        raise StoreError(f"the database has version {found}, this build needs {newest}; {faults.MIGRATE}")
    oldest = _oldest(connection)
    if oldest is None:
        raise StoreError(
            f"the database has version {found}, this build knows none after {newest}, and what says whether it serves"
            " this build, the row of the table compatibility, is missing: install the Toolyard that migrated it, or"
            " bring the row back from a backup"
        )
    if oldest > newest:
        raise StoreError(
            f"the database has version {found}, which serves builds that know {oldest}; this one knows none after"
            f" {newest}: install a newer Toolyard"
        )


def _oldest(connection: Connection) -> str | None:
    """The version whose builds these tables still serve; none where they do not say."""
    if not inspect(connection).has_table("compatibility"):
        return None
    found = connection.execute(text("SELECT oldest FROM compatibility")).scalar()
    return None if found is None else str(found)
