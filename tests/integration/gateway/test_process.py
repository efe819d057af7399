"""A gateway as its own process, over a real RabbitMQ: it starts, takes a call, drains and ends."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.support import leash
from tests.support.processes import Process, free_port, python_module
from tests.support.waiting import wait_until
from tests.unit.gateway.rig import ECHO, KEY
from tests.unit.gateway.sandbox_cases import sandboxed

from toolyard.security.keys import SecretKeys
from toolyard.store.connect import open_store
from toolyard.store.vault import Vault

AUTH = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture
def env(tmp_path: Path, amqp_url: str) -> dict[str, str]:
    database = f"sqlite:///{tmp_path / 'store.db'}"
    store = open_store(database)
    store.migrate()
    store.close()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOOLYARD_")}
    return kept | {
        "TOOLYARD_TRANSPORT_URL": amqp_url,
        "TOOLYARD_DATABASE_URL": database,
        "TOOLYARD_DATA": str(tmp_path / "data"),
        "TOOLYARD_API_KEY": KEY,
        "TOOLYARD_PORT": str(free_port()),
    }


@pytest.fixture
def url(env: dict[str, str]) -> str:
    return f"http://127.0.0.1:{env['TOOLYARD_PORT']}"


@contextlib.contextmanager
def started(env: dict[str, str], folder: Path) -> Iterator[Process]:
    with Process(python_module("toolyard_gateway"), cwd=folder, env=env) as process:
        process.wait_for_http(f"http://127.0.0.1:{env['TOOLYARD_PORT']}/livez", status=200)
        yield process


def test_it_takes_a_call_and_on_sigterm_ends_with_0(env, url, tmp_path):
    with started(env, tmp_path) as process, httpx.Client(base_url=url, headers=AUTH, timeout=30) as client:
        process.wait_for_http(f"{url}/readyz", status=200)
        assert client.post("/v1/tools", json=ECHO).status_code == 201

        response = client.post(
            "/v1/calls", json={"tool": "echo", "arguments": {"text": "hi"}}, headers={"Prefer": "wait=0"}
        )

        assert response.status_code == 202
        assert client.get(response.headers["Location"]).json()["state"] == "accepted"
        assert process.terminate(within=60) == 0
        assert "Traceback" not in process.output()


def test_it_looks_at_code_in_a_sandbox_of_its_own_and_leaves_nothing_of_it(env, url, tmp_path):
    lowest = {"TOOLYARD_SANDBOX_MINIMUM": "degraded"}
    with started(env | lowest, tmp_path) as process, httpx.Client(base_url=url, headers=AUTH, timeout=30) as client:
        alone = leash.members(process.pid)
        made = client.post("/v1/tools", json=sandboxed())
        refused = client.post("/v1/tools", json=sandboxed(code="import socket"))
        call = client.post("/v1/calls", json={"tool": "words"}, headers={"Prefer": "wait=0"})
        family = leash.members(process.pid)

        assert (made.status_code, refused.status_code, call.status_code) == (201, 422, 202), call.text
        assert family > alone
        assert process.terminate(within=60) == 0
        assert "Traceback" not in process.output()
    wait_until(lambda: not any(map(leash.alive, family)), within=60, what="no process of the gateway is left")


def test_without_its_broker_it_lives_says_so_and_refuses_calls(env, url, tmp_path):
    nowhere = {"TOOLYARD_TRANSPORT_URL": f"amqp://guest:guest@127.0.0.1:{free_port()}/"}
    with started(env | nowhere, tmp_path) as process, httpx.Client(base_url=url, headers=AUTH, timeout=30) as client:
        ready = client.get("/readyz")
        made = client.post("/v1/tools", json=ECHO)
        refused = client.post("/v1/calls", json={"tool": "echo", "arguments": {"text": "hi"}})

        assert ready.status_code == 503
        assert made.status_code == 201
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert refused.headers["Retry-After"]
        assert process.terminate(within=60) == 0


def test_a_wrong_setting_stops_the_start_and_is_named(env, tmp_path):
    with Process(python_module("toolyard_gateway"), cwd=tmp_path, env=env | {"TOOLYARD_COLOUR": "red"}) as process:
        assert process.wait(within=60) == 1
        assert "TOOLYARD_COLOUR is not a setting" in process.output()


def test_a_port_that_is_taken_stops_the_start_and_is_named(env, tmp_path):
    taken = socket.create_server(("127.0.0.1", int(env["TOOLYARD_PORT"])))
    with taken, Process(python_module("toolyard_gateway"), cwd=tmp_path, env=env) as process:
        assert process.wait(within=60) == 1
        assert f"cannot listen on 127.0.0.1:{env['TOOLYARD_PORT']}" in process.output()


# ---- secrets ------------------------------------------------------------------------------------
PRODUCTION = {
    "TOOLYARD_PROFILE": "production",
    "TOOLYARD_SIGNING_KEYS": f"k:{'ab' * 32}",
    "TOOLYARD_TOPOLOGY": "check",
    "TOOLYARD_HOST": "127.0.0.1",
}


def test_production_does_not_start_without_the_key_of_the_secrets_that_are_there(env, tmp_path, postgres_url):
    store = open_store(postgres_url)
    store.migrate()
    wanted = (
        env | PRODUCTION | {"TOOLYARD_DATABASE_URL": postgres_url, "TOOLYARD_TRANSPORT_URL": "amqp://ann:pw@[::1]:9/"}
    )
    with started(wanted, tmp_path) as process:  # there are none, and nobody can set one here
        process.terminate(within=60)
    Vault(store.secrets, SecretKeys({"old": b"o" * 32})).create("default", "TOKEN", "v", by="k")
    store.close()
    with Process(python_module("toolyard_gateway"), cwd=tmp_path, env=wanted) as process:
        assert process.wait() == 1
        assert (
            "TOOLYARD_SECRETS_KEY is not set, and the store has secrets that were sealed with 'old'" in process.output()
        )


def test_a_key_that_is_missing_is_told_at_the_start(env, tmp_path):
    store = open_store(env["TOOLYARD_DATABASE_URL"])
    Vault(store.secrets, SecretKeys({"old": b"o" * 32})).create("default", "TOKEN", "v", by="k")
    store.close()
    with started(env | {"TOOLYARD_SECRETS_KEY": f"new:{'cd' * 32}"}, tmp_path) as process:
        process.wait_for_line(
            r"keys are missing in TOOLYARD_SECRETS_KEY.*old|old.*keys are missing in TOOLYARD_SECRETS_KEY"
        )
        assert "cd" * 32 not in process.output()
