"""Calls that are put off, and what travels with a call that may be tried again."""

import asyncio

import pytest
from tests.support.waiting import async_wait_until
from tests.unit.gateway.rig import START, SetClock, never, running

from toolyard.clock import SYSTEM, rfc3339
from toolyard.contracts.events import Parked, about, sequence
from toolyard.contracts.tools import RetryPolicy


def records(rig):
    """The calls of the log: how their keys call them, and what they are."""
    found = [record for record in rig.journal.read(0, 1_000) if record.exchange == "toolyard.calls"]
    return [(record.key.split(".")[1], rig.envelope.open_call(record)) for record in found]


def waited_for(rig):
    async def looked() -> bool:
        return bool(rig.parts.correlator.waiting)

    return looked


async def test_a_call_that_is_put_off_is_in_the_log_and_in_no_queue(rig):
    await rig.tool(deadline=100)
    later = SYSTEM.now() + 3_600

    response = await rig.call(not_before=rfc3339(later), queue_timeout=5)

    assert response.status_code == 202
    assert response.json()["state"] == "scheduled"
    ((name, message),) = records(rig)
    assert name == "scheduled"
    assert message.call.not_before == pytest.approx(later, abs=0.001)
    assert message.call.deadline == pytest.approx(later + 100, abs=0.001)
    assert message.budget == pytest.approx(3_700, abs=5)
    assert response.json()["deadline"] == rfc3339(message.call.deadline)
    assert rig.worker.seen == []


async def test_it_is_answered_at_once_where_it_starts_after_the_wait(rig):
    await rig.tool()
    begun = SYSTEM.monotonic()

    response = await rig.call(not_before=rfc3339(SYSTEM.now() + 600), headers={"Prefer": "wait=300"})

    assert (response.status_code, response.json()["state"]) == (202, "scheduled")
    assert SYSTEM.monotonic() - begun < 100


async def test_it_is_waited_for_where_it_starts_within_the_wait(rig):
    await rig.tool()

    waiting = asyncio.create_task(rig.call(not_before=rfc3339(SYSTEM.now() + 20), headers={"Prefer": "wait=60"}))
    await async_wait_until(waited_for(rig), within=60, what="nobody waits")
    ((_, message),) = records(rig)
    await rig.worker.tell(
        Parked(**about(message.call), attempt=0, sequence=sequence(0, 900_000), time=1.0, reason="not_before")
    )
    await rig.worker.tell(rig.worker.succeeded(message, "later"))

    assert (await waiting).json()["result"]["structured"] == "later"


async def test_a_repeat_finds_the_call_also_when_its_time_is_over(template, tmp_path):
    clock = SetClock()
    async with running(template, tmp_path, clock=clock) as rig:
        await rig.tool()
        time = rfc3339(START + 30)
        first = await rig.call(not_before=time, idempotency_key="k", headers={"Prefer": "wait=0"})
        clock.move(31)

        again = await rig.call(not_before=time, idempotency_key="k", headers={"Prefer": "wait=0"})
        other = await rig.call(not_before=rfc3339(START + 60), idempotency_key="k")

        assert (again.status_code, again.json()["call_id"]) == (202, first.json()["call_id"])
        assert again.json()["deduplicated"] is True
        assert other.json()["code"] == "idempotency_mismatch"


async def test_a_year_ahead_is_taken_and_more_is_not(rig):
    await rig.tool()
    year = 365 * 86_400

    taken = await rig.call(not_before=rfc3339(SYSTEM.now() + year))
    refused = await rig.call(not_before=rfc3339(SYSTEM.now() + year + 3 * 86_400))

    assert (taken.status_code, refused.status_code) == (202, 422)


async def test_a_call_carries_how_it_is_tried_again(rig):
    await rig.tool(retry={"max_attempts": 3, "codes": ["upstream_error"], "backoff": 0.5})
    await rig.tool(name="once")

    await rig.call()
    await rig.call("once")

    again, once = (message.call.retry for message in rig.worker.seen)
    assert again == RetryPolicy(max_attempts=3, codes=("upstream_error",), backoff=0.5)
    assert once is None


async def test_a_waiter_sees_through_the_attempts_that_are_followed(template, tmp_path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool(retry_attempts=2)
        waiting = asyncio.create_task(rig.call())
        await rig.worker.took.wait()
        message = rig.worker.seen[0]
        said = about(message.call)

        await rig.worker.tell(rig.worker.failed(message, "upstream_error", final=False))
        await rig.worker.tell(Parked(**said, attempt=1, sequence=sequence(1, 900_000), time=1.0, reason="retry"))
        shown = await rig.client.get(f"/v1/calls/{message.call.call_id}")
        await rig.worker.tell(rig.worker.succeeded(message, "at last", attempt=2, sequence=sequence(2, 1)))

        assert (shown.json()["state"], shown.json()["attempts"]) == ("retrying", 1)
        call = (await waiting).json()
        assert (call["state"], call["attempts"]) == ("succeeded", 2)
