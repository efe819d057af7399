"""The group `webhooks`: what is asked, and what is printed."""

from typing import Any

import pytest
from tests.unit.cli.conftest import Run, Server

ID = "0197a000-0000-7000-8000-00000000000a"
PATH = f"/v1/webhooks/{ID}"
WEBHOOK: dict[str, Any] = {
    "webhook_id": ID,
    "url": "https://example.com/hook",
    "events": ["io.toolyard.call.failed.v1", "io.toolyard.call.succeeded.v1"],
    "tools": [],
    "description": "",
    "enabled": True,
    "created_by": "k1",
    "created_at": "2026-01-31T12:00:00.000Z",
    "updated_at": "2026-01-31T12:00:00.000Z",
}


def fields(text: str) -> dict[str, str]:
    pairs = (line.rsplit("  ", 1) for line in text.splitlines())
    return {name.strip(): value.strip() for name, value in pairs}


def test_one_is_added_by_words_and_its_secret_is_shown(ask: Run, server: Server):
    server.tell("POST", "/v1/webhooks", WEBHOOK | {"secret": "whsec_abc"}, status=201)
    ran = ask("webhooks", "add", WEBHOOK["url"], "--event", "failed", "--event", "io.toolyard.call.succeeded.v1")
    assert (ran.code, ran.err) == (0, "Keep the secret: it is not shown again.\n")
    assert fields(ran.out) == {
        "webhook": ID,
        "url": WEBHOOK["url"],
        "events": "failed, succeeded",
        "tools": "all",
        "state": "ok",
        "secret": "whsec_abc",
    }
    (asked,) = server.asked
    assert asked.body == {"url": WEBHOOK["url"], "events": WEBHOOK["events"]}
    assert asked.headers["idempotency-key"]


@pytest.mark.parametrize(
    ("more", "state"),
    [({}, "ok"), ({"failing_since": "2026-01-31T12:00:00.000Z"}, "failing"), ({"enabled": False}, "disabled")],
)
def test_they_are_listed_with_their_state(ask: Run, server: Server, more: dict[str, Any], state: str):
    server.tell("GET", "/v1/webhooks", {"items": [WEBHOOK | more], "next_cursor": None})
    assert ask("webhooks", "list").out.splitlines()[1].split() == [ID, state, "failed,", "succeeded", WEBHOOK["url"]]


@pytest.mark.parametrize("verb", ["enable", "disable"])
def test_one_is_enabled_or_disabled(ask: Run, server: Server, verb: str):
    server.tell("PATCH", PATH, WEBHOOK | {"enabled": verb == "enable", "disabled_reason": "gone"})
    assert fields(ask("webhooks", verb, ID).out)["reason"] == "gone"
    assert server.asked[0].body == {"enabled": verb == "enable"}


def test_one_is_shown_rotated_tried_and_removed(ask: Run, server: Server):
    server.tell("GET", PATH, WEBHOOK)
    server.tell("POST", f"{PATH}/rotate", WEBHOOK | {"secret": "whsec_def"})
    server.tell("POST", f"{PATH}/test", {"event_id": "e1", "state": "pending"}, status=202)
    server.tell("DELETE", PATH, status=204, body=b"")
    assert "secret" not in fields(ask("webhooks", "show", ID).out)
    assert fields(ask("webhooks", "rotate", ID).out)["secret"] == "whsec_def"
    assert ask("webhooks", "test", ID).out == "e1\n"
    assert ask("webhooks", "remove", ID).err == f"{ID} is removed.\n"
    assert ask("webhooks", "remove", ID, "--json").json() == {"removed": ID}


def test_deliveries_are_listed_with_why_they_failed(ask: Run, server: Server):
    one = {"event_id": "c1/0/accepted", "type": "t", "state": "pending", "attempts": 2, "error": "answered 503"}
    times = {"tried_at": "2026-01-31T12:00:00.000Z", "next_at": "2026-01-31T12:05:00.000Z"}
    server.tell("GET", f"{PATH}/deliveries", {"items": [one | times], "next_cursor": None})
    row = ask("webhooks", "deliveries", ID).out.splitlines()[1]
    words = [times["tried_at"], "pending", "2", times["next_at"], "c1/0/accepted", "answered", "503"]
    assert row.split() == words


def test_what_is_refused_is_told(ask: Run, server: Server):
    errors = [{"path": "url", "message": "must begin with https://"}]
    server.refuse("POST", "/v1/webhooks", 422, "validation_failed", "url: must begin with https://", errors=errors)
    ran = ask("webhooks", "add", "http://example.com/")
    assert (ran.code, ran.err) == (1, "validation_failed: url: must begin with https://\n")
