"""Keys that a machine makes for itself: made once, kept, whole, and readable by their owner alone."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from toolyard.errors import SettingsError
from toolyard.security.keyfile import keep, local_keyring, local_secret_keys

PARTS = ("exchange", "key", "id", "", b"body")


def test_a_key_is_made_once_and_kept(tmp_path: Path):
    assert keep(tmp_path / "key", "first") == "first"
    assert keep(tmp_path / "key", "second") == "first"


def test_the_file_and_its_folder_belong_to_their_owner_alone(tmp_path: Path):
    keep(tmp_path / "data" / "key", "secret")
    assert stat.S_IMODE((tmp_path / "data" / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_line_break_that_an_editor_added_is_no_part_of_the_key(tmp_path: Path):
    (tmp_path / "key").write_text("typed\n")
    assert keep(tmp_path / "key", "made") == "typed"


def test_many_that_begin_at_once_agree_on_one_key(tmp_path: Path):
    together = Barrier(16)

    def begin(number: int) -> str:
        together.wait()
        return keep(tmp_path / "data" / "key", f"key of {number}" * 100)

    with ThreadPoolExecutor(16) as pool:
        kept = set(pool.map(begin, range(16)))
    assert kept == {(tmp_path / "data" / "key").read_text()}


def test_nothing_is_left_beside_the_key(tmp_path: Path):
    keep(tmp_path / "key", "one")
    keep(tmp_path / "key", "two")
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_the_keyring_of_a_folder_is_the_same_at_each_start(tmp_path: Path):
    signed = local_keyring(tmp_path).sign(*PARTS)
    local_keyring(tmp_path).verify(signed, *PARTS)


def test_two_folders_have_two_keyrings(tmp_path: Path):
    assert local_keyring(tmp_path / "a").sign(*PARTS) != local_keyring(tmp_path / "b").sign(*PARTS)


@pytest.mark.parametrize(
    "spoilt",
    [
        b"local:hunter2",
        b"hunter2",
        b"",
        b"hunter2:00",
        b"\xff\xfe\x00hunter2",
        b"local:" + b"00" * 31,
        b"hunter2:" + b"00" * 32 + b",hunter2:" + b"00" * 32,
    ],
)
def test_a_spoilt_signing_key_is_refused_and_not_replaced(tmp_path: Path, spoilt: bytes):
    path = tmp_path / "signing"
    path.write_bytes(spoilt)
    with pytest.raises(SettingsError, match=r"is damaged: .*; restore it") as caught:
        local_keyring(tmp_path)
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert path.read_bytes() == spoilt


def test_a_folder_where_the_signing_key_should_be_is_named(tmp_path: Path):
    (tmp_path / "signing").mkdir()
    with pytest.raises(SettingsError, match="signing cannot be used: Is a directory; TOOLYARD_SIGNING_KEYS would"):
        local_keyring(tmp_path)


def test_the_key_of_secrets_is_made_once_and_is_its_owners_alone(tmp_path: Path):
    made = local_secret_keys(tmp_path)
    assert local_secret_keys(tmp_path).get("local") == made.get("local")
    assert stat.S_IMODE((tmp_path / "secrets-key").stat().st_mode) == 0o600


def test_a_spoilt_key_of_secrets_is_refused_and_not_replaced(tmp_path: Path):
    (tmp_path / "secrets-key").write_text("local:hunter2")
    with pytest.raises(SettingsError, match=r"is damaged: .* a key of 32 bytes; restore it from a copy") as caught:
        local_secret_keys(tmp_path)
    assert "hunter2" not in str(caught.value)
    assert (tmp_path / "secrets-key").read_text() == "local:hunter2"
