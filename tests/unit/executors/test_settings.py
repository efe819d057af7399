"""A worker's settings and its command line: what is refused, and what that says."""

import sys

import pytest

from toolyard.errors import SettingsError
from toolyard.settings import read
from toolyard_executors import __main__ as command
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


def test_how_many_calls_run_at_a_time_depends_on_the_pool_unless_it_is_said():
    assert (settings().places("http"), settings().places("sandbox")) == (256, 8)
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
        ({"TOOLYARD_TRANSPORT_URL": "redis://b/"}, "TOOLYARD_TRANSPORT_URL"),
        ({"TOOLYARD_TRANSPORT_URL": ""}, "TOOLYARD_TRANSPORT_URL is not set"),
        (
            {"TOOLYARD_SANDBOX_MINIMUM": "off"},
            "TOOLYARD_SANDBOX_MINIMUM: 'off' is not one of full, container, degraded",
        ),
        ({"TOOLYARD_SANDBOX_MEMORY": "64"}, "TOOLYARD_SANDBOX_MEMORY: 64 is not between 128 and"),
        ({"TOOLYARD_SANDBOX_MEMORY": "1 GiB"}, "TOOLYARD_SANDBOX_MEMORY: '1 GiB' is not a whole number"),
    ],
)
def test_a_wrong_setting_is_named(env, said):
    with pytest.raises(SettingsError) as refused:
        settings(**env)
    assert said in str(refused.value)
    assert "ab" * 32 not in str(refused.value)


def test_the_key_of_secrets_is_never_read_by_a_worker():
    made = settings(TOOLYARD_SECRETS_KEY=KEYS)
    assert "ab" * 32 not in repr(made)


def test_production_takes_safe_settings():
    env = {"TOOLYARD_PROFILE": "production", "TOOLYARD_SIGNING_KEYS": KEYS, "TOOLYARD_TOPOLOGY": "check"}
    assert settings(**env).profile == "production"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "which pool? there is: http, sandbox, lambda"),
        (["arcade"], "the pool arcade is not in this build; there is: http, sandbox, lambda"),
        (["htpp"], "there is no pool 'htpp'; there is: http, sandbox, lambda"),
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
