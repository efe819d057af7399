"""What does not verify or decode is kept as it came, and can be published as it came; what is too old goes."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.ledger import ENVELOPE, NOW, HandClock, Story, message_of
from tests.support.stores import empty_store
from tests.support.waiting import async_wait_until

from toolyard.errors import StoreUnavailable
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.store.dead_letters import MAX_BODY, DeadLetter, SqlDeadLetters
from toolyard.telemetry import catalogue
from toolyard.telemetry.metrics import Counter
from toolyard.testing.fakes import MemoryJournal
from toolyard.testing.store_suite import a_call, a_row, save
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Message, Transport
from toolyard.transport.connect import connect
from toolyard.transport.embedded import EmbeddedTransport
from toolyard_scheduler.duties.quarantine import Quarantine
from toolyard_scheduler.duties.retention import Retention


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty_store(request, tmp_path) as store:
        yield store


@pytest.fixture
async def transport() -> AsyncIterator[EmbeddedTransport]:
    transport = EmbeddedTransport(MemoryJournal())
    await transport.open()
    yield transport
    await transport.close()


@pytest.fixture
async def crossing() -> AsyncIterator[Crossing]:
    crossing = Crossing(2)
    yield crossing
    await crossing.close()


@pytest.fixture
async def duty(store: Store, transport: EmbeddedTransport, crossing: Crossing) -> AsyncIterator[Quarantine]:
    duty = Quarantine(transport, store.dead_letters, crossing, HandClock(), Counter(catalogue.QUARANTINED))
    running = asyncio.create_task(duty.run())
    yield duty
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def letters(store: Store, count: int) -> list[DeadLetter]:
    async def enough() -> list[DeadLetter]:
        found = store.dead_letters.list(cursor=None, limit=99).items
        return list(found) if len(found) >= count else []

    return await async_wait_until(enough, within=60, what=f"{count} letters")


def a_message(**headers: str) -> Message:
    good = message_of(Story().accepted())
    return Message(good.exchange, good.key, good.body + b" ", good.message_id, {**good.headers, **headers})


async def refused(transport: Transport, message: Message | None = None) -> Delivery:
    """What a worker gets of it, or of what is in its queue already."""
    got: asyncio.Queue[Delivery] = asyncio.Queue()
    subscription = await transport.consume(topology.pool_queue("http"), got.put_nowait, prefetch=1)
    if message is not None:
        await transport.publish(message)
    delivery = await asyncio.wait_for(got.get(), 60)
    delivery.ack()
    await subscription.close()
    return delivery


async def test_a_message_is_kept_as_it_came_and_comes_again_the_same(
    store: Store, transport: EmbeddedTransport, duty: Quarantine
):
    message = a_message(traceparent="00-a-b-01")
    delivery = await refused(transport, message)
    await transport.publish(ENVELOPE.quarantined(delivery, "the signature is not of this message", pool="http"))

    (listed,) = await letters(store, 1)
    letter = store.dead_letters.get(listed.letter_id)
    assert letter is not None
    assert (letter.exchange, letter.key, letter.body) == (message.exchange, message.key, message.body)
    assert (letter.message_id, letter.expiration) == (message.message_id, message.expiration)
    assert letter.headers == message.headers
    assert letter.complete
    assert (letter.reason, letter.arrived_at) == ("the signature is not of this message", NOW)

    once_more = Message(letter.exchange, letter.key, letter.body, letter.message_id, letter.headers)
    back = await refused(transport, once_more)
    await transport.publish(ENVELOPE.quarantined(back, "again", pool="http"))

    async def returned() -> bool:
        now = store.dead_letters.get(letter.letter_id)
        return now is not None and now.arrivals == 2

    await async_wait_until(returned, within=60, what="the letter to come back")
    assert store.dead_letters.count() == 1


async def test_what_lost_a_part_of_itself_says_so(store: Store, transport: EmbeddedTransport, duty: Quarantine):
    long_body = Message(topology.CALLS, "call.accepted.http.d.g.t", b"x" * (MAX_BODY + 1), "m1", {})
    long_headers = Message(topology.CALLS, "call.accepted.http.d.g.t", b"y", "m2", {"h": "x" * 70_000})
    for message in (long_body, long_headers):
        await transport.publish(ENVELOPE.quarantined(await refused(transport, message), "why"))

    found = {letter.message_id: letter for letter in await letters(store, 2)}
    assert (found["m1"].complete, found["m1"].size) == (False, MAX_BODY + 1)
    assert (found["m2"].complete, found["m2"].headers) == (False, {})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"toolyard-reason": 5, "toolyard-original": 7},
        {"toolyard-reason": "x", "toolyard-original": "[" * 50_000},
        {"toolyard-reason": "\x00", "toolyard-exchange": True, "toolyard-original": '{"headers":{"a":[]}}'},
    ],
    ids=["nothing", "numbers", "nesting", "another form"],
)
async def test_messages_that_are_not_ours_are_kept_too(
    store: Store, transport: EmbeddedTransport, duty: Quarantine, headers: dict[str, str | int]
):
    await transport.publish(Message(topology.CONTROL, "quarantine.x", b"\xff\x00", "m1", headers))

    (letter,) = await letters(store, 1)
    kept = store.dead_letters.get(letter.letter_id)
    assert kept is not None
    assert kept.body == b"\xff\x00"
    assert kept.complete == (not headers)


async def test_what_could_not_be_kept_stays_in_the_queue(
    store: Store, transport: EmbeddedTransport, crossing: Crossing, monkeypatch: pytest.MonkeyPatch
):
    def away(_: SqlDeadLetters, __: list[DeadLetter]) -> None:
        raise StoreUnavailable("away")

    await transport.publish(Message(topology.CONTROL, "quarantine.x", b"1", "m1", {}))
    with monkeypatch.context() as while_away:
        while_away.setattr(SqlDeadLetters, "keep", away)
        with pytest.raises(StoreUnavailable):
            await Quarantine(transport, store.dead_letters, crossing, HandClock(), Counter(catalogue.QUARANTINED)).run()

    assert await transport.backlog(topology.QUARANTINE) == 1


async def test_over_the_broker_a_message_comes_again_byte_by_byte(amqp_url: str, tmp_path: Path, crossing: Crossing):
    broker = connect(amqp_url, name="quarantine-test", declare=True)
    await broker.open()
    message = a_message(traceparent="00-a-b-01", **{"x-text": "caf\u00e9 " * 100})
    with closing(open_store(f"sqlite:///{tmp_path / 'a.db'}")) as store:
        store.migrate()
        running = asyncio.create_task(
            Quarantine(broker, store.dead_letters, crossing, HandClock(), Counter(catalogue.QUARANTINED)).run()
        )
        try:
            await broker.publish(ENVELOPE.quarantined(await refused(broker, message), "why", pool="http"))
            (listed,) = await letters(store, 1)
            letter = store.dead_letters.get(listed.letter_id)
            assert letter is not None
            assert letter.complete
            await broker.publish(
                Message(letter.exchange, letter.key, letter.body, letter.message_id, letter.headers, kind=letter.kind)
            )
            back = await refused(broker)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await broker.close()
    assert (back.exchange, back.key, back.body) == (message.exchange, message.key, message.body)
    assert (back.message_id, dict(back.headers)) == (message.message_id, message.headers)


# ---- what is too old ----------------------------------------------------------------------------------
async def test_ended_calls_go_after_their_time_in_pieces(store: Store, crossing: Crossing):
    rows = [
        a_row(
            a_call(f"c{n:04}", org=f"org{n % 3}", accepted_at=NOW - 100.0 - n), state="succeeded", finished_at=NOW - n
        )
        for n in range(1_700)
    ]
    save(store, *rows)
    clock = HandClock()
    duty = Retention(store.retention, crossing, clock, kept=850.0, pause=0.0)

    assert await duty.sweep() == 849
    clock.advance(10_000.0)
    assert await duty.sweep() == 851
    assert await duty.sweep() == 0


async def test_it_sweeps_again_and_again(store: Store, crossing: Crossing):
    clock = HandClock()
    duty = Retention(store.retention, crossing, clock, kept=10.0, interval=0.01)
    running = asyncio.create_task(duty.run())
    save(store, a_row(a_call("c1", accepted_at=NOW - 20.0), state="succeeded", finished_at=NOW - 5.0))

    async def gone() -> bool:
        clock.advance(1.0)
        return store.retention.next_org("") is None

    await async_wait_until(gone, within=60, what="the call to go")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert clock.now() > NOW + 5.0
