"""Secrets on both databases: versions, what is kept of values, and the change of the key that seals them."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update
from tests.support.stores import empty_store
from tests.support.waiting import wait_until

from toolyard.errors import Refused, SecretUnreadable, SettingsError
from toolyard.security.keys import SecretKeys
from toolyard.security.sealing import Sealed, seal
from toolyard.store.connect import Store
from toolyard.store.database import Database
from toolyard.store.tables import secrets
from toolyard.store.vault import Vault, check_keys
from toolyard.testing.store_suite import NASTY, refusal

ALL: dict[str, Any] = {"cursor": None, "limit": 200}
OLD, NEW = b"o" * 32, b"n" * 32


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty_store(request, tmp_path) as store:
        yield store


@pytest.fixture
def vault(store: Store) -> Vault:
    return Vault(store.secrets, SecretKeys({"old": OLD}))


def rows(store: Store) -> list[Any]:
    database: Database = store.secrets._database
    with database.read() as connection:
        return list(connection.execute(select(secrets).order_by(secrets.c.org, secrets.c.name, secrets.c.version)))


def test_a_secret_comes_back_with_its_newest_value(vault: Vault):
    made = vault.create("default", "TOKEN", NASTY, by="key1")
    assert (made.version, made.created_by) == (1, "key1")
    assert vault.get("default", "TOKEN") == NASTY

    assert vault.replace("default", "TOKEN", "x" * 65_536, by="key2").version == 2
    assert vault.get("default", "TOKEN") == "x" * 65_536


def test_a_name_is_of_one_org_alone(vault: Vault):
    vault.create("default", "TOKEN", "mine", by="k")
    vault.create("other", "TOKEN", "theirs", by="k")
    assert (vault.get("default", "TOKEN"), vault.get("other", "TOKEN")) == ("mine", "theirs")
    assert vault.get("third", "TOKEN") is None
    assert vault.get("default", "token") is None


def test_a_taken_name_and_a_missing_one_are_refused(vault: Vault, store: Store):
    vault.create("default", "TOKEN", "v", by="k")
    assert refusal(lambda: vault.create("default", "TOKEN", "w", by="k")) == "conflict"
    assert refusal(lambda: vault.replace("other", "TOKEN", "w", by="k")) == "not_found"
    assert refusal(lambda: store.secrets.delete("other", "TOKEN")) == "not_found"
    assert vault.get("default", "TOKEN") == "v"


def test_a_change_may_ask_for_the_current_version(vault: Vault, store: Store):
    vault.create("default", "TOKEN", "1", by="k")
    vault.replace("default", "TOKEN", "2", by="k", expected=1)
    assert refusal(lambda: vault.replace("default", "TOKEN", "3", by="k", expected=1)) == "precondition_failed"
    assert refusal(lambda: store.secrets.delete("default", "TOKEN", expected=1)) == "precondition_failed"
    assert vault.get("default", "TOKEN") == "2"
    store.secrets.delete("default", "TOKEN", expected=2)
    assert vault.get("default", "TOKEN") is None


def test_no_value_is_kept_that_nobody_reads_any_more(vault: Vault, store: Store):
    vault.create("default", "TOKEN", "1", by="k")
    vault.replace("default", "TOKEN", "2", by="k")
    assert [(row.version, row.sealed is None) for row in rows(store)] == [(1, True), (2, False)]
    store.secrets.delete("default", "TOKEN")
    assert [(row.sealed, row.key_id, row.deleted) for row in rows(store)] == [(None, None, True)] * 2


def test_a_deleted_secret_that_comes_back_goes_on_counting_and_shows_no_older_versions(vault: Vault, store: Store):
    vault.create("default", "TOKEN", "1", by="k")
    store.secrets.delete("default", "TOKEN")
    assert store.secrets.versions("default", "TOKEN", **ALL).items == []
    assert vault.create("default", "TOKEN", "2", by="k").version == 2
    assert [row.version for row in store.secrets.versions("default", "TOKEN", **ALL).items] == [2]


def test_secrets_and_versions_are_listed_in_pages(vault: Vault, store: Store):
    for name in ("C", "A", "B"):
        vault.create("default", name, "v", by="k")
    vault.create("other", "A", "v", by="k")
    vault.replace("default", "B", "w", by="k2")

    first = store.secrets.list("default", cursor=None, limit=2)
    rest = store.secrets.list("default", cursor=first.next_cursor, limit=2)
    assert [(row.name, row.version, row.created_by) for row in (*first.items, *rest.items)] == [
        ("A", 1, "k"),
        ("B", 2, "k2"),
        ("C", 1, "k"),
    ]
    assert rest.next_cursor is None

    newest = store.secrets.versions("default", "B", cursor=None, limit=1)
    oldest = store.secrets.versions("default", "B", cursor=newest.next_cursor, limit=1)
    assert [row.version for row in (*newest.items, *oldest.items)] == [2, 1]
    assert oldest.next_cursor is None
    for listed in (store.secrets.list, lambda org, **page: store.secrets.versions(org, "B", **page)):
        with pytest.raises(ValueError, match="not a cursor"):
            listed("default", cursor="nonsense", limit=2)


def test_a_row_that_is_put_under_another_org_or_name_does_not_open(vault: Vault, store: Store):
    for moved in ({"org": "other"}, {"name": "OTHER"}, {"version": 7}):
        vault.create("default", "TOKEN", "hunter2", by="k")
        with store.secrets._database.write() as connection:
            connection.execute(update(secrets).where(secrets.c.org == "default").values(**moved))
        where = {"org": "default", "name": "TOKEN"} | {key: value for key, value in moved.items() if key != "version"}
        with pytest.raises(SecretUnreadable, match="not what was sealed"):
            vault.get(str(where["org"]), str(where["name"]))
        with store.secrets._database.write() as connection:
            connection.execute(secrets.delete())


# ---- another key --------------------------------------------------------------------------------
def test_everything_is_sealed_anew_in_batches(vault: Vault, store: Store):
    for number in range(5):
        vault.create("default" if number % 2 else "other", f"S{number}", f"value {number}", by="k")
    rotated = Vault(store.secrets, SecretKeys({"new": NEW, "old": OLD}))
    assert rotated.get("other", "S0") == "value 0"

    done = rotated.reseal(limit=2)
    assert (done.count, set(store.secrets.key_ids())) == (2, {"old", "new"})
    while done.after is not None:
        done.add(rotated.reseal(limit=2, after=done.after))
    assert (done.count, done.unreadable, done.damaged) == (5, {}, [])
    assert store.secrets.key_ids() == {"new"}
    alone = Vault(store.secrets, SecretKeys({"new": NEW}))
    assert alone.get("default", "S3") == "value 3"
    assert rotated.reseal().count == 0


def test_the_secrets_of_one_org_alone_are_sealed_anew(vault: Vault, store: Store):
    vault.create("default", "A", "v", by="k")
    vault.create("other", "A", "v", by="k")
    rotated = Vault(store.secrets, SecretKeys({"new": NEW, "old": OLD}))
    assert rotated.reseal(org="other").count == 1
    assert store.secrets.key_ids() == {"old", "new"}


def test_what_cannot_be_opened_is_told_and_stays_as_it_is(vault: Vault, store: Store):
    vault.create("default", "A", "v", by="k")
    vault.create("default", "B", "v", by="k")
    with store.secrets._database.write() as connection:
        connection.execute(update(secrets).where(secrets.c.name == "B").values(name="C"))
    before = rows(store)

    missing = Vault(store.secrets, SecretKeys({"new": NEW})).reseal()
    assert (missing.count, missing.unreadable, missing.damaged) == (0, {"old": 2}, [])
    assert rows(store) == before
    damaged = Vault(store.secrets, SecretKeys({"new": NEW, "old": OLD})).reseal()
    assert (damaged.count, damaged.unreadable, damaged.damaged) == (1, {}, ["default/C"])
    with pytest.raises(SecretUnreadable, match="does not have: put that key"):
        Vault(store.secrets, SecretKeys({"other": NEW})).get("default", "C")


def test_a_secret_that_is_set_while_it_is_sealed_anew_keeps_its_new_value(vault: Vault, store: Store):
    vault.create("default", "A", "1", by="k")
    (row,) = store.secrets.sealed_with_others("new", org=None, after=None, limit=9)
    vault.replace("default", "A", "2", by="k")
    assert not store.secrets.reseal(row, row.kept)
    assert vault.get("default", "A") == "2"


# ---- at the same moment -------------------------------------------------------------------------
def test_of_many_that_make_or_change_a_secret_at_once_each_is_told_the_truth(vault: Vault, store: Store):
    start = threading.Barrier(6)

    def race(work: Any) -> list[str]:
        told: list[str] = []

        def run(number: int) -> None:
            start.wait()
            try:
                work(number)
            except Refused as refused:
                told.append(refused.refusal)
            else:
                told.append("done")

        threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return told

    made = race(lambda number: vault.create("default", "A", str(number), by="k"))
    assert sorted(made) == ["conflict"] * 5 + ["done"]
    changed = race(lambda number: vault.replace("default", "A", str(number), by="k"))
    assert set(changed) <= {"done", "conflict"}
    (newest, *_) = store.secrets.versions("default", "A", **ALL).items
    assert newest.version == 1 + changed.count("done")
    assert sum(row.sealed is not None for row in rows(store)) == 1


@pytest.mark.parametrize("store", ["postgres"], indirect=True)
def test_who_waited_for_a_version_that_is_the_newest_no_more_changes_nothing(vault: Vault, store: Store):
    """On SQLite nobody waits: writers come one after the other."""
    vault.create("default", "TOKEN", "1", by="k")
    ended: list[str] = []
    other = threading.Thread(
        target=lambda: ended.append(refusal(lambda: store.secrets.delete("default", "TOKEN", expected=1)))
    )

    def sealed_slowly(version: int) -> Sealed:
        other.start()
        wait_until(lambda: waiting(store), within=60, what="somebody who waits for the lock")
        return seal(SecretKeys({"old": OLD}), "2", org="default", name="TOKEN", version=version)

    store.secrets.replace("default", "TOKEN", sealed_slowly, by="k")
    other.join()
    assert ended == ["conflict"]
    assert vault.get("default", "TOKEN") == "2"
    store.secrets.delete("default", "TOKEN")
    assert vault.get("default", "TOKEN") is None
    assert [row for row in rows(store) if row.sealed is not None] == []
    assert vault.create("default", "TOKEN", "3", by="k").version == 3


def waiting(store: Store) -> bool:
    database: Database = store.secrets._database
    with database.read() as connection:
        found = connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))
        return bool(found.scalar_one())


# ---- keys at the start --------------------------------------------------------------------------
def test_another_key_under_an_id_that_is_used_is_refused_at_the_start(
    vault: Vault, store: Store, capsys: pytest.CaptureFixture[str]
):
    check_keys(store.secrets, SecretKeys({"old": NEW}))  # nothing is sealed yet
    for name in ("A", "B"):
        vault.create("default", name, "v", by="k")
    check_keys(store.secrets, SecretKeys({"new": NEW, "old": OLD}))
    for wrong in ({"old": NEW}, {"new": OLD, "old": NEW}):
        with pytest.raises(SettingsError, match="has another key under 'old'") as refused:
            check_keys(store.secrets, SecretKeys(wrong))
        assert OLD.hex() not in str(refused.value)
    check_keys(store.secrets, SecretKeys({"old": NEW}), own=True)
    assert "the file of their key is another one" in "".join(capsys.readouterr())
    with store.secrets._database.write() as connection:  # one that is damaged says nothing of the key
        connection.execute(update(secrets).where(secrets.c.name == "B").values(name="C"))
    check_keys(store.secrets, SecretKeys({"old": OLD}))
    check_keys(store.secrets, SecretKeys({"new": NEW}))  # a key that is missing is told, and no reason to stand still
    assert "keys are missing in TOOLYARD_SECRETS_KEY" in "".join(capsys.readouterr())
