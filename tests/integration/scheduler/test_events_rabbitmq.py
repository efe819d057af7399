"""`toolyard.client.events` at a real broker: each event once, over lost connections, live and from an org's stream."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest
from tests.integration.scheduler.test_feeding_rabbitmq import leader, say
from tests.support import pages
from tests.support.house import a_story
from tests.support.ledger import Story
from tests.support.relay import Relay

from toolyard.client import FeedEvent, Refused, Unexpected, events
from toolyard.client.events import aio
from toolyard.client.events.messages import feed_event_of, matches
from toolyard.store.connect import Store, open_store
from toolyard.transport.base import Transport
from toolyard.transport.connect import connect

LIFE = ["accepted", "started", "succeeded"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(f"sqlite:///{tmp_path / 'ledger.db'}")) as store:
        store.migrate()
        yield store


@pytest.fixture
async def transport(amqp_url: str) -> AsyncIterator[Transport]:
    transport = connect(amqp_url, name="test", declare=True)
    await transport.open()
    yield transport
    await transport.close()


@pytest.fixture
async def relay(amqp_url: str) -> AsyncIterator[Relay]:
    """What stands between a follower and the broker."""
    address = urlsplit(amqp_url)
    relay = Relay(str(address.hostname), int(address.port or 5672))
    relay.listen()
    yield relay
    await relay.close()


def through(relay: Relay, amqp_url: str) -> str:
    """The broker's URL, by way of the relay."""
    address = urlsplit(amqp_url)
    return amqp_url.replace(f":{address.port}/", f":{relay.port}/")


def stories(number: int, begin: str = "c", **more: Any) -> list[Story]:
    return [a_story(f"{begin}{each:03}", **more) for each in range(number)]


def lives(told: list[FeedEvent | events.Gap]) -> dict[str | None, list[str]]:
    """What was told of each call, in order."""
    found: dict[str | None, list[str]] = {}
    for event in told:
        found.setdefault(event.call_id, []).append(event.event)
    return found


def whole(some: list[Story]) -> dict[str, list[str]]:
    return {story.call.call_id: LIFE for story in some}


@asynccontextmanager
async def opened(url: str, **wanted: Any) -> AsyncIterator[events.OverAmqp]:
    """A feed that is connected: beside the loop, on which the relay runs."""
    feed = events.over_amqp(url, "default", **wanted)
    await asyncio.to_thread(feed.open)
    try:
        yield feed
    finally:
        await asyncio.to_thread(feed.close)


async def take(feed: events.OverAmqp, number: int) -> list[FeedEvent | events.Gap]:
    async with asyncio.timeout(60):
        return await asyncio.to_thread(lambda: [next(feed) for _ in range(number)])


async def test_live_events_have_the_shape_of_those_over_http(transport: Transport, store: Store, amqp_url: str) -> None:
    async with leader(transport, store, amqp_url):
        with events.over_amqp(amqp_url, "default") as feed:
            await say(transport, [*stories(1, conversation="talk"), *stories(2, "o", org="theirs")])
            told = await take(feed, 3)
    end = told[-1]
    assert [event.event for event in told] == LIFE
    assert isinstance(end, FeedEvent)
    assert (end.id, end.call_id, end.state, end.conversation) == ("c000/1000002/succeeded", "c000", "succeeded", "talk")
    assert (end.org, end.tool, end.last, end.cursor) == ("default", "lookup", True, "")
    assert end.document["type"] == "io.toolyard.call.succeeded.v1"
    assert end.document["data"]["call_id"] == "c000"


async def test_only_what_is_wanted_comes(transport: Transport, store: Store, amqp_url: str) -> None:
    async with leader(transport, store, amqp_url):
        with events.over_amqp(amqp_url, "default", keys=["call.succeeded.#", "call.failed.#"]) as feed:
            await say(transport, stories(5))
            live = await take(feed, 5)
        with events.over_amqp(amqp_url, "default", keys="call.succeeded.*.lookup", since="first") as feed:
            replayed = await take(feed, 5)
    assert {event.event for event in live} == {"succeeded"}
    assert [event.id for event in replayed] == [event.id for event in live]


async def test_a_queue_keeps_what_comes_while_nobody_reads_and_what_was_not_done(
    transport: Transport, store: Store, amqp_url: str
) -> None:
    some = stories(20)
    async with leader(transport, store, amqp_url):
        with events.over_amqp(amqp_url, "default", queue="follow.default.bill"):
            await say(transport, some[:10])
        told: list[FeedEvent | events.Gap] = []
        feed = events.over_amqp(amqp_url, "default", queue="follow.default.bill")
        feed.open()
        told += await take(feed, 7)
        feed.close(done=False)  # the last one that was given is not done
        await say(transport, some[10:])
        with events.over_amqp(amqp_url, "default", queue="follow.default.bill") as feed:
            again = await take(feed, 54)
    assert again[0].id == told[-1].id
    assert lives(told[:-1] + again) == whole(some)


@pytest.mark.parametrize(
    ("queue", "wanted"),
    [("follow.default.kept", {"queue": "follow.default.kept"}), ("toolyard.feed.default", {"since": "first"})],
    ids=["queue", "stream"],
)
async def test_what_others_put_there_by_its_name_is_passed_over(
    transport: Transport, store: Store, amqp_url: str, queue: str, wanted: dict[str, Any]
) -> None:
    forged = {"cloudEvents_type": "io.toolyard.call.succeeded.v1", "cloudEvents_id": "forged", "x-stream-offset": "x"}
    async with leader(transport, store, amqp_url), opened(amqp_url, **wanted) as feed:
        with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
            for headers, body in ((forged, b'{"call_id": "forged"}'), ({}, b"no event")):
                connection.channel().basic_publish("", queue, body, pika.BasicProperties(headers=headers))
        await say(transport, stories(1))
        told = await take(feed, 3)
    assert lives(told) == whole(stories(1))


@pytest.mark.parametrize("wanted", [{"since": "first"}, {"queue": "follow.default.kept"}], ids=["stream", "queue"])
async def test_a_connection_that_is_lost_costs_nothing(
    transport: Transport, store: Store, relay: Relay, amqp_url: str, wanted: dict[str, Any]
) -> None:
    some = stories(20)
    async with leader(transport, store, amqp_url), opened(through(relay, amqp_url), **wanted) as feed:
        await say(transport, some[:10])
        told = await take(feed, 11)
        relay.cut()
        await say(transport, some[10:])
        told += await take(feed, 49)
    assert lives(told) == whole(some)
    assert len({event.id for event in told}) == 60


async def test_who_keeps_nothing_is_told_that_something_may_be_missing(
    transport: Transport, store: Store, relay: Relay, amqp_url: str
) -> None:
    async with leader(transport, store, amqp_url), opened(through(relay, amqp_url)) as feed:
        await say(transport, stories(1))
        await take(feed, 3)
        relay.cut()
        (gap,) = await take(feed, 1)
        await say(transport, stories(1, "d"))
        after = await take(feed, 3)
    assert isinstance(gap, events.Gap)
    assert lives(after) == {"d000": LIFE}


async def test_a_stream_goes_on_behind_a_cursor_in_another_process(
    transport: Transport, store: Store, amqp_url: str
) -> None:
    some = stories(10)
    async with leader(transport, store, amqp_url):
        await say(transport, some)
        with events.over_amqp(amqp_url, "default", since="first") as feed:
            told = await take(feed, 12)
        with events.over_amqp(amqp_url, "default", since=feed.cursor) as feed:
            rest = await take(feed, 18)
    assert lives(told + rest) == whole(some)
    assert [int(event.cursor) for event in told + rest] == sorted({int(event.cursor) for event in told + rest})


async def test_the_twin_for_event_loops_tells_the_same_and_loses_nothing_to_a_cancel(
    transport: Transport, store: Store, amqp_url: str
) -> None:
    some = stories(10)
    async with leader(transport, store, amqp_url), aio.over_amqp(amqp_url, "default", since="first") as feed:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(feed)  # nothing has happened
        await say(transport, some)
        async with asyncio.timeout(60):
            told = [await anext(feed) for _ in range(30)]
        await feed.close()
        assert [event async for event in feed] == []
    assert lives(told) == whole(some)
    assert feed.cursor == told[-1].cursor


async def test_the_code_of_the_page_about_events_does_what_it_says(
    transport: Transport, store: Store, amqp_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = pages.ROOT / "docs" / "howto" / "events.md"
    (code,) = [block.text for block in pages.blocks(page) if "over_amqp" in block.text]
    ours = code.replace("amqps://bill:password@rabbit.example.com/", amqp_url)
    assert ours != code
    async with leader(transport, store, amqp_url):
        await say(transport, stories(1))
        await asyncio.to_thread(exec, ours, {})
    assert [line.split()[1:] for line in capsys.readouterr().out.splitlines()][-1] == [
        "c000/1000002/succeeded",
        "succeeded",
    ]


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"org": "nobody", "since": "first"}, "not_found"),
        ({"queue": "follow.default.bill", "arguments": {"x-max-length": 7}}, "conflict"),
    ],
    ids=["no stream", "another queue"],
)
async def test_what_the_broker_will_not_do_is_refused(
    transport: Transport, amqp_url: str, wanted: dict[str, Any], code: str
) -> None:
    def begin() -> None:
        with events.over_amqp(amqp_url, "default", queue="follow.default.bill"):
            pass
        with events.over_amqp(amqp_url, **({"org": "default"} | wanted)) as feed:
            next(feed)

    with pytest.raises(Refused) as caught:
        await asyncio.to_thread(begin)
    assert caught.value.refusal == code


async def test_a_wrong_password_is_refused_at_once(amqp_url: str) -> None:
    scheme, _, rest = amqp_url.partition("://")
    wrong = f"{scheme}://guest:wrong@{rest.rpartition('@')[2]}"
    with pytest.raises(Refused, match="does not know this user"), events.over_amqp(wrong, "default"):
        pytest.fail("it is connected")


def test_a_queue_has_its_own_place():
    with pytest.raises(ValueError, match="keeps its own place"):
        events.over_amqp("amqp://x", "default", queue="q", since="first")


@pytest.mark.parametrize(
    ("pattern", "key", "does"),
    [
        ("default.call.#", "default.call.succeeded.http.look.up", True),
        ("default.*.succeeded.#", "default.call.succeeded.http.a", True),
        ("default.call.succeeded.*.look.up", "default.call.succeeded.http.look.up", True),
        ("default.call.succeeded.*.look", "default.call.succeeded.http.look.up", False),
        ("default.#", "other.call", False),
        ("default.#", "default", True),
        ("default.*", "default", False),
    ],
)
def test_keys_are_matched_as_the_broker_does(pattern: str, key: str, does: bool):
    assert matches(pattern, key) is does


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, b"{}"), ({"cloudEvents_type": "io.toolyard.call.started.v1"}, b"no json"), ({"cloudEvents_type": 7}, b"{}")],
)
def test_what_is_no_event_is_told(headers: dict[str, Any], body: bytes):
    with pytest.raises(Unexpected):
        feed_event_of(headers, body, cursor="")


def test_what_is_of_no_call_is_passed_over_and_progress_is_told():
    breaker = {"cloudEvents_type": "io.toolyard.breaker.opened.v1"}
    assert feed_event_of(breaker, b"{}", cursor="") is None
    data = {"call_id": "c1", "org": "default", "tool": "t", "version": 1, "state": "running", "attempt": 1}
    told = data | {"deadline": "2026-01-31T12:05:00.000Z", "done": 3, "total": 7, "message": "copying"}
    headers = {"id": "c1/1000010/progress", "type": "io.toolyard.call.progress.v1", "time": "2026-01-31T12:00:00.000Z"}
    event = feed_event_of(
        {f"cloudEvents_{name}": text for name, text in headers.items()}, json.dumps(told).encode(), cursor=""
    )
    assert event is not None
    assert (event.event, event.done, event.total, event.message) == ("progress", 3.0, 7.0, "copying")
