"""Secrets by reference: whose they are, where they come from, and which provider wins."""

from pathlib import Path

import pytest

from toolyard.security.secrets import EnvironmentSecrets, FileSecrets, Secrets


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "default").mkdir()
    (tmp_path / "acme").mkdir()
    (tmp_path / "default" / "TOKEN").write_text("from a file\n")
    (tmp_path / "acme" / "TOKEN").write_text("of acme\r\n")
    (tmp_path / "outside").write_text("not a secret")
    return tmp_path


def test_the_environment_belongs_to_the_default_org():
    secrets = EnvironmentSecrets({"TOOLYARD_SECRET_TOKEN": "t", "TOKEN": "another"})
    assert secrets.get("default", "TOKEN") == "t"
    assert secrets.get("acme", "TOKEN") is None
    assert secrets.get("default", "OTHER") is None


def test_a_file_belongs_to_its_org_and_its_last_line_break_is_not_part_of_it(folder):
    secrets = FileSecrets(folder)
    assert secrets.get("default", "TOKEN") == "from a file"
    assert secrets.get("acme", "TOKEN") == "of acme"
    assert secrets.get("other", "TOKEN") is None


def test_what_was_left_empty_is_not_set(folder):
    """As a variable that another one should have filled in: a tool would send an empty key."""
    (folder / "default" / "EMPTY").write_text("\n")
    assert FileSecrets(folder).get("default", "EMPTY") is None
    assert EnvironmentSecrets({"TOOLYARD_SECRET_EMPTY": ""}).get("default", "EMPTY") is None


def test_a_rotated_file_takes_effect_at_once(folder):
    secrets = FileSecrets(folder)
    (folder / "acme" / "TOKEN").write_text("rotated")
    assert secrets.get("acme", "TOKEN") == "rotated"


@pytest.mark.parametrize(
    ("org", "name"),
    [
        ("default", "../outside"),
        ("default", ".."),
        ("default", ""),
        ("..", "outside"),
        (".", "outside"),
        ("default/..", "outside"),
        ("default", "TOKEN\n"),
        ("default", "a b"),
    ],
)
def test_a_name_never_leads_out_of_the_folder(folder, org, name):
    assert FileSecrets(folder).get(org, name) is None


def test_what_is_not_a_readable_secret_is_none(folder):
    (folder / "default" / "FOLDER").mkdir()
    (folder / "default" / "HUGE").write_bytes(b"x" * (64 * 1024 + 1))
    assert FileSecrets(folder).get("default", "FOLDER") is None
    assert FileSecrets(folder).get("default", "HUGE") is None


def test_the_first_provider_that_has_a_value_gives_it(folder):
    secrets = Secrets([EnvironmentSecrets({"TOOLYARD_SECRET_TOKEN": "from the environment"}), FileSecrets(folder)])
    assert secrets.get("default", "TOKEN") == "from the environment"
    assert secrets.get("acme", "TOKEN") == "of acme"
    assert secrets.get("acme", "NONE") is None
