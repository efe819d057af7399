"""A stream writes what waits in few pieces, and lets others have their turns between them."""

import asyncio
from typing import Any, cast

import pytest
from tests.unit.gateway.live_feed import an_item

from toolyard.client.answers import EventReader
from toolyard.contracts.feed import Cursor, Interest
from toolyard_gateway.api.live import Stream
from toolyard_gateway.live.bounds import Bounds
from toolyard_gateway.live.follower import Follower
from toolyard_gateway.live.following import Live
from toolyard_gateway.live.outbox import Outbox

MANY = 900


class Nobody:
    """In the place of who keeps all connections."""

    bounds = Bounds(queue_items=MANY)

    def disconnect(self, *_: object) -> None:
        """There is nothing to leave."""


async def never() -> Any:
    """A client that stays."""
    await asyncio.Event().wait()


@pytest.fixture
def follower() -> Follower:
    """One for whom much waits."""
    made = Follower("default", Interest(), Outbox(100_000_000), Nobody.bounds)
    made.open(Cursor(0))
    for offset in range(1, MANY + 1):
        made.offer(an_item(offset))
    made.outbox.end("drained")
    return made


async def test_what_waits_is_written_in_few_pieces_and_whole(follower: Follower):
    written: list[bytes] = []

    async def send(message: Any) -> None:
        written.append(message.get("body", b""))

    await Stream(cast("Live", Nobody()), follower)({}, never, send)

    told = [event.id for event in EventReader().read(b"".join(written))]
    assert told == [f"{offset}-2" for offset in range(1, MANY + 1)]
    assert len(written) < MANY / 10
    assert (follower.told, follower.waiting, follower.outbox.bytes) == (Cursor(MANY, 2), 0, 0)


async def test_others_have_their_turns_while_much_is_written(follower: Follower):
    written: list[bytes] = []
    seen: set[int] = set()

    async def send(message: Any) -> None:
        written.append(message.get("body", b""))

    stream = asyncio.create_task(Stream(cast("Live", Nobody()), follower)({}, never, send))
    while not stream.done():
        seen.add(len(written))
        await asyncio.sleep(0)

    assert len(seen) > len(written) / 2
