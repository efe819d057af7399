"""Turns with the providers' own packages, over the whole system: in one process, and as processes over RabbitMQ.

The packages take a second each to load; this is the one module that loads them.
"""

import json
import os
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest
from anthropic.types import Message, ToolParam, ToolResultBlockParam
from openai.lib import _pydantic as openai_schemas
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessage, ChatCompletionToolMessageParam
from pydantic import TypeAdapter
from tests.support.processes import Process, free_port, python_module
from tests.support.system import KEY, System, http_tool
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until
from tests.unit.gateway.schema_shapes import SHAPES, TEXT, closed

pytestmark = pytest.mark.usefixtures("uncounted")

_AUTH = {"Authorization": f"Bearer {KEY}"}
_ADAPTERS = {
    one: TypeAdapter[Any](one)
    for one in (ChatCompletionFunctionToolParam, ChatCompletionToolMessageParam, ToolParam, ToolResultBlockParam)
}
SHAPED = "shaped."


@dataclass
class Running:
    """A system to ask: at its gateway, and at another one where it has two."""

    client: httpx.Client
    other: httpx.Client
    upstream: Upstream


@pytest.fixture(scope="module", params=["embedded", "rabbitmq"])
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, upstream_module: Upstream) -> Any:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        yield from _embedded(folder, upstream_module)
    else:
        amqp, database = (request.getfixturevalue(name) for name in ("amqp_url_module", "postgres_url_module"))
        yield from _over_rabbitmq(folder, upstream_module, amqp, database)


def _embedded(folder: Path, upstream: Upstream) -> Iterator[Running]:
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOOLYARD_")}
    ours = {"DATA": str(folder / "data"), "API_KEY": KEY, "PORT": str(port)} | {"EGRESS_ALLOW": _host(upstream)}
    url = f"http://127.0.0.1:{port}"
    env = kept | {f"TOOLYARD_{name}": value for name, value in ours.items()}
    with (
        Process(python_module("toolyard_embedded"), cwd=folder, env=env) as process,
        httpx.Client(base_url=url, headers=_AUTH, timeout=60, trust_env=False) as client,
    ):
        process.wait_for_http(f"{url}/readyz", status=200)
        _add_tools(client, upstream)
        yield Running(client, client, upstream)


def _over_rabbitmq(folder: Path, upstream: Upstream, amqp: str, database: str) -> Iterator[Running]:
    with System(folder, amqp=amqp, database=database, allow=_host(upstream)) as running:
        running.start_all(gateways=2)
        with running.client("gateway1") as client, running.client("gateway2") as other:
            _add_tools(client, upstream)
            yield Running(client, other, upstream)


def _host(upstream: Upstream) -> str:
    return upstream.url.removeprefix("http://")


def _add_tools(client: httpx.Client, upstream: Upstream) -> None:
    text = closed(text=TEXT)
    say = {"type": "http", "method": "POST", "url": f"{upstream.url}/echo", "body": "${arguments.text}"}
    tools = [
        http_tool("say", "POST", "") | {"binding": say, "parameters": text},
        http_tool("look.up", "GET", f"{upstream.url}/status/200", parameters=text),
        http_tool("broken", "POST", f"{upstream.url}/status/500"),
        http_tool("late", "POST", f"{upstream.url}/sleep/20", timeout=2),
        http_tool("slow", "POST", f"{upstream.url}/sleep/20"),
        *(
            http_tool(f"{SHAPED}{name}", "POST", f"{upstream.url}/echo", parameters=shape.schema)
            for name, shape in SHAPES.items()
        ),
    ]
    for tool in tools:
        client.post("/v1/tools", json=tool).raise_for_status()


def taken(kind: Any, value: Any) -> None:
    """The package knows every field of it, and takes their values."""
    assert _ADAPTERS[kind].validate_python(value, strict=True) == value


def sent(upstream: Upstream) -> Any:
    """What a package sent last."""
    return json.loads(upstream.requests[-1].body)


# ---- definitions --------------------------------------------------------------------------------


def test_openai_takes_every_definition_as_it_is(system: Running):
    items = system.client.get("/v1/tools", params={"format": "openai"}).json()["items"]
    shaped = {
        one["function"]["name"]: one["function"] for one in items if one["function"]["name"].startswith("shaped__")
    }

    with openai.OpenAI(api_key="x", base_url=f"{system.upstream.url}/echo", max_retries=0) as client:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello."}], tools=items)

    assert sent(system.upstream)["tools"] == items
    for item in items:
        taken(ChatCompletionFunctionToolParam, item)
    assert shaped.keys() == {f"shaped__{name}" for name in SHAPES}
    strict = [one["parameters"] for one in shaped.values() if one.get("strict")]
    assert len(strict) == sum(shape.strict for shape in SHAPES.values())
    for schema in strict:
        assert openai_schemas._ensure_strict_json_schema(deepcopy(schema), path=(), root=deepcopy(schema)) == schema


def test_anthropic_takes_every_definition_as_it_is(system: Running):
    items = system.client.get("/v1/tools", params={"format": "anthropic"}).json()["items"]

    with anthropic.Anthropic(api_key="x", base_url=f"{system.upstream.url}/echo", max_retries=0) as client:
        client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hello."}], tools=items)

    assert sent(system.upstream)["tools"] == items
    for item in items:
        taken(ToolParam, item)
    assert {one["name"] for one in items} >= {f"shaped__{name}" for name in SHAPES}


# ---- twenty calls -------------------------------------------------------------------------------

UNKNOWN, NO_JSON, BROKEN, LATE, DOTTED = 3, 5, 8, 11, 13
SAME = (18, 19)


def twenty() -> list[tuple[str, str]]:
    """Names and arguments of a turn in which all goes wrong that can."""
    said = [("say", json.dumps({"text": f"word {min(number, SAME[0])}"})) for number in range(20)]
    said[UNKNOWN] = ("sai", '{"text": "x"}')
    said[NO_JSON] = ("say", '{"text": ')
    said[BROKEN] = ("broken", "{}")
    said[LATE] = ("late", "")
    said[DOTTED] = ("look__up", '{"text": "x"}')
    return said


def inputs() -> list[tuple[str, Any]]:
    """The same as objects: there is no object that is no JSON, but one that breaks the schema."""
    instead: dict[int, Any] = {NO_JSON: {"text": 7}, LATE: {}}
    return [
        (name, instead[number] if number in instead else json.loads(arguments))
        for number, (name, arguments) in enumerate(twenty())
    ]


def check(texts: Sequence[str], failed: Sequence[bool], calls: Sequence[dict[str, Any]]) -> None:
    """Each of the twenty was answered for itself."""
    wrong = {
        UNKNOWN: ("rejected", "tool_not_found", "Did you mean say?"),
        NO_JSON: ("rejected", "validation_failed", 'For example: {"text":"text"}'),
        BROKEN: ("failed", "upstream_error", "The service behind the tool failed"),
        LATE: ("timed_out", "timed_out", "The tool took too long"),
    }
    for number, (text, call) in enumerate(zip(texts, calls, strict=True)):
        assert failed[number] == (number in wrong)
        if number in wrong:
            state, code, said = wrong[number]
            assert (call["state"], call["code"]) == (state, code)
            assert said in text
        else:
            assert (call["state"], call["code"]) == ("succeeded", None)
            assert number == DOTTED or json.loads(json.loads(text)["body"]) == f"word {min(number, SAME[0])}"
    assert calls[DOTTED]["tool"] == "look.up"
    made = [call["call_id"] for call in calls if call["call_id"]]
    assert len(made) == len(set(made)) == 18


def test_twenty_calls_of_openai(system: Running):
    calls = [
        {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate(twenty())
    ]
    message = ChatCompletionMessage.model_validate({"role": "assistant", "content": None, "tool_calls": calls})
    body = {"format": "openai", "message": message.model_dump(), "deadline": 30, "user": "ada"}
    key = {"Idempotency-Key": "openai-1"}

    answer = system.client.post("/v1/turns", json=body, headers=key)
    again = system.other.post("/v1/turns", json=body, headers=key)

    assert (answer.status_code, again.status_code) == (200, 200), answer.text
    told = answer.json()
    check(
        [one["content"] for one in told["messages"]],
        [one["state"] != "succeeded" for one in told["calls"]],
        told["calls"],
    )
    assert [one["tool_call_id"] for one in told["messages"]] == [one["id"] for one in calls]
    for one in told["messages"]:
        taken(ChatCompletionToolMessageParam, one)
    assert again.json() == told
    with openai.OpenAI(api_key="x", base_url=f"{system.upstream.url}/echo", max_retries=0) as client:
        history: list[Any] = [message, *told["messages"]]
        client.chat.completions.create(model="m", messages=history)
    assert sent(system.upstream)["messages"][1:] == told["messages"]


def test_twenty_calls_of_anthropic(system: Running):
    uses = [
        {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": given}
        for number, (name, given) in enumerate(inputs())
    ]
    message = Message.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "text", "text": "Let me see."}, *uses],
            "stop_reason": "tool_use",
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    )

    answer = system.client.post(
        "/v1/turns", json={"format": "anthropic", "message": message.model_dump(mode="json"), "deadline": 30}
    )

    assert answer.status_code == 200, answer.text
    (reply,) = answer.json()["messages"]
    blocks = reply["content"]
    check([one["content"] for one in blocks], [one["is_error"] for one in blocks], answer.json()["calls"])
    assert [one["tool_use_id"] for one in blocks] == [one["id"] for one in uses]
    for one in blocks:
        taken(ToolResultBlockParam, one)
    with anthropic.Anthropic(api_key="x", base_url=f"{system.upstream.url}/echo", max_retries=0) as client:
        client.messages.create(model="m", max_tokens=9, messages=[message.to_param(), reply])
    assert sent(system.upstream)["messages"][1] == reply


# ---- time ---------------------------------------------------------------------------------------


def turn(system: Running, *names: str, deadline: float) -> tuple[list[str], list[dict[str, Any]]]:
    """Take a turn that calls these tools: those that outlive the deadline are told as they stand at it."""
    calls = [
        {"id": str(number), "type": "function", "function": {"name": name, "arguments": '{"text": "x"}'}}
        for number, name in enumerate(names)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    answer = system.client.post("/v1/turns", json={"format": "openai", "message": message, "deadline": deadline})
    assert answer.status_code == 200, answer.text
    return [one["content"] for one in answer.json()["messages"]], answer.json()["calls"]


def test_a_call_that_still_runs_at_the_deadline_is_told_so(system: Running):
    texts, calls = turn(system, "slow", "say", deadline=8)

    assert [call["state"] for call in calls] == ["running", "succeeded"]
    assert texts[0].startswith("The call did not end within 8 s: it was still running and may have taken effect.")
    ended = system.client.get(f"/v1/calls/{calls[0]['call_id']}", params={"wait": 20}).json()
    assert (ended["state"], ended["effect"]) == ("timed_out", "unknown")


def test_a_call_of_a_paused_tool_is_told_so_and_never_started(system: Running):
    system.client.post("/v1/tools/say/pause").raise_for_status()
    wait_until(
        lambda: system.client.get("/v1/tools/say").json()["paused"],
        within=60,
        what="the ledger does not show the pause",
    )

    texts, calls = turn(system, "say", "look__up", deadline=8)
    ended = system.client.get(f"/v1/calls/{calls[0]['call_id']}", params={"wait": 20}).json()
    system.client.post("/v1/tools/say/resume").raise_for_status()

    assert [call["state"] for call in calls] == ["scheduled", "succeeded"]
    assert texts[0] == "The call did not end within 8 s: the tool is paused, and the call was not started. Try later."
    assert (ended["state"], ended["effect"]) == ("expired", "none")
