"""How the feed is published: from a place that is kept, behind the ledger or from the log, whatever is late."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from tests.support.house import QUICK, House, a_story, until
from tests.support.ledger import ENVELOPE, Story

from toolyard.clock import SYSTEM
from toolyard.errors import NotTaken, Overdue, Unavailable
from toolyard.testing.fakes import MemoryJournal
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Message, Transport
from toolyard_scheduler.app import Options, Scheduler
from toolyard_scheduler.duties.feeding import Feeding, Most


class Follower:
    """Whoever has bound a queue to the whole feed."""

    def __init__(self) -> None:
        self.seen: list[Delivery] = []

    def __call__(self, delivery: Delivery) -> None:
        self.seen.append(delivery)
        delivery.ack()

    @property
    def ids(self) -> list[str]:
        """Of the events, in order, without repeats."""
        return list(dict.fromkeys(delivery.message_id for delivery in self.seen))

    async def has(self, last: str) -> None:
        await until(lambda: last in self.ids, f"{last} to be published")


@pytest.fixture
async def follower(house: House) -> Follower:
    follower = Follower()
    await house.transport.own_queue("follow.default.test", [(topology.FEED, "#")])
    await house.transport.consume("follow.default.test", follower, prefetch=100)
    return follower


@asynccontextmanager
async def leader(house: House, options: Options = QUICK) -> AsyncIterator[Scheduler]:
    seam = (house.transport, ENVELOPE, house.store, house.crossing)
    scheduler = Scheduler(*seam, options=options, followers=house.transport)
    await scheduler.start()
    await until(lambda: scheduler.leading, "the scheduler to lead")
    try:
        yield scheduler
    finally:
        await scheduler.stop()


def told_of(*stories: Story) -> list[str]:
    return [f"{story.call.call_id}/{event}" for story in stories for event in ("0/accepted", "1000002/succeeded")]


async def say(house: House, *stories: Story) -> None:
    for story in stories:
        await house.say(story.accepted(), story.ended(announced=True))


async def test_a_feed_that_begins_tells_what_comes_from_then_on(house: House, follower: Follower):
    await house.leader()
    before, after = a_story("before"), a_story("after")
    await say(house, before)
    await until(lambda: house.row("before") and house.row("before").state == "succeeded", "the end")  # type: ignore[union-attr]
    await house.schedulers.pop().stop()
    async with leader(house):
        await say(house, after)
        await follower.has("after/1000002/succeeded")
    assert follower.ids == told_of(after)


async def test_the_next_leader_goes_on_where_the_last_one_stood(house: House, follower: Follower):
    stories = [a_story(f"c{number}") for number in range(9)]
    for start in (0, 3, 6):
        async with leader(house):
            await say(house, *stories[start : start + 2])
            await follower.has(told_of(stories[start + 1])[-1])
        await say(house, stories[start + 2])
    async with leader(house):
        await follower.has(told_of(stories[-1])[-1])
    assert follower.ids == told_of(*stories)


async def test_what_is_more_than_may_wait_is_read_from_the_log(house: House, follower: Follower):
    stories = [a_story(f"c{number:03}") for number in range(100)]
    small = replace(QUICK, followed=Most(entries=5, records=7, messages=3, pace=0.0))
    async with leader(house, small):
        await asyncio.gather(*(say(house, story) for story in stories))
        await until(lambda: len(follower.ids) == 200, "all to be published")
    for story in stories:
        assert [each for each in follower.ids if each.startswith(story.call.call_id)] == told_of(story)


async def test_what_the_log_does_not_keep_any_more_is_counted_as_lost(
    house: House, follower: Follower, monkeypatch: pytest.MonkeyPatch
):
    async with leader(house):
        await say(house, a_story("first"))
        await follower.has("first/1000002/succeeded")
    kept = house.store.feed.begin(0)
    await house.leader()
    stories = [a_story(f"c{number}") for number in range(5)]
    await say(house, *stories)
    last = house.journal.last() or 0
    await asyncio.wait_for(house.schedulers[-1].reached(last), 60)
    await house.schedulers.pop().stop()
    read = MemoryJournal.read
    monkeypatch.setattr(house.journal, "read", lambda offset, limit: read(house.journal, max(offset, last - 1), limit))
    async with leader(house) as scheduler:
        await follower.has("c4/1000002/succeeded")
        assert scheduler.counts["feed_lost"] == last - 1 - kept - 1
    assert "c4/0/accepted" in follower.ids
    assert "c3/0/accepted" not in follower.ids


class Refusing:
    """A transport whose answers to what is published for followers the test chooses."""

    def __init__(self, transport: Transport, *answers: Exception | None) -> None:
        self._transport = transport
        self._answers = list(answers)

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    def publish(self, message: Message) -> "asyncio.Future[None]":
        answer = self._answers.pop(0) if self._answers else None
        if answer is None:
            return self._transport.publish(message)
        if "taken" in str(answer):
            self._transport.publish(message)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_exception(answer)
        return future


@pytest.mark.parametrize(
    ("answers", "missing", "counted"),
    [
        ([Unavailable("away")] * 2, [], {}),
        ([NotTaken("full"), None], ["c0/0/accepted"], {"feed_nacked": 1}),
        ([None, None, Overdue("taken all the same")], [], {}),
        ([Overdue("late")] * 4, ["c0/0/accepted", "c0/1000002/succeeded"], {"feed_unconfirmed": 2}),
    ],
    ids=["away", "refused", "late once", "late again and again"],
)
async def test_what_is_not_confirmed_is_published_again_and_what_a_queue_refuses_is_not(
    house: House,
    follower: Follower,
    answers: list[Exception | None],
    missing: list[str],
    counted: dict[str, int],
):
    stories = [a_story("c0"), a_story("c1")]
    counts: Counter[str] = Counter()
    scheduler = await house.leader()
    await say(house, *stories)
    last = house.journal.last() or 0
    await asyncio.wait_for(scheduler.reached(last), 60)
    house.store.feed.begin(0)
    refusing = Refusing(house.transport, *answers)
    parts = (refusing, ENVELOPE, house.store, house.crossing, SYSTEM, last, counts, Most(messages=2, pace=0.0))
    feeding = asyncio.create_task(Feeding(*parts).run())  # type: ignore[arg-type]
    try:
        await follower.has("c1/1000002/succeeded")
    finally:
        feeding.cancel()
        await asyncio.wait([feeding])
    assert follower.ids == [each for each in told_of(*stories) if each not in missing]
    assert {name: count for name, count in counts.items() if count and name != "feed_published"} == counted


def test_the_place_of_the_feed_begins_once_and_never_goes_back(house: House):
    place = house.store.feed
    assert place.begin(7) == 7
    place.move(9)
    place.move(8)
    assert place.begin(0) == 9
    house.store.ledger.forget()
    assert place.begin(3) == 3
