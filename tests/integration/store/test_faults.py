"""What the databases refuse becomes ours: values that never fit are told from a database that is in a bad state."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from toolyard.errors import StoreError, StoreUnavailable
from toolyard.store.base import NotStorable
from toolyard.store.database import Database
from toolyard.store.faults import POSTGRES

#: Letters that do not compress.
LONG = "SELECT string_agg(md5(n::text), '') FROM generate_series(1, 300) n"


def kind_of(database: Database, *statements: str, **values: object) -> tuple[type[StoreError], str]:
    """What these statements come to in one transaction; the values are those of the last one."""
    with pytest.raises(StoreError) as caught:
        run(database, statements, values)
    return type(caught.value), str(caught.value)


def run(database: Database, statements: tuple[str, ...], values: dict[str, object]) -> None:
    with database.write() as connection:
        for statement in statements[:-1]:
            connection.execute(text(statement))
        connection.execute(text(statements[-1]), values)


# ---- PostgreSQL -----------------------------------------------------------------------------------
@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[Database]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (id text PRIMARY KEY, number integer CHECK (number < 100))")
    database = Database(postgres_url)
    yield database
    database.close()


NEVER_KEPT = {
    "out of range": "SELECT 10000000000::bigint::integer",
    "no number": "SELECT cast(:given AS integer)",
    "not in the encoding": r"SELECT convert_from('\xff'::bytea, 'UTF8')",
    "a character that no text holds": "SELECT chr(0)",
    "the same key twice": "INSERT INTO kept VALUES ('a'), ('a')",
    "against a check": "INSERT INTO kept VALUES ('a', 100)",
    "too long for an index": f"INSERT INTO kept {LONG}",
    "too long for a text": "SELECT repeat('x', 2000000000)",
    "too many columns": f"SELECT {', '.join(map(str, range(1665)))}",
    "nested too deep": "SELECT repeat('[', 100000)::json",
}


@pytest.mark.parametrize("statement", NEVER_KEPT.values(), ids=NEVER_KEPT)
def test_what_postgres_never_keeps_is_told_as_such(postgres_database: Database, statement: str):
    values = {"given": "seven"} if ":given" in statement else {}
    kind, words = kind_of(postgres_database, statement, **values)

    assert kind is NotStorable
    assert words.startswith("the database does not take these values: ")


def test_a_text_that_the_driver_does_not_even_send_is_never_kept(postgres_database: Database):
    assert kind_of(postgres_database, "SELECT cast(:given AS text)", given="a\x00b")[0] is NotStorable
    assert kind_of(postgres_database, "SELECT cast(:given AS text)", given="\ud800")[0] is NotStorable


IN_A_BAD_STATE = {
    "too slow": ("statement timeout", ["SET LOCAL statement_timeout = '100ms'", "SELECT pg_sleep(9)"]),
    "ended by an operator": ("terminating connection", ["SELECT pg_terminate_backend(pg_backend_pid())"]),
    "a standby": ("read-only transaction", ["SET TRANSACTION READ ONLY", "CREATE TABLE another ()"]),
    "locked": ("lock timeout", ["SET LOCAL lock_timeout = '1ms'", "SELECT * FROM kept"]),
}


@pytest.mark.parametrize(("words", "statements"), IN_A_BAD_STATE.values(), ids=IN_A_BAD_STATE)
def test_a_postgres_in_a_bad_state_is_told_as_such(
    postgres_database: Database, postgres_url: str, words: str, statements: list[str]
):
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE kept")
        kind, told = kind_of(postgres_database, *statements)

    assert kind is StoreUnavailable
    assert words in told


ONE_OF_EACH = ["22000", "23000", "44000", "54000", "08000", "25000", "28000", "40001", "53100", "55000", "57000"]
ONE_OF_EACH += ["58030", "F0000", "XX001"]


def test_there_is_one_of_each_class():
    assert {code[:2] for code in ONE_OF_EACH} == set(POSTGRES)


@pytest.mark.parametrize("code", ONE_OF_EACH)
def test_the_class_of_a_code_tells_what_it_is(postgres_database: Database, code: str):
    raised = f"DO $$ BEGIN RAISE EXCEPTION 'geht nicht' USING ERRCODE = '{code}'; END $$"

    kind, words = kind_of(postgres_database, raised)

    assert kind is POSTGRES[code[:2]]
    assert words.endswith(": geht nicht")


@pytest.mark.parametrize("statement", ["SELECT * FROM nothing", "SELECT nothing FROM kept", "SELECT * FROM no.thing"])
def test_tables_that_are_missing_in_postgres_are_to_be_migrated(postgres_database: Database, statement: str):
    kind, words = kind_of(postgres_database, statement)

    assert kind is StoreError
    assert "scheduler --migrate" in words


@pytest.mark.parametrize("statement", ["SELEKT 1", "SELECT nothing()", "EXECUTE nothing"])
def test_a_statement_that_is_wrong_for_postgres_is_our_fault(postgres_database: Database, statement: str):
    kind, words = kind_of(postgres_database, statement)

    assert kind is StoreError
    assert words.startswith("the database refused a statement: ")


# ---- SQLite ---------------------------------------------------------------------------------------
@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}", timeout=0.05, connections=2)
    with database.write() as connection:
        connection.execute(text("CREATE TABLE kept (id INTEGER PRIMARY KEY, word TEXT CHECK (word <> 'no'))"))
    yield database
    database.close()


NEVER_KEPT_HERE: dict[str, tuple[str, object]] = {
    "too large a number": ("SELECT :given", 10**30),
    "too large": ("SELECT zeroblob(:given)", 2_000_000_000),
    "half a character": ("SELECT :given", "\ud800"),
    "no key": ("INSERT INTO kept (id) VALUES (:given)", "seven"),
    "against a check": ("INSERT INTO kept (word) VALUES (:given)", "no"),
    "the same key twice": ("INSERT INTO kept (id) VALUES (1), (:given)", 1),
}


@pytest.mark.parametrize(("statement", "given"), NEVER_KEPT_HERE.values(), ids=NEVER_KEPT_HERE)
def test_what_sqlite_never_keeps_is_told_as_such(sqlite_database: Database, statement: str, given: object):
    assert kind_of(sqlite_database, statement, given=given)[0] is NotStorable


def test_an_sqlite_that_is_full_locked_or_only_read_is_in_a_bad_state(sqlite_database: Database):
    fill = "INSERT INTO kept (word) VALUES (hex(zeroblob(100000)))"
    assert "full" in told(sqlite_database, "PRAGMA max_page_count = 1", fill)
    assert "readonly" in told(sqlite_database, "PRAGMA query_only = 1", fill)
    with closing(sqlite_database.engine.raw_connection()) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "locked" in told(sqlite_database, fill)
        other.execute("ROLLBACK")


def told(database: Database, *statements: str) -> str:
    """What is told of a database in a bad state; its connection is thrown away, with the settings it got."""
    kind, words = kind_of(database, *statements)
    database.close()
    assert kind is StoreUnavailable
    return words


@pytest.mark.parametrize(
    "statement", ["SELECT * FROM absent", "SELECT absent FROM kept", "INSERT INTO kept (absent) VALUES (1)"]
)
def test_tables_that_are_missing_in_sqlite_are_to_be_migrated(sqlite_database: Database, statement: str):
    kind, words = kind_of(sqlite_database, statement)

    assert kind is StoreError
    assert "scheduler --migrate" in words
