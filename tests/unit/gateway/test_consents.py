"""Calls that wait for their users: who is told at once, who waits on, and what a model is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.waiting import async_wait_until
from tests.unit.gateway.rig import Rig, Worker, never, row_of, running

from toolyard.clock import SYSTEM
from toolyard.contracts.calls import Authorization, CallMessage
from toolyard.contracts.events import Event, Parked, about, sequence

CONSENT = Authorization(
    authorization_id="a1",
    provider="arcade/google",
    url="https://consent.example/a1",
    scopes=("mail.send",),
    expires_at=1_900_000_000.0,
)
SHOWN = {
    "authorization_id": "a1",
    "provider": "arcade/google",
    "url": "https://consent.example/a1",
    "scopes": ["mail.send"],
    "expires_at": "2030-03-17T17:46:40.000Z",
}


def parked(message: CallMessage) -> Parked:
    """What the scheduler tells once an attempt has found that the user must consent."""
    told = about(message.call) | {"attempt": 2, "sequence": sequence(2, 900_004), "time": SYSTEM.now()}
    return Parked(**told, reason="authorization", authorization=CONSENT)


async def asks(worker: Worker, message: CallMessage) -> Event | None:
    """Asks the user of every call of ``echo``; all else succeeds."""
    await worker.tell(worker.started(message))
    if message.call.tool != "echo":
        return worker.succeeded(message, message.call.arguments)
    await worker.tell(worker.failed(message, "authorization_required", final=False))
    return parked(message)


@pytest.fixture
async def rig(template: Path, tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(template, tmp_path, answer=asks) as made:
        await made.tool()
        yield made


async def goes_on(rig: Rig, number: int = 0) -> None:
    """The user has consented, and the next attempt succeeds."""
    await rig.worker.tell(rig.worker.succeeded(rig.worker.seen[number], "sent", attempt=2, sequence=sequence(2, 2)))


def waited_for(rig: Rig) -> Any:
    async def waiting() -> bool:
        return bool(rig.parts.correlator.waiting)

    return waiting


# ---- who is told at once ------------------------------------------------------------------------
async def test_who_makes_a_call_is_given_the_link_at_once(rig: Rig):
    answer = await asyncio.wait_for(rig.call(user="ada", headers={"Prefer": "wait=300"}), timeout=60)

    assert answer.status_code == 202
    call = answer.json()
    assert (call["state"], call["effect"], call["user"]) == ("awaiting_authorization", "none", "ada")
    assert call["authorization"] == SHOWN
    assert "error" not in call
    assert answer.headers["Location"] == f"/v1/calls/{call['call_id']}"


async def test_a_repeat_of_the_request_is_given_it_at_once_too(rig: Rig):
    first = await rig.call(user="ada", idempotency_key="k")
    row = row_of(rig.worker.seen[0], state="awaiting_authorization", attempts=1, authorization=CONSENT)
    rig.stores.calls.rows[first.json()["call_id"]] = row
    again = await asyncio.wait_for(rig.call(user="ada", idempotency_key="k", headers={"Prefer": "wait=300"}), 60)

    assert (again.status_code, again.json()["state"]) == (202, "awaiting_authorization")
    assert again.json()["call_id"] == first.json()["call_id"]
    assert again.json()["authorization"] == SHOWN
    assert len(rig.worker.seen) == 1


async def test_in_a_batch_the_others_are_waited_for(rig: Rig):
    await rig.tool(name="plain")
    wanted = [{"tool": name, "arguments": {"text": "hi"}, "user": "ada"} for name in ("echo", "plain", "echo")]
    answer = await asyncio.wait_for(
        rig.client.post("/v1/calls/batch", json={"calls": wanted}, headers={"Prefer": "wait=300"}), timeout=60
    )

    calls = answer.json()["calls"]
    assert [call["state"] for call in calls] == ["awaiting_authorization", "succeeded", "awaiting_authorization"]
    assert [call.get("authorization") for call in calls] == [SHOWN, None, SHOWN]


async def test_a_model_is_told_the_link_and_to_wait(rig: Rig):
    await rig.tool(name="plain")
    called = [
        {"id": n, "type": "function", "function": {"name": name, "arguments": '{"text": "hi"}'}}
        for n, name in (("1", "echo"), ("2", "plain"))
    ]
    message = {"role": "assistant", "content": None, "tool_calls": called}
    answer = await asyncio.wait_for(
        rig.client.post("/v1/turns", json={"format": "openai", "message": message, "user": "ada"}), timeout=60
    )

    mail, plain = answer.json()["messages"]
    assert CONSENT.url in mail["content"]
    assert "do not call it again" in mail["content"]
    assert plain["content"] == '{"text":"hi"}'
    told = [(one["state"], one["code"]) for one in answer.json()["calls"]]
    assert told == [("awaiting_authorization", "authorization_required"), ("succeeded", None)]


async def test_who_already_waits_is_sent_away_when_it_is_parked(template: Path, tmp_path: Path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool()
        waiting = asyncio.create_task(rig.call(user="ada", headers={"Prefer": "wait=300"}))
        await async_wait_until(waited_for(rig), within=60, what="nobody waits")
        await rig.worker.took.wait()
        await rig.worker.tell(parked(rig.worker.seen[0]))

        answer = await asyncio.wait_for(waiting, timeout=60)
        assert (answer.status_code, answer.json()["authorization"]) == (202, SHOWN)


# ---- who waits on -------------------------------------------------------------------------------
async def test_who_reads_it_with_a_wait_waits_for_its_end(rig: Rig):
    call_id = (await rig.call(user="ada")).json()["call_id"]
    reading = asyncio.create_task(rig.client.get(f"/v1/calls/{call_id}", params={"wait": 300}))
    await async_wait_until(waited_for(rig), within=60, what="nobody waits")

    await goes_on(rig)

    call = (await reading).json()
    assert (call["state"], call["result"]["structured"], call["attempts"]) == ("succeeded", "sent", 2)
    assert "authorization" not in call


async def test_who_reads_it_without_a_wait_sees_the_link(rig: Rig):
    call_id = (await rig.call(user="ada")).json()["call_id"]
    shown = await rig.client.get(f"/v1/calls/{call_id}")
    assert (shown.status_code, shown.json()["authorization"]) == (200, SHOWN)


async def test_another_gateway_shows_the_link_too(rig: Rig):
    """From the ledger's row alone."""
    call_id = (await rig.call(user="ada")).json()["call_id"]
    row = row_of(rig.worker.seen[0], state="awaiting_authorization", attempts=1, authorization=CONSENT)
    rig.stores.calls.rows[call_id] = row
    rig.parts.correlator.forget(rig.parts.correlator.find("default", call_id))

    shown = (await rig.client.get(f"/v1/calls/{call_id}")).json()
    assert (shown["state"], shown["authorization"]) == ("awaiting_authorization", SHOWN)
    (listed,) = (await rig.client.get("/v1/calls", params={"user": "ada"})).json()["items"]
    assert listed["authorization"] == SHOWN


async def test_a_turn_that_is_repeated_at_another_gateway_tells_the_model_the_link_too(rig: Rig):
    called = [{"id": "1", "type": "function", "function": {"name": "echo", "arguments": '{"text": "hi"}'}}]
    message = {"role": "assistant", "content": None, "tool_calls": called}

    async def turn() -> dict[str, Any]:
        asked = {"format": "openai", "message": message, "user": "ada"}
        answer = await rig.client.post("/v1/turns", json=asked, headers={"Idempotency-Key": "turn-1"})
        found: dict[str, Any] = answer.json()
        return found

    first = await asyncio.wait_for(turn(), timeout=60)
    call_id = first["calls"][0]["call_id"]
    row = row_of(rig.worker.seen[0], state="awaiting_authorization", attempts=1, authorization=CONSENT)
    rig.stores.calls.rows[call_id] = row
    rig.parts.correlator.forget(rig.parts.correlator.find("default", call_id))

    assert await asyncio.wait_for(turn(), timeout=60) == first
    assert CONSENT.url in first["messages"][0]["content"]
    assert len(rig.worker.seen) == 1


def events(answer: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block for block in answer.text.strip().split("\n\n") if "event:" in block]
    lines = [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]
    return [(fields["event"], json.loads(fields["data"])) for fields in lines]


async def test_who_follows_it_is_told_of_the_link_and_of_the_end(rig: Rig):
    call_id = (await rig.call(user="ada")).json()["call_id"]
    following = asyncio.create_task(rig.client.get(f"/v1/calls/{call_id}/events"))
    pending = rig.parts.correlator.find("default", call_id)

    async def watched() -> bool:
        return bool(pending.watchers)

    await async_wait_until(watched, within=60, what="nobody follows")
    await goes_on(rig)

    told = events(await following)
    assert [name for name, _ in told] == ["accepted", "started", "authorization_required", "started", "succeeded"]
    assert told[2][1]["authorization"] == SHOWN


async def test_another_org_is_not_shown_the_link(rig: Rig):
    call_id = (await rig.call(user="ada")).json()["call_id"]
    theirs = await rig.key("caller", org="other")
    answers = [
        await rig.client.get(f"/v1/calls/{call_id}{rest}", headers=theirs, params=query)
        for rest, query in (("", {}), ("", {"wait": 5}), ("/events", {}))
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert not any(CONSENT.url in answer.text for answer in answers)
