"""The parts of live events that wait for nobody: the index, the ring, and what waits for one follower."""

import asyncio
from typing import Any

import pytest
from tests.unit.gateway.live_feed import an_item

from toolyard.contracts.feed import Cursor, FeedItem, Interest
from toolyard_gateway.live.bounds import Bounds
from toolyard_gateway.live.follower import Follower
from toolyard_gateway.live.index import Index
from toolyard_gateway.live.outbox import Ending, Entry, Gap, Opened, Outbox
from toolyard_gateway.live.ring import OVERHEAD, Ring

SMALL = Bounds(queue_items=4, queue_bytes=10_000, stalled=0.05)


def a_follower(outbox: Outbox | None = None, bounds: Bounds = SMALL, **wanted) -> Follower:
    made = Follower("default", Interest(**wanted), Outbox(1_000_000) if outbox is None else outbox, bounds)
    made.open(Cursor(0))
    return made


async def taken(outbox: Outbox) -> list[Any]:
    """What stands in the entries that wait."""
    entries = [await outbox.take() for _ in range(len(outbox))]
    for entry in entries:
        outbox.done(entry or b"")
    return [entry.what for entry in entries if isinstance(entry, Entry)]


# ---- the index ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, True),
        ({"call_id": "c1"}, True),
        ({"call_id": "c2"}, False),
        ({"conversation": "talk"}, True),
        ({"conversation": "other"}, False),
        ({"tool": "echo"}, True),
        ({"tool": "other"}, False),
        ({"tool": "other", "call_id": "c1"}, True),  # only the final check knows better
        ({"states": ("failed",)}, True),
    ],
)
async def test_an_event_finds_those_who_may_want_it(wanted, found):
    index, one = Index(), a_follower(**wanted)
    index.add(one)

    assert list(index.wanting(an_item(1, call_id="c1", conversation="talk"))) == ([one] if found else [])
    assert list(index) == [one]

    index.discard(one)
    index.discard(one)
    assert list(index.wanting(an_item(1, call_id="c1", conversation="talk"))) == []
    assert list(index) == []


async def test_an_event_looks_at_nobody_who_wants_another_conversation():
    index = Index()
    followers = [a_follower(conversation=f"talk-{n}") for n in range(700)]
    for each in followers:
        index.add(each)

    assert list(index.wanting(an_item(1, conversation="talk-7"))) == [followers[7]]
    assert list(index.wanting(an_item(1))) == []


# ---- the ring -----------------------------------------------------------------------------------


def a_ring(*, items: int = 3, size: int = 1_000_000) -> Ring:
    return Ring(Cursor(10), max_items=items, max_bytes=size)


def test_a_ring_keeps_the_newest_and_knows_where_it_begins():
    ring = a_ring()
    for offset in (10, 11, 12, 13):
        ring.append(an_item(offset))

    assert (len(ring), ring.begin, ring.end) == (3, Cursor(10, 2), Cursor(13, 2))
    assert [item.offset for item in ring.behind(Cursor(10, 2))] == [11, 12, 13]
    assert [item.offset for item in ring.behind(Cursor(12, 1))] == [12, 13]
    assert list(ring.behind(Cursor(13, 2))) == []


def test_a_ring_is_bounded_in_bytes_and_one_large_event_is_not_kept():
    ring = a_ring(items=100, size=4 * (OVERHEAD + 100))
    for offset in range(20, 40):
        ring.append(an_item(offset, size=10))
    assert 0 < ring.bytes <= 4 * (OVERHEAD + 100)

    ring.append(an_item(41, size=10_000))

    assert (len(ring), ring.bytes) == (0, 0)
    assert ring.begin == ring.end == Cursor(41, 2)


def test_a_ring_goes_on_where_nothing_is_told_and_begins_anew():
    ring = a_ring()
    ring.append(an_item(10))
    ring.advance(Cursor(15))
    ring.advance(Cursor(12))
    assert (ring.begin, ring.end) == (Cursor(10), Cursor(15))

    ring.restart(Cursor(5))

    assert (len(ring), ring.begin, ring.end, ring.bytes) == (0, Cursor(5), Cursor(5), 0)


# ---- one follower -------------------------------------------------------------------------------


async def test_a_follower_is_told_what_it_wants_and_each_event_once():
    one = a_follower(states=("failed",))
    wanted = an_item(2, state="failed")
    for item in (an_item(1), wanted, wanted, an_item(1, state="failed"), an_item(3, n=1, state="failed")):
        one.offer(item)

    told = await taken(one.outbox)

    assert told[0] == Opened(Cursor(0))
    assert [(item.offset, item.n) for item in told[1:] if isinstance(item, FeedItem)] == [(2, 2), (3, 1)]
    assert (one.waiting, one.bytes, one.outbox.bytes) == (0, 0, 0)


@pytest.mark.parametrize(
    ("bounds", "outbox", "size"),
    [
        (Bounds(queue_items=4), 1_000_000, 0),
        (Bounds(queue_bytes=4 * (OVERHEAD + 1_000)), 1_000_000, 1_000),
        (Bounds(), 4 * (OVERHEAD + 1_000), 1_000),
    ],
    ids=["by number", "by size", "by all of its connection"],
)
async def test_who_reads_too_slowly_is_cut_off_and_its_memory_is_freed(bounds, outbox, size):
    one = a_follower(Outbox(outbox), bounds)
    one.outbox.done(Entry(one, Opened(Cursor(1, 2))))
    for offset in range(2, 6):
        one.offer(an_item(offset, size=size))
        assert one.outbox.ending is None
    one.offer(an_item(6, size=size))
    one.offer(an_item(7, size=size))

    assert one.outbox.ending == "cut_off"
    assert one.over
    assert (len(one.outbox), one.outbox.bytes) == (0, 0)
    assert one.told == Cursor(1, 2)
    assert await one.outbox.take() is None


async def test_one_large_event_is_no_reason_to_cut_off():
    one = a_follower()
    one.offer(an_item(1, size=100_000))

    assert one.outbox.ending is None
    assert len(one.outbox) == 2


async def test_room_is_waited_for_and_who_takes_nothing_is_cut_off():
    one = a_follower()
    for offset in (1, 2):
        one.offer(an_item(offset))
    waiting = asyncio.create_task(one.room())
    await asyncio.sleep(0)
    assert not one.roomy
    await taken(one.outbox)
    await waiting
    assert one.roomy
    assert one.outbox.ending is None

    for offset in (3, 4):
        one.offer(an_item(offset))
    await one.room()

    assert one.outbox.ending == "cut_off"


async def test_the_place_of_a_quiet_follower_goes_on_with_its_channel():
    one, ring = a_follower(call_id="other"), a_ring()
    ring.append(an_item(10))
    assert one.place == Cursor(0)

    one.ring = ring
    assert one.place == Cursor(10, 2)

    one.offer(an_item(11, call_id="other"))
    assert one.place == Cursor(0)


async def test_what_waits_is_written_where_a_gateway_stops_and_not_where_a_key_was_revoked():
    kept: dict[Ending, int] = {"drained": 2, "misused": 2, "revoked": 0, "cut_off": 0}
    for why, left in kept.items():
        one = a_follower()
        one.offer(an_item(1))
        one.outbox.end(why)
        one.outbox.end("cut_off")
        one.gap(Cursor(5))

        assert (one.outbox.ending, len(one.outbox)) == (why, left)


async def test_who_asks_much_and_reads_nothing_is_slowed_down():
    outbox = Outbox(1_000)

    async def ask() -> None:
        for _ in range(1_000):
            await outbox.answer(b"pong")

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0)
    held = len(outbox)
    assert held < 100
    while not asking.done():
        if (entry := await outbox.take(0.001)) is not None:
            outbox.done(entry)
        assert len(outbox) <= held
    assert await outbox.take(0.001) in (b"pong", None)


async def test_gaps_are_told_in_their_order():
    one = a_follower()
    one.offer(an_item(3))
    one.gap(Cursor(7))
    one.offer(an_item(7, n=1))
    one.offer(an_item(6))

    told = await taken(one.outbox)

    assert told[2] == Gap(Cursor(7))
    assert [each.cursor for each in told] == [Cursor(0), Cursor(3, 2), Cursor(7), Cursor(7, 1)]
