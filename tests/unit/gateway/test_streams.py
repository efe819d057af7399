"""The events of a call as a stream."""

import asyncio
import json

import httpx
import pytest
from msgspec import structs
from tests.support.waiting import async_wait_until
from tests.unit.gateway.rig import Rig, never, row_of, running

from toolyard.contracts.events import Parked, SoftTimeout, about, sequence

EVENTS = "text/event-stream"


def read(text: str) -> list[tuple[str, str, dict]]:
    """Id, name and call of each event."""
    events = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            events.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return events


async def follow(rig: Rig, call_id: str, **headers: str) -> httpx.Response:
    return await rig.client.get(f"/v1/calls/{call_id}/events", headers=headers)


async def followed(pending) -> None:
    """Until somebody follows it, and was told all that happened so far."""

    async def watched() -> bool:
        return bool(pending.watchers)

    await async_wait_until(watched, within=60, what="nobody follows the call", every=0)


async def test_an_ended_call_is_told_from_its_beginning(rig):
    await rig.tool()
    call = (await rig.call()).json()

    response = await follow(rig, call["call_id"])

    assert response.headers["Content-Type"].startswith(EVENTS)
    assert response.headers["X-Accel-Buffering"] == "no"
    events = read(response.text)
    assert [name for _, name, _ in events] == ["accepted", "started", "succeeded"]
    assert events[-1][2] == call


async def test_a_call_is_followed_while_it_runs(template, tmp_path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool()
        call_id = (await rig.call(headers={"Prefer": "wait=0"})).json()["call_id"]
        await rig.worker.took.wait()
        message = rig.worker.seen[0]

        following = asyncio.create_task(follow(rig, call_id))
        await rig.worker.tell(rig.worker.started(message))
        await rig.worker.tell(rig.worker.failed(message))

        events = read((await following).text)
        assert [name for _, name, _ in events] == ["accepted", "started", "failed"]
        assert [int(number) for number, _, _ in events] == sorted(int(number) for number, _, _ in events)


async def test_who_comes_back_is_told_only_what_it_missed(rig):
    await rig.tool()
    call = (await rig.call()).json()
    events = read((await follow(rig, call["call_id"])).text)

    rest = read((await follow(rig, call["call_id"], **{"Last-Event-ID": events[0][0]})).text)
    nothing = await follow(rig, call["call_id"], **{"Last-Event-ID": events[-1][0]})

    assert rest == events[1:]
    assert nothing.text == ""


async def test_another_gateway_tells_the_same_events(rig):
    await rig.tool()
    call = (await rig.call()).json()
    here = read((await follow(rig, call["call_id"])).text)
    message = rig.worker.seen[0]
    moment = message.call.accepted_at
    end = rig.worker.succeeded(message, call["result"]["structured"], started_at=moment, finished_at=moment)
    rig.stores.calls.rows[call["call_id"]] = row_of(message, end)
    rig.parts.correlator._ended = type(rig.parts.correlator._ended)()  # as if another gateway had it

    there = read((await follow(rig, call["call_id"])).text)

    assert [(number, name) for number, name, _ in there] == [(number, name) for number, name, _ in here]


async def test_a_stream_ends_when_the_gateway_stops(template, tmp_path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool()
        call_id = (await rig.call(headers={"Prefer": "wait=0"})).json()["call_id"]
        following = asyncio.create_task(follow(rig, call_id))
        await rig.worker.took.wait()

        rig.parts.correlator.release()

        assert [name for _, name, _ in read((await following).text)] == ["accepted"]


@pytest.mark.parametrize("call_id", ["nonsense", "00000000-0000-7000-8000-000000000000"])
async def test_there_is_no_stream_of_no_call(rig, call_id):
    response = await follow(rig, call_id)

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_an_event_id_that_is_none_is_refused(rig):
    response = await follow(rig, "00000000-0000-7000-8000-000000000000", **{"Last-Event-ID": "x"})

    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "Last-Event-ID"


async def test_a_stream_ends_when_another_request_has_the_id(template, tmp_path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool()
        call_id = (await rig.call(headers={"Prefer": "wait=0"})).json()["call_id"]
        following = asyncio.create_task(follow(rig, call_id))
        await rig.worker.took.wait()
        message = rig.worker.seen[0]
        theirs = structs.replace(message, call=structs.replace(message.call, body_hash="other"))
        rig.stores.calls.rows[call_id] = row_of(theirs, rig.worker.failed(theirs))

        rig.parts.correlator.suspect_all()

        assert read((await following).text)[0][1] == "accepted"


async def test_a_stream_outlives_a_store_that_is_away(template, tmp_path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool()
        call_id = (await rig.call(headers={"Prefer": "wait=0"})).json()["call_id"]
        await rig.worker.took.wait()
        following = asyncio.create_task(follow(rig, call_id))
        rig.stores.away()

        await rig.worker.tell(rig.worker.succeeded(rig.worker.seen[0]))

        assert [name for _, name, _ in read((await following).text)][-1] == "succeeded"


async def test_that_a_call_waits_and_that_its_time_runs_out_is_told_while_it_happens(template, tmp_path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool()
        call_id = (await rig.call(headers={"Prefer": "wait=0"})).json()["call_id"]
        await rig.worker.took.wait()
        message = rig.worker.seen[0]
        said = about(message.call) | {"attempt": 1, "time": 1.0}

        following = asyncio.create_task(follow(rig, call_id))
        await rig.worker.tell(rig.worker.started(message))
        await rig.worker.tell(SoftTimeout(**said, sequence=sequence(1, 2), ends_at=2.0, worker="w"))
        await rig.worker.tell(Parked(**said, sequence=sequence(1, 900_000), reason="retry", due_at=3.0))
        await followed(rig.parts.correlator.find("default", call_id))
        await rig.worker.tell(rig.worker.succeeded(message, attempt=2))

        events = read((await following).text)
        assert [name for _, name, _ in events] == [
            "accepted",
            "started",
            "soft_timeout",
            "parked",
            "started",
            "succeeded",
        ]
        assert events[3][2]["state"] == "retrying"
        assert [int(number) for number, _, _ in events] == sorted({int(number) for number, _, _ in events})


async def test_that_a_call_of_another_gateway_waits_is_told_from_the_store(template, tmp_path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool()
        call_id = (await rig.call(headers={"Prefer": "wait=0"})).json()["call_id"]
        await rig.worker.took.wait()
        message = rig.worker.seen[0]
        rig.parts.correlator.forget(rig.parts.correlator.find("default", call_id))
        rig.stores.calls.rows[call_id] = row_of(message, state="retrying", attempts=1, started_at=1.0)

        following = asyncio.create_task(follow(rig, call_id))
        await followed(await rig.parts.calls.find("default", call_id))
        rig.stores.calls.rows[call_id] = row_of(message, rig.worker.succeeded(message), attempts=2)

        events = read((await following).text)
        assert [name for _, name, _ in events] == ["accepted", "started", "parked", "started", "succeeded"]
