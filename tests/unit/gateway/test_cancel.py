"""Cancelling: what is published, what is answered, and a client that goes away."""

import asyncio
import json
from typing import Any

import pytest
from tests.support.waiting import async_wait_until
from tests.unit.gateway.rig import KEY, Rig, never, row_of, running

from toolyard.contracts.calls import error_info
from toolyard.contracts.control import Cancel
from toolyard.contracts.events import Cancelled, about, sequence


@pytest.fixture
async def rig(template, tmp_path):
    async with running(template, tmp_path, answer=never) as made:
        await made.tool()
        yield made


def published(rig: Rig) -> list[tuple[str, Cancel]]:
    """The cancels of the log, each with its key."""
    records = [one for one in rig.journal.read(0, 1_000) if one.key.startswith("control.cancel.")]
    found = [(record.key, rig.envelope.open_control(record)) for record in records]
    return [(key, message) for key, message in found if isinstance(message, Cancel)]


async def open_call(rig: Rig, **more: Any) -> str:
    rig.worker.took.clear()
    response = await rig.call(**more, headers={"Prefer": "wait=0"})
    await rig.worker.took.wait()
    return str(response.json()["call_id"])


async def cancelled(rig: Rig, number: int = 0) -> None:
    """The scheduler says so."""
    call = rig.worker.seen[number].call
    said: dict[str, Any] = {"attempt": 1, "sequence": sequence(1, 900_001), "time": 1.0, "finished_at": 1.0}
    error = error_info("cancelled", "it was asked to stop")
    await rig.worker.tell(Cancelled(**about(call), **said, effect="none", error=error, by="scheduler"))


async def until_published(rig: Rig, number: int = 1) -> None:
    async def there() -> bool:
        return len(published(rig)) >= number

    await async_wait_until(there, within=60, what="no cancel was published")


async def test_a_cancel_is_published_and_the_end_is_waited_for(rig):
    call_id = await open_call(rig)

    asking = asyncio.create_task(rig.client.post(f"/v1/calls/{call_id}/cancel"))
    await until_published(rig)
    await cancelled(rig)
    response = await asking

    assert response.status_code == 200
    assert (response.json()["state"], response.json()["effect"]) == ("cancelled", "none")
    ((key, message),) = published(rig)
    assert key == "control.cancel.http.default.gw-1.echo"
    assert (message.call_id, message.org, message.conversation, message.sender) == (call_id, "default", "", "gw-1")


async def test_a_call_that_does_not_end_in_time_is_answered_as_it_stands(rig):
    call_id = await open_call(rig)

    response = await rig.client.post(f"/v1/calls/{call_id}/cancel", headers={"Prefer": "wait=0"})

    assert (response.status_code, response.json()["state"]) == (202, "accepted")
    assert response.headers["Location"] == f"/v1/calls/{call_id}"
    assert response.headers["Preference-Applied"] == "wait=0"


async def test_it_may_be_asked_again_and_of_a_call_that_has_ended(rig):
    call_id = await open_call(rig)
    path = f"/v1/calls/{call_id}/cancel"

    first = [await rig.client.post(path, headers={"Prefer": "wait=0"}) for _ in range(2)]
    await rig.worker.tell(rig.worker.succeeded(rig.worker.seen[0], 7))
    ended = [await rig.client.post(path) for _ in range(2)]

    assert [response.status_code for response in first] == [202, 202]
    assert [response.json()["state"] for response in ended] == ["succeeded", "succeeded"]
    assert len(published(rig)) == 2


async def test_a_call_of_another_gateway_is_cancelled_from_the_store(rig):
    call_id = await open_call(rig)
    message = rig.worker.seen[0]
    rig.parts.correlator.forget(rig.parts.correlator.find("default", call_id))
    rig.stores.calls.rows[call_id] = row_of(message, state="scheduled")

    asking = asyncio.create_task(rig.client.post(f"/v1/calls/{call_id}/cancel", headers={"Prefer": "wait=20"}))
    await until_published(rig)
    rig.stores.calls.rows[call_id] = row_of(message, state="cancelled", finished_at=1.0)

    assert (await asking).json()["state"] == "cancelled"
    assert rig.parts.correlator.open == 0


@pytest.mark.parametrize("call_id", ["nonsense", "01a1fbd0-b4e4-7a03-beb6-315f27dbe8c9"])
async def test_what_is_no_call_is_not_found(rig, call_id):
    response = await rig.client.post(f"/v1/calls/{call_id}/cancel")

    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert published(rig) == []


async def test_a_call_of_another_org_is_not_found(rig):
    call_id = await open_call(rig)
    theirs = await rig.key("admin", org="other")

    response = await rig.client.post(f"/v1/calls/{call_id}/cancel", headers=theirs)

    assert response.status_code == 404
    assert published(rig) == []


async def test_a_body_is_not_ignored(rig):
    call_id = await open_call(rig)

    response = await rig.client.post(f"/v1/calls/{call_id}/cancel", json={"reason": "because"})

    assert (response.status_code, response.json()["code"]) == (422, "validation_failed")
    assert published(rig) == []


async def test_a_wait_that_is_none_is_refused_before_anything_is_published(rig):
    call_id = await open_call(rig)

    response = await rig.client.post(f"/v1/calls/{call_id}/cancel", headers={"Prefer": "wait=soon"})

    assert response.status_code == 422
    assert published(rig) == []


async def test_a_cancel_that_is_not_confirmed_says_so(rig):
    call_id = await open_call(rig)
    await rig.transport.close()

    one = await rig.client.post(f"/v1/calls/{call_id}/cancel")
    many = await rig.client.post("/v1/calls/cancel", json={"conversation": "c"})

    for response in (one, many):
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert response.headers["Retry-After"] == "1"


# ---- a conversation -----------------------------------------------------------------------------


async def test_a_conversation_is_cancelled_and_its_open_calls_are_counted(rig):
    for conversation in ("c-1", "c-1", "c-2"):
        await open_call(rig, conversation=conversation)
    for message in rig.worker.seen:  # one is known twice: here and in the store
        rig.stores.calls.rows[message.call.call_id] = row_of(message)
    foreign = next(m for m in rig.worker.seen if m.call.conversation == "c-1")
    rig.parts.correlator.forget(rig.parts.correlator.find("default", foreign.call.call_id))

    response = await rig.client.post("/v1/calls/cancel", json={"conversation": "c-1"})

    assert (response.status_code, response.json()) == (200, {"cancelled": 2})
    ((key, message),) = published(rig)
    assert key == "control.cancel.-.default.gw-1.-"
    assert (message.conversation, message.call_id, message.org) == ("c-1", "", "default")


async def test_a_conversation_of_another_org_is_another_one(rig):
    await open_call(rig, conversation="c-1")
    theirs = await rig.key("operator", org="other")

    response = await rig.client.post("/v1/calls/cancel", json={"conversation": "c-1"}, headers=theirs)

    assert response.json() == {"cancelled": 0}
    assert [message.org for _, message in published(rig)] == ["other"]


async def test_a_conversation_is_cancelled_also_while_the_store_is_away(rig):
    await open_call(rig, conversation="c-1")
    rig.stores.calls.away = True

    response = await rig.client.post("/v1/calls/cancel", json={"conversation": "c-1"})

    assert response.json() == {"cancelled": 1}
    assert len(published(rig)) == 1


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "conversation"),
        ({"conversation": ""}, "conversation"),
        ({"conversation": 7}, "conversation"),
        ({"conversation": "c" * 256}, "conversation"),
        ({"conversation": "c", "tool": "echo"}, "tool"),
        ([], ""),
    ],
)
async def test_a_wrong_conversation_is_named(rig, body, path):
    response = await rig.client.post("/v1/calls/cancel", json=body)

    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == path
    assert published(rig) == []


# ---- a client that goes away --------------------------------------------------------------------


async def ask_and_leave(rig: Rig, path: str, body: Any, **headers: str) -> asyncio.Event:
    """Send a request whose client goes away once somebody waits for its calls; gives the sign that it was handled."""
    raw, handled, gone = json.dumps(body).encode(), asyncio.Event(), asyncio.Event()
    parts = [{"type": "http.request", "body": raw, "more_body": False}]
    sent = {"authorization": f"Bearer {KEY}", "content-type": "application/json", **headers}

    async def receive() -> dict[str, Any]:
        if parts:
            return parts.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        """Nobody reads it."""

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "server": ("gateway", 80),
        "client": ("127.0.0.1", 1),
    }

    async def handle() -> None:
        await rig.app(scope, receive, send)
        handled.set()

    handling = asyncio.create_task(handle())
    handled.task = handling  # type: ignore[attr-defined]  # a task that nobody holds may be collected
    calls = len(body.get("calls", [1]))

    async def waited_for() -> bool:
        return bool(rig.parts.correlator.waiting >= calls)

    await async_wait_until(waited_for, within=60, what="nobody waits for the call")
    gone.set()
    return handled


CALL: dict[str, Any] = {"tool": "echo", "arguments": {"text": "hi"}}


@pytest.mark.parametrize("path", ["/v1/calls", "/v1/tools/echo/test"])
async def test_a_call_is_cancelled_with_its_client_where_that_was_asked_for(rig, path):
    body = CALL | {"cancel_on_disconnect": True}
    if path != "/v1/calls":
        del body["tool"]

    handled = await ask_and_leave(rig, path, body)
    await asyncio.wait_for(handled.wait(), 60)

    assert [message.call_id for _, message in published(rig)] == [rig.worker.seen[0].call.call_id]
    assert rig.parts.correlator.waiting == 0


async def test_a_call_outlives_its_client_where_it_was_not(rig):
    handled = await ask_and_leave(rig, "/v1/calls", CALL)
    await rig.worker.tell(rig.worker.succeeded(rig.worker.seen[0], 7))
    await asyncio.wait_for(handled.wait(), 60)

    assert published(rig) == []


async def test_of_many_calls_those_are_cancelled_that_ask_for_it(rig):
    calls = [CALL | {"conversation": str(n), "cancel_on_disconnect": n % 2 == 0} for n in range(4)]

    handled = await ask_and_leave(rig, "/v1/calls/batch", {"calls": calls})
    await until_published(rig, 2)
    for message in rig.worker.seen:
        await rig.worker.tell(rig.worker.succeeded(message, 7))
    await asyncio.wait_for(handled.wait(), 60)

    stopped = {message.call_id for _, message in published(rig)}
    assert stopped == {m.call.call_id for m in rig.worker.seen if m.call.conversation in ("0", "2")}


async def test_a_call_that_somebody_else_waits_for_goes_on(rig):
    body = CALL | {"cancel_on_disconnect": True, "idempotency_key": "k"}
    other = asyncio.create_task(rig.call(idempotency_key="k"))
    await rig.worker.took.wait()

    handled = await ask_and_leave(rig, "/v1/calls", body)
    await asyncio.wait_for(handled.wait(), 60)
    await rig.worker.tell(rig.worker.succeeded(rig.worker.seen[0], 7))

    assert (await other).json()["state"] == "succeeded"
    assert published(rig) == []


async def test_who_stays_gets_the_answer(rig):
    waiting = asyncio.create_task(rig.call(cancel_on_disconnect=True))
    await rig.worker.took.wait()
    await rig.worker.tell(rig.worker.succeeded(rig.worker.seen[0], 7))

    assert (await waiting).json()["state"] == "succeeded"
    assert published(rig) == []
