"""Schedules over HTTP: saved, checked as calls are, shown with their runs, changed, paused. Dead letters: replayed."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.gateway.rig import Rig

from toolyard.contracts.schedules import Failure, Firing
from toolyard.store.dead_letters import DeadLetter
from toolyard.store.schedules import Move
from toolyard.transport import topology
from toolyard.transport.base import Delivery

HOURLY: dict[str, Any] = {"name": "hourly", "tool": "echo", "arguments": {"text": "hi"}, "cron": "0 * * * *"}
EVERY: dict[str, Any] = {"name": "often", "tool": "echo", "arguments": {"text": "hi"}, "every": 60}


def moments(texts: list[str]) -> list[datetime]:
    return [datetime.fromisoformat(text) for text in texts]


async def made(rig: Rig, definition: dict[str, Any], **changed: Any) -> dict[str, Any]:
    response = await rig.client.post("/v1/schedules", json=definition | changed)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_a_schedule_is_saved_and_shows_its_next_runs(rig):
    await rig.tool()
    before = datetime.now(UTC)
    response = await rig.client.post("/v1/schedules", json=HOURLY | {"timezone": "Asia/Kathmandu", "user": "ann"})

    saved = response.json()
    assert response.status_code == 201
    assert (response.headers["ETag"], response.headers["Location"]) == ('"1"', "/v1/schedules/hourly")
    assert (saved["tool"], saved["cron"], saved["timezone"]) == ("echo", "0 * * * *", "Asia/Kathmandu")
    assert (saved["missed"], saved["overlap"], saved["paused"], saved["left_out"]) == ("run_once", "allow", False, 0)
    assert (saved["created_by"], saved["user"]) == ("admin", "ann")
    runs = moments(saved["next_runs"])
    assert len(runs) == 5
    assert {(run.minute, run.second) for run in runs} == {(15, 0)}, "whole hours in Nepal are a quarter past in UTC"
    assert saved["next_at"] == saved["next_runs"][0]
    assert runs[0] > before
    assert (await rig.client.get("/v1/schedules/hourly")).json() == saved


async def test_a_schedule_of_a_tool_that_acts_for_a_user_says_for_whom(rig):
    signed_in = {"type": "nango", "integration": "github"}
    await rig.tool(binding={"type": "http", "method": "GET", "url": "https://x.example/", "authentication": signed_in})

    refused = await rig.client.post("/v1/schedules", json=HOURLY)

    assert refused.status_code == 422
    assert [error["path"] for error in refused.json()["errors"]] == ["user"]
    await made(rig, HOURLY, user="ann")


async def test_an_interval_is_counted_from_its_start(rig):
    await rig.tool()
    saved = await made(rig, EVERY, start_at="2030-01-01T00:00:00+01:00", every=1.5)

    assert saved["start_at"] == "2029-12-31T23:00:00.000Z"
    assert saved["next_runs"][:3] == [f"2029-12-31T23:00:0{second}Z" for second in ("0.000", "1.500", "3.000")]


@pytest.mark.parametrize(
    ("changed", "path", "words"),
    [
        ({"cron": "hello"}, "cron", "has 1 fields; write five"),
        ({"cron": "* * * * * *"}, "cron", "use every for seconds"),
        ({"cron": "0 0 30 2 *"}, "cron", "day of the month: month 2 has no day 30"),
        ({"cron": "61 * * * *"}, "cron", "minute: 61 is not in 0-59"),
        ({"cron": "0 0 */31 2 7#5"}, "cron", "never fires"),
        ({"cron": None}, "cron", "or every"),
        ({"every": 60}, "cron", "or every"),
        ({"timezone": "Mars/Olympus"}, "timezone", "no time zone"),
        ({"timezone": ""}, "timezone", "no time zone"),
        ({"timezone": "localtime"}, "timezone", "name a place, as in Europe/Zurich"),
        ({"cron": None, "every": 0.5}, "every", "under a second"),
        ({"cron": None, "every": -1}, "every", "under a second"),
        ({"cron": None, "every": 1e10}, "every", "over a year"),
        ({"cron": None, "every": 60, "timezone": "UTC"}, "timezone", "belongs to cron"),
        ({"start_at": "9999-12-31T23:59:59Z"}, "start_at", "ten years ahead"),
        ({"start_at": "0001-01-01T00:00:00+10:00"}, "start_at", "1970"),
        ({"start_at": "tomorrow"}, "start_at", "as in 2026-01-31T12:00:00Z"),
        ({"start_at": "2030-W01-1T00:00:00Z"}, "start_at", "as in 2026-01-31T12:00:00Z"),
        ({"start_at": "2030-01-01T00:00:00"}, "start_at", "offset"),
        ({"missed": "catch_up"}, "catch_up", "is missing"),
        ({"missed": "skip", "catch_up": 2}, "catch_up", "belongs to"),
        ({"missed": "catch_up", "catch_up": 0}, "catch_up", "greater than or equal to 1"),
        ({"missed": "catch_up", "catch_up": 101}, "catch_up", "less than or equal to 100"),
        ({"missed": "catch_up", "catch_up": 2, "overlap": "skip"}, "overlap", "choose one"),
        ({"missed": "perhaps"}, "missed", "'skip'"),
        ({"queue_timeout": 9.0, "deadline": 3.0}, "queue_timeout", "longer than the deadline, 3 s"),
        ({"queue_timeout": 301.0}, "queue_timeout", "longer than the deadline, 300 s"),
        ({"arguments": {}}, "arguments", "required"),
        ({"arguments": {"text": "a", "n": 0}}, "arguments.n", "minimum"),
        ({"name": "not good"}, "name", "pattern"),
        ({"colour": 1}, "colour", "is not a field"),
    ],
)
async def test_what_could_never_fire_is_refused_by_its_field(rig, changed, path, words):
    await rig.tool()
    body = {name: value for name, value in (HOURLY | changed).items() if value is not None}
    response = await rig.client.post("/v1/schedules", json=body)

    assert response.status_code == 422, response.text
    error = response.json()["errors"][0]
    assert error["path"] == path
    assert words in error["message"]


async def test_the_tool_must_be_there_and_callable(rig):
    missing = await rig.client.post("/v1/schedules", json=HOURLY)
    await rig.tool(enabled=False)
    disabled = await rig.client.post("/v1/schedules", json=HOURLY)
    await rig.tool(name="other")
    gone = await rig.client.post("/v1/schedules", json=HOURLY | {"tool": "other@7"})

    assert [each.json()["code"] for each in (missing, disabled, gone)] == [
        "tool_not_found",
        "permission_denied",
        "version_gone",
    ]


async def test_a_long_definition_is_refused(rig):
    await rig.tool()
    response = await rig.client.post("/v1/schedules", json=HOURLY | {"arguments": {"text": "x" * 70_000}})

    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")


async def test_a_repeat_gets_the_same_schedule_also_from_another_gateway(rig):
    await rig.tool()
    headers = {"Idempotency-Key": "k"}
    first = await rig.client.post("/v1/schedules", json=EVERY, headers=headers)
    again = await rig.client.post("/v1/schedules", json=EVERY, headers=headers)
    rig.parts.replays._answers.clear()  # what this gateway remembers, another one does not
    elsewhere = await rig.client.post("/v1/schedules", json=EVERY, headers=headers)
    other_body = await rig.client.post("/v1/schedules", json=EVERY | {"every": 61}, headers=headers)
    without_key = await rig.client.post("/v1/schedules", json=EVERY)

    assert [each.status_code for each in (first, again, elsewhere)] == [201, 201, 201]
    assert again.json() == elsewhere.json() == first.json()
    assert other_body.json()["code"] == "idempotency_mismatch"
    assert without_key.json()["code"] == "conflict"


async def test_a_change_needs_the_version_that_was_read(rig):
    await rig.tool()
    await made(rig, EVERY, paused=True)
    url = "/v1/schedules/often"

    without = await rig.client.put(url, json=EVERY)
    stale = await rig.client.put(url, json=EVERY, headers={"If-Match": '"7"'})
    renamed = await rig.client.put(url, json=EVERY | {"name": "new"}, headers={"If-Match": '"1"'})
    changed = await rig.client.put(url, json=EVERY | {"every": 90}, headers={"If-Match": '"1"'})

    assert [each.json()["code"] for each in (without, stale, renamed)] == [
        "precondition_failed",
        "precondition_failed",
        "validation_failed",
    ]
    assert (changed.headers["ETag"], changed.json()["every"], changed.json()["paused"]) == ('"2"', 90, True)
    assert (await rig.client.delete(url, headers={"If-Match": '"1"'})).status_code == 412
    assert (await rig.client.delete(url, headers={"If-Match": '"2"'})).status_code == 204
    assert (await rig.client.get(url)).status_code == 404


async def test_an_interval_that_stays_as_it_was_keeps_its_runs(rig):
    await rig.tool()
    before = await made(rig, EVERY)
    url, sent = "/v1/schedules/often", EVERY | {"arguments": {"text": "other"}}
    after = (await rig.client.put(url, json=sent, headers={"If-Match": '"1"'})).json()

    assert after["arguments"] == {"text": "other"}
    assert after["next_runs"] == before["next_runs"]


async def test_a_paused_schedule_has_no_runs_until_it_is_resumed(rig):
    await rig.tool()
    await made(rig, HOURLY)
    paused = await rig.client.post("/v1/schedules/hourly/pause")
    again = await rig.client.post("/v1/schedules/hourly/pause")
    resumed = await rig.client.post("/v1/schedules/hourly/resume")

    assert (paused.json()["paused"], paused.json()["next_runs"]) == (True, [])
    assert "next_at" not in paused.json()
    assert again.json() == paused.json()
    assert (resumed.json()["paused"], len(resumed.json()["next_runs"])) == (False, 5)
    assert (await rig.client.post("/v1/schedules/nothing/pause")).json()["code"] == "not_found"


async def test_pausing_and_changing_at_once_loses_neither(rig):
    await rig.tool()
    await made(rig, HOURLY)
    answers = await asyncio.gather(*(rig.client.post("/v1/schedules/hourly/pause") for _ in range(8)))

    assert {answer.status_code for answer in answers} == {200}
    assert (await rig.client.get("/v1/schedules/hourly")).json()["version"] == 2


async def test_the_last_run_and_what_went_wrong_are_shown(rig):
    await rig.tool()
    await made(rig, HOURLY)
    row = rig.stores.schedules.get("default", "hourly")
    fired = Firing(slot=row.next_at, call_id="c1", at=row.next_at + 0.25)
    failure = Failure(slot=row.next_at, code="tool_not_found", message="There is no tool.")
    rig.stores.schedules.move([Move(row, row.next_at + 3600.0, last=fired, failure=failure, left_out=3)])

    shown = (await rig.client.get("/v1/schedules/hourly")).json()
    assert shown["last"]["call_id"] == "c1"
    assert shown["last"]["fired_at"] == shown["last"]["slot"].replace(".000Z", ".250Z")
    assert shown["last_error"]["code"] == "tool_not_found"
    assert shown["left_out"] == 3
    assert moments([shown["next_at"]])[0].timestamp() == row.next_at + 3600.0


async def test_schedules_are_listed_in_pages_without_their_runs(rig):
    await rig.tool()
    for name in ("b", "a", "c"):
        await made(rig, HOURLY, name=name)
    first = (await rig.client.get("/v1/schedules", params={"limit": 2})).json()
    rest = (await rig.client.get("/v1/schedules", params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert [item["name"] for item in first["items"] + rest["items"]] == ["a", "b", "c"]
    assert all("next_runs" not in item and "next_at" in item for item in first["items"])
    assert (await rig.client.get("/v1/schedules", params={"cursor": "nonsense"})).status_code == 422


async def test_nobody_sees_the_schedules_of_another_org(rig):
    await rig.tool()
    await made(rig, HOURLY)
    other = await rig.key("admin", org="other")

    assert (await rig.client.get("/v1/schedules", headers=other)).json()["items"] == []
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
        response = await rig.client.request(method, f"/v1/schedules/hourly{path}", headers=other | {"If-Match": '"1"'})
        assert response.status_code == 404


@pytest.mark.parametrize(
    ("role", "create", "read", "pause"),
    [("caller", 201, 200, 200), ("operator", 403, 200, 200), ("author", 403, 200, 403)],
)
async def test_roles_may_what_they_may(rig, role, create, read, pause):
    await rig.tool()
    await made(rig, HOURLY)
    headers = await rig.key(role)

    assert (await rig.client.post("/v1/schedules", json=EVERY, headers=headers)).status_code == create
    assert (await rig.client.get("/v1/schedules/hourly", headers=headers)).status_code == read
    assert (await rig.client.post("/v1/schedules/hourly/pause", headers=headers)).status_code == pause


# ---- dead letters -----------------------------------------------------------------------------------
def a_letter(letter_id: str = "l1", **fields: Any) -> DeadLetter:
    given: dict[str, Any] = {
        "reason": "the signature is not of this message",
        "exchange": topology.CONTROL,
        "key": topology.quarantine_key("http"),
        "message_id": "m1",
        "headers": {"toolyard-signature": "v1,old,abc", "n": 1},
        "expiration": "",
        "kind": "call",
        "body": b'{"v":1}',
        "size": 7,
        "complete": True,
        "arrived_at": 1_800_000_000.5,
    }
    return DeadLetter(letter_id, **(given | fields))


async def test_dead_letters_are_listed_and_read(rig):
    rig.stores.dead_letters.keep([a_letter(), a_letter("l2", body=b"\xff", arrived_at=1.0)])

    listed = (await rig.client.get("/v1/dead-letters")).json()["items"]
    text = (await rig.client.get("/v1/dead-letters/l1")).json()
    binary = (await rig.client.get("/v1/dead-letters/l2")).json()
    assert [item["letter_id"] for item in listed] == ["l1", "l2"]
    assert listed[0]["headers"] == {"toolyard-signature": "v1,old,abc", "n": 1}
    assert "body" not in listed[0]
    assert (text["body"], text["arrived_at"]) == ('{"v":1}', "2027-01-15T08:00:00.500Z")
    assert binary["body_base64"] == "/w=="
    assert (await rig.client.get("/v1/dead-letters/nothing")).json()["code"] == "not_found"


async def test_a_replay_is_published_exactly_as_it_came_and_never_signed_anew(rig):
    letter = a_letter()
    rig.stores.dead_letters.keep([letter])
    got: asyncio.Queue[Delivery] = asyncio.Queue()
    await rig.transport.consume(topology.QUARANTINE, got.put_nowait, prefetch=1)

    response = await rig.client.post("/v1/dead-letters/l1/replay")

    assert response.json() == {"letter_id": "l1", "replayed": True}
    delivery = await asyncio.wait_for(got.get(), 60)
    assert (delivery.exchange, delivery.key, delivery.body) == (letter.exchange, letter.key, letter.body)
    assert (delivery.message_id, dict(delivery.headers), delivery.kind) == ("m1", letter.headers, "call")
    assert (await rig.client.post("/v1/dead-letters/l1/replay")).status_code == 404


async def test_a_replay_that_is_not_confirmed_keeps_its_letter(rig):
    rig.stores.dead_letters.keep([a_letter(exchange=topology.CALLS, key="call.accepted.http.default.gw-1.echo")])
    rig.journal.failure = OSError("the disk is full")

    response = await rig.client.post("/v1/dead-letters/l1/replay")
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    rig.journal.failure = None
    assert rig.stores.dead_letters.get("l1") is not None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"complete": False}, "too long to be kept"),
        ({"exchange": "", "key": "toolyard.call.http"}, "No queue of ours"),
        ({"exchange": "amq.topic"}, "No queue of ours"),
        ({"exchange": topology.EVENTS, "key": "nonsense"}, "No queue of ours"),
    ],
)
async def test_what_cannot_come_as_it_came_is_not_replayed(rig, changed, words):
    rig.stores.dead_letters.keep([a_letter(**changed)])

    response = await rig.client.post("/v1/dead-letters/l1/replay")
    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    assert words in response.json()["detail"]
    assert rig.stores.dead_letters.get("l1") is not None


async def test_a_gateway_with_the_rights_of_a_gateway_does_not_try_to_publish_a_workers_message(rig):
    letter = a_letter(exchange=topology.EVENTS, key="call.succeeded.http.default.gw-1.echo")
    rig.stores.dead_letters.keep([letter])
    rig.app.state.parts.least_rights = True

    response = await rig.client.post("/v1/dead-letters/l1/replay")
    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    assert "Gateways may not publish this message" in response.json()["detail"]
    rig.app.state.parts.least_rights = False
    assert (await rig.client.post("/v1/dead-letters/l1/replay")).status_code == 200


async def test_only_operators_of_the_first_org_see_dead_letters(rig):
    rig.stores.dead_letters.keep([a_letter()])
    operator, caller = await rig.key("operator"), await rig.key("caller")
    other = await rig.key("admin", org="other")

    assert (await rig.client.get("/v1/dead-letters", headers=operator)).status_code == 200
    for headers in (caller, other):
        assert (await rig.client.get("/v1/dead-letters", headers=headers)).json()["code"] == "permission_denied"
        assert (await rig.client.get("/v1/dead-letters/l1", headers=headers)).status_code == 403
        assert (await rig.client.post("/v1/dead-letters/l1/replay", headers=headers)).status_code == 403
