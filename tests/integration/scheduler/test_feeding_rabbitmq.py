"""The feed at a real broker: what a follower with a queue of its own gets of a scheduler, and of the next one."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from tests.support.follower import Follower
from tests.support.house import QUICK, a_story, until
from tests.support.ledger import ENVELOPE, Story, message_of
from tests.support.waiting import async_wait_until

from toolyard.contracts import codec
from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import BreakerTold
from toolyard.contracts.events import Progress, about, sequence
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.transport import topology
from toolyard.transport.base import Message, Transport
from toolyard.transport.connect import connect
from toolyard_scheduler.app import Scheduler


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


@asynccontextmanager
async def leader(transport: Transport, store: Store, url: str) -> AsyncIterator[Scheduler]:
    beside = [topology.queue(topology.RELAY), topology.feed_stream("default", 3_600)]
    crossing, followers = Crossing(4), connect(url, name="feed", declare=True, beside=beside)
    await followers.open()
    scheduler = Scheduler(transport, ENVELOPE, store, crossing, options=QUICK, followers=followers)
    await scheduler.start()
    try:
        await until(lambda: scheduler.leading, "the scheduler to lead")
        yield scheduler
    finally:
        await scheduler.stop()
        await followers.close()
        await crossing.close()


async def say(transport: Transport, stories: list[Story]) -> None:
    for start in range(0, len(stories), 20):
        some = stories[start : start + 20]
        await asyncio.gather(*(transport.publish(message_of(story.accepted())) for story in some))
        ends = [codec.encode(story.ended()) for story in some]
        await transport.publish(ENVELOPE.outcomes("http", "g1", ends))


async def test_a_queue_that_is_bound_to_the_feed_gets_every_event_of_its_org_in_order_from_leader_to_leader(
    transport: Transport, store: Store, amqp_url: str
) -> None:
    stories = [a_story(f"c{number:03}", tool="look.up", traceparent="00-" + "a" * 32) for number in range(100)]
    others = [a_story(f"o{number}", org="theirs") for number in range(3)]
    with Follower(amqp_url, "default.#") as follower:
        async with leader(transport, store, amqp_url):
            await say(transport, [*stories[:50], *others])
            first = await asyncio.to_thread(follower.take, 150)
        await say(transport, stories[50:70])  # while nobody leads
        async with leader(transport, store, amqp_url):
            await say(transport, stories[70:])
            rest = await asyncio.to_thread(follower.take, 150)
        seen = first + rest
    expected = {(story.call.call_id, event) for story in stories for event in ("accepted", "started", "succeeded")}
    assert {each.word for each in seen} == expected
    for story in stories:
        words = [word for call_id, word in (each.word for each in seen) if call_id == story.call.call_id]
        assert words == ["accepted", "started", "succeeded"]
    assert {each.key for each in seen} == {f"default.call.{word}.http.look.up" for _, word in expected}


async def test_what_nobody_follows_is_mostly_not_published_and_who_binds_gets_all_from_then_on(
    transport: Transport, store: Store, amqp_url: str
) -> None:
    stories = [a_story(f"c{number:03}", org="theirs") for number in range(200)]
    async with leader(transport, store, amqp_url) as scheduler:
        await say(transport, stories[:100])
        await until(lambda: scheduler.counts["feed_unwanted"] == 300, "all to be found unwanted")
        assert scheduler.counts["feed_published"] == 0
        with Follower(amqp_url, "theirs.#") as follower:
            await say(transport, stories[100:])
            seen = await asyncio.to_thread(follower.take, 300)
    for story in stories[100:]:
        words = [word for call_id, word in (each.word for each in seen) if call_id == story.call.call_id]
        assert words == ["accepted", "started", "succeeded"]


async def test_the_official_reader_of_cloudevents_reads_what_a_follower_gets(
    transport: Transport, store: Store, amqp_url: str
) -> None:
    with Follower(amqp_url, "*.call.succeeded.#") as follower:
        async with leader(transport, store, amqp_url):
            await say(transport, [a_story("c1", conversation="talk", traceparent="00-" + "a" * 32)])
            (seen,) = await asyncio.to_thread(follower.take, 1)
    event = seen.event
    assert event.get_id() == seen.properties.message_id == "c1/1000002/succeeded"
    assert (event.get_specversion(), event.get_source()) == ("1.0", "/orgs/default")
    assert (event.get_type(), event.get_subject()) == ("io.toolyard.call.succeeded.v1", "c1")
    assert event.get_datacontenttype() == "application/json"
    assert event.get_extension("sequence") == "1000002"
    assert event.get_extension("traceparent") == "00-" + "a" * 32
    assert event.get_time() is not None
    data = json.loads(seen.body)
    assert event.get_data() == data
    assert (data["call_id"], data["state"], data["conversation"]) == ("c1", "succeeded", "talk")
    assert seen.properties.delivery_mode == 2
    assert set(map(type, seen.properties.headers.values())) == {str}


async def test_the_stream_of_an_org_gives_once_more_what_was_followed_live(
    transport: Transport, store: Store, amqp_url: str
) -> None:
    stories = [a_story(f"c{number:03}") for number in range(60)]
    async with leader(transport, store, amqp_url):
        with Follower(amqp_url, "default.#") as follower:
            await say(transport, stories)
            live = await asyncio.to_thread(follower.take, 180)
        with Follower(amqp_url, queue="toolyard.feed.default", passive=True) as reader:
            replayed = await asyncio.to_thread(reader.take, 180, arguments={"x-stream-offset": "first"})
    for story in stories:
        ours = [[each.event for each in seen if each.word[0] == story.call.call_id] for seen in (live, replayed)]
        assert [event.get_id() for event in ours[0]] == [event.get_id() for event in ours[1]]
        assert [event.get_data() for event in ours[0]] == [event.get_data() for event in ours[1]]


async def test_queues_that_are_full_refuse_their_part_and_keep_nothing_from_the_others(
    transport: Transport, store: Store, amqp_url: str
) -> None:
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    with (
        Follower(amqp_url, "default.#", queue="follow.default.full", arguments=full),
        Follower(amqp_url, "#", queue="follow.default.short", arguments={"x-max-length": 1}),
        Follower(amqp_url, "default.#") as reader,
    ):
        async with leader(transport, store, amqp_url) as scheduler:
            await say(transport, [a_story(f"c{number:03}") for number in range(100)])
            seen = await asyncio.to_thread(reader.take, 300)
            await until(lambda: scheduler.counts["feed_nacked"] >= 290, "what was refused to be counted")
    assert len(seen) == 300


def progress_of(story: Story, done: float, n: int) -> Message:
    event = Progress(
        **about(story.call), attempt=1, sequence=sequence(1, n), time=story.call.accepted_at, worker="w1", done=done
    )
    return ENVELOPE.progress(event)


async def test_progress_and_breakers_come_by_the_queue_of_the_relay_whose_loss_changes_nothing_else(
    transport: Transport, store: Store, amqp_url: str
) -> None:
    stories = [a_story(f"c{number:03}") for number in range(60)]
    breaker = BreakerTold(
        v=VERSION, worker="w1", pool="http", org="default", circuit="x.example:443", state="open", episode="e1",
        time=stories[0].call.accepted_at, since=stories[0].call.accepted_at, openings=1, seconds=5.0, failures=3,
    )  # fmt: skip
    with (
        Follower(amqp_url, "default.*.progress.#", "default.monitor.#") as told,
        Follower(amqp_url, "default.call.succeeded.#", queue="follow.default.ends") as ends,
    ):
        async with leader(transport, store, amqp_url) as scheduler:
            await transport.publish(progress_of(stories[0], 1.0, 2))
            await transport.publish(ENVELOPE.breaker(breaker))
            progress, opened = await asyncio.to_thread(told.take, 2)

            told.channel.queue_delete(topology.RELAY)
            for number, story in enumerate(stories):
                await transport.publish(message_of(story.accepted()))
                await transport.publish(progress_of(story, 2.0, 3 + number))
                await transport.publish(message_of(story.ended()))
            assert len(await asyncio.to_thread(ends.take, 60)) == 60
            assert transport.health.ok

            async def again() -> bool:  # the queue is there again, and consumed
                await transport.publish(progress_of(stories[0], 3.0, 1_000 + scheduler.counts["again"]))
                scheduler.counts["again"] += 1
                return bool(told.channel.queue_declare(told.queue, passive=True).method.message_count)

            await async_wait_until(again, within=60, what="progress to be told again")
    assert (progress.key, opened.key) == ("default.call.progress.http.lookup", "default.monitor.breaker.http.-")
    assert progress.event.get_data() == json.loads(progress.body)
    assert json.loads(progress.body)["done"] == 1.0
    assert opened.event.get_type() == "io.toolyard.monitor.breaker.v1"
    assert json.loads(opened.body)["circuit"] == "x.example:443"
    assert all(store.calls.get("default", story.call.call_id).state == "succeeded" for story in stories)  # type: ignore[union-attr]
