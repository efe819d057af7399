"""What happens between the gateway and what carries its messages: confirms, foreign bytes, the ledger's position."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.gateway.rig import ECHO, Rig, never, row_of, running

from toolyard.contracts import codec
from toolyard.contracts.control import LedgerPosition
from toolyard.contracts.events import Withdrawn
from toolyard.ids import derived_id
from toolyard.transport import topology
from toolyard.transport.base import Message
from toolyard_gateway import correlation

GET = {**ECHO["binding"], "method": "GET", "body": None}


@pytest.fixture
async def impatient(template: Path, tmp_path: Path) -> AsyncIterator[Rig]:
    """A gateway whose publishes have two seconds."""
    async with running(template, tmp_path, publish_timeout=2.0) as made:
        yield made


async def unconfirmed(rig: Rig, **more):
    """A call whose confirm does not come in time, and comes after all."""
    rig.journal.gate.clear()
    response = await rig.call(**more)
    rig.journal.gate.set()
    await rig.worker.took.wait()
    return response


async def withdrawn(rig: Rig) -> list[Withdrawn]:
    await rig.parts.publisher.finish()
    records = [record for record in rig.journal.read(0, 100) if record.exchange == topology.EVENTS]
    events = [event for record in records for event in rig.envelope.open_events(record)]
    return [event for event in events if isinstance(event, Withdrawn)]


async def test_a_call_without_a_confirm_is_refused_with_its_id_and_withdrawn_because_nobody_can_repeat_it(
    impatient: Rig,
):
    await impatient.tool()

    response = await unconfirmed(impatient)

    problem = response.json()
    assert (response.status_code, problem["code"]) == (503, "unavailable")
    assert "withdrawn" in problem["detail"]
    assert response.headers["Retry-After"]
    assert impatient.parts.correlator.find("default", problem["call_id"]) is None
    assert [event.call_id for event in await withdrawn(impatient)] == [problem["call_id"]]


async def test_a_call_with_a_key_is_not_withdrawn_because_another_gateway_may_have_its_repeat(impatient: Rig):
    await impatient.tool()

    response = await unconfirmed(impatient, idempotency_key="k")

    problem = response.json()
    assert (response.status_code, problem["call_id"]) == (503, derived_id("default", "k"))
    assert "repeat the request" in problem["detail"]
    assert await withdrawn(impatient) == []


@pytest.mark.parametrize("binding", [ECHO["binding"], GET], ids=["once", "rerunnable"])
async def test_an_unconfirmed_call_is_not_sent_again_before_the_ledger_can_tell_what_came_of_it(
    impatient: Rig, binding
):
    await impatient.tool(binding={name: value for name, value in binding.items() if value is not None})
    await unconfirmed(impatient, idempotency_key="k")

    again = await impatient.call(idempotency_key="k")
    message = impatient.worker.seen[0]
    impatient.stores.calls.rows[message.call.call_id] = row_of(message, impatient.worker.succeeded(message, "it ran"))
    later = await impatient.call(idempotency_key="k")

    assert (again.status_code, again.json()["call_id"]) == (503, derived_id("default", "k"))
    assert later.json()["result"]["structured"] == "it ran"
    assert len(impatient.worker.seen) == 1


async def test_what_does_not_verify_is_quarantined_and_ends_nothing(rig: Rig):
    await rig.tool()
    await rig.call()
    event = rig.envelope.event(rig.worker.succeeded(rig.worker.seen[0], "forged"))
    taken: asyncio.Queue = asyncio.Queue()
    await rig.transport.consume(topology.QUARANTINE, taken.put_nowait, prefetch=1)

    forged = dataclasses.replace(event, body=event.body.replace(b"forged", b"FORGED"))
    await rig.transport.publish(forged)

    delivery = await taken.get()
    assert delivery.body == forged.body
    assert "not of this message" in delivery.headers["toolyard-reason"]


async def test_bytes_that_mean_nothing_are_quarantined(rig: Rig):
    taken: asyncio.Queue = asyncio.Queue()
    await rig.transport.consume(topology.QUARANTINE, taken.put_nowait, prefetch=1)
    key = topology.call_key("succeeded", "http", "default", "gw-1", "echo")

    await rig.transport.publish(Message(topology.EVENTS, key, b"\x00", "m-1"))

    assert (await taken.get()).headers["toolyard-message-id"] == "m-1"


async def test_of_outcomes_that_travel_together_one_that_cannot_be_read_keeps_nobody_waiting(template, tmp_path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool()
        await rig.call(headers={"Prefer": "wait=0"})
        await rig.worker.took.wait()
        end = rig.worker.succeeded(rig.worker.seen[0], "heard")
        taken: asyncio.Queue = asyncio.Queue()
        await rig.transport.consume(topology.QUARANTINE, taken.put_nowait, prefetch=1)
        bundle = rig.envelope.outcomes("http", "gw-1", [b'{"v":1,"event":"succeeded"}', codec.encode(end)])

        await rig.transport.publish(bundle)

        delivery = await taken.get()
        assert delivery.body == bundle.body
        assert "event 1 of 2" in delivery.headers["toolyard-reason"]
        assert rig.parts.correlator.ended("default", end.call_id) is not None


async def test_what_only_newer_versions_know_is_not_put_away(template, tmp_path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool()
        await rig.call(headers={"Prefer": "wait=0"})
        await rig.worker.took.wait()
        end = rig.worker.succeeded(rig.worker.seen[0], "heard")
        taken: asyncio.Queue = asyncio.Queue()
        await rig.transport.consume(topology.QUARANTINE, taken.put_nowait, prefetch=1)
        unknown = rig.envelope.outcomes("http", "gw-1", [b'{"v":1,"event":"teleported"}', codec.encode(end)])
        broken = rig.envelope.outcomes("http", "gw-1", [b"{}"])

        await rig.transport.publish(unknown)
        await rig.transport.publish(broken)

        assert (await taken.get()).body == broken.body  # the first that is
        assert rig.parts.correlator.ended("default", end.call_id) is not None


async def test_a_ledger_that_is_too_far_behind_stops_calls_until_it_has_caught_up(template, tmp_path):
    async with running(template, tmp_path, log_max_lag=900) as rig:
        await rig.tool()
        rig.parts.door._ledger._newest -= 901  # as if it had been silent for so long

        refused = await rig.call()
        position = LedgerPosition(v=1, sender="s", time=0, offset=1, record_time=rig.parts.clock.now())
        await rig.transport.publish(rig.envelope.control(position))
        taken = await rig.call()

        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert taken.status_code == 200


async def test_an_end_that_only_another_gateway_was_told_is_found_soon(template, tmp_path, monkeypatch):
    """Two gateways accept one key at the same moment; the event goes to one of them, the ledger has it for both."""
    monkeypatch.setattr(correlation, "TURN", 3_600.0)  # no ordinary turn finds it
    monkeypatch.setattr(correlation, "OVERDUE", 3_600.0)
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool()
        waiting = asyncio.create_task(rig.call(headers={"Idempotency-Key": "k"}))
        await rig.worker.took.wait()
        message = rig.worker.seen[0]
        rig.stores.calls.rows[message.call.call_id] = row_of(message, rig.worker.succeeded(message, 7))

        assert (await waiting).json()["state"] == "succeeded"
