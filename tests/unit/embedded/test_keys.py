"""The printed key works, whatever became of the folder, the store or the key itself."""

import stat
from pathlib import Path

import pytest

from toolyard.clock import SYSTEM
from toolyard.errors import SettingsError
from toolyard.store.connect import Store, open_store
from toolyard_embedded.keys import working_key
from toolyard_gateway.principals import read_key


@pytest.fixture
def store(tmp_path: Path):
    store = open_store(f"sqlite:///{tmp_path / 'a.db'}")
    store.migrate()
    yield store
    store.close()


def admins(store: Store) -> list[str]:
    return [row.key_id for row in store.keys.list("default", cursor=None, limit=50).items if "admin" in row.roles]


def test_it_is_made_once_and_kept(store, tmp_path):
    first = working_key(store.keys, tmp_path, None, SYSTEM)
    assert working_key(store.keys, tmp_path, None, SYSTEM) == first
    assert admins(store) == [read_key(first).key_id]
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_lost_key_file_is_made_anew_and_works(store, tmp_path):
    first = working_key(store.keys, tmp_path, None, SYSTEM)
    (tmp_path / "key").unlink()
    second = working_key(store.keys, tmp_path, None, SYSTEM)
    assert second != first
    assert read_key(second).key_id in admins(store)


def test_a_lost_store_gets_the_kept_key_again(store, tmp_path):
    (tmp_path / "key").write_text("ty_abc_0123456789abcdef0123456789")
    assert working_key(store.keys, tmp_path, None, SYSTEM) == "ty_abc_0123456789abcdef0123456789"
    assert admins(store) == ["abc"]


def test_a_revoked_key_is_replaced(store, tmp_path):
    first = working_key(store.keys, tmp_path, None, SYSTEM)
    store.keys.revoke("default", read_key(first).key_id, at=1.0)
    second = working_key(store.keys, tmp_path, None, SYSTEM)
    assert second != first
    assert store.keys.find(read_key(second).key_id).revoked_at is None


def test_the_operators_key_seeds_an_empty_store_and_is_written_nowhere(store, tmp_path):
    assert working_key(store.keys, tmp_path, "a-key-of-my-own-choice", SYSTEM) == "a-key-of-my-own-choice"
    assert not (tmp_path / "key").exists()
    assert working_key(store.keys, tmp_path, "a-key-of-my-own-choice", SYSTEM) == "a-key-of-my-own-choice"


def test_an_operators_key_that_the_store_does_not_know_is_not_printed_as_if_it_worked(store, tmp_path):
    kept = working_key(store.keys, tmp_path, None, SYSTEM)
    assert working_key(store.keys, tmp_path, "another-key-of-my-own", SYSTEM) == kept


def test_an_operators_key_that_could_be_guessed_is_refused(store, tmp_path):
    with pytest.raises(SettingsError, match="TOOLYARD_API_KEY"):
        working_key(store.keys, tmp_path, "short", SYSTEM)
