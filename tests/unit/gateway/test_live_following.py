"""Who may follow, what is opened for them and closed after them, and how they are let go."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from tests.support.numbers import text
from tests.support.waiting import async_wait_until
from tests.unit.gateway.live_feed import FakeLog, HandAsker, as_asker

from toolyard.contracts.feed import BEGINNING, Cursor, Interest
from toolyard.errors import FieldsRefused, Refused, StoreUnavailable
from toolyard_gateway.live.bounds import Bounds
from toolyard_gateway.live.follower import Follower
from toolyard_gateway.live.following import Live
from toolyard_gateway.metrics import Metrics

ALL = Interest()


async def allowed() -> bool:
    return True


class Store:
    """Knows where a time stands in the log."""

    def __init__(self) -> None:
        self.calls = self
        self.offset: int | None = None

    def offset_before(self, org: str, moment: float) -> int | None:
        return self.offset

    async def ask(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


class Hall:
    def __init__(self, **bounds: Any) -> None:
        self.log = FakeLog()
        self.asker = HandAsker(self.log)
        self.store = Store()
        self.metrics = Metrics()
        self.live = Live(as_asker(self.asker), cast("Any", self.store), self.metrics, Bounds(**bounds))

    async def follow(self, org: str = "default", since: Cursor | None = None) -> Follower:
        return await self.live.follow(org, ALL, since, self.live.connect(allowed))


@asynccontextmanager
async def a_hall(**bounds: Any) -> AsyncIterator[Hall]:
    hall = Hall(**bounds)
    yield hall
    await hall.live.stop()


async def until(check: Callable[[], Any]) -> None:
    async def checked() -> bool:
        return bool(check())

    await async_wait_until(checked, within=60, what="it did not happen")


async def test_followers_of_an_org_share_what_is_read_for_it():
    async with a_hall() as hall:
        one, two, other = await asyncio.gather(hall.follow(), hall.follow(), hall.follow("other"))
        hall.log.tell()
        for each in (one, two):
            await each.outbox.take()
            entry = await each.outbox.take()
            assert entry is not None

        assert len(hall.live._channels) == 2
        assert hall.live.followers == 3
        assert len(other.outbox) == 1
        assert [cursor for cursor, _ in hall.asker.asked].count(None) == 2


@pytest.mark.parametrize(("since", "begin"), [(90, 90), (3, 101), (None, 101), (101, 101)])
async def test_a_channel_begins_near_its_first_follower_or_now(since, begin):
    async with a_hall(ring_items=20) as hall:
        hall.log.end = 101
        await hall.follow(since=None if since is None else Cursor(since))

        assert hall.live._channels["default"].ring.begin == Cursor(begin)


async def test_a_cursor_ahead_of_the_log_is_refused_and_leaves_nothing_behind():
    async with a_hall(linger=0.0) as hall:
        with pytest.raises(FieldsRefused, match="ahead of the log"):
            await hall.follow(since=Cursor(999))

        assert hall.live.followers == 0
        await until(lambda: not hall.live._channels)


async def test_a_channel_outlives_its_last_follower_for_a_while():
    async with a_hall(linger=3_600.0) as hall:
        one = await hall.follow()
        channel = hall.live._channels["default"]
        hall.live.leave(one)
        hall.live.leave(one)
        two = await hall.follow()
        assert hall.live._channels["default"] is channel
        assert hall.live._timers == {}

        hall.live.bounds = Bounds(linger=0.0)
        hall.live.disconnect(two.outbox, two)

        await until(lambda: not hall.live._channels)
        assert hall.live.followers == 0
        assert channel._reading is not None
        await until(channel._reading.done)


async def test_a_gateway_takes_so_many_followers_and_no_more():
    async with a_hall(followers=2) as hall:
        one, _ = await hall.follow(), await hall.follow("other")
        with pytest.raises(Refused) as refused:
            await hall.follow()
        hall.live.leave(one)
        await hall.follow()

        assert (refused.value.refusal, refused.value.retry_after) == ("unavailable", 5)


async def test_where_no_scheduler_answers_nobody_waits_for_long():
    async with a_hall(opening=0.05) as hall:
        hall.asker.ask = lambda *_, **__: asyncio.Event().wait()  # type: ignore[assignment,method-assign]
        with pytest.raises(Refused) as refused:
            await hall.follow()

        assert refused.value.refusal == "unavailable"
        assert hall.live.followers == 0


async def test_a_stopping_gateway_lets_everybody_go_and_takes_nobody():
    async with a_hall() as hall:
        one = await hall.follow()
        hall.live.release()

        assert one.outbox.ending == "drained"
        with pytest.raises(Refused, match="stopping"):
            hall.live.connect(allowed)


async def test_whose_key_was_revoked_is_let_go_and_a_store_that_is_away_ends_nothing():
    async with a_hall(recheck=0.01) as hall:
        answers: dict[str, Any] = {"revoked": True, "away": StoreUnavailable("away"), "kept": True}
        looked = dict.fromkeys(answers, 0)

        def asking(name: str) -> Any:
            async def still() -> bool:
                looked[name] += 1
                if isinstance(answers[name], Exception):
                    raise answers[name]
                return bool(answers[name])

            return still

        boxes = {name: hall.live.connect(asking(name)) for name in answers}
        watching = asyncio.create_task(hall.live.watch())
        await until(lambda: all(looked.values()))
        answers["revoked"] = False
        await until(boxes["revoked"].over.is_set)
        before = looked["kept"]
        await until(lambda: looked["kept"] > before)
        watching.cancel()

        assert {name: box.ending for name, box in boxes.items()} == {"revoked": "revoked", "away": None, "kept": None}


async def test_those_cut_off_are_counted():
    async with a_hall(queue_items=2) as hall:
        one = await hall.follow()
        for _ in range(4):
            hall.log.tell()
        await one.outbox.over.wait()
        hall.live.disconnect(one.outbox, one)

        assert "toolyard_gateway_followers_cut_off_total 1" in text(hall.metrics.board)


async def test_a_defect_of_a_channel_ends_the_connections_of_its_followers_and_the_next_one_begins_anew():
    async with a_hall() as hall:
        one = await hall.follow()
        channel = hall.live._channels["default"]
        channel._tell = None  # type: ignore[assignment,method-assign]
        hall.log.tell()
        await one.outbox.over.wait()
        two = await hall.follow()
        hall.live.leave(one)
        hall.log.tell()
        await two.outbox.take()

        assert one.outbox.ending == "cut_off"
        assert await two.outbox.take() is not None
        assert hall.live._channels["default"] is not channel


async def test_a_time_stands_before_what_the_store_knows_or_at_the_beginning():
    async with a_hall() as hall:
        assert await hall.live.place_of("default", 5.0) == BEGINNING
        hall.store.offset = 7
        assert await hall.live.place_of("default", 5.0) == Cursor(7, 0)
