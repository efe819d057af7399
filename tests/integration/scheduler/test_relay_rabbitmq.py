"""Pages of the feed over a real broker: live, from the log, and from the next leader, without a gap or a repeat."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

from tests.integration.scheduler.gateway import Gateway
from tests.support.house import QUICK, a_story, until
from tests.support.ledger import ENVELOPE, message_of

from toolyard.contracts import codec
from toolyard.contracts.feed import FeedItem, Interest
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.transport.base import Transport
from toolyard.transport.connect import connect
from toolyard_scheduler.app import Scheduler
from toolyard_scheduler.tails import Bounds

SMALL = replace(QUICK, feed=Bounds(items=50, page=40, records=150))


@asynccontextmanager
async def leader(transport: Transport, store: Store) -> AsyncIterator[Scheduler]:
    crossing = Crossing(4)
    scheduler = Scheduler(transport, ENVELOPE, store, crossing, options=SMALL)
    await scheduler.start()
    try:
        await until(lambda: scheduler.leading, "the scheduler to lead")
        yield scheduler
    finally:
        await scheduler.stop()
        await crossing.close()


def words(items: list[FeedItem]) -> list[tuple[str, str]]:
    return [(item.call_id, item.event) for item in items]


async def test_an_org_is_followed_from_the_beginning_on_while_calls_come_and_leaders_go(amqp_url: str, tmp_path: Path):
    stories = [a_story(f"c{number:03}") for number in range(400)]
    transport = connect(amqp_url, name="test", declare=True)
    await transport.open()

    async def say(first: int, last: int) -> None:
        for start in range(first, last, 20):
            some = stories[start : start + 20]
            await asyncio.gather(*(transport.publish(message_of(story.accepted())) for story in some))
            ends = [codec.encode(story.ended()) for story in some]
            await transport.publish(ENVELOPE.outcomes("http", "g1", ends))

    with closing(open_store(f"sqlite:///{tmp_path / 'ledger.db'}")) as store:
        store.migrate()
        gateway = await Gateway(transport).begin()
        async with leader(transport, store):
            await say(0, 200)
            saying = asyncio.create_task(say(200, 300))
            items = await gateway.follow(until="c299/1000002/succeeded")
            await saying
            live = await gateway.say(items[-1].cursor, only=Interest(call_id="c300"))
            await say(300, 320)
            page = await asyncio.wait_for(live, 60)
        async with leader(transport, store):
            await say(320, 400)
            rest = await gateway.follow(items[-1].cursor, until="c399/1000002/succeeded")
    await transport.close()

    everything = items + rest
    expected = {(story.call.call_id, event) for story in stories for event in ("accepted", "started", "succeeded")}
    assert page.items[0].call_id == "c300"
    assert len(everything) == len(expected)
    assert set(words(everything)) == expected
    assert [item.cursor for item in everything] == sorted(item.cursor for item in everything)
