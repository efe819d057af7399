"""Sandboxed tools in `toolyard dev`: saved, run, and left out where the machine cannot lock them up well enough."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.embedded import Dev, clean_environment
from tests.support.processes import Process, console_script

pytestmark = pytest.mark.usefixtures("uncounted")

REPOSITORY = Path(__file__).resolve().parents[2]
#: A container without namespaces, as engines start it.
IN_A_CONTAINER = [sys.executable, "-m", "tests.support.jail.standing", "-", "container"]
SECRET = "s3cret/with+signs"


def _binding(*lines: str, **more: Any) -> dict[str, Any]:
    code = "\n    ".join(["def execute_tool(parameters, context):", *lines])
    return {"type": "python_function", "code": code, **more}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with Dev(tmp_path_factory.mktemp("dev"), env={"TOOLYARD_SECRET_TOKEN": SECRET}) as dev:
        yield dev


def test_a_tool_is_saved_and_answers_with_what_it_was_given(running: Dev):
    lines = ("print(context['call_id'])", "return {'sum': parameters['a'] + parameters['b'], 'who': context['who']}")
    running.create_tool("adds", _binding(*lines))

    call = running.call("adds", {"a": 1, "b": 2}, wait=30, context={"who": "me"})

    assert call["result"]["structured"] == {"sum": 3, "who": "me"}
    assert call["report"]["logs"] == f"{call['call_id']}\n"
    assert running.client.get(f"/v1/calls/{call['call_id']}").json()["report"] == call["report"]


def test_all_that_is_wrong_with_code_is_told_when_it_is_saved(running: Dev):
    spec = {"name": "wrong", "description": "wrong", "parameters": {"type": "object"}}
    binding = _binding("import socket", "return open('/etc/passwd').read()")

    refused = running.client.post("/v1/tools", json={**spec, "binding": binding})

    assert refused.status_code == 422
    told = refused.json()["errors"]
    assert [(error["path"], error["message"].split(":")[0]) for error in told] == [
        ("binding.code", "line 2, column 12"),
        ("binding.code", "line 3, column 12"),
    ]
    assert running.client.get("/v1/tools/wrong").status_code == 404


def test_a_tool_that_fails_tells_its_line_and_no_secret(running: Dev):
    lines = ("token = context['environment_variables']['TOKEN']", "print(token)", "raise ValueError(token)")
    running.create_tool("tells", _binding(*lines, environment_variables=["TOKEN"]))

    call = running.call("tells", wait=30)

    assert (call["state"], call["error"]["code"], call["effect"]) == ("failed", "tool_error", "none")
    assert call["error"]["details"]["line"] == 4
    assert call["report"]["logs"] == "[redacted:TOKEN]\n"
    assert SECRET not in str(call)


def test_a_running_call_is_stopped_when_it_is_cancelled(running: Dev):
    running.create_tool("spins", _binding("while True: pass"), timeout=60)
    call = running.call("spins")
    running.wait_for_state(call["call_id"], "running")

    running.client.post(f"/v1/calls/{call['call_id']}/cancel").raise_for_status()

    ended = running.end_of(call["call_id"])
    assert (ended["state"], ended["effect"]) == ("cancelled", "none")


@pytest.mark.proof
def test_a_call_whose_process_was_killed_with_the_whole_system_runs_again_after_the_start(tmp_path: Path):
    with Dev(tmp_path) as first:
        first.create_tool("sleeps", _binding("import time", "time.sleep(parameters['seconds'])", "return 'rested'"))
        call = first.call("sleeps", {"seconds": 8})
        first.wait_for_state(call["call_id"], "running")
        first.process.kill()
    with Dev(tmp_path) as second:
        ended = second.end_of(call["call_id"])
        assert (ended["state"], ended["result"]["content"]) == ("succeeded", "rested")


def test_where_tools_cannot_be_locked_up_well_enough_the_pool_is_left_out_in_one_line(tmp_path: Path):
    asked = {"TOOLYARD_SANDBOX_MINIMUM": "full", "PYTHONPATH": str(REPOSITORY)}
    with Dev(tmp_path, env=asked, around=IN_A_CONTAINER) as dev:
        reason = dev.told["sandbox"]["left_out"]
        assert "'container'" in reason
        assert "namespaces" in reason
        assert "\n" not in reason
        assert "count_words" not in dev.told["tools"]
        assert dev.call("weather", {"city": "Rome"}, wait=30)["state"] == "succeeded"

        spec = {"name": "adds", "description": "adds", "parameters": {"type": "object"}}
        refused = dev.client.post("/v1/tools", json={**spec, "binding": _binding("return 1")})
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert "namespaces" in refused.json()["detail"]

        doctor = console_script("toolyard", "doctor", "--url", dev.told["address"], "--key", dev.told["api_key"])
        with Process([*IN_A_CONTAINER, *doctor], cwd=tmp_path, env={**clean_environment(), **asked}) as looking:
            assert looking.wait() == 1
            assert "sandbox" in looking.output()
            assert "TOOLYARD_SANDBOX_MINIMUM" in looking.output()
