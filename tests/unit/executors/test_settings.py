"""A worker's settings and its command line: what is refused, and what that says."""

import sys

import pytest

from toolyard.errors import SettingsError
from toolyard.settings import read
from toolyard_executors import __main__ as command
from toolyard_executors.breaker import USUAL
from toolyard_executors.settings import WorkerSettings, check

URL = "amqp://ann:pw@broker/"
KEYS = "k:" + "ab" * 32


def settings(pool: str = "http", **env: str) -> WorkerSettings:
    made = read(WorkerSettings, {"TOOLYARD_TRANSPORT_URL": URL, **env})
    check(made, pool)
    return made


def test_a_worker_needs_no_more_than_its_broker():
    made = settings()
    assert (made.profile, made.port) == ("dev", None)
    assert (made.sandbox_minimum, made.sandbox_memory) == ("container", 1024)
    assert made.breaker_policy == USUAL


def test_breakers_can_be_switched_off():
    assert settings(TOOLYARD_BREAKER="off").breaker_policy is None


def test_nango_is_where_it_is_unless_the_operator_has_one():
    assert settings().nango_url == "https://api.nango.dev"
    assert settings(TOOLYARD_NANGO_URL="http://10.0.0.7:3003/").nango_url == "http://10.0.0.7:3003"


def test_how_many_calls_run_at_a_time_depends_on_the_pool_unless_it_is_said():
    assert (settings().places("http"), settings().places("sandbox"), settings().places("arcade")) == (256, 8, 64)
    asked = settings(TOOLYARD_CONCURRENCY="50")
    assert (asked.places("http"), asked.places("sandbox")) == (50, 50)


def test_more_processes_than_a_machine_takes_are_refused_in_the_pool_that_would_start_them():
    assert settings("http", TOOLYARD_CONCURRENCY="1025").places("http") == 1025
    with pytest.raises(SettingsError, match=r"1025 are too many for the pool sandbox.*at most 1024, and 8 if unset"):
        settings("sandbox", TOOLYARD_CONCURRENCY="1025")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"TOOLYARD_CONCURRENCY": "0"}, "TOOLYARD_CONCURRENCY"),
        ({"TOOLYARD_CONCURRENCY": "many"}, "TOOLYARD_CONCURRENCY"),
        ({"TOOLYARD_EGRESS_ALLOW": "http://x"}, "TOOLYARD_EGRESS_ALLOW"),
        ({"TOOLYARD_SECRETS_DIR": "/does/not/exist"}, "TOOLYARD_SECRETS_DIR: there is no folder"),
        ({"TOOLYARD_PROFILE": "production"}, "TOOLYARD_SIGNING_KEYS is not set"),
        ({"TOOLYARD_PROFILE": "production", "TOOLYARD_SIGNING_KEYS": KEYS}, "TOOLYARD_TOPOLOGY is declare"),
        ({"TOOLYARD_PROFILE": "production", "TOOLYARD_TRANSPORT_URL": "amqp://guest:guest@b/"}, "as guest"),
        (
            {"TOOLYARD_PROFILE": "production", "TOOLYARD_SECRETS_KEY": KEYS},
            "TOOLYARD_SECRETS_KEY is set, which no worker",
        ),
        ({"TOOLYARD_NANGO_URL": "nango.example"}, "TOOLYARD_NANGO_URL: not the address of a service"),
        ({"TOOLYARD_NANGO_URL": "https://ann:pw@nango.example"}, "TOOLYARD_NANGO_URL: not the address of a service"),
        ({"TOOLYARD_NANGO_URL": "http://169.254.169.254/"}, "TOOLYARD_NANGO_URL: not the address of a service"),
        ({"TOOLYARD_NANGO_URL": "https://nango.example/?a=1"}, "TOOLYARD_NANGO_URL: an address without ? and #"),
        ({"TOOLYARD_TRANSPORT_URL": "redis://b/"}, "TOOLYARD_TRANSPORT_URL"),
        ({"TOOLYARD_TRANSPORT_URL": ""}, "TOOLYARD_TRANSPORT_URL is not set"),
        (
            {"TOOLYARD_SANDBOX_MINIMUM": "off"},
            "TOOLYARD_SANDBOX_MINIMUM: 'off' is not one of full, container, degraded",
        ),
        ({"TOOLYARD_ARCADE_URL": "api.arcade.dev"}, "TOOLYARD_ARCADE_URL: not the address of a service"),
        ({"TOOLYARD_ARCADE_URL": "https://u:p@api.arcade.dev"}, "TOOLYARD_ARCADE_URL"),
        ({"TOOLYARD_ARCADE_URL": "https://api.arcade.dev/?key=1"}, "TOOLYARD_ARCADE_URL"),
        ({"TOOLYARD_BREAKER": "yes"}, "TOOLYARD_BREAKER: 'yes' is not one of on, off"),
        ({"TOOLYARD_SANDBOX_MEMORY": "64"}, "TOOLYARD_SANDBOX_MEMORY: 64 is not between 128 and"),
        ({"TOOLYARD_SANDBOX_MEMORY": "1 GiB"}, "TOOLYARD_SANDBOX_MEMORY: '1 GiB' is not a whole number"),
    ],
)
def test_a_wrong_setting_is_named(env, said):
    with pytest.raises(SettingsError) as refused:
        settings(**env)
    assert said in str(refused.value)
    assert "ab" * 32 not in str(refused.value)


def test_keys_of_arcade_do_not_travel_in_the_clear_in_production():
    env = {"TOOLYARD_PROFILE": "production", "TOOLYARD_SIGNING_KEYS": f"arcade/{KEYS}", "TOOLYARD_TOPOLOGY": "check"}
    plain = env | {"TOOLYARD_ARCADE_URL": "http://arcade.example/"}

    assert settings("arcade", **env).arcade_url == "https://api.arcade.dev"
    of_http = plain | {"TOOLYARD_SIGNING_KEYS": f"http/{KEYS}"}
    assert settings("http", **of_http).arcade_url == "http://arcade.example"
    with pytest.raises(SettingsError, match="TOOLYARD_ARCADE_URL is plain http"):
        settings("arcade", **plain)


def test_the_key_of_secrets_is_never_read_by_a_worker():
    made = settings(TOOLYARD_SECRETS_KEY=KEYS)
    assert "ab" * 32 not in repr(made)


def test_production_takes_safe_settings():
    env = {"TOOLYARD_PROFILE": "production", "TOOLYARD_SIGNING_KEYS": f"http/{KEYS}", "TOOLYARD_TOPOLOGY": "check"}
    assert settings(**env).profile == "production"


def test_a_worker_has_the_keys_of_its_own_pool_alone():
    other = {"TOOLYARD_SIGNING_KEYS": f"http/{KEYS},lambda/{KEYS}"}
    with pytest.raises(SettingsError, match="has a key of lambda: a worker of the pool http has the keys of its own"):
        settings(**other)
    both = {"TOOLYARD_SIGNING_KEYS": f"{KEYS},http/{KEYS}", "TOOLYARD_TOPOLOGY": "check"}
    assert settings(**both).signing_keys is not None
    with pytest.raises(SettingsError, match=r"has a core key.*begin with http/.*toolyard topology signing-keys"):
        settings(TOOLYARD_PROFILE="production", **both)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "which pool? there is: http, sandbox, lambda, arcade"),
        (["htpp"], "there is no pool 'htpp'; there is: http, sandbox, lambda, arcade"),
        (["http", "more"], "unrecognized arguments: more"),
    ],
)
def test_a_pool_that_is_not_there_is_answered_with_those_that_are(argv, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["toolyard worker", *argv])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_worker_without_its_broker_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["toolyard worker", "http"])
    monkeypatch.delenv("TOOLYARD_TRANSPORT_URL", raising=False)
    assert command.main() == 1
    assert "TOOLYARD_TRANSPORT_URL is not set" in capsys.readouterr().err


def test_a_worker_drains_as_long_as_its_longest_attempt_unless_it_is_said():
    assert settings().drain == 30
    assert settings(TOOLYARD_LONGEST_ATTEMPT="10m", TOOLYARD_GRACE="11m").drain == 600
    assert settings(TOOLYARD_DRAIN="5s").drain == 5


@pytest.mark.parametrize(
    ("env", "both"),
    [
        ({"TOOLYARD_GRACE": "30"}, "TOOLYARD_GRACE .*TOOLYARD_DRAIN"),
        ({"TOOLYARD_LONGEST_ATTEMPT": "5m", "TOOLYARD_DRAIN": "1m"}, "TOOLYARD_DRAIN .*TOOLYARD_LONGEST_ATTEMPT"),
        ({"TOOLYARD_CONSUMER_TIMEOUT": "10m"}, "TOOLYARD_CONSUMER_TIMEOUT .*TOOLYARD_LONGEST_ATTEMPT"),
    ],
)
def test_times_that_contradict_each_other_stop_the_start_of_a_worker(env: dict[str, str], both: str):
    with pytest.raises(SettingsError, match=both):
        settings(**env)


def test_all_contradictions_are_told_at_once():
    with pytest.raises(SettingsError, match=r"TOOLYARD_CONSUMER_TIMEOUT .*; TOOLYARD_DRAIN .*; TOOLYARD_GRACE "):
        settings(
            TOOLYARD_LONGEST_ATTEMPT="5m", TOOLYARD_CONSUMER_TIMEOUT="6m", TOOLYARD_DRAIN="1m", TOOLYARD_GRACE="30"
        )
