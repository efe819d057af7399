"""Acceptance: functions end to end over a real broker and database: each call its code, its effect, its invocations."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import httpx
import pytest
from tests.support.aws.functions import FUNCTIONS
from tests.support.aws.lambda_server import REGION, LambdaServer
from tests.support.system import System
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("uncounted")

KEY, SECRET = "AKIATHETOOLSOWN00000", "the/tools+own/secret"
ROLE: Final = "arn:aws:iam::123456789012:role/prices"
_KEYS: Final = {"access_key_field": "AWS_KEY", "secret_key_field": "AWS_SECRET"}
_ARGUMENTS: Final = {"type": "object", "properties": {"text": {"type": "string"}}}

#: name -> its binding, and what else its definition has
_TOOLS: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "succeeds": ({"function_name": "about", "qualifier": "live"}, {}),
    "prints": ({"function_name": "prints", "payload_template": {"lines": ["${arguments.text}"]}}, {}),
    "raises": ({"function_name": "raises"}, {}),
    "runs_over_its_own_time": ({"function_name": "too-slow"}, {}),
    "runs_over_the_calls_time": ({"function_name": "sleeps", "payload_template": {}}, {"timeout": 3}),
    "is_throttled": ({"function_name": "echo"}, {"retry": {"max_attempts": 3, "backoff": 0.1}}),
    "is_always_throttled": ({"function_name": "echo"}, {"retry": {"max_attempts": 2, "backoff": 0.1}}),
    "breaks": ({"function_name": "echo"}, {"retry": {"max_attempts": 3, "backoff": 0.1}}),
    "is_given_too_much": ({"function_name": "echo", "payload_template": ["${arguments.text}"] * 8}, {}),
    "answers_too_much": ({"function_name": "many", "payload_template": {"bytes": 2_000_000}}, {}),
    "is_not_there": ({"function_name": "no-such-function"}, {}),
    "does_not_load": ({"function_name": "does-not-load"}, {}),
    "has_keys": ({"function_name": "echo", "credentials": _KEYS}, {"secrets": ["AWS_KEY", "AWS_SECRET"]}),
    "has_a_role": ({"function_name": "echo", "credentials": {"role": ROLE}}, {}),
    "happens_later": (
        {"function_name": "echo", "invocation_type": "Event", "payload_template": {"call": "${call_id}"}},
        {},
    ),
    "streams": ({"function_name": "echo", "response_streaming": True}, {}),
    "takes_its_time": ({"function_name": "naps", "payload_template": {"seconds": 1.5}}, {"timeout": 30}),
    "raises_it": (
        {"function_name": "raises", "payload_template": {"text": "no such key: ${secrets.AWS_SECRET}"}},
        {"secrets": ["AWS_SECRET"]},
    ),
    "returns_it": (
        {"function_name": "echo", "payload_template": {"key": "${secrets.AWS_SECRET}"}},
        {"secrets": ["AWS_SECRET"], "output": {"type": "array"}},
    ),
    "storms": ({"function_name": "storm"}, {"retry": {"max_attempts": 8, "backoff": 0.1}}),
    "is_cut_off": ({"function_name": "naps", "payload_template": {"seconds": 60}}, {"timeout": 8}),
    "tells": (
        {"function_name": "prints", "payload_template": {"lines": ["the key is ${secrets.AWS_SECRET}"]}},
        {"secrets": ["AWS_SECRET"]},
    ),
}


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory,
    amqp_url_module: str,
    postgres_url_module: str,
    lambda_server: LambdaServer,
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    lambda_server.keys[KEY] = SECRET
    lambda_server.roles[ROLE] = None
    lambda_server.add("storm", replace(FUNCTIONS["echo"]))
    lambda_server.add("naps", replace(FUNCTIONS["sleeps"], environments=3))
    with System(folder, amqp=amqp_url_module, database=postgres_url_module, allow="") as running:
        running.env |= lambda_server.env
        running.env |= {"TOOLYARD_SECRET_AWS_KEY": KEY, "TOOLYARD_SECRET_AWS_SECRET": SECRET}
        running.start_all(pool="lambda")
        with running.client() as client:
            for name, (binding, more) in _TOOLS.items():
                whole = {"type": "lambda", "aws_region": REGION, **binding}
                tool = {"name": name, "description": name, "parameters": _ARGUMENTS, "binding": whole, **more}
                saved = client.post("/v1/tools", json=tool)
                assert saved.status_code == 201, saved.text
        yield running


@pytest.fixture
def client(system: System) -> Iterator[httpx.Client]:
    with system.client() as made:
        yield made


def call(client: httpx.Client, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = client.post("/v1/calls", json={"tool": tool, "arguments": arguments}, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    ended: dict[str, Any] = answer.json()
    return ended


def outcome(ended: dict[str, Any]) -> tuple[str, str | None, str, int]:
    """State, code, effect and attempts."""
    return ended["state"], ended.get("error", {}).get("code"), ended["effect"], ended["attempts"]


def invocations(server: LambdaServer, ended: dict[str, Any]) -> tuple[int, int]:
    """How often Lambda was asked for this call, and how often a function was given it."""
    asked = sum(one.custom.get("call_id") == ended["call_id"] for one in server.asked)
    return asked, server.count(ended["call_id"])


def test_a_call_is_one_invocation_and_its_result_the_answer(client: httpx.Client, lambda_server: LambdaServer):
    ended = call(client, "succeeds", text="hello")

    assert outcome(ended) == ("succeeded", None, "done", 1)
    seen = ended["result"]["structured"]
    assert seen["event"] == {"text": "hello"}
    assert seen["custom"]["call_id"] == ended["call_id"]
    assert invocations(lambda_server, ended) == (1, 1)
    report = ended["report"]
    assert (report["executed_version"], report["request_id"]) == ("7", seen["request_id"])
    assert 0 < report["run_seconds"] <= report["billed_seconds"]


@pytest.mark.parametrize(
    ("tool", "expected", "invoked"),
    [
        ("raises", ("failed", "tool_error", "unknown", 1), (1, 1)),
        ("runs_over_its_own_time", ("timed_out", "timed_out", "unknown", 1), (1, 1)),
        ("runs_over_the_calls_time", ("timed_out", "timed_out", "unknown", 1), (1, 1)),
        ("answers_too_much", ("failed", "output_too_large", "done", 1), (1, 1)),
        ("is_not_there", ("failed", "not_found", "none", 1), (1, 0)),
        ("does_not_load", ("failed", "tool_error", "none", 1), (1, 1)),
        ("streams", ("succeeded", None, "done", 1), (1, 1)),
        ("has_keys", ("succeeded", None, "done", 1), (1, 1)),
        ("has_a_role", ("succeeded", None, "done", 1), (1, 1)),
    ],
)
def test_each_end_has_its_code_its_effect_and_its_number_of_invocations(
    client: httpx.Client, lambda_server: LambdaServer, tool: str, expected: Any, invoked: tuple[int, int]
):
    ended = call(client, tool)

    assert outcome(ended) == expected, ended
    assert invocations(lambda_server, ended) == invoked


def test_throttled_then_fine(client: httpx.Client, lambda_server: LambdaServer):
    lambda_server.fail("echo", 429, "TooManyRequestsException", times=2, fields={"Reason": "CallerRateLimitExceeded"})
    ended = call(client, "is_throttled", text="a")

    assert outcome(ended) == ("succeeded", None, "done", 3)
    assert invocations(lambda_server, ended) == (3, 1)


def test_throttled_for_too_long(client: httpx.Client, lambda_server: LambdaServer):
    lambda_server.fail("echo", 429, "TooManyRequestsException", times=2)
    ended = call(client, "is_always_throttled")

    assert outcome(ended) == ("failed", "rate_limited", "none", 2)
    assert invocations(lambda_server, ended) == (2, 0)


def test_in_a_storm_of_throttling_each_call_is_run_once_in_the_end(client: httpx.Client, lambda_server: LambdaServer):
    lambda_server.fail("storm", 429, "TooManyRequestsException", times=60)
    asked = {"calls": [{"tool": "storms", "arguments": {"text": str(number)}} for number in range(30)]}
    calls = client.post("/v1/calls/batch", json=asked, headers={"Prefer": "wait=60"}).json()["calls"]
    ended = [client.get(f"/v1/calls/{one['call_id']}", params={"wait": 60}).json() for one in calls]

    assert {one["state"] for one in ended} == {"succeeded"}
    assert [lambda_server.count(one["call_id"]) for one in ended] == [1] * 30
    assert sum(one["attempts"] for one in ended) == 90


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_may_have_run_is_not_tried_again(client: httpx.Client, lambda_server: LambdaServer, when: str):
    lambda_server.drop("echo", when)
    ended = call(client, "breaks")

    assert outcome(ended) == ("failed", "upstream_error", "unknown", 1)
    assert invocations(lambda_server, ended) == (1, int(when == "after"))


def test_more_than_lambda_takes_is_not_sent(client: httpx.Client, lambda_server: LambdaServer):
    ended = call(client, "is_given_too_much", text="x" * 900_000)

    assert outcome(ended) == ("failed", "payload_too_large", "none", 1)
    assert invocations(lambda_server, ended) == (0, 0)


def test_credentials_that_were_revoked(client: httpx.Client, lambda_server: LambdaServer):
    assert call(client, "has_keys")["state"] == "succeeded"
    del lambda_server.keys[KEY]
    ended = call(client, "has_keys")
    lambda_server.keys[KEY] = SECRET

    assert outcome(ended) == ("failed", "permission_denied", "none", 1)
    assert invocations(lambda_server, ended) == (1, 0)
    assert call(client, "has_keys")["state"] == "succeeded"


def test_an_event_runs_once_after_its_call_has_ended(client: httpx.Client, lambda_server: LambdaServer):
    ended = call(client, "happens_later")

    assert outcome(ended) == ("succeeded", None, "done", 1)
    assert ended["result"]["structured"]["accepted"] is True
    event = {"call": ended["call_id"]}
    wait_until(lambda: any(ran.event == event for ran in lambda_server.ran), within=60, what="the function")
    assert sum(asked.payload == f'{{"call":"{ended["call_id"]}"}}'.encode() for asked in lambda_server.asked) == 1


def test_what_it_printed_is_shown_without_secrets(client: httpx.Client, system: System):
    assert call(client, "prints", text="hello")["report"]["logs"] == "hello\n"
    ended = call(client, "tells")
    raised, returned = call(client, "raises_it"), call(client, "returns_it")

    assert ended["report"]["logs"] == "the key is [redacted:AWS_SECRET]\n"
    assert raised["error"]["message"] == "OutOfStockError: no such key: [redacted:AWS_SECRET]"
    assert returned["error"]["code"] == "output_invalid"
    assert "[redacted:AWS_SECRET]" in returned["error"]["message"]
    assert not [one for one in (ended, raised, returned) if SECRET in str(one)]
    logs = "".join(path.read_text() for path in system.folder.glob("*.log"))
    assert not [value for value in (KEY, SECRET) if value in logs]


def test_who_is_cancelled_ends_at_once(client: httpx.Client, lambda_server: LambdaServer):
    begun = client.post(
        "/v1/calls", json={"tool": "runs_over_the_calls_time", "timeout": 60}, headers={"Prefer": "wait=0"}
    ).json()
    wait_until(lambda: invocations(lambda_server, begun)[0] == 1, within=60, what="the request")
    client.post(f"/v1/calls/{begun['call_id']}/cancel")
    ended = client.get(f"/v1/calls/{begun['call_id']}", params={"wait": 30}).json()

    assert (ended["state"], ended["effect"]) == ("cancelled", "unknown")
    assert call(client, "succeeds")["state"] == "succeeded"


def test_a_worker_ends_although_a_function_still_runs_for_nobody(
    client: httpx.Client, system: System, lambda_server: LambdaServer
):
    begun = client.post(
        "/v1/calls", json={"tool": "runs_over_the_calls_time", "timeout": 120}, headers={"Prefer": "wait=0"}
    ).json()
    wait_until(lambda: invocations(lambda_server, begun)[0] == 1, within=60, what="the request")
    client.post(f"/v1/calls/{begun['call_id']}/cancel")
    assert client.get(f"/v1/calls/{begun['call_id']}", params={"wait": 30}).json()["state"] == "cancelled"
    told = httpx.get(f"{system.url('worker')}/metrics", trust_env=False).text

    assert 'toolyard_lambda_threads{state="wanted"} 0' in told
    assert 'toolyard_lambda_threads{state="left_behind"} 0' not in told
    assert system.processes["worker"].terminate() == 0
    system.start("worker", "worker", "lambda")
    system.ready("worker")
    assert call(client, "succeeds")["state"] == "succeeded"


def begin(client: httpx.Client, server: LambdaServer, tool: str) -> dict[str, Any]:
    """A call whose function runs."""
    begun: dict[str, Any] = client.post("/v1/calls", json={"tool": tool}, headers={"Prefer": "wait=0"}).json()
    wait_until(lambda: server.count(begun["call_id"]) == 1, within=60, what="the function")
    return begun


def end_of(client: httpx.Client, begun: dict[str, Any]) -> dict[str, Any]:
    ended: dict[str, Any] = client.get(f"/v1/calls/{begun['call_id']}", params={"wait": 60}).json()
    return ended


def test_a_worker_that_is_asked_to_end_waits_for_the_functions_that_run(
    client: httpx.Client, system: System, lambda_server: LambdaServer
):
    begun = [begin(client, lambda_server, "takes_its_time") for _ in range(2)]

    assert system.processes["worker"].terminate() == 0
    ended = [end_of(client, one) for one in begun]

    assert [outcome(one) for one in ended] == [("succeeded", None, "done", 1)] * 2
    assert [invocations(lambda_server, one) for one in ended] == [(1, 1)] * 2
    system.start("worker", "worker", "lambda")
    system.ready("worker")


def test_a_call_whose_worker_is_killed_was_invoked_once_and_says_that_nobody_knows(
    client: httpx.Client, system: System, lambda_server: LambdaServer
):
    begun = begin(client, lambda_server, "is_cut_off")
    system.processes["worker"].kill()
    system.start("worker", "worker", "lambda")
    system.ready("worker")
    ended = end_of(client, begun)

    assert outcome(ended) == ("failed", "outcome_unknown", "unknown", 1)
    assert call(client, "succeeds")["state"] == "succeeded"
    assert invocations(lambda_server, ended) == (1, 1)
