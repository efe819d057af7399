"""Empty stores for tests: SQLite in a new file, PostgreSQL in one database a module that is emptied each time."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import create_engine, insert

from toolyard.store import database, tables
from toolyard.store.connect import Store, open_store


@contextmanager
def empty_store(request: pytest.FixtureRequest, folder: Path) -> Iterator[Store]:
    """An empty, migrated store of the kind that the fixture's parameter names: `sqlite` or `postgres`."""
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'ledger.db'}"
        (folder / "ledger.db").write_bytes(empty_file())
    else:
        url = request.getfixturevalue("postgres_url_module")
    store = open_store(url)
    store.migrate()
    if request.param == "postgres":
        _empty(url)
    yield store
    store.close()


@cache
def empty_file() -> bytes:
    """An SQLite database with all tables and nothing in them; to make them takes longer than most tests of them."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        with closing(open_store(f"sqlite:///{path}")) as store:
            store.migrate()
        assert not Path(f"{path}-wal").exists()
        return path.read_bytes()


def _empty(url: str) -> None:
    nowhere = {"id": 1, "log_offset": -1, "record_id": "", "record_time": 0.0, "owner": None, "epoch": 0, "beat": 0}
    engine = create_engine(database.parse_url(url))
    with engine.begin() as connection:
        for table in tables.metadata.sorted_tables:
            connection.execute(table.delete())
        connection.execute(insert(tables.ledger), nowhere)
    engine.dispose()
