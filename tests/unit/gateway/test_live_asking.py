"""Questions for pages of the feed: asked again until they are answered, and answers to nobody's question dropped."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from msgspec import structs
from tests.support.waiting import async_wait_until
from tests.unit.gateway.live_feed import FakeScheduler
from tests.unit.gateway.rig import KEYRING

from toolyard.clock import SYSTEM
from toolyard.contracts.calls import VERSION
from toolyard.contracts.feed import Cursor, FeedPage, Interest
from toolyard.errors import Unavailable
from toolyard.testing.fakes import MemoryJournal
from toolyard.transport import topology
from toolyard.transport.embedded.transport import EmbeddedTransport
from toolyard.transport.envelope import Envelope
from toolyard_gateway.live.asking import Asker
from toolyard_gateway.live.bounds import Bounds
from toolyard_gateway.publishing import Publisher

ENVELOPE = Envelope(KEYRING)
NOW = Cursor(1, 0)


@dataclasses.dataclass
class Desk:
    transport: EmbeddedTransport
    scheduler: FakeScheduler
    asker: Asker


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    transport = EmbeddedTransport(MemoryJournal())
    await transport.open()
    scheduler = FakeScheduler(transport, ENVELOPE)
    await scheduler.start()
    asker = Asker(
        gateway_id="gw-1",
        transport=transport,
        envelope=ENVELOPE,
        publisher=Publisher(transport, ENVELOPE, SYSTEM, "gw-1"),
        bounds=Bounds(late=0.1),
    )
    yield Desk(transport, scheduler, asker)
    await asker.stop()
    await scheduler.stop()
    await transport.close()


async def until(check: Callable[[], Any]) -> None:
    async def checked() -> bool:
        return bool(check())

    await async_wait_until(checked, within=60, what="it did not happen")


async def test_nothing_is_declared_until_somebody_asks(desk: Desk):
    assert topology.live_queue("gw-1") not in desk.transport._queues

    page = await desk.asker.ask("default", None)

    assert page.cursor == NOW
    assert topology.live_queue("gw-1") in desk.transport._queues


async def test_a_question_says_what_is_wanted_and_the_page_tells_it(desk: Desk):
    first, second = desk.scheduler.tell(call_id="a"), desk.scheduler.tell(call_id="b")

    page = await desk.asker.ask("default", first.cursor, patience=5.0, only=Interest(call_id="b"))

    asked = desk.scheduler.asked[-1]
    assert (asked.org, asked.offset, asked.n, asked.patience) == ("default", 1, 2, 5.0)
    assert asked.only == Interest(call_id="b")
    assert [item.event_id for item in page.items] == [second.event_id]
    assert bytes(page.items[0].body) == bytes(second.body)


async def test_a_question_without_an_answer_is_asked_again_under_another_number(desk: Desk):
    desk.scheduler.silent = True
    asking = asyncio.create_task(desk.asker.ask("default", NOW))
    await until(lambda: len(desk.scheduler.asked) >= 3)
    desk.scheduler.silent = False
    page = await asking

    asked = desk.scheduler.asked
    assert len({each.number for each in asked}) == len(asked)
    assert {(each.offset, each.n) for each in asked} == {NOW}
    assert page.number == asked[-1].number


async def test_numbers_begin_anywhere_so_that_an_earlier_process_is_not_answered_here(desk: Desk):
    numbers = set()
    for _ in range(5):
        again = Asker(
            gateway_id="gw-1",
            transport=desk.transport,
            envelope=ENVELOPE,
            publisher=desk.asker._publisher,
            bounds=Bounds(),
        )
        numbers.add(again._number)

    assert len(numbers) > 1


async def test_answers_to_other_questions_are_dropped(desk: Desk):
    desk.scheduler.silent = True
    asking = asyncio.create_task(desk.asker.ask("default", NOW, patience=60.0))
    await until(lambda: desk.scheduler.asked)
    asked = desk.scheduler.asked[0]
    answer = FeedPage(v=VERSION, number=asked.number, org="default", offset=7)
    for other in (
        structs.replace(answer, number=asked.number + 1),
        structs.replace(answer, org="other"),
        structs.replace(answer, offset=8),
    )[:2]:
        await desk.transport.publish(ENVELOPE.feed_page(other, "gw-1"))
    await until(lambda: not desk.transport.waiting(topology.live_queue("gw-1")))
    assert not asking.done()

    await desk.transport.publish(ENVELOPE.feed_page(answer, "gw-1"))
    await desk.transport.publish(ENVELOPE.feed_page(structs.replace(answer, offset=8), "gw-1"))

    assert (await asking).offset == 7
    assert desk.asker._open == {}


async def test_what_does_not_verify_or_decode_is_quarantined(desk: Desk):
    await desk.asker.ask("default", None)
    asking = asyncio.create_task(desk.asker.ask("default", NOW, patience=60.0))
    await until(lambda: len(desk.scheduler.asked) == 2)
    page = FeedPage(v=VERSION, number=desk.scheduler.asked[-1].number, org="default", offset=7)
    sealed = ENVELOPE.feed_page(page, "gw-1")
    await desk.transport.publish(dataclasses.replace(sealed, body=sealed.body.replace(b"7", b"8")))

    await until(lambda: len(desk.transport.waiting(topology.QUARANTINE)) == 1)

    assert not asking.done()
    asking.cancel()


async def test_a_question_that_could_not_be_sent_is_sent_again(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    publish, failures = desk.transport.publish, [1]

    def failing(message):
        if failures:
            failures.pop()
            future = asyncio.get_running_loop().create_future()
            future.set_exception(Unavailable("the broker is away"))
            return future
        return publish(message)

    monkeypatch.setattr("toolyard_gateway.live.asking.AGAIN", 0.0)
    monkeypatch.setattr(desk.transport, "publish", failing)

    assert (await desk.asker.ask("default", None)).cursor == NOW
    assert failures == []
