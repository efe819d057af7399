"""docs/howto/follow.md: its programs, run as they stand there against a real broker that a scheduler feeds."""

import asyncio
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.support import pages
from tests.support.house import a_story
from tests.support.ledger import ENVELOPE, message_of

from toolyard.store.connect import open_store
from toolyard.store.crossing import Crossing
from toolyard.transport import topology
from toolyard.transport.connect import connect
from toolyard_scheduler.app import Options, Scheduler

PAGE = pages.ROOT / "docs" / "howto" / "follow.md"
WITHIN = 120


def program(name: str, last: str) -> str:
    """A program of the page; it ends with the last event instead of waiting for what does not come."""
    (block,) = [block for block in pages.blocks(PAGE) if block.words == ("python", name)]
    ends = f'    if properties is not None and properties.message_id == "{last}":\n        break\nconnection.close()'
    assert block.text.count("connection.close()") == 1
    return block.text.replace("connection.close()", ends).replace("inactivity_timeout=10", "inactivity_timeout=60")


def start(text: str, url: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", text], env={**os.environ, "BROKER": url}, stdout=subprocess.PIPE, text=True
    )


async def test_the_programs_of_the_page_follow_and_replay(amqp_url: str, tmp_path: Path) -> None:
    beside = [topology.queue(topology.RELAY), topology.feed_stream("default", 3_600)]
    transport = connect(amqp_url, name="test", declare=True, beside=beside)
    followers = connect(amqp_url, name="feed", declare=True, beside=beside)
    await transport.open()
    await followers.open()
    crossing = Crossing(4)
    with closing(open_store(f"sqlite:///{tmp_path / 'ledger.db'}")) as store:
        store.migrate()
        scheduler = Scheduler(transport, ENVELOPE, store, crossing, options=Options(takeover=0.2), followers=followers)
        await scheduler.start()
        replaying = start(program("replay", "c1/1000002/succeeded"), amqp_url)
        following = start(program("follow", "c1/1000002/succeeded"), amqp_url)
        own = "follow.default.billing"
        async with asyncio.timeout(WITHIN):
            while not (await _is_there(amqp_url, own)):  # noqa: ASYNC110 - nothing tells that a queue was bound
                await asyncio.sleep(0.05)
        story = a_story("c1")
        await transport.publish(message_of(story.accepted()))
        await transport.publish(message_of(story.ended()))
        told, _ = await asyncio.to_thread(following.communicate, timeout=WITHIN)
        again, _ = await asyncio.to_thread(replaying.communicate, timeout=WITHIN)
        await scheduler.stop()
    await followers.close()
    await transport.close()
    await crossing.close()
    kinds = [f"io.toolyard.call.{word}.v1" for word in ("accepted", "started", "succeeded")]
    assert [line.split()[0] for line in told.splitlines()] == kinds
    assert [line.split()[1].split("/")[2] for line in again.splitlines()] == ["accepted", "started", "succeeded"]


async def _is_there(url: str, queue: str) -> bool:
    """Whether the page's program consumes its queue."""

    def look() -> bool:
        import pika

        with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
            channel = connection.channel()
            try:
                return bool(channel.queue_declare(queue, passive=True).method.consumer_count)
            except pika.exceptions.ChannelClosedByBroker:
                return False

    return await asyncio.to_thread(look)
