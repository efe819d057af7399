"""Settings of `toolyard dev`: nonsense stops the start, also where an option goes before it or nobody acts on it."""

from pathlib import Path

import pytest

from toolyard.errors import SettingsError
from toolyard_embedded.settings import read_settings


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("TOOLYARD_PORT", "abc", "TOOLYARD_PORT: 'abc' is not a whole number from 0 to 65535"),
        ("TOOLYARD_PORT", "70000", "TOOLYARD_PORT: 70000 is not between 0 and 65535"),
        ("TOOLYARD_TOPOLOGY", "x", "TOOLYARD_TOPOLOGY: 'x' is not one of declare, check"),
        ("TOOLYARD_GATEWAY_ID", "No Name", "TOOLYARD_GATEWAY_ID: a gateway's name has"),
        ("TOOLYARD_RETENTION", "1h", "TOOLYARD_RETENTION (3600 s) contradicts what is promised of the Idempotency-Key"),
        ("TOOLYARD_LOG_MAX_LAG", "2d", "TOOLYARD_LOG_MAX_LAG (172800 s) contradicts x-max-age of toolyard.log"),
        ("TOOLYARD_CONSUMER_TIMEOUT", "soon", "TOOLYARD_CONSUMER_TIMEOUT: 'soon' is not a duration"),
    ],
)
def test_nonsense_is_told_also_where_an_option_goes_before_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        read_settings(host="127.0.0.1", port=0)
    assert told in str(caught.value)


def test_options_go_before_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOOLYARD_HOST", "127.0.0.2")
    monkeypatch.setenv("TOOLYARD_PORT", "9000")
    assert (read_settings().host, read_settings().port) == ("127.0.0.2", 9000)
    settings = read_settings(host=" 127.0.0.3 ", port=0)
    assert (settings.host, settings.port) == ("127.0.0.3", 0)


@pytest.mark.parametrize("host", ["", "  "])
def test_an_empty_host_is_refused(host: str):
    with pytest.raises(SettingsError, match="--host is empty; give an address, as in"):
        read_settings(host=host)


def test_settings_of_the_separate_processes_that_make_sense_are_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOOLYARD_TOPOLOGY", "check")
    monkeypatch.setenv("TOOLYARD_GATEWAY_ID", "gw-1")
    assert read_settings().host == "127.0.0.1"


def test_all_problems_are_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("TOOLYARD_PROFILE", "production")
    monkeypatch.setenv("TOOLYARD_SECRETS_DIR", str(tmp_path / "none"))
    with pytest.raises(SettingsError) as caught:
        read_settings(host="")
    assert len(str(caught.value).split("; ")) >= 3
