"""Acceptance: the keys of an org at AWS and Arcade, and what its functions are given, go wrong and are found nowhere.

The same search as in `test_canary`, over one process with its files.
"""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.integration.security.canaries import MARKER, Canary, Search
from tests.integration.security.places import Watch
from tests.support.arcade.engine import PROJECT, ArcadeEngine
from tests.support.aws.lambda_server import REGION, LambdaServer
from tests.support.collector import Collector
from tests.support.embedded import Dev

pytestmark = pytest.mark.usefixtures("uncounted")

#: What a function is given; ``V`` stands for the placeholder of the secret.
_INVOKED: Final[dict[str, tuple[str, Any]]] = {
    "echoes": ("echo", {"v": "V", "more": ["a V b"], "marker": "${arguments.marker}"}),
    "prints": ("prints", {"lines": ["it is V", "V"]}),
    "prints_json": ("prints-json", {"lines": ["it is V"]}),
    "raises": ("raises", {"text": "bad token V", "sku": "V"}),
    "raises_handled": ("raises-handled", {"text": "bad token V"}),
    "runs_too_long": ("too-slow", {"seconds": 5, "v": "V"}),
    "answers_too_much": ("many", {"bytes": 2_000_000, "v": "V"}),
    "dies": ("dies", {"v": "V"}),
    "exits": ("exits", {"v": "V"}),
    "returns_a_set": ("not-json", {"v": "V"}),
    "does_not_load": ("does-not-load", {"v": "V"}),
    "is_not_there": ("no-such-function", {"v": "V"}),
}


def canaries() -> dict[str, Canary]:
    made = (
        Canary("ARCADE_API_KEY", f"arc_{secrets.token_urlsafe(24)}"),
        Canary("AWS_KEY", f"AKIA{secrets.token_hex(8).upper()}"),
        Canary("AWS_SECRET", f"{secrets.token_urlsafe(15)}/+{secrets.token_urlsafe(12)}"),
        Canary("GIVEN", f"given/{secrets.token_urlsafe(18)}+é"),
    )
    return {canary.name: canary for canary in made}


def functions(given: Canary) -> Iterator[dict[str, Any]]:
    placeholder = f"${{secrets.{given.name}}}"
    keys = {"access_key_field": "AWS_KEY", "secret_key_field": "AWS_SECRET"}
    for name, (function, payload) in _INVOKED.items():
        template = json.loads(json.dumps(payload).replace("V", placeholder))
        for more in ({}, {"response_streaming": True}):
            binding = {"type": "lambda", "function_name": function, "aws_region": REGION, "credentials": keys}
            yield {
                "name": f"{name}{len(more)}",
                "description": name,
                "parameters": {"type": "object", "properties": {"marker": {"type": "string"}}},
                "binding": binding | more | {"payload_template": template},
                "secrets": ["AWS_KEY", "AWS_SECRET", given.name],
                "timeout": 15,
                "telemetry": {"arguments": True, "result": True},
            }


def of_arcade() -> Iterator[dict[str, Any]]:
    for name in ("Echo", "Raises", "Whoami", "SendMail", "NoSuchTool"):
        yield {
            "name": f"arcade_{name}",
            "description": name,
            "parameters": {"type": "object"},
            "binding": {"type": "arcade", "tool_name": f"Yard.{name}"},
            "timeout": 15,
        }


class Town:
    """A whole system in one process, and what it answered."""

    def __init__(self, dev: Dev) -> None:
        self.dev = dev
        self.answers: list[str] = []
        self.calls: list[dict[str, Any]] = []

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        answer = self.dev.client.request(method, path, json=body, **options)
        self.answers.append(f"{answer.headers}\n{answer.text}")
        return answer

    def save(self, tool: dict[str, Any]) -> None:
        assert self.ask("POST", "/v1/tools", tool).status_code == 201, tool

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        asked = {"tool": tool, "arguments": {"marker": MARKER, **arguments}, "user": "ann", "deadline": 60}
        answer = self.ask("POST", "/v1/calls", asked, headers={"Prefer": "wait=60"})
        assert answer.status_code in (200, 202), answer.text
        call: dict[str, Any] = answer.json()
        self.calls.append(call)
        return call


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_nothing_of_a_key_is_found_where_functions_and_tools_of_arcade_fail(
    tmp_path: Path, lambda_server: LambdaServer, arcade_engine: ArcadeEngine
):
    planted = canaries()
    search = Search(planted)
    key = planted["ARCADE_API_KEY"].value
    lambda_server.keys[planted["AWS_KEY"].value] = planted["AWS_SECRET"].value
    arcade_engine.keys[key] = PROJECT
    env = {**lambda_server.env, "TOOLYARD_ARCADE_URL": arcade_engine.url, "TOOLYARD_LOG_LEVEL": "debug"}
    with Collector() as collector, Dev(tmp_path, "--no-upstream", env=env | collector.env()) as dev:
        town = Town(dev)
        with Watch(search, [dev.process.pid]):
            for canary in planted.values():
                kept = town.ask("POST", "/v1/secrets", {"name": canary.name, "value": canary.value})
                assert kept.status_code == 201, kept.text
            _functions(town, planted, lambda_server)
            _arcade(town, key, arcade_engine)
        for answer in town.answers:
            search.look("answers", answer)
        for call in town.calls:
            search.look("calls", dev.client.get(f"/v1/calls/{call['call_id']}").text)
            search.look("events of calls", dev.client.get(f"/v1/calls/{call['call_id']}/events").text)
        search.look("metrics", dev.client.get("/metrics").text)
        _look_at_files(tmp_path / ".toolyard", search)
        assert dev.process.terminate() == 0
        search.look("output", dev.process.output())
        search.look("traces", collector.raw())
    _look_at_files(tmp_path / ".toolyard", search)
    codes = {call["error"]["code"] if "error" in call else call["state"] for call in town.calls}
    assert codes >= {"succeeded", "tool_error", "timed_out", "upstream_error", "permission_denied", "output_too_large"}
    assert search.found == set()
    assert {"file toolyard.db", "answers", "calls", "traces"} <= search.marked


def _functions(town: Town, planted: dict[str, Canary], server: LambdaServer) -> None:
    given = planted["GIVEN"]
    for tool in functions(given):
        town.save(tool)
        town.call(tool["name"])
    for status, code in ((500, "ServiceException"), (429, "TooManyRequestsException"), (403, "AccessDeniedException")):
        server.fail("echo", status, code, fields={"message": f"for {planted['AWS_KEY'].value} and {given.value}"})
        town.call("echoes0")
    server.drop("echo", "after")
    town.call("echoes0")
    del server.keys[planted["AWS_KEY"].value]
    town.call("echoes0")
    got = [json.dumps(json.loads(asked.payload), ensure_ascii=False) for asked in server.asked]
    assert any(given.value in each for each in got), "the functions were given the secret"


def _arcade(town: Town, key: str, engine: ArcadeEngine) -> None:
    for tool in of_arcade():
        town.save(tool)
    for name, arguments in (
        ("Echo", {"value": {"said": f"the key is {MARKER}"}}),
        ("Raises", {"text": MARKER}),
        ("Whoami", {}),
        ("SendMail", {"to": "bob", "text": MARKER}),
        ("NoSuchTool", {}),
    ):
        town.call(f"arcade_{name}", **arguments)
    for path in ("authorize", "execute"):
        for status in (400, 401, 403, 404, 422, 429, 500):
            engine.fail(path, status=status, message=f"the key {key} is not right")
            town.call("arcade_Whoami")
    said = f"used {key}"
    for output in (
        {"value": {"k": said}},
        {"error": {"kind": "TOOL_RUNTIME_FATAL", "message": said, "developer_message": said}},
        {"error": {"message": said, "can_retry": True, "additional_prompt_content": said}},
        {"value": 1, "logs": [{"level": "info", "message": said}]},
    ):
        engine.fail("execute", answer={"id": "te_1", "success": "error" not in output, "output": output})
        town.call("arcade_Whoami")
    engine.fail("execute", body=f"<html>{key}</html>", status=502)
    town.call("arcade_Whoami")
    engine.fail("execute", drop="after")
    town.call("arcade_Whoami")
    del engine.keys[key]
    town.call("arcade_Whoami")
    assert any(asked.headers.get("authorization") == key for asked in engine.executes), "the key was really used"


def _look_at_files(folder: Path, search: Search) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            search.look(f"file {file.name}", file.read_bytes())
