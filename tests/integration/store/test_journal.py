"""The log of the embedded transport, on both databases."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection

from toolyard.errors import StoreError, StoreUnavailable, Unconfirmed
from toolyard.store.connect import open_store
from toolyard.store.database import Database
from toolyard.store.journal import SqlJournal
from toolyard.transport.base import Message
from toolyard.transport.embedded.journal import Journal


@pytest.fixture
def url(database_url: str) -> str:
    store = open_store(database_url)
    store.migrate()
    store.close()
    return database_url


@pytest.fixture
def journal(url: str) -> Iterator[SqlJournal]:
    journal = SqlJournal(url)
    yield journal
    journal.close()


def a_message(number: int) -> Message:
    headers: dict[str, str | int | float | bool] = {"text": "caf\u00e9", "int": number, "float": 1.0, "bool": True}
    return Message("calls", f"call.{number}", b"\x00\xff body", f"id-{number}", headers, expiration="7", kind="call")


def test_it_is_what_the_embedded_transport_asks_for(journal: SqlJournal):
    kept: Journal = journal

    assert kept.last() is None
    assert list(kept.read(0, 10)) == []


def test_records_come_back_as_they_were_written(journal: SqlJournal):
    message = a_message(1)

    assert list(journal.append([message])) == [1]
    (found,) = journal.read(1, 10)

    for name in ("exchange", "key", "body", "message_id", "headers", "expiration", "kind"):
        assert getattr(found, name) == getattr(message, name), name
    assert {name: type(value) for name, value in found.headers.items()} == {
        "text": str,
        "int": int,
        "float": float,
        "bool": bool,
    }


def test_offsets_rise_one_by_one_and_go_on_after_a_restart(journal: SqlJournal, url: str):
    assert list(journal.append([a_message(1), a_message(2)])) == [1, 2]
    assert list(journal.append([])) == []
    again = SqlJournal(url)

    assert list(again.append([a_message(3)])) == [3]
    assert journal.last() == 3
    assert [row.offset for row in again.read(2, 10)] == [2, 3]
    assert [row.offset for row in again.read(1, 2)] == [1, 2]
    again.close()


def test_all_are_kept_or_none(journal: SqlJournal):
    broken = Message("calls", "a\ud800", b"", "id", {})
    with pytest.raises(StoreError):
        journal.append([a_message(1), broken])

    assert journal.last() is None
    assert list(journal.append([a_message(1)])) == [1]


def test_a_commit_that_was_cut_is_told_as_not_confirmed(journal: SqlJournal, monkeypatch: pytest.MonkeyPatch):
    journal.append([a_message(1)])
    # The transaction is committed, but the news of it does not come back.
    monkeypatch.setattr(journal, "_database", CutAtCommit(journal._database))
    with pytest.raises(Unconfirmed):
        journal.append([a_message(2)])
    monkeypatch.undo()

    assert list(journal.append([a_message(3)])) == [3]


class CutAtCommit:
    """A database whose connection breaks right after each commit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._database.write() as connection:
            yield connection
        raise StoreUnavailable("cut")
