"""Calls over HTTP, from the request to the answer."""

import asyncio

import pytest
from tests.support.waiting import async_wait_until
from tests.unit.gateway.rig import ECHO, Rig, fail, never, row_of, running, succeed

from toolyard.contracts.events import Claimed, about, sequence
from toolyard.ids import derived_id, is_id


async def test_a_call_is_answered_with_its_result(rig):
    await rig.tool()

    response = await rig.call()

    assert response.status_code == 200
    call = response.json()
    assert call["state"] == "succeeded"
    assert call["effect"] == "done"
    assert call["result"] == {"content": '{"text":"hi"}', "structured": {"text": "hi"}}
    assert is_id(call["call_id"])
    assert (call["tool"], call["version"], call["org"], call["attempts"]) == ("echo", 1, "default", 1)
    assert len(call["trace_id"]) == 32


async def test_a_call_that_fails_is_answered_200_with_its_error(rig):
    await rig.tool()
    rig.worker.answer = fail

    response = await rig.call()

    assert response.status_code == 200
    call = response.json()
    assert call["state"] == "failed"
    assert call["error"]["code"] == "tool_error"
    assert call["error"]["status"] == 500
    assert "it broke" in call["error"]["model_message"]


async def test_a_call_that_is_not_waited_for_is_answered_202_and_is_found_where_it_says(rig):
    await rig.tool()
    rig.worker.answer = never

    response = await rig.call(headers={"Prefer": "wait=0"})

    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "wait=0"
    assert response.json()["state"] == "accepted"
    found = await rig.client.get(response.headers["Location"])
    assert found.status_code == 200
    assert found.json() == response.json()


async def test_a_call_is_waited_for_by_get_until_it_ends(rig):
    await rig.tool()
    rig.worker.answer = never
    made = await rig.call(headers={"Prefer": "wait=0"})
    await rig.worker.took.wait()

    waiting = asyncio.create_task(rig.client.get(made.headers["Location"], params={"wait": 60}))
    await rig.worker.tell(rig.worker.succeeded(rig.worker.seen[0], 7))

    assert (await waiting).json()["result"]["structured"] == 7


async def test_a_started_call_is_shown_running(rig):
    await rig.tool()
    rig.worker.answer = never
    made = await rig.call(headers={"Prefer": "wait=0"})
    await rig.worker.took.wait()

    await rig.worker.tell(rig.worker.started(rig.worker.seen[0]))
    stream = rig.client.stream("GET", made.headers["Location"] + "/events")
    task = asyncio.create_task(rig.client.get(made.headers["Location"]))

    assert (await task).json()["state"] in ("accepted", "running")
    del stream


async def test_a_start_may_not_be_waited_for_longer_than_the_tool_gives_for_everything(rig):
    await rig.tool(deadline=10, queue_timeout=8)

    refused = await rig.call(queue_timeout=11)
    asked = {"tool": "echo", "arguments": {"text": "hi"}}
    batch = await rig.client.post("/v1/calls/batch", json={"calls": [asked | {"queue_timeout": 11}, asked]})
    tried = await rig.client.post("/v1/tools/echo/test", json={"arguments": {"text": "hi"}, "queue_timeout": 11})
    taken = [
        await rig.call(queue_timeout=10),
        await rig.call(queue_timeout=11, deadline=11),
        await rig.call(deadline=5),
    ]

    first, second = batch.json()["calls"]
    problems = [refused.json(), first["error"], tried.json()]
    assert {problem["errors"][0]["path"] for problem in problems} == {"queue_timeout"}
    assert {problem["status"] for problem in problems} == {422}
    assert second["state"] == "succeeded"
    assert [each.status_code for each in taken] == [200, 200, 200]
    assert len(rig.worker.seen) == 4


async def test_what_the_caller_says_travels_with_the_call(rig):
    await rig.tool(timeout=20, deadline=100)
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    await rig.call(
        user="ada",
        conversation="c-1",
        context={"tenant": 7},
        timeout=5,
        queue_timeout=9,
        headers={"traceparent": traceparent},
    )

    message = rig.worker.seen[0]
    call = message.call
    assert (call.user, call.conversation, call.context) == ("ada", "c-1", {"tenant": 7})
    assert (call.timeout, call.queue_timeout, message.budget) == (5, 9, 100)
    assert call.deadline == pytest.approx(call.accepted_at + 100)
    assert call.gateway == "gw-1"
    assert call.pool == "http"
    assert call.traceparent == traceparent  # nothing is recorded here: there is nothing of ours between


async def test_defaults_are_30_seconds_an_attempt_and_300_for_everything(rig):
    await rig.tool()

    await rig.call()

    assert rig.worker.seen[0].call.timeout == 30
    assert rig.worker.seen[0].budget == 300


async def test_a_version_can_be_asked_for(rig):
    saved = await rig.tool()
    changed = ECHO | {"description": "Says it once more."}
    await rig.client.put("/v1/tools/echo", json=changed, headers={"If-Match": f'"{saved["version"]}"'})

    assert (await rig.call()).json()["version"] == 2
    assert (await rig.call("echo@1")).json()["version"] == 1
    gone = await rig.call("echo@3")
    assert (gone.status_code, gone.json()["code"]) == (404, "version_gone")


async def test_an_unknown_tool_is_not_found_and_the_likely_one_is_named(rig):
    await rig.tool()

    response = await rig.call("ecko")

    assert (response.status_code, response.json()["code"]) == (404, "tool_not_found")
    assert "'echo'" in response.json()["detail"]
    assert rig.worker.seen == []


async def test_a_disabled_tool_is_refused_but_can_be_tried_out(rig):
    await rig.tool(enabled=False)

    refused = await rig.call()
    tried = await rig.client.post("/v1/tools/echo/test", json={"arguments": {"text": "hi"}})

    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert tried.status_code == 200
    assert tried.json()["test"] is True
    assert [message.call.test for message in rig.worker.seen] == [True]


async def test_arguments_that_break_the_schema_are_all_named(rig):
    await rig.tool()

    response = await rig.call(arguments={"n": 0, "colour": "red"})

    assert response.status_code == 422
    problem = response.json()
    assert problem["code"] == "validation_failed"
    assert {error["path"] for error in problem["errors"]} == {"arguments", "arguments.n"}
    assert any("'colour' was unexpected" in error["message"] for error in problem["errors"])
    assert any('"text" is a required property' in error["message"] for error in problem["errors"])
    assert rig.worker.seen == []


async def test_the_value_of_an_argument_never_stands_in_an_error(rig):
    await rig.tool()

    response = await rig.call(arguments={"text": 987654321})

    assert "987654321" not in response.text


async def test_a_tool_that_acts_for_a_user_is_not_called_for_nobody(rig):
    signed_in = {**ECHO["binding"], "authentication": {"type": "nango", "integration": "github"}}
    await rig.tool(binding=signed_in)

    refused = await rig.call()
    taken = await rig.call(user="ann")

    assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")
    assert [error["path"] for error in refused.json()["errors"]] == ["user"]
    assert taken.status_code == 200


async def test_a_tool_with_a_connection_of_the_application_needs_its_context_and_no_user(rig):
    named = {"type": "nango", "integration": "github", "connection": "${context.crm}"}
    await rig.tool(binding={**ECHO["binding"], "authentication": named})

    refused = await rig.call(user="ann")
    taken = await rig.call(context={"crm": "c1"})

    assert (refused.status_code, refused.json()["code"]) == (422, "context_required")
    assert taken.status_code == 200


async def test_a_context_that_lacks_what_the_tool_needs_is_refused(rig):
    with_region = {**ECHO["binding"], "headers": {"X-Region": "${context.region}"}}
    await rig.tool(contexts=["tenant"], binding=with_region)

    refused = await rig.call(context={"other": 1})
    taken = await rig.call(context={"tenant": 1, "region": "eu"})

    assert (refused.status_code, refused.json()["code"]) == (422, "context_required")
    assert [error["path"] for error in refused.json()["errors"]] == ["context.region", "context.tenant"]
    assert taken.status_code == 200


# ---- the same key -------------------------------------------------------------------------------


async def test_the_same_key_and_body_gets_the_same_call(rig):
    await rig.tool()

    first = await rig.call(headers={"Idempotency-Key": "k1"})
    again = await rig.call(headers={"Idempotency-Key": "k1"})
    by_field = await rig.call(idempotency_key="k1")

    assert first.json()["call_id"] == derived_id("default", "k1")
    assert again.json() == first.json() | {"deduplicated": True}
    assert by_field.json() == again.json()
    assert len(rig.worker.seen) == 1


async def test_the_same_key_with_another_body_is_refused(rig):
    await rig.tool()
    await rig.call(idempotency_key="k1")

    response = await rig.call(idempotency_key="k1", arguments={"text": "other"})

    assert (response.status_code, response.json()["code"]) == (422, "idempotency_mismatch")
    assert len(rig.worker.seen) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"arguments": {"text": "other"}},
        {"tool": "echo@1"},
        {"user": "u"},
        {"conversation": "c"},
        {"context": {"a": 1}},
        {"timeout": 5},
        {"queue_timeout": 5},
        {"deadline": 5},
    ],
    ids=lambda more: next(iter(more)),
)
async def test_all_that_is_said_belongs_to_the_request_that_a_key_stands_for(rig, more):
    await rig.tool()
    await rig.call(headers={"Idempotency-Key": "k"})

    other = await rig.call(**{"tool": "echo"} | more, headers={"Idempotency-Key": "k"})

    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    assert len(rig.worker.seen) == 1


async def test_trying_a_tool_out_is_another_request_than_a_call(rig):
    await rig.tool()
    await rig.call(headers={"Idempotency-Key": "k"})

    tried = await rig.client.post(
        "/v1/tools/echo/test", json={"arguments": {"text": "hi"}}, headers={"Idempotency-Key": "k"}
    )

    assert (tried.status_code, tried.json()["code"]) == (422, "idempotency_mismatch")


async def test_requests_with_the_same_key_at_the_same_time_make_one_call(rig):
    await rig.tool()

    responses = await asyncio.gather(*(rig.call(idempotency_key="k1") for _ in range(20)))

    assert {response.json()["call_id"] for response in responses} == {derived_id("default", "k1")}
    assert sum("deduplicated" not in response.json() for response in responses) == 1
    assert len(rig.worker.seen) == 1


async def test_a_key_that_another_gateway_saw_is_found_in_the_store(rig):
    await rig.tool()
    first = await rig.call(idempotency_key="k1")
    message = rig.worker.seen[0]
    rig.stores.calls.rows[message.call.call_id] = row_of(message, rig.worker.succeeded(message, "elsewhere"))
    rig.parts.correlator._ended = type(rig.parts.correlator._ended)()

    again = await rig.call(idempotency_key="k1")
    other = await rig.call(idempotency_key="k1", user="somebody else")

    assert again.json()["result"]["structured"] == "elsewhere"
    assert again.json()["deduplicated"] is True
    assert other.json()["code"] == "idempotency_mismatch"
    assert first.json()["call_id"] == again.json()["call_id"]


async def test_header_and_field_must_agree(rig):
    await rig.tool()

    response = await rig.call(idempotency_key="one", headers={"Idempotency-Key": "two"})

    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "idempotency_key"


# ---- many at once -------------------------------------------------------------------------------


async def test_a_batch_is_answered_in_its_order_and_one_bad_call_fails_alone(rig):
    await rig.tool()
    calls = [
        {"tool": "echo", "arguments": {"text": "a"}},
        {"tool": "nothing", "arguments": {}},
        {"tool": "echo", "arguments": {"text": 1}},
        {"tool": "echo", "arguments": {"text": "b"}, "colour": "red"},
        7,
        {"tool": "echo", "arguments": {"text": "c"}},
    ]

    response = await rig.client.post("/v1/calls/batch", json={"calls": calls})

    assert response.status_code == 200
    answers = response.json()["calls"]
    assert [answers[n]["result"]["structured"]["text"] for n in (0, 5)] == ["a", "c"]
    assert [answers[n]["error"]["code"] for n in (1, 2, 3, 4)] == ["tool_not_found", *["validation_failed"] * 3]
    assert "must be a JSON object, not a number" in answers[4]["error"]["detail"]


async def test_a_key_for_a_batch_is_a_key_for_each_of_its_calls(rig):
    await rig.tool()
    calls = {"calls": [{"tool": "echo", "arguments": {"text": text}} for text in "ab"]}

    first = await rig.client.post("/v1/calls/batch", json=calls, headers={"Idempotency-Key": "k"})
    again = await rig.client.post("/v1/calls/batch", json=calls, headers={"Idempotency-Key": "k"})

    ids = [call["call_id"] for call in first.json()["calls"]]
    assert ids == [derived_id("default", "k/0"), derived_id("default", "k/1")]
    assert [call["call_id"] for call in again.json()["calls"]] == ids
    assert len(rig.worker.seen) == 2


# ---- reading ------------------------------------------------------------------------------------


async def test_a_call_of_another_org_is_not_found(rig):
    await rig.tool()
    made = await rig.call()
    other = await rig.key("admin", org="other")

    response = await rig.client.get(f"/v1/calls/{made.json()['call_id']}", headers=other)

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("call_id", ["nonsense", "..%2Fkeys", "01A1FBD0-B4E4-7A03-BEB6-315F27DBE8C9"])
async def test_what_is_no_id_is_not_found_at_once(rig, call_id):
    response = await rig.client.get(f"/v1/calls/{call_id}")

    assert response.status_code == 404


async def test_a_call_of_another_gateway_is_answered_from_the_store(template, tmp_path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool()
        made = await rig.call(headers={"Prefer": "wait=0"})
        await rig.worker.took.wait()
        message = rig.worker.seen[0]
        call_id = made.json()["call_id"]
        rig.parts.correlator.forget(rig.parts.correlator.find("default", call_id))
        rig.stores.calls.rows[call_id] = row_of(message)

        waiting = asyncio.create_task(rig.client.get(f"/v1/calls/{call_id}", params={"wait": 60}))
        shown = await rig.client.get(f"/v1/calls/{call_id}")
        rig.stores.calls.rows[call_id] = row_of(message, rig.worker.succeeded(message, "from the ledger"))

        assert shown.json()["state"] == "queued"
        assert (await waiting).json()["result"]["structured"] == "from the ledger"


async def test_a_call_of_whose_end_only_the_ledger_may_speak_is_asked_of_the_ledger(template, tmp_path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool()
        call_id = (await rig.call(headers={"Prefer": "wait=0"})).json()["call_id"]
        await rig.worker.took.wait()
        message = rig.worker.seen[0]
        await rig.worker.tell(Claimed(**about(message.call), attempt=1, sequence=sequence(1, 900_003), time=1.0))
        pending = rig.parts.correlator.find("default", call_id)
        assert pending is not None

        async def heard() -> bool:
            return bool(pending.ledger_only)

        await async_wait_until(heard, within=60, what="the gateway to hear of it")
        rig.stores.calls.rows[call_id] = row_of(message, rig.worker.succeeded(message, "from the ledger"))

        got = (await rig.client.get(f"/v1/calls/{call_id}")).json()

        assert (got["state"], got["result"]["structured"]) == ("succeeded", "from the ledger")


async def test_calls_are_listed_from_the_store(rig):
    await rig.tool()
    await rig.call()
    message = rig.worker.seen[0]
    rig.stores.calls.rows[message.call.call_id] = row_of(message)

    response = await rig.client.get("/v1/calls", params={"tool": "echo", "limit": 10, "since": "2026-01-31T12:00:00Z"})

    assert response.status_code == 200
    assert [call["call_id"] for call in response.json()["items"]] == [message.call.call_id]
    assert response.json()["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"state": "lost"}, "state"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-W05-6T12:00:00Z"}, "since"),
        ({"until": "2026-01-31T12:00:00"}, "until"),
        ({"until": "2026-01-31T12:00:00 01:00"}, "until"),
        ({"cursor": "made-up"}, "cursor"),
        ({"colour": "red"}, "colour"),
        ({"format": "openai"}, "format"),
    ],
)
async def test_a_wrong_filter_is_named(rig, query, path):
    response = await rig.client.get("/v1/calls", params=query)

    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["path"] == path


# ---- when something is away ---------------------------------------------------------------------


async def test_without_the_store_calls_of_known_tools_go_on(rig: Rig):
    await rig.tool()
    await rig.call()
    rig.stores.away()
    rig.parts.registry.forget_all()
    rig.parts.authenticator._seen = {
        key: (principal, at - 60) for key, (principal, at) in rig.parts.authenticator._seen.items()
    }

    known = await rig.call()
    unknown = await rig.call("other")
    keyed = await rig.call(idempotency_key="k1")

    assert known.status_code == 200
    assert [(one.status_code, one.json()["code"]) for one in (unknown, keyed)] == [(503, "unavailable")] * 2
    assert unknown.headers["Retry-After"] == "1"


async def test_without_the_store_an_unknown_key_gets_503_and_not_401(rig: Rig):
    rig.stores.away()

    response = await rig.client.get("/v1/tools", headers={"Authorization": "Bearer ty_other_0123456789abcdef0123"})

    assert response.status_code == 503


async def test_a_call_that_cannot_be_sent_is_refused_and_forgotten(rig: Rig):
    await rig.tool()
    await rig.transport.close()

    response = await rig.call()

    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert response.headers["Retry-After"] == "1"
    assert rig.parts.correlator.open == 0


async def test_a_gateway_with_too_many_open_calls_says_so(template, tmp_path):
    async with running(template, tmp_path, answer=never, max_open=2) as rig:
        await rig.tool()
        waiting = [asyncio.create_task(rig.call()) for _ in range(2)]
        while rig.parts.correlator.waiting < 2:
            rig.worker.took.clear()
            await rig.worker.took.wait()

        refused = await rig.call()
        rig.parts.correlator.release()

        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert [(await task).status_code for task in waiting] == [202, 202]


async def test_calls_that_nobody_waits_for_make_room(template, tmp_path):
    async with running(template, tmp_path, answer=never, max_open=2) as rig:
        await rig.tool()

        responses = [await rig.call(headers={"Prefer": "wait=0"}) for _ in range(5)]

        assert [response.status_code for response in responses] == [202] * 5


async def test_an_answer_reaches_its_own_waiter_only(rig: Rig):
    await rig.tool()
    rig.worker.answer = succeed

    responses = await asyncio.gather(*(rig.call(arguments={"text": str(n)}) for n in range(50)))

    assert [response.json()["result"]["structured"]["text"] for response in responses] == [str(n) for n in range(50)]


async def test_a_burst_of_new_requests_asks_for_its_key_and_its_tool_once(rig: Rig, monkeypatch):
    await rig.tool()
    await rig.call()
    rig.parts.registry.forget_all()
    rig.parts.authenticator._seen.clear()
    asked = []
    real = rig.parts.store.ask

    async def counted(function, *args, **kwargs):
        asked.append(function)
        return await real(function, *args, **kwargs)

    monkeypatch.setattr(rig.parts.store, "ask", counted)

    responses = await asyncio.gather(*(rig.call() for _ in range(50)))

    assert {response.status_code for response in responses} == {200}
    assert len(asked) == 2


async def test_a_burst_of_keyed_requests_waits_its_turn_at_the_store(rig: Rig):
    await rig.tool()

    responses = await asyncio.gather(*(rig.call(idempotency_key=str(n)) for n in range(300)))

    assert {response.status_code for response in responses} == {200}


async def test_a_longer_attempt_than_workers_are_set_up_for_is_refused(template, tmp_path):
    async with running(template, tmp_path, longest_attempt=60.0) as rig:
        await rig.tool(timeout=90)
        by_tool, by_call = await rig.call(), await rig.call(timeout=61)
        assert (by_tool.status_code, by_call.status_code) == (422, 422)
        (error,) = by_call.json()["errors"]
        assert error["path"] == "timeout"
        assert "is 61 s; here an attempt takes at most 60 s (TOOLYARD_LONGEST_ATTEMPT)" in error["message"]
        assert (await rig.call(timeout=60)).status_code == 200
