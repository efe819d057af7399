"""A worker's settings and its command line: what is refused, and what that says."""

import sys

import pytest

from toolyard.errors import SettingsError
from toolyard.settings import read
from toolyard_executors import __main__ as command
from toolyard_executors.settings import WorkerSettings, check

URL = "amqp://ann:pw@broker/"
KEYS = "k:" + "ab" * 32


def settings(**env: str) -> WorkerSettings:
    made = read(WorkerSettings, {"TOOLYARD_TRANSPORT_URL": URL, **env})
    check(made)
    return made


def test_a_worker_needs_no_more_than_its_broker():
    made = settings()
    assert (made.concurrency, made.profile, made.port) == (256, "dev", None)


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
        ({"TOOLYARD_TRANSPORT_URL": "redis://b/"}, "TOOLYARD_TRANSPORT_URL"),
        ({"TOOLYARD_TRANSPORT_URL": ""}, "TOOLYARD_TRANSPORT_URL is not set"),
    ],
)
def test_a_wrong_setting_is_named(env, said):
    with pytest.raises(SettingsError) as refused:
        settings(**env)
    assert said in str(refused.value)
    assert "ab" * 32 not in str(refused.value)


def test_production_takes_safe_settings():
    env = {"TOOLYARD_PROFILE": "production", "TOOLYARD_SIGNING_KEYS": KEYS, "TOOLYARD_TOPOLOGY": "check"}
    assert settings(**env).profile == "production"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "which pool? there is: http"),
        (["lambda"], "the pool lambda is not in this build; there is: http"),
        (["sandbox"], "the pool sandbox is not in this build"),
        (["htpp"], "there is no pool 'htpp'; there is: http"),
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
