"""A channel: who joins where, and that nobody misses an event or is told one twice, wherever the log is read from."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from tests.support.waiting import async_wait_until
from tests.unit.gateway.live_feed import FakeLog, HandAsker, as_asker

from toolyard.contracts.feed import Cursor, FeedItem, FeedPage, Interest
from toolyard.errors import FieldsRefused
from toolyard_gateway.live.bounds import Bounds
from toolyard_gateway.live.channel import Channel
from toolyard_gateway.live.follower import Follower
from toolyard_gateway.live.outbox import Entry, Gap, Opened, Outbox

SMALL = Bounds(ring_items=8, queue_items=6, catching_up=2)


class Reader:
    """A follower, and what it read so far."""

    def __init__(self, bounds: Bounds, **wanted) -> None:
        self.follower = Follower("default", Interest(**wanted), Outbox(1_000_000), bounds)
        self.told: list = []

    @property
    def events(self) -> list[FeedItem]:
        return [each for each in self.told if isinstance(each, FeedItem)]

    async def read(self) -> None:
        while (entry := await self.follower.outbox.take()) is not None:
            assert isinstance(entry, Entry)
            self.told.append(entry.what)
            self.follower.outbox.done(entry)

    async def has(self, number: int) -> None:
        """Until so many events were read."""

        async def enough() -> bool:
            return len(self.events) >= number

        await async_wait_until(enough, within=60, what=lambda: f"{len(self.events)} of {number}", every=0)


class Stage:
    """One channel over a log, with readers."""

    def __init__(self, bounds: Bounds, log: FakeLog) -> None:
        self.bounds = bounds
        self.log = log
        self.asker = HandAsker(log)
        self.turns = asyncio.Semaphore(bounds.catching_up)
        self.tasks: list[asyncio.Task[None]] = []

    def open(self, begin: Cursor | None = None) -> None:
        now = Cursor(self.log.end, 0)
        self.channel = Channel(
            "default", now if begin is None else begin, now, as_asker(self.asker), self.bounds, self.turns
        )
        self.reading = self.channel.start()

    async def join(self, since: Cursor | None = None, *, reads: bool = True, **wanted) -> Reader:
        reader = Reader(self.bounds, **wanted)
        self.channel.members.add(reader.follower)
        await self.channel.join(reader.follower, since)
        if reads:
            self.tasks.append(asyncio.create_task(reader.read()))
        return reader

    async def reached(self, item: FeedItem) -> None:
        await until(lambda: self.channel.ring.end >= item.cursor)


async def until(check: Callable[[], bool]) -> None:
    async def checked() -> bool:
        return check()

    await async_wait_until(checked, within=60, what="it did not come so far", every=0)


@asynccontextmanager
async def a_stage(bounds: Bounds = SMALL, *, before: int = 0, page: int = 3) -> AsyncIterator[Stage]:
    log = FakeLog(page=page)
    for _ in range(before):
        log.tell()
    stage = Stage(bounds, log)
    try:
        yield stage
    finally:
        await stage.channel.stop()
        for task in stage.tasks:
            task.cancel()
        await asyncio.gather(*stage.tasks, return_exceptions=True)


async def test_who_begins_now_is_told_what_comes_and_nothing_older():
    async with a_stage(before=5) as stage:
        stage.open()
        one = await stage.join()
        item = stage.log.tell()
        await one.has(1)

        assert one.told == [Opened(Cursor(6)), one.events[0]]
        assert one.events[0].cursor == item.cursor


async def test_who_begins_now_is_told_nothing_older_where_the_channel_begins_behind():
    async with a_stage(before=50) as stage:
        stage.open(Cursor(1))
        late = await stage.join()
        item = stage.log.tell()
        await late.has(1)

        assert [each.cursor for each in late.events] == [item.cursor]


async def test_who_comes_back_goes_on_from_the_ring_without_a_question():
    async with a_stage() as stage:
        stage.open()
        told = [stage.log.tell() for _ in range(6)]
        await stage.reached(told[-1])

        one = await stage.join(told[1].cursor)
        await one.has(4)

        assert [each.cursor for each in one.events] == [item.cursor for item in told[2:]]
        assert all(only is None for _, only in stage.asker.asked)
        assert one.follower.ring is stage.channel.ring


async def test_who_is_behind_the_ring_asks_for_pages_of_what_it_wants_until_it_is_there():
    async with a_stage(before=100) as stage:
        stage.open()
        for n in range(60):
            stage.log.tell(conversation=f"talk-{n % 2}")
        one = await stage.join(Cursor(0), conversation="talk-1")
        await one.has(30)
        new = stage.log.tell(conversation="talk-1")
        await one.has(31)

        wanted = [item for item in stage.log.items["default"] if item.conversation == "talk-1"]
        assert [each.cursor for each in one.events] == [item.cursor for item in wanted]
        assert one.events[-1].cursor == new.cursor
        assert {only for _, only in stage.asker.asked} == {None, one.follower.interest}


async def test_a_cursor_that_another_gateway_gave_is_taken_and_one_that_nobody_gave_is_not():
    async with a_stage(before=3) as stage:
        stage.open(Cursor(1))
        one = await stage.join(Cursor(3, 2))
        with pytest.raises(FieldsRefused) as refused:
            await stage.join(Cursor(99))
        item = stage.log.tell()
        await one.has(1)

        assert [each.cursor for each in one.events] == [item.cursor]
        assert refused.value.fields[0].path == "since"


@pytest.mark.parametrize("seed", range(8))
async def test_nobody_misses_an_event_or_is_told_one_twice(seed):
    dice = random.Random(seed)
    async with a_stage(Bounds(ring_items=20, queue_items=40, catching_up=2), before=40, page=7) as stage:
        stage.open(Cursor(dice.randrange(45)))
        readers: list[tuple[Reader, Cursor, str | None]] = []
        for step in range(120):
            stage.log.tell(conversation=f"talk-{dice.randrange(3)}")
            if step % 4 == 0:
                place = Cursor(dice.randrange(stage.log.end), dice.randrange(3))
                talk = dice.choice([None, "talk-0", "talk-1"])
                readers.append((await stage.join(place, conversation=talk), place, talk))
            for _ in range(dice.randrange(12)):
                await asyncio.sleep(0)

        for reader, place, talk in readers:
            wanted = [
                item.cursor
                for item in stage.log.items["default"]
                if item.cursor > place and (talk is None or item.conversation == talk)
            ]
            await reader.has(len(wanted))
            assert [each.cursor for each in reader.events] == wanted
            assert reader.told[0] == Opened(place)
        assert stage.asker.most <= 2


async def test_who_does_not_read_is_cut_off_and_all_others_are_told_everything():
    async with a_stage() as stage:
        stage.open()
        deaf, other, quick = (
            await stage.join(reads=False),
            await stage.join(reads=False, call_id="x"),
            await stage.join(),
        )
        for _ in range(10):
            stage.log.tell(size=1_000)
            await asyncio.sleep(0)
        for _ in range(10):
            await quick.has(10)

        assert deaf.follower.outbox.ending == "cut_off"
        assert len(deaf.follower.outbox) == 0
        assert other.follower.outbox.ending is None
        assert len(quick.events) == 10
        assert len(stage.channel.ring) == 8


async def test_others_have_their_turns_while_a_page_is_handed_to_many():
    async with a_stage(Bounds(), page=500) as stage:
        stage.open()
        for _ in range(300):
            await stage.join(reads=False)
        last = [stage.log.tell() for _ in range(90)][-1]
        seen = set()
        while stage.channel.ring.end < last.cursor:
            seen.add(len(stage.channel.ring))
            await asyncio.sleep(0)

        assert seen >= {0, 34, 68}


async def test_who_takes_nothing_while_it_catches_up_is_cut_off():
    async with a_stage(Bounds(ring_items=2, queue_items=4, catching_up=1, stalled=0.05), before=30) as stage:
        stage.open()
        deaf = await stage.join(Cursor(0), reads=False)
        one = await stage.join(Cursor(0))
        await one.has(30)
        await until(lambda: deaf.follower.outbox.ending == "cut_off")

        assert len(one.events) == 30


async def test_who_catches_up_slowly_keeps_nobody_else_from_it():
    async with a_stage(Bounds(ring_items=8, queue_items=6, catching_up=1, stalled=1_000), before=60) as stage:
        stage.open()
        slow = await stage.join(Cursor(1), reads=False)
        await until(lambda: slow.follower.waiting == 3)
        quick = await stage.join(Cursor(1))

        await quick.has(59)
        assert not slow.follower.over


async def test_who_finds_nothing_in_an_old_part_is_further_all_the_same():
    async with a_stage(before=60) as stage:
        stage.open()
        one = await stage.join(Cursor(1), call_id="none of these")
        asked = stage.asker.asked
        stage.log.answer = lambda *_: FeedPage(v=1, number=1, org="default", offset=min(30, 20 + len(asked)))  # type: ignore[method-assign]

        await until(lambda: one.follower.place >= Cursor(25))
        assert one.events == []


async def test_what_is_not_kept_any_more_is_told_as_a_gap():
    async with a_stage(before=20) as stage:
        stage.log.kept = Cursor(10, 2)
        stage.open()
        one = await stage.join(Cursor(3))
        await one.has(10)

        assert one.told[:2] == [Opened(Cursor(3)), Gap(Cursor(11, 1))]
        assert [each.offset for each in one.events] == list(range(11, 21))


async def test_a_gap_in_what_is_read_for_all_is_told_to_all():
    async with a_stage(before=20) as stage:
        stage.open(Cursor(5))
        stage.log.kept = Cursor(10, 2)
        one, late = await stage.join(Cursor(5)), await stage.join(Cursor(2))
        await one.has(10)
        await late.has(10)

        assert Gap(Cursor(11, 1)) in one.told
        assert [each.offset for each in one.events] == list(range(11, 21))
        assert Gap(Cursor(11, 1)) in late.told
        assert [each.offset for each in late.events] == list(range(11, 21))
        assert stage.channel.ring.begin > Cursor(10, 2)


async def test_where_the_log_is_another_one_everybody_begins_anew():
    async with a_stage(before=50) as stage:
        stage.open()
        one = await stage.join()
        item = stage.log.tell()
        await one.has(1)
        stage.log.items.clear()
        stage.log.end = 3
        stage.log.changed.set()
        await until(lambda: stage.channel.ring.end == Cursor(3))
        new = stage.log.tell()
        await one.has(2)

        assert one.told[1:] == [one.events[0], Gap(Cursor(3)), one.events[1]]
        assert [each.cursor for each in one.events] == [item.cursor, new.cursor]
        assert one.follower.told == new.cursor


async def test_who_left_is_told_nothing_more_also_while_it_catches_up():
    async with a_stage(Bounds(ring_items=2, queue_items=4), before=30) as stage:
        stage.open()
        one = await stage.join(Cursor(0), reads=False)
        await until(lambda: not one.follower.roomy)
        stage.channel.leave(one.follower)
        await until(lambda: not stage.channel._tasks)
        before = len(one.follower.outbox)
        stage.log.tell()
        await stage.reached(stage.log.tell())

        assert len(one.follower.outbox) == before
        assert stage.channel.members == set()


async def test_a_defect_while_catching_up_ends_the_connection_of_that_one_alone():
    class Broken(HandAsker):
        async def ask(self, *args, only=None, **said):
            if only is not None:
                raise RuntimeError("a defect")
            return await super().ask(*args, only=only, **said)

    async with a_stage(before=30) as stage:
        stage.asker = Broken(stage.log)
        stage.open()
        one, other = await stage.join(Cursor(0)), await stage.join()
        stage.log.tell()
        await other.has(1)
        await until(lambda: one.follower.outbox.ending == "cut_off")

        assert other.follower.outbox.ending is None
