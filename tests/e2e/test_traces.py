"""Acceptance: the trace of a call through gateway, broker, worker, upstream and ledger, at a real receiver of OTLP."""

import json
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx
import pika
import pytest
from tests.support.arcade.engine import KEY as ARCADE
from tests.support.arcade.engine import ArcadeEngine
from tests.support.aws.lambda_server import REGION, LambdaServer
from tests.support.collector import Collector, Span
from tests.support.embedded import Dev
from tests.support.system import KEY, System, http_tool
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("uncounted")

SERVE, SEND, TELL, LOG = "POST /v1/calls", "send toolyard.calls", "send toolyard.events", "process toolyard.log"
INVOKE: Final = "Lambda/Invoke"
PROCESS: Final = "process toolyard.call.http"
ASK_ONE: Final = {"limit": 1}
PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "operations" / "tracing.md"
SECRET: Final = "a-secret-of-the-tool"
#: Asks its upstream once, from inside the sandbox.
_CODE: Final = (
    "import requests\ndef execute_tool(parameters, context):\n    return requests.get('{up}/echo?n=1').json()"
)


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory,
    amqp_url_module: str,
    postgres_url_module: str,
    collector: Collector,
    upstream_module: Upstream,
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    with System(folder, amqp=amqp_url_module, database=postgres_url_module, allow="127.0.0.1") as running:
        running.env |= collector.env(OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=tests")
        running.env["TOOLYARD_SECRET_TOLD"] = SECRET
        running.start_all()
        running.start("sandbox", "worker", "sandbox", env={"TOOLYARD_SANDBOX_MINIMUM": "degraded"})
        running.ready("sandbox")
        with running.client() as client:
            for tool in _tools(upstream_module.url):
                saved = client.post("/v1/tools", json=tool)
                assert saved.status_code == 201, saved.text
            wait_until(lambda: not _claimed(client, collector), within=60, what="the worker to be past its first calls")
        yield running


def _claimed(client: httpx.Client, collector: Collector) -> bool:
    """Whether a call that needs no claim is claimed all the same: the first ones of a worker are."""
    given = a_trace()
    call(client, "echo", given)
    return "claim" in collector.trace(given[3:35], [SERVE, SEND, PROCESS, TELL, LOG])


def _tools(up: str) -> Iterator[dict[str, Any]]:
    again = {"retry": {"max_attempts": 2, "backoff": 0.05}}
    yield http_tool("echo", "GET", f"{up}/echo?key=in-the-query")
    yield http_tool("effect", "POST", f"{up}/effects")
    yield http_tool("ill", "GET", f"{up}/status/503", **again)
    yield http_tool("refused", "GET", f"{up}/status/404")
    yield http_tool("slow", "GET", f"{up}/sleep/30", timeout=5.0)
    told = http_tool("told", "POST", f"{up}/echo", telemetry={"arguments": True, "result": True}, secrets=["TOLD"])
    told["parameters"] |= {"properties": {"a": {"type": "string"}}}
    told["binding"] |= {"body": {"a": "${arguments.a}", "key": "${secrets.TOLD}"}}
    yield told
    code = {"type": "sandbox", "code": _CODE.replace("{up}", up), "allowed_imports": ["requests"]}
    yield {
        "name": "code",
        "description": "code",
        "parameters": {"type": "object"},
        "binding": code | {"allowed_hosts": ["127.0.0.1"]},
    }


@pytest.fixture
def client(system: System) -> Iterator[httpx.Client]:
    with system.client() as made:
        yield made


def a_trace(*, recorded: bool = True) -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{'01' if recorded else '00'}"


def call(client: httpx.Client, tool: str, traceparent: str, **said: Any) -> dict[str, Any]:
    headers = {"Prefer": "wait=60", "traceparent": traceparent}
    answer = client.post("/v1/calls", json={"tool": tool, "arguments": {"a": "an argument"}, **said}, headers=headers)
    assert answer.status_code == 200, answer.text
    ended: dict[str, Any] = answer.json()
    return ended


def asked(upstream: Upstream, trace_id: str) -> list[str]:
    """The ``traceparent`` of each request of this trace that the upstream saw."""
    seen = [request.headers.get("traceparent", "") for request in upstream.requests]
    return [each for each in seen if each[3:35] == trace_id]


def kinds(spans: dict[str, list[Span]]) -> dict[str, str]:
    return {name: same[0].kind for name, same in spans.items()}


def is_inside(span: Span, outer: Span) -> bool:
    """Whether it is a part of the other one, by its parent."""
    return (span.trace_id, span.parent_id) == (outer.trace_id, outer.span_id)


# ---- one call ---------------------------------------------------------------------------------------
def test_one_trace_goes_from_the_callers_request_to_the_upstream_and_the_ledger(
    client: httpx.Client, collector: Collector, upstream_module: Upstream
):
    given = a_trace()

    ended = call(client, "echo", given, user="ada", conversation="talk-1")

    names = [SERVE, SEND, PROCESS, "execute_tool echo", "GET", TELL, LOG]
    spans = collector.trace(given[3:35], names)
    assert sorted(spans) == sorted(names)
    serve, send, process, execute, request, tell, log = (spans[name][0] for name in names)
    assert serve.parent_id == given[36:52]
    assert [is_inside(*pair) for pair in ((send, serve), (process, send), (execute, process), (request, execute))] == [
        True
    ] * 4
    assert is_inside(tell, process)
    assert is_inside(log, tell)
    assert kinds(spans) == {
        SERVE: "server",
        SEND: "producer",
        PROCESS: "consumer",
        "execute_tool echo": "internal",
        "GET": "client",
        TELL: "producer",
        LOG: "consumer",
    }
    assert [span.service for span in (serve, process, log)] == [
        "toolyard-gateway",
        "toolyard-worker-http",
        "toolyard-scheduler",
    ]
    assert ended["trace_id"] == given[3:35]
    assert asked(upstream_module, given[3:35]) == [f"00-{given[3:35]}-{request.span_id}-01"]
    assert not any(span.failed for same in spans.values() for span in same)
    assert serve.start <= send.start <= process.start <= execute.start <= request.start <= request.end <= execute.end


def test_the_spans_say_what_they_are_about_and_no_more(client: httpx.Client, collector: Collector):
    given = a_trace()

    ended = call(client, "echo", given, user="ada@example.org", conversation="talk-1")

    spans = collector.trace(given[3:35], [SERVE, SEND, PROCESS, "execute_tool echo", "GET", TELL, LOG])
    call_id = ended["call_id"]
    told = {name: same[0].attributes for name, same in spans.items()}
    assert told[SERVE] == {
        "http.request.method": "POST",
        "http.route": "/v1/calls",
        "url.scheme": "http",
        "http.response.status_code": 200,
    }
    assert told["execute_tool echo"] == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "echo",
        "gen_ai.tool.call.id": call_id,
        "gen_ai.tool.type": "function",
        "gen_ai.conversation.id": "talk-1",
        "toolyard.org": "default",
        "toolyard.pool": "http",
        "toolyard.tool.version": 1,
        "toolyard.attempt": 1,
        "toolyard.state": "succeeded",
        "toolyard.effect": "done",
    }
    assert told["GET"] | {"server.port": 0} == {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": 0,
        "http.response.status_code": 200,
    }
    for name, operation, destination in (
        (SEND, "send", "toolyard.calls"),
        (PROCESS, "process", "toolyard.call.http"),
        (TELL, "send", "toolyard.events"),
        (LOG, "process", "toolyard.log"),
    ):
        found = told[name]
        assert found["messaging.system"] == "rabbitmq"
        assert found["messaging.operation.type"] == operation
        assert found["messaging.destination.name"] == destination
        assert found["messaging.message.conversation_id"] == call_id
    assert told[SEND]["messaging.message.id"] == told[PROCESS]["messaging.message.id"]
    assert told[SEND]["messaging.rabbitmq.destination.routing_key"].startswith("call.accepted.http.default.")
    assert told[LOG]["toolyard.state"] == "succeeded"
    resource = spans[PROCESS][0].resource
    assert resource["deployment.environment.name"] == "tests"
    assert resource["service.version"]
    assert resource["service.instance.id"]
    every = str(spans)
    assert "ada@example.org" not in every
    assert "an argument" not in every
    assert "in-the-query" not in every


def test_arguments_and_result_are_told_where_the_tool_opted_in_and_never_its_secrets(
    client: httpx.Client, collector: Collector
):
    given = a_trace()

    body = {"tool": "told", "arguments": {"a": f"an argument and {SECRET}"}}
    answer = client.post("/v1/calls", json=body, headers={"Prefer": "wait=60", "traceparent": given})

    assert answer.json()["state"] == "succeeded", answer.text
    told = collector.trace(given[3:35], ["execute_tool told"])["execute_tool told"][0].attributes
    assert told["gen_ai.tool.call.arguments"] == '{"a":"an argument and [redacted:TOLD]"}'
    assert "an argument and [redacted:TOLD]" in told["gen_ai.tool.call.result"]
    assert SECRET.encode() not in collector.raw()


def test_who_follows_gets_the_context_of_who_told(client: httpx.Client, collector: Collector):
    given = a_trace()
    with client.stream("GET", "/v1/events", params={"conversation": "followed"}) as following:
        lines = following.iter_lines()
        next(line for line in lines if line.startswith(": following"))
        call(client, "echo", given, conversation="followed")
        told = next(line for line in lines if line.startswith("data: ") and "call.succeeded" in line)

    (tell,) = collector.trace(given[3:35], [TELL])[TELL]
    assert json.loads(told[6:])["traceparent"] == f"00-{given[3:35]}-{tell.span_id}-01"


@pytest.mark.parametrize(
    "given",
    ["00-xyz", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", b"\xff\xfe\x80", "x" * 5_000],
    ids=["short", "zeros", "bytes", "long"],
)
def test_a_traceparent_that_is_none_is_passed_over(
    client: httpx.Client, collector: Collector, upstream_module: Upstream, given: str | bytes
):
    raw = given.encode() if isinstance(given, str) else given
    headers = [(b"traceparent", raw), (b"prefer", b"wait=60")]

    answer = client.post("/v1/calls", json={"tool": "echo", "arguments": {}}, headers=headers)

    assert answer.status_code == 200, answer.text
    found = answer.json()["trace_id"]
    assert re.fullmatch("[0-9a-f]{32}", found)
    spans = collector.trace(found, [SERVE, SEND, PROCESS, "GET", LOG])
    assert spans[SERVE][0].parent_id == ""
    assert asked(upstream_module, found) == [f"00-{found}-{spans['GET'][0].span_id}-01"]


def test_what_its_caller_does_not_record_nobody_records_and_its_context_goes_on_as_it_came(
    client: httpx.Client, collector: Collector, upstream_module: Upstream
):
    given, after = a_trace(recorded=False), a_trace()

    ended = call(client, "echo", given)
    call(client, "echo", after)

    assert ended["trace_id"] == given[3:35]
    assert asked(upstream_module, given[3:35]) == [given]
    collector.trace(after[3:35], [SERVE, SEND, PROCESS, "execute_tool echo", "GET", TELL, LOG])
    assert collector.spans(given[3:35]) == []


@pytest.mark.parametrize("text", [True, False], ids=["text", "bytes"])
def test_a_request_from_a_queue_begins_or_continues_a_trace(system: System, collector: Collector, *, text: bool):
    given = a_trace()
    body = json.dumps({"tool": "echo", "arguments": {}}).encode()
    headers = {"authorization": f"Bearer {KEY}", "traceparent": given if text else given.encode()}
    with closing(pika.BlockingConnection(pika.URLParameters(str(system.env["TOOLYARD_TRANSPORT_URL"])))) as connection:
        channel = connection.channel()
        replies = channel.queue_declare("", exclusive=True).method.queue
        properties = pika.BasicProperties(headers=headers, reply_to=replies, message_id=secrets.token_hex(8))
        channel.basic_publish("", "toolyard.requests", body, properties)
        _, _, answer = next(channel.consume(replies, auto_ack=True, inactivity_timeout=60))

    told = json.loads(answer)
    assert told["state"] == "succeeded", told
    front = "process toolyard.requests"
    spans = collector.trace(told["trace_id"], [front, SEND, PROCESS, "execute_tool echo", "GET", TELL, LOG])
    assert spans[front][0].parent_id == (given[36:52] if text else "")
    assert (told["trace_id"] == given[3:35]) is text
    assert is_inside(spans[SEND][0], spans[front][0])


# ---- other ways of a call ---------------------------------------------------------------------------
def test_the_calls_of_a_turn_are_parts_of_one_request(client: httpx.Client, collector: Collector):
    given = a_trace()
    calls = [
        {"id": str(number), "type": "function", "function": {"name": "echo", "arguments": "{}"}} for number in (1, 2)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}

    answer = client.post("/v1/turns", json={"format": "openai", "message": message}, headers={"traceparent": given})

    assert answer.status_code == 200, answer.text
    spans = collector.trace(given[3:35], ["POST /v1/turns", *2 * [SEND, PROCESS, "execute_tool echo", "GET", LOG]])
    (serve,) = spans["POST /v1/turns"]
    assert all(is_inside(send, serve) for send in spans[SEND])
    assert {span.parent_id for span in spans[PROCESS]} == {span.span_id for span in spans[SEND]}


def test_a_claim_is_a_part_of_it_and_what_the_ledger_did_is_a_part_of_the_claim(
    client: httpx.Client, collector: Collector
):
    given = a_trace()

    call(client, "effect", given)

    spans = collector.trace(given[3:35], [SEND, PROCESS, "claim", "execute_tool effect", "POST", TELL, LOG, LOG])
    (claim,), (process,), (tell,) = spans["claim"], spans[PROCESS], spans[TELL]
    assert is_inside(claim, process)
    assert claim.kind == "client"
    assert claim.attributes["toolyard.claim.answer"] == "granted"
    assert [is_inside(log, outer) for log, outer in zip(spans[LOG], (claim, tell), strict=True)] == [True, True]


def test_a_further_attempt_is_in_the_same_trace_and_linked_to_the_one_before(
    client: httpx.Client, collector: Collector, upstream_module: Upstream
):
    given = a_trace()

    ended = call(client, "ill", given)

    assert (ended["state"], ended["attempts"]) == ("failed", 2)
    spans = collector.trace(given[3:35], [*2 * [SEND, PROCESS, "execute_tool ill", "GET", TELL], *3 * [LOG]])
    first, again = spans[SEND]
    assert is_inside(again, first)
    assert (first.service, again.service) == ("toolyard-gateway", "toolyard-scheduler")
    before, after = spans[PROCESS]
    assert again.links == [before.span_id]
    assert [is_inside(before, first), is_inside(after, again)] == [True, True]
    assert [span.attributes["toolyard.attempt"] for span in spans["execute_tool ill"]] == [1, 2]
    assert {span.attributes["error.type"] for span in spans["execute_tool ill"]} == {"upstream_error"}
    assert all(span.failed for name in (PROCESS, "execute_tool ill", "GET") for span in spans[name])
    assert ("toolyard.parked", {"toolyard.reason": "retry"}) in [
        (name, attributes) for span in spans[LOG] for name, attributes in span.events
    ]
    assert len(asked(upstream_module, given[3:35])) == 2


def test_a_refusal_is_no_failure_of_the_gateway_and_says_its_code(client: httpx.Client, collector: Collector):
    given = a_trace()

    answer = client.post("/v1/calls", json={"tool": "nobodys", "arguments": {}}, headers={"traceparent": given})

    assert answer.status_code == 404
    (serve,) = collector.trace(given[3:35], [SERVE])[SERVE]
    assert (serve.failed, serve.attributes["toolyard.refusal"]) == (False, "tool_not_found")
    assert serve.attributes["http.response.status_code"] == 404


@pytest.mark.parametrize(("tool", "code", "status"), [("refused", "upstream_error", 404), ("slow", "timed_out", None)])
def test_what_goes_wrong_is_told_by_its_code(
    client: httpx.Client, collector: Collector, tool: str, code: str, status: int | None
):
    given = a_trace()

    ended = call(client, tool, given)

    assert ended["error"]["code"] == code
    spans = collector.trace(given[3:35], [SERVE, SEND, PROCESS, f"execute_tool {tool}", "GET", TELL, LOG])
    (execute,), (request,), (serve,) = spans[f"execute_tool {tool}"], spans["GET"], spans[SERVE]
    assert (execute.failed, execute.attributes["error.type"]) == (True, code)
    assert (request.failed, request.attributes.get("http.response.status_code")) == (True, status)
    assert not serve.failed


def test_a_sandboxed_tool_asks_its_upstream_in_the_same_trace(
    client: httpx.Client, collector: Collector, upstream_module: Upstream
):
    given = a_trace()

    ended = call(client, "code", given)

    assert ended["state"] == "succeeded", ended
    names = [SERVE, SEND, "process toolyard.call.sandbox", "execute_tool code", "GET", TELL, LOG]
    spans = collector.trace(given[3:35], names)
    (execute,), (request,) = spans["execute_tool code"], spans["GET"]
    assert is_inside(request, execute)
    assert execute.service == "toolyard-worker-sandbox"
    assert asked(upstream_module, given[3:35]) == [f"00-{given[3:35]}-{request.span_id}-01"]


def test_what_is_parked_says_so_and_goes_on_in_its_trace(client: httpx.Client, collector: Collector):
    given = a_trace()
    assert client.post("/v1/tools/echo/pause").status_code == 200
    wait_until(lambda: client.get("/v1/tools/echo").json()["paused"], within=60, what="the ledger to know of the pause")
    body = {"tool": "echo", "arguments": {}}
    made = client.post("/v1/calls", json=body, headers={"Prefer": "wait=0", "traceparent": given}).json()
    wait_until(
        lambda: any(span.events for span in collector.spans(given[3:35])), within=60, what="the call to be parked"
    )
    assert client.post("/v1/tools/echo/resume").status_code == 200

    ended = client.get(f"/v1/calls/{made['call_id']}", params={"wait": 60}).json()

    assert ended["state"] == "succeeded", ended
    spans = collector.trace(given[3:35], [SERVE, *2 * [SEND, PROCESS], "claim", "execute_tool echo", "GET", TELL, LOG])
    first, again = spans[SEND]
    assert is_inside(again, first)
    assert again.links == [first.span_id]
    assert ("toolyard.parked", {"toolyard.reason": "paused"}) in spans[PROCESS][0].events


def test_functions_tools_of_arcade_and_schedules_in_one_process(
    tmp_path: Path, collector: Collector, lambda_server: LambdaServer, arcade_engine: ArcadeEngine
):
    of_function, of_tool = a_trace(), a_trace()
    env = {**lambda_server.env, **collector.env(), "TOOLYARD_ARCADE_URL": arcade_engine.url}
    with Dev(tmp_path, env=env) as dev:
        assert dev.client.post("/v1/secrets", json={"name": "ARCADE_API_KEY", "value": ARCADE}).status_code == 201
        dev.create_tool("invoke", {"type": "lambda", "function_name": "echo", "aws_region": REGION})
        dev.create_tool("mail", {"type": "arcade", "tool_name": "Yard.SendMail"})
        dev.client.headers["traceparent"] = of_function
        assert dev.call("invoke", wait=60)["state"] == "succeeded"
        dev.client.headers["traceparent"] = of_tool
        asking = dev.call("mail", {"to": "bob", "text": "hello"}, wait=60, user="ann")
        assert asking["state"] == "awaiting_authorization", asking
        del dev.client.headers["traceparent"]
        schedule = {"name": "often", "tool": "weather", "arguments": {"city": "Bern"}, "every": 1}
        assert dev.client.post("/v1/schedules", json=schedule).status_code == 201
        fired, *_ = wait_until(lambda: _fired(collector), within=60, what="a schedule to fire")

    spans = collector.trace(of_function[3:35], [PROCESS.replace("http", "lambda"), "execute_tool invoke", INVOKE])
    assert is_inside(spans[INVOKE][0], spans["execute_tool invoke"][0])
    (asked,) = [one for one in lambda_server.asked if one.custom["traceparent"][3:35] == of_function[3:35]]
    assert asked.custom["traceparent"][36:52] == spans[INVOKE][0].span_id

    spans = collector.trace(of_tool[3:35], ["execute_tool mail", "POST", LOG])
    (execute,) = spans["execute_tool mail"]
    assert all(is_inside(request, execute) for request in spans["POST"])
    assert [name for name, _ in execute.events] == ["toolyard.consent_asked"]
    assert ("toolyard.parked", {"toolyard.reason": "authorization"}) in [e for each in spans[LOG] for e in each.events]
    assert asking["authorization"]["url"].encode() not in collector.raw()

    spans = collector.trace(fired.trace_id, [SEND, PROCESS, "execute_tool weather", "GET", TELL])
    assert is_inside(spans[PROCESS][0], fired)


def _fired(collector: Collector) -> list[Span]:
    """Calls that nobody asked for."""
    return [span for span in collector.spans() if span.name == SEND and not span.parent_id]


def test_what_was_recorded_is_what_the_page_promises(collector: Collector):
    promised = set(re.findall(r"`([^`\n]+)`", PAGE.read_text().replace("```", "")))

    for span in collector.spans():
        name = re.sub(
            r"^(execute_tool) .*|^(process toolyard.call)\..*",
            lambda m: f"{m[1]} <name>" if m[1] else f"{m[2]}.<pool>",
            span.name,
        )
        events = {each for event, attributes in span.events for each in (event, *attributes)}
        assert {name, *span.attributes, *events} <= promised


# ---- the receiver -----------------------------------------------------------------------------------
def test_a_receiver_that_is_away_changes_nothing_for_calls(client: httpx.Client, system: System, collector: Collector):
    worker = system.processes["worker"]
    before, began = worker.output().count("telemetry is not exported"), time.monotonic()
    collector.kill()
    ended = [call(client, "echo", a_trace()) for _ in range(5)]
    assert {one["state"] for one in ended} == {"succeeded"}
    worker.wait_for_line("telemetry is not exported")

    collector.start()
    given = a_trace()
    call(client, "echo", given)

    collector.trace(given[3:35], [SERVE, SEND, PROCESS, "execute_tool echo", "GET", TELL, LOG], within=60)
    minutes = (time.monotonic() - began) / 60
    assert worker.output().count("telemetry is not exported") - before <= 1 + minutes


def test_toolyard_dev_exports_what_is_left_when_it_is_stopped(
    tmp_path: Path, collector: Collector, upstream_module: Upstream
):
    given = a_trace()
    env = collector.env(OTEL_BSP_SCHEDULE_DELAY="600000", OTEL_SERVICE_NAME="mine")
    with Dev(tmp_path, env={**env, "TOOLYARD_EGRESS_ALLOW": "127.0.0.1"}) as dev:
        dev.create_tool("ask", {"type": "http", "method": "GET", "url": f"{upstream_module.url}/echo"})
        body = {"tool": "ask", "arguments": {}}
        answer = dev.client.post("/v1/calls", json=body, headers={"Prefer": "wait=60", "traceparent": given})
        assert answer.json()["state"] == "succeeded", answer.text
        assert collector.spans(given[3:35]) == []
        assert dev.process.terminate() == 0

    spans = collector.trace(given[3:35], [SERVE, SEND, PROCESS, "execute_tool ask", "GET", TELL])
    assert {span.service for same in spans.values() for span in same} == {"mine"}
    assert spans[SEND][0].attributes["messaging.system"] == "toolyard"
