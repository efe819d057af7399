"""`/openapi.json` is true: generated requests to a running gateway get only what it says, and never a 5xx."""

import os
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.support.processes import Process, free_port, python_module
from tests.unit.gateway.lambda_cases import ROLE, invoking
from tests.unit.gateway.rig import ECHO, KEY
from tests.unit.gateway.sandbox_cases import WEB, sandboxed

from toolyard.clock import rfc3339
from toolyard.contracts.tools import POOLS

pytestmark = pytest.mark.usefixtures("uncounted")

#: Generated requests to each operation: in `make test`, and in `make prove`.
FEW = 10
MANY = 40
_AUTH = {"Authorization": f"Bearer {KEY}"}
_CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: Every operation, by its id; a test below holds that none is missing.
OPERATIONS = [
    "cancel_call",
    "cancel_calls",
    "change_tool",
    "change_webhook",
    "create_key",
    "create_schedule",
    "create_secret",
    "create_tool",
    "create_webhook",
    "delete_schedule",
    "delete_secret",
    "delete_tool",
    "delete_webhook",
    "follow_call",
    "follow_calls",
    "get_call",
    "get_dead_letter",
    "get_schedule",
    "get_secret",
    "get_tool",
    "get_webhook",
    "hear_nango",
    "list_authorizations",
    "list_calls",
    "list_dead_letters",
    "list_deliveries",
    "list_keys",
    "list_log_levels",
    "list_pools",
    "list_schedules",
    "list_secrets",
    "list_tool_versions",
    "list_tools",
    "list_webhooks",
    "livez",
    "make_call",
    "make_calls",
    "metrics",
    "pause_org",
    "pause_pool",
    "pause_schedule",
    "pause_tool",
    "readyz",
    "replace_schedule",
    "replace_secret",
    "replace_tool",
    "replay_dead_letter",
    "reseal_secrets",
    "resume_org",
    "resume_pool",
    "resume_schedule",
    "resume_tool",
    "revoke_key",
    "rotate_webhook",
    "set_log_level",
    "start_authorization",
    "take_turn",
    "test_tool",
    "test_webhook",
    "validate_tool",
]


#: Those whose good answers go on for ever.
ENDLESS = {"follow_calls"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A whole system in one process, with its sample tools."""
    folder, port = tmp_path_factory.mktemp("embedded"), free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOOLYARD_")}
    ours = {"TOOLYARD_DATA": str(folder / "data"), "TOOLYARD_API_KEY": KEY, "TOOLYARD_PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    with Process(python_module("toolyard_embedded"), cwd=folder, env=kept | ours) as process:
        process.wait_for_http(f"{url}/readyz", status=200)
        yield url


@pytest.fixture(scope="module")
def operations(gateway: str) -> dict[str, Any]:
    schema = schemathesis.openapi.from_url(f"{gateway}/openapi.json")
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    return {operation.definition.raw["operationId"]: operation for operation in found}


def test_every_operation_is_tried(operations):
    assert sorted(operations) == OPERATIONS


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.proof)])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["good", "bad"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_as_documented(gateway, operations, name, mode, examples):
    operation = operations[name]
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.path_parameters):
        return  # nothing can be wrong in a request without parts

    @settings(
        max_examples=examples // 2,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def answers_as_documented(case: schemathesis.Case) -> None:
        if name in ENDLESS and opens(case):
            return
        case.validate_response(case.call(headers=_AUTH, timeout=90), checks=_CHECKS)

    answers_as_documented()
    if name.startswith("pause_"):
        resume_all(gateway)


def test_bodies_of_every_kind_of_binding_are_described(operations):
    """With a whole example of one with code, which no generated text would be."""
    schemas = operations["create_tool"].schema.raw_schema["components"]["schemas"]
    binding = schemas["ToolDefinition"]["properties"]["binding"]
    assert binding["discriminator"]["mapping"] == {
        "http": "#/components/schemas/HttpBindingModel",
        "sandbox": "#/components/schemas/SandboxBindingModel",
        "lambda": "#/components/schemas/LambdaBindingModel",
        "arcade": "#/components/schemas/ArcadeBindingModel",
    }
    (example,) = schemas["ToolDefinition"]["examples"]
    assert example["binding"]["type"] == "sandbox"


def opens(case: schemathesis.Case) -> bool:
    """Whether this opens a stream, as documented; it is left at once."""
    with requests.Session() as session:
        sent = case.as_transport_kwargs(headers=_AUTH)
        with session.request(**sent, stream=True, timeout=90) as response:
            assert response.status_code != 200 or response.headers["Content-Type"].startswith("text/event-stream")
            return response.status_code == 200


def resume_all(gateway: str) -> None:
    """What a generated request paused would hold up all the others."""
    for path in ("/v1", *(f"/v1/pools/{pool}" for pool in POOLS)):
        httpx.post(f"{gateway}{path}/resume", headers=_AUTH, timeout=90).raise_for_status()


def test_the_answers_of_a_day_are_as_documented(gateway, operations):
    """What generated requests seldom reach: things that are there, and are changed."""
    client = httpx.Client(base_url=gateway, headers=_AUTH, timeout=90)

    def ask(name: str, method: str, path: str, *status: int, **sent: Any) -> Any:
        response = client.request(method, path, **sent)
        assert response.status_code in status, response.text
        operations[name].validate_response(response)
        return response

    with client:
        again = {"retry": {"max_attempts": 3, "codes": ["upstream_error"]}, "key_fields": ["text"], "key_window": 5}
        ask("create_tool", "POST", "/v1/tools", 201, json=ECHO | {"name": "again"} | again)
        ask("get_tool", "GET", "/v1/tools/again", 200)
        ask("create_tool", "POST", "/v1/tools", 201, json=ECHO)
        ask("create_tool", "POST", "/v1/tools", 409, json=ECHO)
        ask("create_tool", "POST", "/v1/tools", 201, json=sandboxed({"name": "code"}, **WEB, request_limit=3))
        ask("create_tool", "POST", "/v1/tools", 201, json=invoking({"name": "invokes"}, credentials={"role": ROLE}))
        patch, current = {"binding": {"environment_variables": ["TOKEN"], "allowed_hosts": ["*.a.com"]}}, '"1"'
        ask("change_tool", "PATCH", "/v1/tools/code", 200, json=patch, headers={"If-Match": current})
        for name, path in (("create_tool", "/v1/tools"), ("validate_tool", "/v1/tools/validate")):
            ask(name, "POST", path, 422, json=sandboxed(code="import jsn\nopen('x')", allowed_imports=["x"]))
        ask("validate_tool", "POST", "/v1/tools/validate", 200, json=ECHO)
        ask("replace_tool", "PUT", "/v1/tools/echo", 200, json=ECHO, headers={"If-Match": '"1"'})
        ask("change_tool", "PATCH", "/v1/tools/echo", 200, json={"timeout": 3}, headers={"If-Match": '"2"'})
        ask("change_tool", "PATCH", "/v1/tools/echo", 412, json={"timeout": 3}, headers={"If-Match": '"2"'})
        ask("get_tool", "GET", "/v1/tools/echo", 200)
        ask("list_tool_versions", "GET", "/v1/tools/echo/versions", 200)
        ask("list_tools", "GET", "/v1/tools", 200, params={"user": "ada"})
        ask("delete_tool", "DELETE", "/v1/tools/echo", 204, headers={"If-Match": '"3"'})
        wanted = {"tool": "weather", "arguments": {"city": "Lisbon"}, "user": "ada", "context": {"a": 1}}
        call = ask("make_call", "POST", "/v1/calls", 200, json=wanted).json()
        assert call["state"] == "succeeded"
        late = {"tool": "slow_report", "arguments": {"seconds": 20}, "timeout": 0.5}
        ask("make_call", "POST", "/v1/calls", 202, json=late, headers={"Prefer": "wait=0"})
        assert ask("make_call", "POST", "/v1/calls", 200, json=late).json()["state"] == "timed_out"
        ask("make_calls", "POST", "/v1/calls/batch", 200, json={"calls": [wanted, late, {}]})
        called = [
            {"id": str(n), "type": "function", "function": {"name": name, "arguments": '{"city": "Bern"}'}}
            for n, name in enumerate(("weather", "wether", "slow_report"))
        ]
        asked = {"format": "openai", "message": {"role": "assistant", "tool_calls": called}}
        ask("take_turn", "POST", "/v1/turns", 200, json=asked, headers={"Idempotency-Key": "a"})
        ask("take_turn", "POST", "/v1/turns", 422, json=asked | {"user": "b"}, headers={"Idempotency-Key": "a"})
        for name in ("openai", "anthropic"):
            ask("list_tools", "GET", "/v1/tools", 200, params={"format": name})
        ask("test_tool", "POST", "/v1/tools/weather/test", 200, json={"arguments": {"city": "Rome"}})
        ask("get_call", "GET", f"/v1/calls/{call['call_id']}", 200)
        ask("follow_call", "GET", f"/v1/calls/{call['call_id']}/events", 200)
        ask("list_calls", "GET", "/v1/calls", 200)
        ask("cancel_call", "POST", f"/v1/calls/{call['call_id']}/cancel", 200)
        ask("cancel_calls", "POST", "/v1/calls/cancel", 200, json={"conversation": "c"})
        put_off = wanted | {"not_before": rfc3339(time.time() + 3_600), "cancel_on_disconnect": True}
        call = ask("make_call", "POST", "/v1/calls", 202, json=put_off).json()
        ask("cancel_call", "POST", f"/v1/calls/{call['call_id']}/cancel", 202, 200, headers={"Prefer": "wait=0"})
        ask("list_authorizations", "GET", "/v1/authorizations", 200, params={"user": "ada", "status": "pending"})
        asked = {"tool": "weather", "user": "ada"}
        ask("start_authorization", "POST", "/v1/authorizations/start", 422, json=asked)
        ask("hear_nango", "POST", "/v1/authorizations/callback/nango", 401, json={"from": "nango"})
        ask("list_pools", "GET", "/v1/pools", 200)
        for kind, path in (("tool", "/v1/tools/weather"), ("pool", "/v1/pools/http"), ("org", "/v1")):
            ask(f"pause_{kind}", "POST", f"{path}/pause", 200)
            ask(f"resume_{kind}", "POST", f"{path}/resume", 200)
        hourly = {
            "name": "hourly",
            "tool": "weather",
            "arguments": {"city": "Rome"},
            "cron": "0 * * * *",
            "timezone": "UTC",
        }
        ask("create_schedule", "POST", "/v1/schedules", 201, json=hourly)
        ask("create_schedule", "POST", "/v1/schedules", 409, json=hourly)
        ask("get_schedule", "GET", "/v1/schedules/hourly", 200)
        ask("list_schedules", "GET", "/v1/schedules", 200)
        often = {"name": "hourly", "tool": "weather", "arguments": {"city": "Rome"}, "every": 900, "missed": "skip"}
        ask("replace_schedule", "PUT", "/v1/schedules/hourly", 200, json=often, headers={"If-Match": '"1"'})
        ask("pause_schedule", "POST", "/v1/schedules/hourly/pause", 200)
        ask("resume_schedule", "POST", "/v1/schedules/hourly/resume", 200)
        ask("delete_schedule", "DELETE", "/v1/schedules/hourly", 204, headers={"If-Match": '"4"'})
        ask("list_dead_letters", "GET", "/v1/dead-letters", 200)
        key = ask("create_key", "POST", "/v1/keys", 201, json={"name": "a", "roles": ["caller"]}).json()
        ask("list_keys", "GET", "/v1/keys", 200)
        ask("list_keys", "GET", "/v1/keys", 401, headers={"Authorization": "Bearer nothing"})
        ask("list_keys", "GET", "/v1/keys", 403, headers={"Authorization": f"Bearer {key['key']}"})
        ask("revoke_key", "DELETE", f"/v1/keys/{key['key_id']}", 204)
