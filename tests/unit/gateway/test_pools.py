"""Pools, and what is paused: what is published, who may, and how it is shown."""

import pytest
from msgspec import structs
from tests.support.waiting import async_wait_until
from tests.unit.gateway.rig import ECHO, START, SetClock, running
from tests.unit.shared.contracts.samples import BREAKERS, HEARTBEATS

from toolyard.clock import rfc3339
from toolyard.contracts.control import Pause, Resume
from toolyard.store.base import PauseRow, PoolLoad
from toolyard_gateway.isolation import KEPT


def published(rig):
    records = [one for one in rig.journal.read(0, 1_000) if one.key.startswith(("control.pause", "control.r"))]
    return [(record.key, rig.envelope.open_control(record)) for record in records]


@pytest.mark.parametrize(
    ("path", "kind", "org", "name", "key"),
    [
        ("/v1/tools/echo", "tool", "default", "echo", "-.default.gw-1.echo"),
        ("/v1/pools/http", "pool", "-", "http", "http.-.gw-1.-"),
        ("/v1", "org", "default", "default", "-.default.gw-1.-"),
    ],
)
async def test_a_pause_and_its_end_are_published_and_confirmed(rig, path, kind, org, name, key):
    await rig.tool()

    paused = await rig.client.post(f"{path}/pause")
    resumed = await rig.client.post(f"{path}/resume")

    assert (paused.status_code, paused.json()) == (200, {"kind": kind, "name": name, "paused": True})
    assert (resumed.status_code, resumed.json()) == (200, {"kind": kind, "name": name, "paused": False})
    (first, pause), (second, resume) = published(rig)
    assert (first, second) == (f"control.pause.{key}", f"control.resume.{key}")
    assert isinstance(pause, Pause)
    assert isinstance(resume, Resume)
    for message in (pause, resume):
        assert (message.kind, message.org, message.name) == (kind, org, name)


@pytest.mark.parametrize("path", ["/v1/tools/echo", "/v1/pools/http", "/v1"])
async def test_what_is_not_confirmed_is_not_answered_200(rig, path):
    await rig.tool()
    await rig.transport.close()

    for verb in ("pause", "resume"):
        response = await rig.client.post(f"{path}/{verb}")
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")


@pytest.mark.parametrize("verb", ["pause", "resume"])
@pytest.mark.parametrize(
    ("path", "code"),
    [("/v1/tools/ehco", "tool_not_found"), ("/v1/pools/htp", "not_found"), ("/v1/pools/-", "not_found")],
)
async def test_what_there_is_not_cannot_be_paused(rig, path, code, verb):
    await rig.tool()

    response = await rig.client.post(f"{path}/{verb}")

    assert (response.status_code, response.json()["code"]) == (404, code)
    assert published(rig) == []


@pytest.mark.parametrize("path", ["/v1/tools/echo/pause", "/v1/pools/http/resume", "/v1/pause"])
async def test_a_body_is_not_ignored(rig, path):
    await rig.tool()

    said = await rig.client.post(path, json={"until": "2030-01-01T00:00:00Z"})
    nothing = await rig.client.post(path, json={})

    assert (said.status_code, said.json()["code"]) == (422, "validation_failed")
    assert "has no body" in said.json()["detail"]
    assert nothing.status_code == 200
    assert len(published(rig)) == 1


async def test_who_asks_is_known_before_the_body_is_read(rig):
    response = await rig.client.post("/v1/pause", content=b"{" * 10, headers={"Authorization": "Bearer nobody"})

    assert response.status_code == 401


async def test_pools_are_shared_and_other_orgs_do_not_pause_them(rig):
    theirs = await rig.key("admin", org="other")

    for verb in ("pause", "resume"):
        response = await rig.client.post(f"/v1/pools/http/{verb}", headers=theirs)
        assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
        assert "org 'default'" in response.json()["detail"]
    assert published(rig) == []


async def test_an_org_pauses_its_own_tools_and_itself(rig):
    await rig.tool()
    theirs = await rig.key("admin", org="other")

    missing = await rig.client.post("/v1/tools/echo/pause", headers=theirs)
    itself = await rig.client.post("/v1/pause", headers=theirs)

    assert missing.status_code == 404
    assert itself.json() == {"kind": "org", "name": "other", "paused": True}
    assert [message.org for _, message in published(rig)] == ["other"]


async def test_a_tool_that_was_deleted_while_it_was_paused_can_be_resumed(rig):
    await rig.tool()
    await rig.client.delete("/v1/tools/echo", headers={"If-Match": '"1"'})
    rig.stores.pauses.rows = [PauseRow("tool", "default", "echo", 1.0)]

    assert (await rig.client.post("/v1/tools/echo/resume")).status_code == 200
    assert (await rig.client.post("/v1/tools/echo/pause")).status_code == 404


async def test_a_tool_shows_whether_it_is_paused(rig):
    await rig.tool()
    await rig.tool(name="other")
    rig.stores.pauses.rows = [PauseRow("tool", "default", "echo", 1.0), PauseRow("pool", "-", "other", 1.0)]

    echo, other = [(await rig.client.get(f"/v1/tools/{name}")).json() for name in ("echo", "other")]
    page = (await rig.client.get("/v1/tools")).json()

    assert (echo["paused"], other["paused"]) == (True, False)
    assert {tool["name"]: tool["paused"] for tool in page["items"]} == {"echo": True, "other": False}


async def test_a_paused_tools_calls_are_accepted(rig):
    await rig.tool()
    rig.stores.pauses.rows = [PauseRow("tool", "default", "echo", 1.0)]

    assert (await rig.call()).status_code == 200  # the stand-in of a worker knows no pauses


async def test_pools_show_what_waits_and_runs_in_them(template, tmp_path):
    clock = SetClock()
    async with running(template, tmp_path, clock=clock) as rig:
        rig.stores.calls.loads = [
            PoolLoad("http", 3, 2, START - 12.5, START - 60),
            PoolLoad("lambda", 0, 1, None, None),
        ]
        rig.stores.pauses.rows = [PauseRow("pool", "-", "sandbox", 1.0), PauseRow("org", "default", "default", 1.0)]

        page = (await rig.client.get("/v1/pools")).json()

        quiet = {"paused": False, "breakers": [], "isolation": None}
        nothing = {"backlog": 0, "oldest": None, "running": 0, "last_success": None} | quiet
        said = {"backlog": 0, "oldest": 12.5, "running": 2, "last_success": rfc3339(START - 60)} | quiet
        assert page["items"] == [
            {"name": "http"} | said,
            {"name": "sandbox"} | nothing | {"paused": True},
            {"name": "lambda"} | nothing | {"running": 1},
            {"name": "arcade"} | nothing,
        ]
        assert (page["next_cursor"], page["org_paused"]) == (None, True)


async def test_pools_show_the_breakers_of_the_orgs_own_calls(template, tmp_path):
    clock = SetClock()
    async with running(template, tmp_path, clock=clock) as rig:

        async def told(**fields):
            message = rig.envelope.breaker(structs.replace(BREAKERS["breaker"], org="default", **fields))
            await rig.transport.publish(message)

        async def shown(wanted):
            async def look():
                page = (await rig.client.get("/v1/pools")).json()
                found = {pool["name"]: pool["breakers"] for pool in page["items"] if pool["breakers"]}
                return found if set(found) == wanted else None

            return await async_wait_until(look, within=60, what=f"the breakers of {wanted}")

        await told()
        await told(circuit="a.example:80", state="half_open", seconds=0.0)
        await told(pool="lambda", circuit="eu-central-1/prices")
        since = rfc3339(BREAKERS["breaker"].since)
        common = {"since": since, "failures": 20}
        api = {"circuit": "api.example.com:443", "state": "open", "retry_after": 1.5} | common
        assert await shown({"http", "lambda"}) == {
            "http": [{"circuit": "a.example:80", "state": "half_open", "retry_after": 0.0} | common, api],
            "lambda": [api | {"circuit": "eu-central-1/prices"}],
        }
        other = await rig.key("caller", "operator", org="other")
        page = (await rig.client.get("/v1/pools", headers=other)).json()
        assert [pool["breakers"] for pool in page["items"]] == [[], [], [], []]

        await told(pool="lambda", circuit="eu-central-1/prices", state="closed")
        assert len((await shown({"http"}))["http"]) == 2


async def test_pools_show_the_weakest_isolation_of_their_workers(template, tmp_path):
    clock = SetClock()
    async with running(template, tmp_path, clock=clock) as rig:

        async def beat(worker, level, pool="sandbox"):
            heartbeat = structs.replace(HEARTBEATS["heartbeat"], worker=worker, pool=pool, isolation=level)
            await rig.transport.publish(rig.envelope.heartbeat(heartbeat))

        async def shown(wanted):
            async def look():
                page = (await rig.client.get("/v1/pools")).json()
                return [pool["isolation"] for pool in page["items"]] == [None, wanted, None, None]

            await async_wait_until(look, within=60, what=f"the isolation {wanted}")

        await shown(None)
        await beat("w1", "full")
        await shown("full")
        await beat("w2", "degraded")
        await shown("degraded")
        await beat("w2", "container")
        await shown("container")
        for worker, level, pool in (("w3", "of the future", "sandbox"), ("w4", "degraded", "http")):
            await beat(worker, level, pool)
        clock.move(KEPT)
        await beat("w1", "full")
        clock.move(0.1)
        await shown("full")


async def test_the_backlog_is_what_waits_in_the_queue(rig, monkeypatch):
    counts = {"toolyard.call.http": 7}

    async def backlog(queue):
        return counts.get(queue, 0)

    monkeypatch.setattr(rig.transport, "backlog", backlog)

    page = (await rig.client.get("/v1/pools")).json()

    assert [pool["backlog"] for pool in page["items"]] == [7, 0, 0, 0]


async def test_a_definition_that_was_read_is_one_again_without_what_the_gateway_adds(rig):
    await rig.tool()
    read = (await rig.client.get("/v1/tools/echo")).json()

    for added in ("version", "paused"):
        assert read.pop(added) is not None
    saved = await rig.client.put("/v1/tools/echo", json=read, headers={"If-Match": '"1"'})

    assert saved.status_code == 200
    assert saved.json()["binding"] == ECHO["binding"]
