"""Webhooks of the whole system: signed as receivers verify it, tried again, and none lost when it is killed."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from standardwebhooks.webhooks import WebhookVerificationError
from tests.support import waiting
from tests.support.embedded import Dev, clean_environment
from tests.support.processes import console_script, free_port
from tests.support.receiver import Receiver, receiving

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.timeout(240)]

LIFE = ["accepted", "running", "succeeded"]


def until(there_is: Callable[[], Any], *, what: str) -> Any:
    return waiting.wait_until(there_is, within=60, what=what)


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """`toolyard dev` whose webhooks may go to this machine."""
    with Dev(tmp_path_factory.mktemp("dev"), env={"TOOLYARD_EGRESS_ALLOW": "127.0.0.1"}) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def add(dev: Dev, url: str, **more: Any) -> dict[str, Any]:
    made = dev.client.post("/v1/webhooks", json={"url": url, **more})
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


def call(dev: Dev, city: str = "Bern") -> str:
    done = dev.client.post("/v1/calls", json={"tool": "weather", "arguments": {"city": city}})
    assert done.status_code == 200, done.text
    return str(done.json()["call_id"])


def deliveries(dev: Dev, webhook: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dev.client.get(f"/v1/webhooks/{webhook['webhook_id']}/deliveries").json()["items"]
    return found


def shown(dev: Dev, webhook: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = dev.client.get(f"/v1/webhooks/{webhook['webhook_id']}").json()
    return found


def test_what_happens_is_delivered_signed_as_cloudevents(dev: Dev, receiver: Receiver):
    webhook = add(dev, receiver.url, tools=["weather"])
    call_id = call(dev)
    got = receiver.wait_for(3)
    assert sorted(receiver.events(webhook["secret"])) == sorted((call_id, state) for state in LIFE)
    assert {each.headers["content-type"] for each in got} == {"application/cloudevents+json"}
    assert [JSONFormat().read(CloudEvent, each.body).get_id() for each in got] == [each.id for each in got]
    with pytest.raises(WebhookVerificationError):
        got[0].verified(webhook["secret"][:-8] + "AAAAAAA=")
    kept = until(lambda: found if len(found := deliveries(dev, webhook)) == 3 else None, what="the deliveries")
    assert {(one["state"], one["status"], one["attempts"]) for one in kept} == {("delivered", 204, 1)}
    assert {one["event_id"] for one in kept} == {each.id for each in got}
    assert "secret" not in shown(dev, webhook)


def test_only_what_is_wanted_is_delivered(dev: Dev, receiver: Receiver):
    webhook = add(dev, receiver.url, events=["io.toolyard.call.failed.v1"])
    call(dev)
    failed = call(dev, "Atlantis")
    receiver.wait_for(1)
    assert receiver.events(webhook["secret"]) == [(failed, "failed")]


def test_a_delivery_that_fails_is_tried_again_and_a_test_takes_the_real_path(dev: Dev):
    with receiving(lambda n: (503, {}) if n == 0 else (200, {})) as receiver:
        webhook = add(dev, receiver.url)
        made = dev.client.post(f"/v1/webhooks/{webhook['webhook_id']}/test")
        assert made.status_code == 202
        first, second = receiver.wait_for(2)
        assert first.id == second.id == made.json()["event_id"]
        assert first.verified(webhook["secret"]) == second.verified(webhook["secret"])
        assert second.verified(webhook["secret"])["type"] == "io.toolyard.webhook.test.v1"
        (kept,) = until(
            lambda: found if (found := deliveries(dev, webhook))[0]["state"] == "delivered" else None, what="the end"
        )
    assert (kept["attempts"], kept["status"]) == (2, 200)


def test_both_secrets_sign_after_a_rotation_and_the_older_ones_do_not(dev: Dev, receiver: Receiver):
    webhook = add(dev, receiver.url)
    path = f"/v1/webhooks/{webhook['webhook_id']}"
    secrets = [webhook["secret"], *(dev.client.post(f"{path}/rotate").json()["secret"] for _ in range(2))]
    dev.client.post(f"{path}/test")
    (got,) = receiver.wait_for(1)
    assert got.headers["webhook-signature"].count("v1,") == 2
    assert got.verified(secrets[1]) == got.verified(secrets[2])
    with pytest.raises(WebhookVerificationError):
        got.verified(secrets[0])
    assert shown(dev, webhook)["previous_secret_until"]


def test_a_receiver_that_is_gone_is_told_nothing_more(dev: Dev):
    with receiving(lambda _: (410, {})) as receiver:
        webhook = add(dev, receiver.url, events=["io.toolyard.call.succeeded.v1"])
        call(dev)
        disabled = until(lambda: None if (now := shown(dev, webhook))["enabled"] else now, what="it is disabled")
    assert disabled["disabled_reason"] == "the receiver answered 410: it wants nothing more"
    assert dev.client.post(f"/v1/webhooks/{webhook['webhook_id']}/test").json()["code"] == "conflict"


def test_a_slow_receiver_is_in_nobodys_way(dev: Dev, receiver: Receiver):
    with receiving() as slow:
        slow.go_on.clear()
        add(dev, slow.url)
        webhook = add(dev, receiver.url)
        first = call(dev)
        slow.wait_for(3)
        later = [call(dev) for _ in range(5)]
        receiver.wait_for(18)
        ended = [call_id for call_id, state in receiver.events(webhook["secret"]) if state == "succeeded"]
        assert sorted(ended) == sorted([first, *later])
        slow.go_on.set()


def test_redirects_are_not_followed_and_errors_are_told(dev: Dev, receiver: Receiver):
    def moved(_: int) -> tuple[int, dict[str, str]]:
        return 302, {"Location": receiver.url}

    with receiving(moved) as mover:
        webhook = add(dev, mover.url)
        dev.client.post(f"/v1/webhooks/{webhook['webhook_id']}/test")
        mover.wait_for(1)
        (kept,) = until(
            lambda: found if (found := deliveries(dev, webhook))[0]["attempts"] else None, what="an attempt"
        )
    assert (kept["state"], kept["status"], kept["error"]) == (
        "pending",
        302,
        "answered 302: redirects are not followed",
    )
    assert kept["next_at"] > kept["tried_at"]
    assert receiver.got == []


@pytest.mark.proof
def test_a_kill_in_the_middle_loses_nothing(tmp_path: Path):
    port = free_port()
    env = {"TOOLYARD_EGRESS_ALLOW": "127.0.0.1"}
    with receiving() as receiver:
        with Dev(tmp_path, port=port, env=env) as dev:
            receiver.go_on.clear()
            webhook = add(dev, receiver.url, events=["io.toolyard.call.succeeded.v1"])
            made = [call(dev) for _ in range(12)]
            receiver.wait_for(1)
            dev.process.kill()
        receiver.go_on.set()
        with Dev(tmp_path, port=port, env=env) as dev:
            until(lambda: {one for one, _ in receiver.events(webhook["secret"])} >= set(made), what="all")
            made.append(call(dev))
            until(lambda: made[-1] in {one for one, _ in receiver.events(webhook["secret"])}, what="what comes after")
    assert {one for one, _ in receiver.events(webhook["secret"])} == set(made)


@pytest.mark.proof
def test_the_command_manages_them(dev: Dev, receiver: Receiver):
    without = clean_environment()
    env = {name: value for name, value in os.environ.items() if name not in without}
    env["TOOLYARD_API_KEY"] = dev.told["api_key"]

    def toolyard(*words: str) -> str:
        command = console_script("toolyard", "webhooks", *words, "--url", dev.told["address"])
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout

    added = dict(line.split(None, 1) for line in toolyard("add", receiver.url, "--event", "failed").splitlines())
    assert added["secret"].startswith("whsec_")
    assert added["events"] == "failed"
    event_id = toolyard("test", added["webhook"]).strip()
    (got,) = receiver.wait_for(1)
    assert got.verified(added["secret"])["id"] == got.id == event_id
    until(lambda: "delivered" in toolyard("deliveries", added["webhook"]), what="it is listed")
    assert added["webhook"] in toolyard("list")
    assert "disabled" in toolyard("disable", added["webhook"])
    assert "ok" in toolyard("enable", added["webhook"])
    toolyard("remove", added["webhook"])
    assert added["webhook"] not in toolyard("list")


@pytest.mark.parametrize(
    ("said", "field", "words"),
    [
        ({"url": "http://10.1.2.3/hook"}, "url", "TOOLYARD_EGRESS_ALLOW"),
        ({"url": "https://169.254.169.254/"}, "url", "TOOLYARD_EGRESS_ALLOW"),
        ({"url": "http://93.184.216.34/hook"}, "url", "must begin with https://"),
        ({"url": "https://user:word@example.com/"}, "url", "cannot be followed: userinfo"),
        ({"url": "https://example.com/", "events": ["io.toolyard.call.failed"]}, "events.0", "call.failed.v1?"),
    ],
    ids=["private", "metadata", "http", "a password in it", "no type"],
)
def test_what_could_never_be_delivered_is_refused(dev: Dev, said: dict[str, Any], field: str, words: str):
    refused = dev.client.post("/v1/webhooks", json=said)
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, field)
    assert words in refused.json()["errors"][0]["message"]


def test_another_orgs_webhooks_are_not_there(dev: Dev, receiver: Receiver):
    webhook = add(dev, receiver.url)
    theirs = dev.client.post("/v1/keys", json={"name": "n", "roles": ["admin"], "org": "other"}).json()["key"]
    path, headers = f"/v1/webhooks/{webhook['webhook_id']}", {"Authorization": f"Bearer {theirs}"}
    with httpx.Client(base_url=dev.told["address"], headers=headers, trust_env=False) as other:
        asked = [
            other.get(path),
            other.patch(path, json={"enabled": False}),
            other.delete(path),
            other.post(f"{path}/rotate"),
            other.post(f"{path}/test"),
            other.get(f"{path}/deliveries"),
        ]
        assert other.get("/v1/webhooks").json()["items"] == []
    assert {response.status_code for response in asked} == {404}
    assert shown(dev, webhook)["enabled"]


def test_its_secret_is_no_secret_of_the_org(dev: Dev, receiver: Receiver):
    add(dev, receiver.url)
    assert not [one for one in dev.client.get("/v1/secrets").json()["items"] if ":" in one["name"]]
