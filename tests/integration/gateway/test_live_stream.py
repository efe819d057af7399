"""`GET /v1/events` over real sockets: who is told what, from where on, and how it ends."""

from typing import Any

import httpx
import pytest
from msgspec import Raw, structs
from tests.integration.gateway.live_rig import Site
from tests.support.waiting import async_wait_until

from toolyard.ids import new_id
from toolyard_gateway.live.bounds import Bounds


async def test_what_happens_is_told_as_it_comes_from_the_scheduler(site: Site):
    gateway = await site.gateway()
    site.tell()
    async with gateway.stream() as stream:
        cursor = site.tell(event="succeeded", state="succeeded", call_id="c1")
        told = await stream.event()

        headers = stream.response.headers
        assert headers["Content-Type"].startswith("text/event-stream")
        assert (headers["Cache-Control"], headers["X-Accel-Buffering"]) == ("no-store", "no")
        assert (told.id, told.event, told.data["id"]) == (cursor, "succeeded", f"c1/{cursor.replace('-', '/')}")


async def test_each_org_sees_its_own(site: Site):
    gateway = await site.gateway()
    theirs = await gateway.key("caller", org="other")
    async with gateway.stream() as ours, gateway.stream(key=theirs) as other, gateway.stream(key=theirs) as more:
        told = [site.tell(), site.tell("other"), site.tell(), site.tell("other")]

        assert await ours.cursors(2) == [told[0], told[2]]
        assert await other.cursors(2) == [told[1], told[3]]
        assert await more.cursors(2) == [told[1], told[3]]


CALL = new_id()
EVENTS = [
    {"call_id": CALL, "conversation": "talk", "tool": "echo", "state": "running"},
    {"call_id": CALL, "conversation": "talk", "tool": "echo", "state": "failed"},
    {"call_id": new_id(), "conversation": "talk", "tool": "echo", "state": "succeeded"},
    {"call_id": new_id(), "conversation": "other", "tool": "echo", "state": "failed"},
    {"call_id": new_id(), "tool": "weather", "state": "timed_out"},
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"conversation": "talk"}, [0, 1, 2]),
        ({"tool": "weather"}, [4]),
        ({"state": "failed"}, [1, 3]),
        ({"state": ["failed", "timed_out"]}, [1, 3, 4]),
        ({"call_id": CALL}, [0, 1]),
        ({"conversation": "talk", "state": "succeeded", "tool": "echo"}, [2]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
async def test_filters_choose_what_is_told_live_and_from_before(site: Site, query, found):
    gateway = await site.gateway(Bounds(ring_items=2))
    async with gateway.stream(**query) as stream:
        cursors = [site.tell(**said) for said in EVENTS]
        assert await stream.cursors(len(found)) == [cursors[n] for n in found]
    async with gateway.stream(since="0-0", **query) as again:
        assert await again.cursors(len(found)) == [cursors[n] for n in found]


async def test_who_comes_back_after_a_restart_goes_on_where_it_was(site: Site):
    first = await site.gateway()
    told = [site.tell() for _ in range(5)]
    async with first.stream(since="0-0") as stream:
        assert await stream.cursors(2) == told[:2]
    await first.stop()
    told += [site.tell() for _ in range(3)]

    second = await site.gateway()
    async with second.stream(since="0-0", last=told[1]) as stream:
        told.append(site.tell())

        assert await stream.cursors(7) == told[2:]


async def test_a_stream_may_go_on_at_another_gateway_which_is_not_as_far(site: Site):
    one, two = await site.gateway(), await site.gateway()
    async with one.stream() as stream, two.stream():
        cursor = site.tell()
        assert await stream.cursors(1) == [cursor]
        async with two.stream(last=cursor) as again:
            cursor = site.tell()
            assert await again.cursors(1) == [cursor]


async def test_a_time_begins_with_what_happened_then(site: Site):
    gateway = await site.gateway()
    told = [site.tell(time=1_800_000_000.0 + n) for n in range(6)]
    site.calls.offsets["default"] = 2
    async with gateway.stream(since="2027-01-15T08:00:03Z") as stream:
        assert await stream.cursors(3) == told[3:]
    async with gateway.stream(since="2027-01-15T08:00:03Z", last=told[4]) as stream:
        assert await stream.cursors(1) == told[5:]
    asked = [each for each in site.scheduler.asked if each.offset is not None]
    assert (asked[0].offset, asked[0].n) == (2, 0)


async def test_a_stream_may_end_with_what_has_happened_up_to_now(site: Site):
    gateway = await site.gateway(Bounds(ring_items=2))
    told = [site.tell() for _ in range(6)]
    wanted: list[tuple[dict[str, str], list[str]]] = [
        ({"since": "0-0"}, told),
        ({"since": told[1], "tool": "echo"}, told[2:]),
        ({"since": "0-0", "conversation": "none"}, []),
    ]
    for query, found in wanted:
        async with gateway.stream(until="now", **query) as stream:
            first = await stream.event()
            site.tell(tool="weather")
            rest = await stream.rest()
        assert first.event == "until"
        assert [block.id for block in rest[:-1]][: len(found)] == found
        assert (rest[-1].event, rest[-1].data) == ("end", first.data)


async def test_a_stream_may_end_with_an_event_or_before_a_time(site: Site):
    gateway = await site.gateway()
    told = [site.tell(time=1_500_000_000.0 + n) for n in range(6)]
    for until in (told[3], "2017-07-14T02:40:04Z"):
        async with gateway.stream(since="0-0", until=until) as stream:
            assert [block.id for block in (await stream.rest())[1:-1]] == told[:4]
    async with gateway.stream(since=told[4], until=told[3]) as stream:
        assert [block.event for block in await stream.rest()] == ["until", "end"]


async def test_a_stream_ends_with_a_place_that_is_still_to_come(site: Site):
    gateway = await site.gateway()
    place = site.tell()
    offset, _, n = place.partition("-")
    async with gateway.stream(until=f"{int(offset) + 1}-{n}") as stream:
        assert (await stream.event()).event == "until"
        cursor = site.tell()
        assert [block.event for block in await stream.rest()] == ["started", "end"]
        assert cursor == f"{int(offset) + 1}-{n}"


async def test_what_is_not_kept_is_told_as_a_gap(site: Site):
    gateway = await site.gateway()
    told = [site.tell() for _ in range(6)]
    site.scheduler.log.kept = site.scheduler.log.items["default"][3].cursor
    async with gateway.stream(since="1-2") as stream:
        gap = await stream.event()

        assert (gap.event, gap.data) == ("gap", {"cursor": gap.id})
        assert await stream.cursors(2) == told[4:]


async def test_a_quiet_stream_shows_that_it_lives_and_where_it_stands(site: Site):
    gateway = await site.gateway(Bounds(heartbeat=0.05))
    async with gateway.stream(conversation="mine") as stream:
        cursor = site.tell(conversation="theirs")

        async def stands_there() -> bool:
            block = await stream.block()
            assert (block.comment, block.event) == ("still here", "")
            return block.id >= cursor

        await async_wait_until(stands_there, within=60, what="the place does not go on", every=0)


async def test_json_of_several_lines_is_told_in_one(site: Site):
    gateway = await site.gateway()
    async with gateway.stream() as stream:
        item = site.scheduler.tell()
        pretty = Raw(bytes(item.body).replace(b",", b",\r\n  "))
        site.scheduler.log.items["default"] = [structs.replace(item, body=pretty)]

        assert (await stream.event()).data["id"] == item.event_id


async def test_a_stream_ends_cleanly_where_the_gateway_stops(site: Site):
    gateway = await site.gateway()
    async with gateway.stream() as stream, gateway.stream() as other:
        site.tell()
        await stream.event()
        await gateway.stop()

        assert await stream.rest() == []
        assert len(await other.rest()) == 1
    assert gateway.parts.live.followers == 0


async def test_a_stream_ends_where_its_key_was_revoked(site: Site):
    gateway = await site.gateway(Bounds(recheck=0.05))
    key = await gateway.key("caller")
    async with gateway.stream() as ours, gateway.stream(key=key) as theirs:
        revoked = await gateway.client.delete(f"/v1/keys/{key.split('_')[1]}")
        assert revoked.status_code == 204

        assert await theirs.rest() == []
        cursor = site.tell()
        assert await ours.cursors(1) == [cursor]


async def test_who_goes_away_is_followed_no_more(site: Site):
    gateway = await site.gateway()
    async with gateway.stream():
        assert "toolyard_gateway_followers 1" in (await gateway.client.get("/metrics")).text

    async def nobody() -> bool:
        return "toolyard_gateway_followers 0" in (await gateway.client.get("/metrics")).text

    await async_wait_until(nobody, within=60, what="the follower is still there")


async def test_one_follower_too_many_is_told_to_try_again(site: Site):
    gateway = await site.gateway(Bounds(followers=1))
    async with gateway.stream():
        refused = await gateway.client.get("/v1/events")

    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert refused.headers["Retry-After"] == "5"


async def test_without_a_scheduler_nobody_is_told_that_it_follows(site: Site):
    gateway = await site.gateway(Bounds(opening=0.05))
    site.scheduler.silent = True

    refused = await gateway.client.get("/v1/events")

    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")


BAD: dict[str, tuple[dict[str, Any], dict[str, str], str]] = {
    "a word": ({"since": "soon"}, {}, "since"),
    "an end that is a word": ({"until": "soon"}, {}, "until"),
    "an end that is still to come": ({"until": "2100-01-01T00:00:00Z"}, {}, "until"),
    "no offset": ({"since": "-2"}, {}, "since"),
    "no n": ({"since": "4711-"}, {}, "since"),
    "a negative offset": ({"since": "-1-2"}, {}, "since"),
    "other digits": ({"since": "٤-٢"}, {}, "since"),
    "beyond every log": ({"since": "9223372036854775808-0"}, {}, "since"),
    "long": ({"since": "1" * 65}, {}, "since"),
    "a time without its offset": ({"since": "2026-01-31T12:00:00"}, {}, "since"),
    "a day that there is not": ({"since": "2026-02-31T12:00:00Z"}, {}, "since"),
    "ahead of the log": ({"since": "4711-0"}, {}, "since"),
    "ahead, by its header": ({}, {"Last-Event-ID": "4711-0"}, "since"),
    "a header that is a time": ({}, {"Last-Event-ID": "2026-01-31T12:00:00Z"}, "Last-Event-ID"),
    "a header that is a word": ({"since": "1-0"}, {"Last-Event-ID": "x"}, "Last-Event-ID"),
    "a long header": ({}, {"Last-Event-ID": "1" * 31}, "Last-Event-ID"),
    "an empty conversation": ({"conversation": ""}, {}, "conversation"),
    "a long conversation": ({"conversation": "c" * 256}, {}, "conversation"),
    "a tool that can not be": ({"tool": "../etc"}, {}, "tool"),
    "a tool with its version": ({"tool": "echo@1"}, {}, "tool"),
    "a state that there is not": ({"state": ["failed", "broken"]}, {}, "state.1"),
    "many states": ({"state": ["failed"] * 14}, {}, "state"),
    "an id that is none": ({"call_id": "c1"}, {}, "call_id"),
    "a long id": ({"call_id": "c" * 65}, {}, "call_id"),
    "an unknown parameter": ({"conversatoin": "c"}, {}, "conversatoin"),
}


@pytest.fixture
async def client(site: Site) -> httpx.AsyncClient:
    return (await site.gateway()).client


async def test_bad_requests_are_refused_with_their_fields(client: httpx.AsyncClient):
    for name, (query, headers, field) in BAD.items():
        refused = await client.get("/v1/events", params=query, headers=headers)

        assert refused.status_code == 422, (name, refused.text)
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert [each["path"] for each in refused.json()["errors"]] == [field], name


@pytest.mark.parametrize("role", ["caller", "author", "approver", "operator"])
async def test_who_may_read_calls_may_follow_them(site: Site, role: str):
    gateway = await site.gateway()
    async with gateway.stream(key=await gateway.key(role)) as stream:
        cursor = site.tell()

        assert await stream.cursors(1) == [cursor]


async def test_without_a_key_nobody_follows(client: httpx.AsyncClient):
    for key in ("", "Bearer nothing", "Basic abc"):
        assert (await client.get("/v1/events", headers={"Authorization": key})).status_code == 401
