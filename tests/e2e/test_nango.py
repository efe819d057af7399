"""Tools that sign in through Nango, in `toolyard dev` beside a fake of it: the secret, the user, the link."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.embedded import Dev
from tests.support.nango.environment import FakeEnvironment
from tests.support.nango.server import FakeNango

KEY = "nango-key-of-the-org-0001"


@pytest.fixture(scope="module")
def nango() -> Iterator[FakeNango]:
    with FakeNango(FakeEnvironment(KEY)) as fake:
        yield fake


@pytest.fixture(scope="module")
def dev(nango: FakeNango, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    opened = nango.url.removeprefix("http://")
    env = {"TOOLYARD_NANGO_URL": nango.url, "TOOLYARD_EGRESS_ALLOW": opened}
    folder: Path = tmp_path_factory.mktemp("nango")
    with Dev(folder, env=env) as running:
        kept = running.client.post("/v1/secrets", json={"name": "NANGO_SECRET_KEY", "value": KEY})
        assert kept.status_code == 201, kept.text
        for mode in ("token", "proxy"):
            signed_in: dict[str, Any] = {"type": "nango", "integration": "github", "mode": mode}
            binding = {"type": "http", "method": "GET", "url": f"{nango.url}/provider/me", "authentication": signed_in}
            running.create_tool(f"by-{mode}", binding)
        yield running


def test_a_call_is_made_with_the_token_of_its_user_which_nobody_is_told(dev: Dev, nango: FakeNango):
    token = nango.environments[KEY].connect("ann").token
    call = dev.call("by-token", user="ann", wait=30)
    assert call["state"] == "succeeded", call
    assert call["result"]["structured"]["headers"]["authorization"] == "Bearer [redacted:NANGO_SECRET_KEY.token]"
    assert nango.asked("/provider")[-1].headers["authorization"] == f"Bearer {token}"


def test_a_call_goes_through_the_proxy_with_the_connection_of_its_user(dev: Dev, nango: FakeNango):
    token = nango.environments[KEY].connect("eve").token
    call = dev.call("by-proxy", user="eve", wait=30)
    assert (call["state"], call["effect"]) == ("succeeded", "done"), call
    assert len(nango.asked("/proxy")) == 1
    assert nango.asked("/provider")[-1].headers["authorization"] == f"Bearer {token}"


def test_a_user_without_a_connection_is_given_a_link(dev: Dev):
    call = dev.call("by-token", user="bob", wait=30)
    assert (call["state"], call["effect"]) == ("awaiting_authorization", "none")
    asked = call["authorization"]
    assert asked["provider"] == "nango/github"
    assert "/connect?session_token=" in asked["url"]


def test_a_call_of_nobody_is_refused(dev: Dev):
    refused = dev.client.post("/v1/calls", json={"tool": "by-token", "arguments": {}})
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "user")


def test_who_follows_the_link_has_their_call_go_on_and_nobody_elses(dev: Dev, nango: FakeNango):
    signed = nango.environments[KEY].signing_key
    kept = dev.client.post("/v1/secrets", json={"name": "NANGO_WEBHOOK_KEY", "value": signed})
    assert kept.status_code == 201, kept.text
    nango.webhook = f"{dev.told['address']}/v1/authorizations/callback/nango"
    cleo, dan = (dev.call("by-token", user=user, wait=30) for user in ("cleo", "dan"))
    assert cleo["authorization"]["authorization_id"] != dan["authorization"]["authorization_id"]

    assert httpx.get(cleo["authorization"]["url"], trust_env=False).text == "connected"

    ended = dev.client.get(f"/v1/calls/{cleo['call_id']}", params={"wait": 60}).json()
    assert (ended["state"], ended["attempts"], ended.get("authorization")) == ("succeeded", 2, None), ended
    listed = dev.client.get("/v1/authorizations", params={"limit": 2}).json()["items"]
    assert {one["user"]: (one["status"], "url" in one) for one in listed} == {
        "cleo": ("completed", False),
        "dan": ("pending", True),
    }
    metrics = dev.client.get("/metrics").text
    assert 'toolyard_authorization_callbacks_total{provider="nango",result="resumed"} 1' in metrics


def test_a_user_can_be_asked_before_any_call_waits(dev: Dev, nango: FakeNango):
    wanted = {"tool": "by-token", "user": "fay"}
    asked = dev.client.post("/v1/authorizations/start", json=wanted).json()
    assert asked["status"] == "pending", asked
    assert httpx.get(asked["authorization"]["url"], trust_env=False).text == "connected"

    assert dev.client.post("/v1/authorizations/start", json=wanted).json()["status"] == "completed"
    call = dev.call("by-token", user="fay", wait=30)
    assert (call["state"], call["attempts"]) == ("succeeded", 1), call
    (listed,) = dev.client.get("/v1/authorizations", params={"user": "fay"}).json()["items"]
    assert (listed["tool"], listed["call_id"]) == ("by-token", None)
