"""Authorizations over HTTP: listed to the org alone, and webhooks that let calls go on, if they are signed."""

import asyncio
import hmac
import io
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.logged import logged as logged_by_a_service
from tests.support.numbers import text
from tests.unit.gateway.rig import START, Rig, SetClock, running

from toolyard.consent.nango_names import authorization_id
from toolyard.contracts.calls import Authorization
from toolyard.contracts.control import Authorized
from toolyard.store.ledger_consents import Asked
from toolyard.transport.base import Record

KEY = "whsec-of-the-org-0001"
CALLBACK = "/v1/authorizations/callback/nango"
HEADER = "X-Nango-Hmac-Sha256"
EVENT: dict[str, Any] = {
    "from": "nango",
    "type": "auth",
    "operation": "creation",
    "success": True,
    "connectionId": "c1",
    "providerConfigKey": "github",
    "provider": "github",
    "environment": "prod",
    "authMode": "OAUTH2",
    "tags": {"end_user_id": "ada", "organization_id": "default"},
}


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that is logged."""
    with logged_by_a_service(service="gateway", level="debug") as written:
        yield written


def note(rig: Rig, user: str = "ada", *, org: str = "default", integration: str = "github", **fields: Any) -> str:
    """The ledger notes that this user is asked; the id of it."""
    given: dict[str, Any] = {
        "authorization_id": authorization_id(org, user, integration),
        "provider": f"nango/{integration}",
        "url": f"https://connect.example/{user}",
        "scopes": ("repo",),
        "expires_at": START + 600.0,
    }
    at = fields.pop("at", START)
    consent = Authorization(**given | fields)
    place = rig.store.ledger.position()
    with rig.store.ledger.batch(place.epoch, place.offset, place.offset + 1, "record", START) as batch:
        batch.asked_for(consent, Asked(org, user, "lookup", f"call-of-{user}"), at)
    return consent.authorization_id


def end(rig: Rig, one: str, status: str, *, at: float = START + 9.0) -> None:
    place = rig.store.ledger.position()
    with rig.store.ledger.batch(place.epoch, place.offset, place.offset + 1, "record", START) as batch:
        batch.authorized("default", "nango/github", one, status, at)


async def keep(rig: Rig, name: str = "NANGO_WEBHOOK_KEY", value: str = KEY, org: str = "default") -> None:
    await rig.parts.store.ask(rig.parts.vault.create, org, name, value, by="admin")


def raw(**changed: Any) -> bytes:
    return json.dumps({name: value for name, value in (EVENT | changed).items() if value is not ...}).encode()


async def send(rig: Rig, body: bytes, *, key: str = KEY, **headers: str) -> httpx.Response:
    """What Nango sends: without an API key."""
    signature = hmac.new(key.encode(), body, sha256).hexdigest()
    given = {HEADER: signature, "Content-Type": "application/json"} | headers
    request = httpx.Request("POST", f"http://gateway{CALLBACK}", content=body, headers=given)
    return await rig.client.send(request, auth=None)


def told(rig: Rig) -> list[Authorized]:
    """What was said about authorizations."""
    records: list[Record] = [one for one in rig.journal.read(0, 1_000) if one.key.startswith("control.authorized.")]
    found = [rig.envelope.open_control(record) for record in records]
    return [message for message in found if isinstance(message, Authorized)]


def counted(rig: Rig, result: str) -> str | None:
    start = f'toolyard_authorization_callbacks_total{{provider="nango",result="{result}"}} '
    lines = text(rig.parts.metrics.board).splitlines()
    return next((line.removeprefix(start) for line in lines if line.startswith(start)), None)


async def items(rig: Rig, query: str = "", **sent: Any) -> list[dict[str, Any]]:
    answer = await rig.client.get(f"/v1/authorizations{query}", **sent)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


# ---- what is listed -----------------------------------------------------------------------------
async def test_what_a_user_is_asked_is_listed_with_its_link_until_it_is_over(template: Path, tmp_path: Path):
    async with running(template, tmp_path, clock=SetClock()) as rig:
        one = note(rig)
        (shown,) = await items(rig)
        assert shown == {
            "authorization_id": one,
            "provider": "nango/github",
            "user": "ada",
            "tool": "lookup",
            "call_id": "call-of-ada",
            "status": "pending",
            "scopes": ["repo"],
            "url": "https://connect.example/ada",
            "created_at": "2027-01-15T08:00:00.000Z",
            "changed_at": "2027-01-15T08:00:00.000Z",
            "expires_at": "2027-01-15T08:10:00.000Z",
        }
        end(rig, one, "completed")
        (shown,) = await items(rig)
        assert (shown["status"], shown["changed_at"]) == ("completed", "2027-01-15T08:00:09.000Z")
        assert "url" not in shown


async def test_a_link_that_has_expired_is_not_shown(template: Path, tmp_path: Path):
    clock = SetClock()
    async with running(template, tmp_path, clock=clock) as rig:
        note(rig)
        clock.move(600.0)
        (shown,) = await items(rig)
        assert (shown["status"], "url" in shown) == ("pending", False)


async def test_the_list_is_filtered_and_paged(rig: Rig):
    note(rig, at=START)
    note(rig, "bob", at=START + 1.0)
    end(rig, note(rig, "eve", at=START + 2.0), "failed")

    assert [one["user"] for one in await items(rig, "?user=bob")] == ["bob"]
    assert [one["user"] for one in await items(rig, "?status=failed")] == ["eve"]
    assert await items(rig, "?provider=arcade/google") == []
    first = (await rig.client.get("/v1/authorizations?limit=2")).json()
    assert [one["user"] for one in first["items"]] == ["eve", "bob"]
    rest = await items(rig, f"?limit=2&cursor={first['next_cursor']}")
    assert [one["user"] for one in rest] == ["ada"]


@pytest.mark.parametrize(
    ("query", "path"), [("cursor=none", "cursor"), ("status=done", "status"), ("limit=0", "limit"), ("usr=a", "usr")]
)
async def test_a_wrong_query_is_refused_by_name(rig: Rig, query: str, path: str):
    answer = await rig.client.get(f"/v1/authorizations?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, path)


async def test_another_org_sees_none_of_it(rig: Rig):
    note(rig)
    note(rig, "zoe", org="other")
    theirs = await rig.key("caller", org="other")
    assert [one["user"] for one in await items(rig, headers=theirs)] == ["zoe"]
    assert [one["user"] for one in await items(rig)] == ["ada"]


async def test_without_a_key_nothing_is_listed(rig: Rig):
    answer = await rig.client.get("/v1/authorizations", headers={"Authorization": ""})
    assert answer.status_code == 401


# ---- webhooks that count ------------------------------------------------------------------------
async def test_a_signed_webhook_lets_the_calls_of_its_user_go_on(rig: Rig):
    await keep(rig)
    one = note(rig)
    note(rig, "bob")
    note(rig, integration="slack")

    answer = await send(rig, raw())

    assert (answer.status_code, answer.json()) == (200, {"result": "resumed"})
    (said,) = told(rig)
    assert (said.org, said.provider, said.authorization_id) == ("default", "nango/github", one)
    assert (said.status, said.sender) == ("completed", "gw-1")
    assert counted(rig, "resumed") == "1"


async def test_without_a_signing_key_of_its_own_the_api_key_signs(rig: Rig):
    await keep(rig, "NANGO_SECRET_KEY", "api-key")
    note(rig)
    assert (await send(rig, raw(), key="api-key")).json() == {"result": "resumed"}


async def test_where_there_is_a_signing_key_the_api_key_does_not_sign(rig: Rig):
    await keep(rig)
    await keep(rig, "NANGO_SECRET_KEY", "api-key")
    note(rig)
    assert (await send(rig, raw(), key="api-key")).status_code == 401
    assert told(rig) == []


async def test_the_org_may_stand_where_older_ones_have_it(rig: Rig):
    await keep(rig)
    note(rig)
    body = raw(tags=..., endUser={"endUserId": "ada", "organizationId": "default"})
    assert (await send(rig, body)).json() == {"result": "resumed"}


async def test_one_that_comes_again_does_nothing(rig: Rig):
    await keep(rig)
    one = note(rig)
    answers = [(await send(rig, raw())).json()["result"] for _ in range(3)]
    assert answers == ["resumed", "repeated", "repeated"]
    assert len(told(rig)) == 1

    end(rig, one, "completed")
    note(rig, at=START + 100.0)
    assert (await send(rig, raw())).json() == {"result": "repeated"}, "an old one resumes nothing that is asked anew"
    assert (await send(rig, raw(connectionId="c2"))).json() == {"result": "resumed"}


async def test_one_that_was_not_published_is_taken_when_it_comes_again(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    await keep(rig)
    note(rig)
    with monkeypatch.context() as broken:
        broken.setattr(type(rig.transport), "publish", lambda *_: asyncio.get_running_loop().create_task(_lost()))
        assert (await send(rig, raw())).status_code == 503
    assert (await send(rig, raw())).json() == {"result": "resumed"}


async def _lost() -> None:
    from toolyard.errors import Unconfirmed

    raise Unconfirmed("the broker did not confirm it")


@pytest.mark.parametrize("status", ["completed", "failed", "expired"])
async def test_what_is_over_stays_as_it_is(rig: Rig, status: str):
    await keep(rig)
    end(rig, note(rig), status, at=START + 600.0)
    assert (await send(rig, raw())).json() == {"result": "repeated"}
    assert told(rig) == []


@pytest.mark.parametrize(
    ("changed", "result"),
    [
        ({"success": False}, "unsuccessful"),
        ({"type": "sync"}, "other"),
        ({"providerConfigKey": "slack"}, "nothing_waits"),
        ({"tags": {"end_user_id": "bob", "organization_id": "default"}}, "nothing_waits"),
        ({"tags": {"organization_id": "default"}}, "nothing_waits"),
    ],
    ids=["not successful", "another type", "another integration", "another user", "no user"],
)
async def test_what_is_about_something_else_resumes_nothing(rig: Rig, changed: dict[str, Any], result: str):
    await keep(rig)
    note(rig)
    answer = await send(rig, raw(**changed))
    assert (answer.status_code, answer.json()) == (200, {"result": result})
    assert told(rig) == []


# ---- webhooks that are refused ------------------------------------------------------------------
async def test_another_orgs_key_signs_nothing_for_this_one(rig: Rig):
    await keep(rig)
    await keep(rig, value="whsec-of-another-org", org="other")
    note(rig)
    assert (await send(rig, raw(), key="whsec-of-another-org")).status_code == 401
    assert told(rig) == []


async def test_an_org_cannot_tell_of_another_ones_users(rig: Rig):
    """Signed by the other one's key, and tagged with it, it leads to the other one's authorizations alone."""
    await keep(rig, value="whsec-of-another-org", org="other")
    note(rig)
    body = raw(
        tags={"end_user_id": "ada", "organization_id": "other"},
        endUser={"endUserId": "ada", "organizationId": "default"},
    )
    assert (await send(rig, body, key="whsec-of-another-org")).json() == {"result": "nothing_waits"}
    assert told(rig) == []


UNSIGNED = raw()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (UNSIGNED, {HEADER: ""}),
        (UNSIGNED, {HEADER: "0" * 64}),
        (UNSIGNED, {HEADER: sha256(KEY.encode() + UNSIGNED).hexdigest()}),
        (raw(tags={"end_user_id": "ada", "organization_id": "nobody"}), {}),
        (raw(tags={"end_user_id": "ada", "organization_id": "../x"}), {}),
        (raw(tags=...), {}),
        (raw(tags=[1]), {}),
        (b"[" * 60_000, {}),
        (b"\xff", {}),
        (b"", {}),
        (raw(connectionId=...), {}),
    ],
    ids=[
        *("no signature", "forged", "the older signature", "unknown org", "no name of an org", "of no org", "no tags"),
        *("deep", "no text", "nothing", "not whole"),
    ],
)
async def test_what_nobody_has_signed_is_refused_and_noted(
    rig: Rig, logged: io.StringIO, body: bytes, headers: dict[str, str]
):
    await keep(rig)
    note(rig)

    answer = await send(rig, body, **headers)

    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "unauthenticated"
    assert "nobody" not in answer.text, "who asks learns nothing about which orgs there are"
    assert told(rig) == []
    assert counted(rig, "refused") == "1"
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    (line,) = [line for line in lines if line["event"] == "a webhook was refused"]
    assert (line["provider"], line["sender"]) == ("nango", "127.0.0.1")
    assert KEY not in logged.getvalue()


async def test_one_that_is_too_long_is_not_read(rig: Rig):
    await keep(rig)
    answer = await send(rig, raw(filler="x" * 65_536))
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


async def test_a_gateway_without_keys_refuses_all_and_says_why_in_its_log(
    template: Path, tmp_path: Path, logged: io.StringIO
):
    async with running(template, tmp_path, secret_keys=None) as rig:
        assert (await send(rig, raw())).status_code == 401
    assert "TOOLYARD_SECRETS_KEY is not set" in logged.getvalue()


async def test_while_the_store_is_away_it_is_to_be_sent_again(rig: Rig):
    await keep(rig)
    rig.stores.away()
    answer = await send(rig, raw())
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "Retry-After" in answer.headers


async def test_more_at_a_time_than_are_looked_at_are_to_be_sent_again(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    await keep(rig)
    monkeypatch.setattr(rig.parts.callbacks, "_places", asyncio.Semaphore(0))
    answer = await send(rig, raw())
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert counted(rig, "busy") == "1"
