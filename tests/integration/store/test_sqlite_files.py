"""The files of an SQLite database: made once, kept from others, and missed as soon as somebody removes them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from toolyard.errors import SettingsError, StoreLost
from toolyard.store.connect import open_store
from toolyard.store.database import Database
from toolyard.store.journal import SqlJournal
from toolyard.transport.base import Message

#: A person who looks into the database, and leaves.
LOOK = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM log').fetchone())"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "a.db"


@pytest.fixture
def journal(file: Path) -> Iterator[SqlJournal]:
    """Of a database that others of this process have open too, as in the embedded system."""
    url = f"sqlite:///{file}"
    with closing(open_store(url, durable=True)) as front:
        front.migrate()
        assert front.calls.unfinished() == []
        with closing(SqlJournal(url)) as journal, closing(open_store(url)) as ledger:
            assert ledger.calls.unfinished() == []
            append(journal)
            yield journal


def append(journal: SqlJournal) -> None:
    journal.append([Message("toolyard.calls", "k", b"{}", "m")])


def wal(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def test_another_process_that_looks_and_leaves_takes_nothing_away(file: Path, journal: SqlJournal):
    before = wal(file).stat().st_ino
    look = subprocess.run([sys.executable, "-c", LOOK, file], capture_output=True, text=True, timeout=60, check=True)
    assert look.stdout == "1\n"
    assert wal(file).stat().st_ino == before
    append(journal)


def replace(file: Path) -> None:
    other = file.with_name("other")
    shutil.copyfile(file, other)
    other.rename(file)


REMOVALS: list[tuple[str, Callable[[Path], object], str]] = [
    ("the file", Path.unlink, r"a\.db was removed or replaced .* restore it from a copy"),
    ("its folder", lambda file: shutil.rmtree(file.parent), r"a\.db was removed or replaced"),
    ("another in its place", replace, r"a\.db was removed or replaced"),
    ("its WAL", lambda file: wal(file).unlink(), r"a\.db-wal was removed or replaced .*Ctrl-C"),
]


@pytest.mark.parametrize(("remove", "told"), [each[1:] for each in REMOVALS], ids=[each[0] for each in REMOVALS])
def test_what_is_written_into_a_removed_file_is_not_taken_for_kept(file: Path, journal: SqlJournal, remove, told: str):
    journal.check()
    remove(file)
    with pytest.raises(StoreLost, match=told):
        append(journal)
    with pytest.raises(StoreLost, match=told):
        journal.check()


def test_no_connection_is_made_to_what_stands_in_its_place(file: Path):
    with closing(Database(f"sqlite:///{file}", connections=2)) as database, database.read():
        file.unlink()
        with pytest.raises(StoreLost), database.read():
            pass
        assert not file.exists()


def test_a_file_that_cannot_be_looked_at_is_not_taken_for_gone(file: Path, journal: SqlJournal, monkeypatch):
    def refused(_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("toolyard.store.opened.Path.stat", refused)
    journal.check()


def test_a_new_file_is_its_owners_alone_and_one_that_is_there_stays_as_it_is(file: Path):
    Database(f"sqlite:///{file}").close()
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o640)
    Database(f"sqlite:///{file}").close()
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path, monkeypatch):
    with pytest.raises(SettingsError, match="it is not a file"):
        Database(f"sqlite:///{tmp_path}")
    (tmp_path / "a.db").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may open everything
    with pytest.raises(SettingsError, match="Permission denied"):
        Database(f"sqlite:///{tmp_path / 'a.db'}")
