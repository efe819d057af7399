"""Requests from a queue: real gateways, worker and scheduler, and somebody outside with pika alone."""

import uuid
from collections.abc import Iterator
from typing import Any

import pika
import pytest
from tests.support import upstream as upstream_server
from tests.support.outsider import Outsider
from tests.support.system import KEY, System, http_tool
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.timeout(300)]

HI = {"tool": "fine", "arguments": {"text": "hi"}}


@pytest.fixture(scope="module")
def system(
    tmp_path_factory: pytest.TempPathFactory, amqp_url_module: str, postgres_url_module: str
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    process, address = upstream_server.spawn(folder / "effects.jsonl")
    allow = address.removeprefix("http://")
    with process, System(folder, amqp=amqp_url_module, database=postgres_url_module, allow=allow) as running:
        running.start_all(gateways=2)
        with running.client() as client:
            for tool in (
                http_tool("fine", "POST", f"{address}/echo"),
                http_tool("once", "POST", f"{address}/echo", key_fields=["order"], parameters=_of(order="string")),
                http_tool("broken", "POST", f"{address}/status/400"),
                http_tool("slow", "GET", f"{address}/sleep/${{arguments.seconds}}", parameters=_of(seconds="number")),
            ):
                client.post("/v1/tools", json=tool).raise_for_status()
        yield running


def _of(**kinds: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": kind} for name, kind in kinds.items()}}


@pytest.fixture
def outsider(system: System, amqp_url_module: str) -> Iterator[Outsider]:
    with Outsider(amqp_url_module, key=KEY) as made:
        yield made


def turn(*names: str) -> dict[str, Any]:
    calls = [
        {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": "{}"}} for name in names
    ]
    return {"format": "openai", "message": {"role": "assistant", "content": None, "tool_calls": calls}}


def read(system: System, call_id: str) -> dict[str, Any]:
    with system.client("gateway2") as client:
        found: dict[str, Any] = client.get(f"/v1/calls/{call_id}?wait=60").raise_for_status().json()
    return found


def made_key(system: System, **said: Any) -> dict[str, Any]:
    with system.client() as client:
        made: dict[str, Any] = client.post("/v1/keys", json={"name": "a", **said}).raise_for_status().json()
    return made


def counted(system: System, line: str) -> int:
    """What both gateways have counted."""
    total = 0
    for name in ("gateway1", "gateway2"):
        with system.client(name) as client:
            lines = client.get("/metrics").text.splitlines()
        total += sum(int(float(one.rpartition(" ")[2])) for one in lines if one.startswith(line))
    return total


def quarantined(system: System, number: int) -> list[dict[str, Any]]:
    """The newest letters of the quarantine, once there are so many."""
    with system.client() as client:

        def letters() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = client.get("/v1/dead-letters").json()["items"]
            return found if len(found) >= number else []

        found: list[dict[str, Any]] = wait_until(letters, within=60, what=f"{number} letters in the quarantine")
        return [client.get(f"/v1/dead-letters/{letter['letter_id']}").json() for letter in found]


# ---- what is answered ---------------------------------------------------------------------------
def test_the_ended_call_comes_back_as_it_is_read_over_http(system: System, outsider: Outsider):
    answered = outsider.answer(HI)

    assert (answered.kind, answered.content_type, answered.delivery_mode) == ("call", "application/json", 2)
    assert answered.outcome == "succeeded"
    assert answered.body == read(system, answered.body["call_id"])


def test_a_tool_that_failed_is_a_call_and_no_problem(outsider: Outsider):
    answered = outsider.answer({"tool": "broken"}, type="call")

    assert (answered.kind, answered.outcome, answered.body["error"]["code"]) == ("call", "failed", "upstream_error")


def test_a_turn_is_answered_with_its_messages(outsider: Outsider):
    answered = outsider.answer(turn("fine", "nothing"), type="turn")

    assert (answered.kind, answered.content_type) == ("turn", "application/json")
    assert [message["tool_call_id"] for message in answered.body["messages"]] == ["call_fine", "call_nothing"]
    assert [call["state"] for call in answered.body["calls"]] == ["succeeded", "rejected"]


def test_who_wants_to_wait_no_longer_is_told_the_call_as_it_stands(system: System, outsider: Outsider):
    asked = {"tool": "slow", "arguments": {"seconds": 3}}
    first = outsider.answer(asked, headers={"prefer": "wait=0"})

    assert (first.kind, first.outcome in ("accepted", "running")) == ("call", True)
    assert read(system, first.body["call_id"])["state"] == "succeeded"


def test_the_trace_of_the_sender_goes_on(outsider: Outsider):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answered = outsider.answer(HI, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})

    assert answered.body["trace_id"] == trace


def test_the_brokers_own_way_to_reply_is_answered_too(outsider: Outsider):
    outsider.take_direct()

    assert outsider.answer(HI, to="amq.rabbitmq.reply-to").outcome == "succeeded"


def test_a_correlation_id_of_bytes_is_refused_and_does_not_come_back(outsider: Outsider):
    outsider.ask(HI, correlation_id=b"\xff" * 255)
    (answered,) = outsider.take(1)

    assert (answered.outcome, answered.correlation_id) == ("validation_failed", "")
    assert "correlation_id: holds bytes" in answered.body["detail"]


# ---- what is refused ----------------------------------------------------------------------------
BAD: dict[str, tuple[Any, dict[str, Any], str, str]] = {
    "no JSON": (b"{", {}, "parse_error", "not JSON"),
    "nothing": (b"", {}, "parse_error", "empty"),
    "huge": (b'{"tool":"fine","user":"' + b"x" * 1_048_576 + b'"}', {}, "payload_too_large", "1,048,576"),
    "deep": (b'{"tool":' + b"[" * 100 + b"]" * 100 + b"}", {}, "parse_error", "deeper than 64"),
    "a key twice": (b'{"tool":"fine","tool":"fine"}', {}, "parse_error", "stands twice"),
    "no object": ([], {}, "validation_failed", "object"),
    "a wrong type": ({"tool": 7}, {}, "validation_failed", "tool"),
    "an unknown field": ({**HI, "colour": 1}, {}, "validation_failed", "colour"),
    "an unknown kind": (HI, {"type": "chat"}, "validation_failed", "'chat'"),
    "an unknown tool": ({"tool": "nothing"}, {}, "tool_not_found", "nothing"),
    "an unknown format": ({**turn("fine"), "format": "mine"}, {"type": "turn"}, "validation_failed", "format"),
    "a call as a turn": (HI, {"type": "turn"}, "validation_failed", "format"),
    "a connection": ({**HI, "cancel_on_disconnect": True}, {}, "validation_failed", "cancel_on_disconnect"),
    "a long wait": (HI, {"headers": {"prefer": "wait=301"}}, "validation_failed", "300"),
    "a header of a number": (HI, {"headers": {"idempotency-key": 7}}, "validation_failed", "idempotency-key"),
    "a header of bytes": (
        HI,
        {"headers": {"idempotency-key": b"k"}},
        "validation_failed",
        "idempotency-key: is no text",
    ),
    "a key of bytes": (
        HI,
        {"headers": {"authorization": b"Bearer k"}},
        "validation_failed",
        "authorization: is no text",
    ),
    "an id of bytes": (HI, {"message_id": b"\xff\xfe"}, "validation_failed", "message_id: holds bytes"),
    "two keys": (
        {**HI, "idempotency_key": "a"},
        {"headers": {"idempotency-key": "b"}},
        *("validation_failed", "idempotency_key"),
    ),
    "no key": (HI, {"headers": {"authorization": ""}}, "unauthenticated", "Send an API key"),
    "an unknown key": (HI, {"headers": {"authorization": "Bearer ty_no_" + "x" * 32}}, "unauthenticated", "no such"),
}


@pytest.mark.parametrize(("body", "said", "code", "text"), BAD.values(), ids=BAD)
def test_what_is_bad_is_answered_with_the_problem(
    outsider: Outsider, body: Any, said: dict[str, Any], code: str, text: str
):
    answered = outsider.answer(body, **said)

    assert (answered.kind, answered.content_type) == ("problem", "application/problem+json")
    assert answered.outcome == code
    assert text in answered.body["detail"]
    assert KEY not in str(answered)


def test_what_the_role_does_not_allow_and_what_another_org_has_is_refused(system: System, amqp_url_module: str):
    keys = [made_key(system, roles=["author"])["key"], made_key(system, roles=["caller"], org="other")["key"]]
    outcomes = []
    for key in keys:
        with Outsider(amqp_url_module, key=key) as outsider:
            outcomes.append(outsider.answer(HI).outcome)

    assert outcomes == ["permission_denied", "tool_not_found"]


def test_a_revoked_key_is_refused(system: System, amqp_url_module: str):
    made = made_key(system, roles=["caller"])
    with Outsider(amqp_url_module, key=made["key"]) as outsider:
        assert outsider.answer(HI).outcome == "succeeded"
        with system.client() as client:
            client.delete(f"/v1/keys/{made['key_id']}").raise_for_status()
        wait_until(lambda: outsider.answer(HI).outcome == "unauthenticated", within=60, what="the key to be forgotten")


# ---- who asks -----------------------------------------------------------------------------------
def test_a_user_of_the_broker_stands_for_a_key_and_must_agree_with_the_one_that_is_sent(
    system: System, amqp_url_module: str
):
    def outcome(key: str | None) -> str:
        with Outsider(amqp_url_module, key=key, user_id="guest") as outsider:
            return outsider.answer(HI).outcome

    def becomes(wanted: str, key: str | None) -> None:
        """A gateway that was asked before believes for some seconds what it was told then."""
        wait_until(lambda: outcome(key) == wanted, within=60, what=f"the user to be {wanted}")

    assert [outcome(None), outcome(KEY)] == ["unauthenticated", "succeeded"]
    made = made_key(system, roles=["caller"], broker_user="guest")
    becomes("succeeded", None)
    becomes("unauthenticated", KEY)
    assert outcome(made["key"]) == "succeeded"
    with system.client() as client:
        client.delete(f"/v1/keys/{made['key_id']}").raise_for_status()
    becomes("unauthenticated", None)
    becomes("succeeded", KEY)


# ---- the same once more -------------------------------------------------------------------------
SAME: dict[str, dict[str, Any]] = {
    "key": {"headers": {"idempotency-key": "same-key"}},
    "message id": {"message_id": "same-message"},
    "correlation id": {"correlation_id": "same-correlation"},
}


@pytest.mark.parametrize("said", SAME.values(), ids=SAME)
def test_the_same_message_is_the_same_call_and_another_under_its_id_is_refused(
    outsider: Outsider, said: dict[str, Any]
):
    first, again, other = (outsider.answer(body, **said) for body in (HI, HI, {"tool": "fine"}))

    assert first.body["call_id"] == again.body["call_id"]
    assert ("deduplicated" in first.body, again.body["deduplicated"]) == (False, True)
    assert other.outcome == "idempotency_mismatch"


def test_without_any_id_each_message_is_a_call_of_its_own(system: System, outsider: Outsider):
    for _ in range(2):
        outsider.ask(HI, correlation_id="")
    first, second = outsider.take(2)

    assert first.body["call_id"] != second.body["call_id"]


def test_the_key_fields_of_a_tool_decide_where_nobody_gave_a_key(outsider: Outsider):
    order = {"tool": "once", "arguments": {"order": str(uuid.uuid4())}}
    first, second = (outsider.answer(order, message_id=str(uuid.uuid4())) for _ in range(2))

    assert first.body["call_id"] == second.body["call_id"]


def test_a_turn_that_is_published_twice_calls_once(outsider: Outsider):
    first, second = (outsider.answer(turn("fine"), type="turn", message_id="one-turn") for _ in range(2))

    assert first.body == second.body


# ---- where the answer goes ----------------------------------------------------------------------
def test_an_answer_without_a_queue_is_counted_and_the_call_is_kept(system: System, outsider: Outsider):
    before = counted(system, "toolyard_requests_undeliverable_total")
    key = str(uuid.uuid4())
    outsider.ask(HI, to="gone", headers={"idempotency-key": key})
    wait_until(
        lambda: counted(system, "toolyard_requests_undeliverable_total") == before + 1,
        within=60,
        what="the answer to be counted",
    )

    assert outsider.answer(HI, headers={"idempotency-key": key}).body["deduplicated"]


def test_without_an_address_a_call_runs_and_what_is_bad_is_quarantined_without_its_key(
    system: System, outsider: Outsider
):
    key = str(uuid.uuid4())
    outsider.ask(HI, to="", headers={"idempotency-key": key})
    outsider.ask(
        {"tool": "fine", "colour": 1}, to="", message_id="bad-one", headers={"Authorization ": KEY, "x-api-key": KEY}
    )
    for queue in (
        "toolyard.dead",
        "toolyard.call.http",
        "toolyard.requests",
        "amq.rabbitmq.reply-to.g2EB.mine",
        b"\xff",
    ):
        outsider.ask(HI, to=queue, message_id=str(queue))
    forged = pika.BasicProperties(type="ticket", headers={"toolyard-signature": f"v1,test,{'0' * 64}"})
    outsider.channel.basic_publish("", "toolyard.requests", b'{"v":1,"org":"default","reply_to":"a"}', forged)
    letters = quarantined(system, 7)

    assert outsider.answer(HI, headers={"idempotency-key": key}).body["deduplicated"]
    reasons = sorted(letter["reason"].partition(":")[0] for letter in letters)
    assert reasons == ["not a dead letter", *["validation_failed"] * 6]
    assert KEY not in str(letters)
    assert KEY not in "".join(process.output() for process in system.processes.values())
