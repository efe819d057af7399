"""`toolyard doctor` without a broker: a row for each part, what to do, and the exit code."""

import re
from pathlib import Path

import pytest
from tests.support.processes import free_port
from tests.unit.cli.conftest import Run, Server

from toolyard.cli import doctor
from toolyard.security.signing import Keyring, new_keys

READY = {"status": "ok", "reason": ""}
TOOLS: dict[str, object] = {"items": [], "next_cursor": None}


def rows(ran) -> dict[str, tuple[str, str]]:
    return {row["part"]: (row["status"], f"{row['found']} {row['advice']}") for row in ran.json()["checks"]}


def nowhere() -> str:
    return f"http://127.0.0.1:{free_port()}"


def test_all_is_well_with_a_ready_gateway(run: Run, server: Server):
    server.tell("GET", "/readyz", READY)
    server.tell("GET", "/v1/tools", TOOLS)
    ran = run("doctor", "--url", server.url, "--key", "ty_x")
    assert ran.code == 0
    heading, settings, gateway, sandbox = ran.out.splitlines()
    assert heading.split()[:2] == ["PART", "STATUS"]
    assert settings.split()[:2] == ["settings", "ok"]
    assert gateway.split()[:2] == ["gateway", "ok"]
    assert sandbox.split()[:2] == ["sandbox", "ok"]


def test_nothing_is_well_when_nothing_answers(run: Run):
    ran = run("doctor", "--url", nowhere(), "--json")
    assert ran.code == 1
    assert ran.json()["ok"] is False
    status, text = rows(ran)["gateway"]
    assert status == "problem"
    assert "toolyard dev" in text


def test_a_gateway_that_is_not_ready_says_why(run: Run, server: Server):
    server.tell("GET", "/readyz", {"status": "unavailable", "reason": "the broker is away"}, status=503)
    status, text = rows(run("doctor", "--url", server.url, "--json"))["gateway"]
    assert status == "problem"
    assert "is not ready: the broker is away" in text


def test_a_page_of_another_program_is_not_taken_for_a_reason(run: Run, server: Server):
    server.tell("GET", "/readyz", body=b"<html>", status=500, kind="text/html")
    assert "is not ready: HTTP 500" in rows(run("doctor", "--url", server.url, "--json"))["gateway"][1]


def test_a_wrong_key_is_found(run: Run, server: Server):
    server.tell("GET", "/readyz", READY)
    server.refuse("GET", "/v1/tools", 401, "unauthenticated", "The key is not known.")
    status, text = rows(run("doctor", "--url", server.url, "--key", "ty_x", "--json"))["gateway"]
    assert status == "problem"
    assert "unauthenticated: The key is not known." in text


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TOOLYARD_DATABSE_URL", "x", "did you mean TOOLYARD_DATABASE_URL?"),
        ("TOOLYARD_LOG_MAX_LAG", "soon", "TOOLYARD_LOG_MAX_LAG: 'soon' is not a duration"),
        ("TOOLYARD_SIGNING_KEYS", "a:hunter2", "TOOLYARD_SIGNING_KEYS: "),
        ("TOOLYARD_TRANSPORT_URL", "redis://u:hunter2@h", "TOOLYARD_TRANSPORT_URL: "),
    ],
)
def test_a_wrong_setting_is_named_and_its_value_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str
):
    monkeypatch.setenv(name, value)
    ran = run("doctor", "--url", nowhere(), "--json")
    status, text = rows(ran)["settings"]
    assert (ran.code, status) == (1, "problem")
    assert expected in text
    assert "hunter2" not in ran.out + ran.err


def test_times_that_contradict_each_other_are_found(run: Run, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"LONGEST_ATTEMPT": "10m", "GRACE": "45", "RETENTION": "1h", "LOG_MAX_LAG": "3d"}.items():
        monkeypatch.setenv(f"TOOLYARD_{name}", value)
    ran = run("doctor", "--url", nowhere(), "--json")
    found = [row["found"].split(" ")[0] for row in ran.json()["checks"] if row["part"] == "times"]
    assert found == ["TOOLYARD_GRACE", "TOOLYARD_LOG_MAX_LAG", "TOOLYARD_RETENTION"]


def test_with_a_broker_every_part_is_asked(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("TOOLYARD_TRANSPORT_URL", f"amqp://user:hunter2@127.0.0.1:{free_port()}/")
    monkeypatch.setenv("TOOLYARD_DATABASE_URL", f"sqlite:///{tmp_path / 'none.db'}")
    server.tell("GET", "/readyz", READY)
    server.tell("GET", "/v1/tools", TOOLS)
    ran = run("doctor", "--url", server.url, "--worker", server.url, "--scheduler", nowhere(), "--json")
    found = rows(ran)
    assert {part: status for part, (status, _) in found.items()} == {
        "settings": "ok",
        "gateway": "ok",
        "sandbox": "ok",
        "worker": "ok",
        "scheduler": "problem",
        "broker": "problem",
        "database": "problem",
    }
    assert "toolyard scheduler" in found["scheduler"][1]
    assert "TOOLYARD_TRANSPORT_URL" in found["broker"][1]
    assert "hunter2" not in ran.out + ran.err
    assert not (tmp_path / "none.db").exists()


def test_how_well_this_machine_and_the_worker_lock_up_tools_is_told(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TOOLYARD_TRANSPORT_URL", f"amqp://127.0.0.1:{free_port()}/")
    server.tell("GET", "/readyz", {**READY, "isolation": "container", "isolation_missing": {"namespaces": "EPERM"}})
    server.tell("GET", "/v1/tools", TOOLS)
    found = rows(run("doctor", "--url", server.url, "--worker", server.url, "--json"))
    assert "locks up tools at the level 'container'" in found["worker"][1]
    assert re.search("This machine locks up tools at the level '(full|container)'", found["sandbox"][1])


@pytest.mark.parametrize(
    ("lag", "minutes", "rate"), [(None, "60", "2,200"), (600.0, "40", "3,300"), (3_600.0, "240", "540")]
)
def test_up_to_which_rate_the_log_holds_what_it_must_is_told(lag: float | None, minutes: str, rate: str):
    found = doctor.log(lag)
    assert found.status == "ok"
    assert f"20 GB) it holds the {minutes} minutes that it must" in found.found
    assert f"up to {rate} calls a second" in found.found
    assert "by a policy" in found.advice


@pytest.mark.parametrize(
    ("version", "status"),
    [("3.10.8", "ok"), ("4.1.0", "ok"), ("3.9.29", "problem"), ("", "problem"), ("5.0.0", "problem")],
)
def test_the_brokers_version_is_judged(version: str, status: str):
    assert doctor._version("RabbitMQ", version).status == status


def test_a_driver_that_is_not_installed_is_a_finding():
    found = doctor._driver("no_such_driver", "broker", "gateway")
    assert (found.part, found.status) == ("broker", "problem")
    assert "pip install 'toolyard[gateway]'" in found.advice


MADE = new_keys("k")
KEYS = {
    "none": (None, "dev", []),
    "one for all": ("k:" + "ab" * 32, "dev", ["ok"]),
    "one for all, in production": ("k:" + "ab" * 32, "production", ["note"]),
    "a whole set": (",".join(MADE.values()), "production", ["ok"]),
    "a set without a pool": (f"{MADE['']},{MADE['http']}", "dev", ["note"]),
    "a worker's": (MADE["http"], "production", ["ok"]),
    "of two pools": (f"{MADE['http']},{MADE['lambda']}", "dev", ["problem"]),
}


@pytest.mark.parametrize(("keys", "profile", "statuses"), KEYS.values(), ids=KEYS)
def test_signing_keys_are_judged(keys: str | None, profile: str, statuses: list[str]):
    found = list(doctor.signing_keys(None if keys is None else Keyring.parse(keys), profile))
    assert [finding.status for finding in found] == statuses
    assert "ab" * 32 not in str(found)
