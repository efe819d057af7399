"""The settings of a gateway: what stops the start, and what it says."""

import pytest

from toolyard.errors import SettingsError
from toolyard.sandbox.jail.levels import Level
from toolyard.settings import read
from toolyard_gateway.settings import GatewaySettings, check, name_of

KEYS = f"main:{'ab' * 32}"
GOOD = {
    "TOOLYARD_TRANSPORT_URL": "amqp://toolyard:secret@broker:5672/",
    "TOOLYARD_DATABASE_URL": "postgresql://toolyard:secret@db/toolyard",
}
PRODUCTION = GOOD | {
    "TOOLYARD_PROFILE": "production",
    "TOOLYARD_SIGNING_KEYS": KEYS,
    "TOOLYARD_TOPOLOGY": "check",
    "TOOLYARD_HOST": "0.0.0.0",
}


def settings(env: dict[str, str]) -> GatewaySettings:
    made = read(GatewaySettings, env)
    check(made)
    return made


@pytest.mark.parametrize("env", [GOOD, PRODUCTION, GOOD | {"TOOLYARD_GATEWAY_ID": "gw-eu_1"}])
def test_good_settings_are_read(env):
    assert settings(env).transport_url == GOOD["TOOLYARD_TRANSPORT_URL"]


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({}, "TOOLYARD_TRANSPORT_URL"),
        (PRODUCTION | {"TOOLYARD_DATABASE_URL": ""}, "TOOLYARD_DATABASE_URL"),
        (GOOD | {"TOOLYARD_SECRETS_KEY": "k:abcd"}, "TOOLYARD_SECRETS_KEY: the key 'k' has 2 bytes"),
        (GOOD | {"TOOLYARD_GATEWAY_ID": "gw.1"}, "TOOLYARD_GATEWAY_ID"),
        (GOOD | {"TOOLYARD_GATEWAY_ID": "G"}, "TOOLYARD_GATEWAY_ID"),
        (GOOD | {"TOOLYARD_PORT": "70000"}, "TOOLYARD_PORT"),
        (GOOD | {"TOOLYARD_EGRESS_ALLOW": "http://x"}, "TOOLYARD_EGRESS_ALLOW"),
        (GOOD | {"TOOLYARD_LOG_MAX_LAG": "soon"}, "TOOLYARD_LOG_MAX_LAG"),
        (GOOD | {"TOOLYARD_SANDBOX_MINIMUM": "most"}, "TOOLYARD_SANDBOX_MINIMUM"),
        (GOOD | {"TOOLYARD_SANDBOX_MINIMUM": "off"}, "TOOLYARD_SANDBOX_MINIMUM"),
        (GOOD | {"TOOLYARD_API_KEY": "letmein"}, "TOOLYARD_API_KEY"),
        (GOOD | {"TOOLYARD_SIGNING_KEYS": f"http/{KEYS}"}, "TOOLYARD_SIGNING_KEYS has keys of pools alone"),
        (GOOD | {"TOOLYARD_SIGNING_KEYS": f"htpp/{KEYS}"}, "TOOLYARD_SIGNING_KEYS: the key id 'htpp/main' is of no"),
        (GOOD | {"TOOLYARD_HOSTS": "0.0.0.0"}, "TOOLYARD_HOST"),
        (GOOD | {"TOOLYARD_DATABASE_URL": "sqlite:////tmp/x.db", "TOOLYARD_HOST": "0.0.0.0"}, "SQLite"),
        (GOOD | {"TOOLYARD_LOG_MAX_LAG": "2d"}, "TOOLYARD_LOG_MAX_LAG .* contradicts x-max-age of toolyard.log"),
        (GOOD | {"TOOLYARD_GRACE": "10"}, "TOOLYARD_GRACE .* contradicts the drain of a gateway"),
        (GOOD | {"TOOLYARD_CONSUMER_TIMEOUT": "5m"}, "TOOLYARD_CONSUMER_TIMEOUT .* TOOLYARD_LONGEST_ATTEMPT"),
        (GOOD | {"TOOLYARD_LONGEST_ATTEMPT": "1h"}, "TOOLYARD_LONGEST_ATTEMPT is 3600 s"),
        (PRODUCTION | {"TOOLYARD_SIGNING_KEYS": ""}, "TOOLYARD_SIGNING_KEYS"),
        (PRODUCTION | {"TOOLYARD_DATABASE_URL": "sqlite:////tmp/x.db"}, "TOOLYARD_DATABASE_URL"),
        (PRODUCTION | {"TOOLYARD_TOPOLOGY": "declare"}, "TOOLYARD_TOPOLOGY"),
        (PRODUCTION | {"TOOLYARD_TRANSPORT_URL": "amqp://guest:guest@broker/"}, "TOOLYARD_TRANSPORT_URL"),
    ],
)
def test_a_wrong_or_unsafe_setting_stops_the_start_and_is_named(env, named):
    with pytest.raises(SettingsError, match=named) as refused:
        settings(env)

    assert "letmein" not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(("text", "level"), [("", "container"), ("full", "full"), ("degraded", "degraded")])
def test_code_is_looked_at_where_it_is_locked_up_as_well_as_the_operator_asks(text: str, level: str):
    assert settings(GOOD | {"TOOLYARD_SANDBOX_MINIMUM": text}).sandbox_minimum is Level(level)


def test_a_gateway_without_a_name_gets_one_that_fits_a_routing_key():
    first, second = name_of(settings(GOOD)), name_of(settings(GOOD))

    assert first != second
    assert first.startswith("gw-")
    assert "." not in first


def test_without_a_database_there_is_one_in_the_data_folder(tmp_path):
    made = settings(GOOD | {"TOOLYARD_DATABASE_URL": "", "TOOLYARD_DATA": str(tmp_path / "kept")})

    assert made.database == f"sqlite:///{tmp_path / 'kept' / 'services.db'}"
