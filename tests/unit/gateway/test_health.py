"""Health: alive, ready, counted; and how a gateway stops."""

import asyncio

import pytest
from tests.support.waiting import async_wait_until
from tests.unit.gateway.rig import never, running

from toolyard.store import migrate
from toolyard.transport.base import Health
from toolyard_gateway.lifespan import drain


async def test_a_running_gateway_is_alive_and_ready(rig):
    alive, ready = await rig.client.get("/livez"), await rig.client.get("/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ok", "gateway": "gw-1"})


async def test_health_needs_no_key(rig):
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/asyncapi.json"):
        assert (await rig.client.get(path, headers={"Authorization": ""})).status_code == 200


async def test_a_gateway_without_its_answers_is_not_ready(rig):
    await rig.parts.inbox.stop()

    response = await rig.client.get("/readyz")

    assert response.status_code == 503
    assert "Answers do not come in" in response.json()["detail"]


@pytest.mark.parametrize(
    "health",
    [
        Health(connected=False, reason="the connection is lost"),
        Health(connected=True, blocked=True, reason="the broker asks for a pause"),
        Health(connected=True, missing=("toolyard.log",)),
    ],
)
async def test_a_gateway_that_cannot_publish_is_not_ready_and_says_why(template, tmp_path, health, monkeypatch):
    async with running(template, tmp_path) as rig:
        monkeypatch.setattr(type(rig.transport), "health", health)

        response = await rig.client.get("/readyz")

        assert response.status_code == 503
        assert (health.reason or "toolyard.log") in response.json()["detail"]


async def test_without_the_store_it_stays_ready(rig):
    rig.stores.away()

    assert (await rig.client.get("/readyz")).status_code == 200


async def test_a_gateway_that_could_let_nobody_in_yet_is_not_ready_until_its_first_key_is_made(template, tmp_path):
    async with running(template, tmp_path, away=True) as rig:
        unready = await rig.client.get("/readyz")
        rig.stores.away(False)

        async def ready() -> bool:
            return (await rig.client.get("/readyz")).status_code == 200

        await async_wait_until(ready, within=60, what="the gateway to be ready")

        assert unready.status_code == 503
        assert "first API key" in unready.json()["detail"]
        await rig.tool()


async def test_a_gateway_on_tables_of_an_older_version_is_not_ready_until_they_are_brought_up_to_date(
    template, tmp_path, monkeypatch
):
    newest = migrate.revisions()[-1]
    with monkeypatch.context() as later:
        later.setattr(migrate, "revisions", lambda: [newest, "9999"])
        async with running(template, tmp_path) as rig:
            unready = await rig.client.get("/readyz")
            later.undo()

            async def ready() -> bool:
                return (await rig.client.get("/readyz")).status_code == 200

            await async_wait_until(ready, within=60, what="the gateway to be ready")

    assert unready.status_code == 503
    assert f"The database has version {newest}, this build needs 9999" in unready.json()["detail"]
    assert "scheduler --migrate" in unready.json()["detail"]


async def test_what_happens_is_counted(rig):
    await rig.tool()
    await rig.call()
    await rig.call("other")

    text = (await rig.client.get("/metrics")).text

    assert "toolyard_gateway_calls_accepted_total 1" in text
    assert 'toolyard_gateway_refused_total{code="tool_not_found"} 1' in text
    assert "toolyard_gateway_open_calls 0" in text


# ---- stopping -----------------------------------------------------------------------------------


async def test_a_gateway_that_stops_takes_no_calls_but_answers_those_who_wait(template, tmp_path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool()
        waiting = asyncio.create_task(rig.call())
        await rig.worker.took.wait()

        stopping = asyncio.create_task(drain(rig.parts))
        await asyncio.sleep(0)
        refused = await rig.call()
        unready = await rig.client.get("/readyz")
        await rig.worker.tell(rig.worker.succeeded(rig.worker.seen[0], "in time"))

        assert (await waiting).json()["result"]["structured"] == "in time"
        await stopping
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert (unready.status_code, unready.headers["Retry-After"]) == (503, "1")


async def test_who_would_wait_too_long_is_sent_away_with_the_call_as_it_stands(template, tmp_path):
    async with running(template, tmp_path, answer=never) as rig:
        await rig.tool()
        waiting = asyncio.create_task(rig.call())
        await rig.worker.took.wait()

        await drain(rig.parts, patience=0.01)

        response = await waiting
        assert response.status_code == 202
        assert response.headers["Location"].endswith(response.json()["call_id"])
