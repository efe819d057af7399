"""Settings: read whole, every problem named at once, frozen, and no secret in an error."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from toolyard import settings
from toolyard.errors import SettingsError
from toolyard.settings import KNOWN, PREFIXES, setting


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The settings of a process that does not exist."""

    database: str = setting("TOOLYARD_DATABASE_URL", settings.database_url)
    port: int = setting("TOOLYARD_PORT", settings.port, 8080)
    lag: float = setting("TOOLYARD_LOG_MAX_LAG", settings.seconds, 900.0)
    profile: str = setting("TOOLYARD_PROFILE", settings.one_of("dev", "production"), "dev")
    keyring: Any = setting("TOOLYARD_SIGNING_KEYS", settings.keyring, None)
    computed: int = 7


ENOUGH = {"TOOLYARD_DATABASE_URL": "sqlite:///x.db"}


def read(**env: str) -> Sample:
    return settings.read(Sample, {**ENOUGH, **env})


def test_what_is_set_is_read_and_the_rest_has_its_default():
    assert read(TOOLYARD_PORT="9000", TOOLYARD_LOG_MAX_LAG="2m") == Sample(
        database="sqlite:///x.db", port=9000, lag=120.0, profile="dev", keyring=None
    )


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().port = 1  # type: ignore[misc]


def test_without_an_environment_the_one_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOOLYARD_DATABASE_URL", "postgresql://localhost/x")
    assert settings.read(Sample).database == "postgresql://localhost/x"


def test_a_variable_set_to_nothing_is_not_set():
    assert read(TOOLYARD_PORT="").port == 8080
    with pytest.raises(SettingsError, match="TOOLYARD_DATABASE_URL is not set: "):
        settings.read(Sample, {"TOOLYARD_DATABASE_URL": ""})


def test_every_problem_is_named_at_once():
    env = {"TOOLYARD_PORT": "eighty", "TOOLYARD_PROFILE": "prod", "TOOLYARD_DATABSE_URL": "sqlite:///x"}
    with pytest.raises(SettingsError) as caught:
        settings.read(Sample, env)
    assert str(caught.value).split("; ") == [
        "TOOLYARD_DATABSE_URL is not a setting",
        "did you mean TOOLYARD_DATABASE_URL?",
        f"TOOLYARD_DATABASE_URL is not set: {KNOWN['TOOLYARD_DATABASE_URL'].split('; ', maxsplit=1)[0]}",
        *KNOWN["TOOLYARD_DATABASE_URL"].split("; ")[1:],
        "TOOLYARD_PORT: 'eighty' is not a whole number from 0 to 65535",
        "TOOLYARD_PROFILE: 'prod' is not one of dev, production",
    ]


def test_a_setting_of_another_process_is_no_problem():
    assert read(TOOLYARD_CONCURRENCY="9", TOOLYARD_SANDBOX_MINIMUM="x").port == 8080


@pytest.mark.parametrize("name", ["TOOLYARD_SECRET_WEATHER_KEY", "TOOLYARD_TEST_AMQP_URL", "PATH", "toolyard_port"])
def test_variables_with_a_free_part_and_those_of_others_are_left_alone(name: str):
    assert settings.unknown({name: "x"}) == []


@pytest.mark.parametrize("name", ["TOOLYARD_", "TOOLYARD_SECRETS", "TOOLYARD_PROT", "TOOLYARD_TESTS"])
def test_what_looks_like_ours_and_is_none_is_named(name: str):
    assert settings.unknown({name: "x"})[0].startswith(f"{name} is not a setting")


def test_a_misspelt_name_gets_the_one_that_was_meant():
    assert settings.unknown({"TOOLYARD_TRANSPORT_URI": "x"}) == [
        "TOOLYARD_TRANSPORT_URI is not a setting; did you mean TOOLYARD_TRANSPORT_URL?"
    ]


def test_a_wrong_key_is_not_shown():
    with pytest.raises(SettingsError, match="TOOLYARD_SIGNING_KEYS: ") as caught:
        read(TOOLYARD_SIGNING_KEYS="a:hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("parse", "name"), [(settings.transport_url, "TOOLYARD_TRANSPORT_URL"), (settings.database_url, "database")]
)
def test_a_wrong_url_is_not_shown_because_it_may_hold_a_password(parse, name):
    with pytest.raises(ValueError, match="begins with") as caught:
        parse("redis://user:hunter2@host/")
    assert "hunter2" not in str(caught.value)


def test_a_field_of_an_unlisted_variable_is_a_defect():
    with pytest.raises(AssertionError, match="TOOLYARD_MADE_UP is missing in the table"):
        setting("TOOLYARD_MADE_UP", settings.text)


def test_every_listed_variable_is_ours_and_explained():
    for name, purpose in KNOWN.items():
        assert name.startswith("TOOLYARD_")
        assert not name.startswith(PREFIXES)
        assert len(purpose) > 10


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90.0), ("0.5", 0.5), ("45s", 45.0), ("15m", 900.0), ("12h", 43200.0), ("30d", 2_592_000.0), ("1e3", 1e3)],
)
def test_durations_are_read_in_their_units(written: str, seconds: float):
    assert settings.seconds(written) == seconds


@pytest.mark.parametrize("written", ["", "m", "5 minutes", "15M", "15ms", "0", "-1", "inf", "nan", "1e999", "--1s"])
def test_what_is_no_duration_is_refused(written: str):
    with pytest.raises(ValueError, match="is not a "):
        settings.seconds(written)


@pytest.mark.parametrize(("written", "value"), [("0", 0), ("8080", 8080), ("65535", 65535), (" 80 ", 80)])
def test_ports_are_read(written: str, value: int):
    assert settings.port(written) == value


@pytest.mark.parametrize("written", ["-1", "65536", "http", "80.0", "0x50"])
def test_what_is_no_port_is_refused(written: str):
    with pytest.raises(ValueError, match="65535"):
        settings.port(written)


@pytest.mark.parametrize(
    "written", ["postgresql://u:p@h:5432/d", "postgres://h/d", "sqlite:///a.db", "sqlite:////a.db"]
)
def test_bare_database_urls_are_read(written: str):
    assert settings.database_url(written) == written


@pytest.mark.parametrize("written", ["postgresql+psycopg://h/d", "mysql://h/d", "h/d", "sqlite://", ""])
def test_other_database_urls_are_refused(written: str):
    with pytest.raises(ValueError, match=r"begins with postgresql:// or sqlite:///"):
        settings.database_url(written)


@pytest.mark.parametrize("written", ["amqp://guest:guest@localhost:5672/", "amqps://h/v"])
def test_broker_urls_are_read(written: str):
    assert settings.transport_url(written) == written


@pytest.mark.parametrize("written", ["http://h", "localhost:5672", "redis://h", ""])
def test_other_broker_urls_are_refused(written: str):
    with pytest.raises(ValueError, match="begins with amqp"):
        settings.transport_url(written)


def test_a_path_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert settings.path(".toolyard") == tmp_path / ".toolyard"
    assert settings.path("~/data") == Path("/home/somebody/data")


def test_text_loses_the_blanks_around_it():
    assert settings.text("  gw-1\n") == "gw-1"


def test_a_keyring_is_read():
    assert settings.keyring(f"k:{'ab' * 32}").sign("e", "k", "i", "", b"").startswith("v1,k,")
