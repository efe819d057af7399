"""The store's suite on SQLite and PostgreSQL, and what belongs to each of them alone."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, inspect, text
from tests.support.postgres import PostgresNode
from tests.support.processes import free_port
from tests.support.stores import empty_store

from toolyard.errors import SettingsError, StoreError, StoreUnavailable
from toolyard.store import database, migrate, tables
from toolyard.store.connect import Store, open_store
from toolyard.testing.store_suite import StoreSuite, a_call, a_key, a_row, save


class TestSqlStore(StoreSuite):
    @pytest.fixture(params=["sqlite", "postgres"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
        with empty_store(request, tmp_path) as store:
            yield store


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = open_store(database_url)
    yield store
    store.close()


def test_a_database_without_tables_says_how_to_make_them(store: Store):
    with pytest.raises(StoreError, match=r"no tables yet; .*scheduler --migrate"):
        store.check()
    with pytest.raises(StoreError, match=r"missing or of another version .*scheduler --migrate"):
        store.calls.unfinished()


def _of_later_version(
    database_url: str, *, oldest: str = "", also: str = "UPDATE compatibility SET oldest = :oldest"
) -> None:
    engine = create_engine(database.parse_url(database_url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text(also), {"oldest": oldest} if ":oldest" in also else {})
    engine.dispose()


def test_a_newer_database_that_serves_this_build_is_taken_as_it_is(store: Store, database_url: str):
    store.migrate()
    _of_later_version(database_url, oldest=migrate.revisions()[-1])

    store.check()
    store.migrate()
    store.check()


def test_a_newer_database_that_does_not_serve_this_build_is_refused(store: Store, database_url: str):
    store.migrate()
    _of_later_version(database_url, oldest="9998")

    with pytest.raises(StoreError, match=r"version 9999.*install a newer Toolyard"):
        store.check()
    with pytest.raises(StoreError, match=r"version 9999.*install a newer Toolyard"):
        store.migrate()


@pytest.mark.parametrize("also", ["DELETE FROM compatibility", "DROP TABLE compatibility"])
def test_a_newer_database_that_does_not_say_whom_it_serves_is_refused(store: Store, database_url: str, also: str):
    store.migrate()
    _of_later_version(database_url, also=also)

    says = rf"version 9999, this build knows none after {migrate.revisions()[-1]}, .*compatibility, is missing: install"
    with pytest.raises(StoreError, match=says):
        store.check()
    with pytest.raises(StoreError, match=says):
        store.migrate()


def test_an_older_database_says_how_to_migrate(store: Store, monkeypatch: pytest.MonkeyPatch):
    store.migrate()
    newest = migrate.revisions()[-1]
    monkeypatch.setattr(migrate, "revisions", lambda: [newest, "9999"])

    with pytest.raises(StoreError, match=rf"has version {newest}, this build needs 9999; .*--migrate"):
        store.check()


def test_the_migrations_leave_exactly_the_tables_of_this_build(store: Store, database_url: str):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    store.migrate()
    engine = create_engine(database.parse_url(database_url))
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), tables.metadata)
        found = set(inspect(connection).get_table_names())
    engine.dispose()

    assert differences == []
    assert found == set(tables.metadata.tables) | {"alembic_version"}


def test_two_processes_may_migrate_at_once(database_url: str):
    script = "import sys; from toolyard.store.connect import open_store; open_store(sys.argv[1]).migrate()"
    started = [subprocess.Popen([sys.executable, "-c", script, database_url]) for _ in range(3)]

    assert [process.wait(timeout=60) for process in started] == [0, 0, 0]
    store = open_store(database_url)
    store.check()
    store.close()


@pytest.fixture
def old_tables(postgres_url: str) -> Iterator[Store]:
    """Tables of an older version, for which a migration has to change those of the calls."""
    store = open_store(postgres_url)
    store.migrate()
    alembic = [sys.executable, "-m", "alembic", "downgrade", "0006"]
    env = {**os.environ, "TOOLYARD_DATABASE_URL": postgres_url}
    subprocess.run(alembic, check=True, env=env, cwd=Path(__file__).parents[3], capture_output=True)
    yield store
    store.close()


def test_a_migration_waits_for_who_reads_and_lets_others_read_meanwhile(
    old_tables: Store, postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    gave_way, go_on = threading.Event(), threading.Event()

    def pause(_: float) -> None:
        gave_way.set()
        assert go_on.wait(60)

    monkeypatch.setattr(migrate, "sleep", pause)
    engine = create_engine(database.parse_url(postgres_url))
    migrating = threading.Thread(target=old_tables.migrate)
    with engine.connect() as backup:
        backup.execute(text("SELECT count(*) FROM calls"))
        migrating.start()
        assert gave_way.wait(60)
        with engine.connect() as other:
            assert other.execute(text("SELECT count(*) FROM calls")).scalar() == 0
    go_on.set()
    migrating.join(60)
    engine.dispose()

    old_tables.check()


def test_a_migration_that_has_to_wait_for_too_long_says_for_what(
    old_tables: Store, postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(migrate, "_TRIES", 1)
    engine = create_engine(database.parse_url(postgres_url))
    with engine.connect() as backup:
        backup.execute(text("SELECT count(*) FROM calls"))
        with pytest.raises(StoreUnavailable, match="end what reads for long, and try again"):
            old_tables.migrate()
    engine.dispose()
    with pytest.raises(StoreError, match="has version 0006"):
        old_tables.check()


def test_a_migration_can_be_undone(store: Store, database_url: str):
    store.migrate()
    env = {**os.environ, "TOOLYARD_DATABASE_URL": database_url}
    alembic = [sys.executable, "-m", "alembic"]
    root = Path(__file__).parents[3]

    subprocess.run([*alembic, "downgrade", "base"], check=True, env=env, cwd=root, capture_output=True)
    with pytest.raises(StoreError, match="no tables yet"):
        store.check()
    subprocess.run([*alembic, "upgrade", "head"], check=True, env=env, cwd=root, capture_output=True)
    store.check()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://root:geheim@host/db", "begins with postgresql"),
        ("geheim", "cannot be read"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite:////proc/geheim/db", "cannot be opened"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str, words: str):
    with pytest.raises(SettingsError, match=words) as caught:
        open_store(url)
    assert "root:geheim" not in str(caught.value)


def test_a_server_that_is_away_is_told_without_the_password():
    store = open_store(f"postgresql://ann:geheim@127.0.0.1:{free_port()}/db")

    with pytest.raises(StoreUnavailable) as caught:
        store.keys.any()
    assert "geheim" not in str(caught.value)
    store.close()


def test_a_locked_database_is_told_and_used_again_after_that(tmp_path: Path):
    store = open_store(f"sqlite:///{tmp_path / 'a.db'}", timeout=0.05)
    store.migrate()
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.keys.add(a_key("k1"))
        assert not store.keys.any()
        other.execute("ROLLBACK")

    store.keys.add(a_key("k1"))
    store.close()


def test_the_file_of_an_sqlite_database_is_its_owners_alone(tmp_path: Path):
    store = open_store(f"sqlite:///{tmp_path / 'new' / 'a.db'}")
    store.migrate()

    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "new").rglob("a.db*")} == {0}
    store.close()


def test_a_server_that_was_restarted_is_used_again_at_once(private_postgres: PostgresNode):
    store = open_store(private_postgres.create_database())
    store.migrate()
    save(store, a_row(a_call("c1")))

    private_postgres.restart()

    assert store.calls.get("default", "c1") is not None
    store.close()


def test_a_connection_that_the_server_ended_just_now_is_not_used_again(postgres_url: str):
    store = database.Database(postgres_url, connections=1)
    own = text("SELECT pg_backend_pid()")
    with store.read() as connection:
        first = connection.execute(own).scalar_one()
    with psycopg.connect(postgres_url, autocommit=True) as other:
        assert other.execute("SELECT pg_terminate_backend(%s, 5000)", (first,)).fetchone() == (True,)

    with store.read() as connection:
        assert connection.execute(own).scalar_one() != first
    store.close()


def test_a_frozen_server_is_given_up_and_used_again_when_it_thaws(private_postgres: PostgresNode):
    store = open_store(private_postgres.create_database(), connections=1)
    store.migrate()
    save(store, a_row(a_call("c1")))

    with private_postgres.suspended(), pytest.raises(StoreUnavailable, match="did not answer within"):
        store.calls.get("default", "c1")

    assert store.calls.get("default", "c1") is not None
    store.close()


def test_a_slow_statement_is_stopped(postgres_url: str):
    store = database.Database(postgres_url, timeout=0.1)

    with pytest.raises(StoreUnavailable, match="statement timeout"), store.read() as connection:
        connection.execute(text("SELECT pg_sleep(5)"))
    store.close()
