"""Webhooks at the HTTP edge: who may manage them, what a change does, and that secrets are told once."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from tests.unit.gateway.live_feed import FakeScheduler
from tests.unit.gateway.rig import Rig, running

from toolyard.store.webhooks import secret_name

URL = "https://example.com/hooks"
BODY = {"url": URL, "events": ["io.toolyard.call.failed.v1"], "tools": ["echo"], "description": "for the books"}


@pytest.fixture
async def leader(rig: Rig) -> AsyncIterator[FakeScheduler]:
    """Somebody who knows what has happened up to now."""
    scheduler = FakeScheduler(rig.transport, rig.envelope)
    await scheduler.start()
    yield scheduler
    await scheduler.stop()


async def add(rig: Rig, **more: object) -> dict[str, str]:
    made = await rig.client.post("/v1/webhooks", json=BODY | more)
    assert made.status_code == 201, made.text
    found: dict[str, str] = made.json()
    return found


async def secrets_of(rig: Rig, *ids: str) -> list[str | None]:
    return [rig.parts.vault.get("default", name) for name in ids]


async def test_a_webhook_is_told_what_comes_behind_this_moment_and_its_secret_is_shown_once(
    rig: Rig, leader: FakeScheduler
):
    leader.log.tell()
    made = await rig.client.post("/v1/webhooks", json=BODY)
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    shown = {name: value for name, value in made.json().items() if name != "secret"}
    path = f"/v1/webhooks/{shown['webhook_id']}"
    assert shown.items() >= {**BODY, "enabled": True}.items()
    assert (await rig.client.get(path)).json() == shown
    assert (await rig.client.get("/v1/webhooks")).json()["items"] == [shown]
    row = rig.store.webhooks.get("default", shown["webhook_id"])
    assert row is not None
    assert row.place.offset == leader.log.end
    assert await secrets_of(rig, secret_name(row.webhook_id, row.secret_id)) == [made.json()["secret"]]


async def test_the_same_request_makes_one_webhook(rig: Rig, leader: FakeScheduler):
    headers = {"Idempotency-Key": "k1"}
    first = await rig.client.post("/v1/webhooks", json=BODY, headers=headers)
    again = await rig.client.post("/v1/webhooks", json=BODY, headers=headers)
    assert again.json() == first.json()
    rig.parts.replays.__init__(rig.parts.clock)  # another gateway, or this one after a restart
    other = await rig.client.post("/v1/webhooks", json=BODY, headers=headers)
    assert (other.status_code, other.json()["webhook_id"]) == (409, first.json()["webhook_id"])
    assert len((await rig.client.get("/v1/webhooks")).json()["items"]) == 1


async def test_what_is_not_given_stays_as_it_is(rig: Rig, leader: FakeScheduler):
    made = await add(rig)
    path = f"/v1/webhooks/{made['webhook_id']}"
    changed = (await rig.client.patch(path, json={"events": [], "enabled": False})).json()
    assert (changed["events"], changed["tools"], changed["url"], changed["enabled"]) == ([], ["echo"], URL, False)
    rig.store.webhooks.disable(made["webhook_id"], "gone", 50.0)
    enabled = (await rig.client.patch(path, json={"enabled": True})).json()
    assert enabled["enabled"]
    assert "disabled_reason" not in enabled
    refused = await rig.client.patch(path, json={"url": "http://10.9.9.9/"})
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "url")
    assert (await rig.client.patch(path, json={"secret": "mine"})).status_code == 422


async def test_of_three_secrets_two_are_kept_and_of_a_deleted_webhook_none(rig: Rig, leader: FakeScheduler):
    made = await add(rig)
    path, names = f"/v1/webhooks/{made['webhook_id']}", []
    for _ in range(3):
        row = rig.store.webhooks.get("default", made["webhook_id"])
        assert row is not None
        names.append(secret_name(row.webhook_id, row.secret_id))
        rotated = (await rig.client.post(f"{path}/rotate")).json()
    assert rotated["previous_secret_until"] > rotated["updated_at"]
    kept = [value is not None for value in await secrets_of(rig, *names)]
    assert kept == [False, False, True]
    assert (await rig.client.delete(path)).status_code == 204
    assert await secrets_of(rig, *names) == [None, None, None]
    assert (await rig.client.get(path)).status_code == 404


async def test_a_secret_of_a_webhook_cannot_be_reached_as_one_of_the_org(rig: Rig, leader: FakeScheduler):
    made = await add(rig)
    row = rig.store.webhooks.get("default", made["webhook_id"])
    assert row is not None
    path = f"/v1/secrets/{secret_name(row.webhook_id, row.secret_id)}"
    asked = [
        await rig.client.get(path),
        await rig.client.put(path, json={"value": "mine"}),
        await rig.client.delete(path),
    ]
    assert {answer.status_code for answer in asked} == {404}
    assert await secrets_of(rig, secret_name(row.webhook_id, row.secret_id)) == [made["secret"]]


@pytest.mark.parametrize(
    ("role", "status"), [("operator", 200), ("caller", 403), ("author", 403), ("approver", 403), ("admin", 200)]
)
async def test_operators_and_admins_manage_webhooks(rig: Rig, role: str, status: int):
    assert (await rig.client.get("/v1/webhooks", headers=await rig.key(role))).status_code == status


async def test_a_gateway_without_a_key_says_what_to_set(template: Path, tmp_path: Path):
    async with running(template, tmp_path, secret_keys=None) as rig:
        answer = await rig.client.post("/v1/webhooks", json=BODY)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "TOOLYARD_SECRETS_KEY" in answer.json()["detail"]


async def test_an_org_that_has_too_many_is_left_with_no_more_secrets(rig: Rig, leader: FakeScheduler):
    answers: list[httpx.Response] = [await rig.client.post("/v1/webhooks", json={"url": URL}) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [201] * 20 + [409]
    assert len(rig.store.secrets.sealed_with("test", limit=99)) == 20
