"""What only the embedded transport has: group commit, a journal that fails, redelivery after a restart."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from toolyard.errors import StoreLost, StoreUnavailable, Unavailable, Unconfirmed
from toolyard.testing.fakes import MemoryJournal
from toolyard.testing.transport_parts import (
    QUEUE,
    WAIT,
    Attempts,
    Inbox,
    call_message,
    event_message,
    eventually,
    listen,
    publish,
    read,
)
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Message, Transport
from toolyard.transport.embedded import EmbeddedTransport, log
from toolyard.transport.embedded.journal import Journal
from toolyard.transport.embedded.queues import MemoryQueue


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
async def transport(journal: MemoryJournal) -> AsyncIterator[EmbeddedTransport]:
    transport = EmbeddedTransport(journal)
    await transport.open()
    yield transport
    await transport.close()


@pytest.fixture
async def impatient(journal: MemoryJournal) -> AsyncIterator[EmbeddedTransport]:
    transport = EmbeddedTransport(journal, publish_timeout=0.05)
    await transport.open()
    yield transport
    journal.gate.set()
    await transport.close()


async def test_it_is_a_transport_over_any_journal(transport: EmbeddedTransport, journal: MemoryJournal):
    as_transport: Transport = transport
    as_journal: Journal = journal
    assert as_transport.health.ok
    assert as_journal.last() is None


# ---- group commit -----------------------------------------------------------------------------------
async def test_what_is_handed_over_in_one_turn_of_the_loop_is_one_transaction(transport, journal):
    await publish(transport, *[call_message() for _ in range(50)])
    assert journal.transactions == [50]


async def test_what_comes_while_a_commit_runs_goes_into_the_next_one(journal):
    transport = EmbeddedTransport(journal)
    await transport.open()
    journal.gate.clear()
    first = transport.publish(call_message())
    await asyncio.sleep(0)  # one turn: the first is handed to the writer
    later = [transport.publish(call_message()) for _ in range(9)]
    journal.gate.set()
    await asyncio.gather(first, *later)
    assert journal.transactions == [1, 9]
    await transport.close()


async def test_only_what_the_log_takes_is_journaled(transport, journal):
    inbox = await listen(transport, "g1")
    await publish(transport, event_message("progress"))
    assert (await inbox.next()).key.startswith("call.progress.")
    assert journal.last() is None


async def test_progress_waits_for_the_commit_of_what_was_published_before_it(journal):
    transport = EmbeddedTransport(journal)
    await transport.open()
    inbox = await listen(transport, "g1")
    journal.gate.clear()
    futures = [transport.publish(event_message(name)) for name in ("started", "progress")]
    await asyncio.sleep(0)
    assert not any(future.done() for future in futures)
    journal.gate.set()
    await asyncio.gather(*futures)
    assert [got.key.split(".")[1] for got in await inbox.take(2)] == ["started", "progress"]
    assert journal.transactions == [1]
    await transport.close()


async def test_a_new_process_reads_what_the_one_before_it_committed(journal):
    before = EmbeddedTransport(journal)
    await before.open()
    message = call_message()
    await publish(before, message)
    after = EmbeddedTransport(journal)  # the one before was killed: it was never closed
    await after.open()
    (record,) = await read(await after.read_log(None), 1)
    assert record.message_id == message.message_id
    assert await after.backlog(QUEUE) == 0  # queues die with their process
    for transport in (before, after):
        await transport.close()


# ---- a journal that fails ---------------------------------------------------------------------------
async def test_a_journal_that_cannot_write_refuses_the_call_and_names_the_reason(transport, journal):
    journal.failure = StoreUnavailable("database or disk is full")
    with pytest.raises(Unavailable, match="disk is full"):
        await transport.publish(call_message())
    assert not transport.health.ok
    assert "disk is full" in transport.health.reason
    assert await transport.backlog(QUEUE) == 0


async def test_it_is_well_again_as_soon_as_the_journal_is(transport, journal):
    journal.failure = OSError("no space left on device")
    with pytest.raises(Unavailable):
        await transport.publish(call_message())
    journal.failure = None
    await publish(transport, call_message())
    assert transport.health.ok
    assert transport.health.reason == ""


async def test_nothing_new_is_started_while_the_journal_fails(transport, journal):
    journal.failure = StoreUnavailable("database is locked")
    with pytest.raises(Unavailable):
        await transport.publish(call_message())
    attempts = Attempts()
    await transport.work("http", attempts, slots=1)
    transport.redeliver(call_message(), 1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await transport.backlog(QUEUE) == 1
    journal.failure = None
    await publish(transport, event_message())
    await attempts.wait_for(1)


async def test_a_commit_that_takes_too_long_is_unconfirmed_and_its_call_still_runs_once_it_is_durable(
    impatient, journal
):
    inbox, message = Inbox(), call_message()
    await impatient.consume(QUEUE, inbox, prefetch=1)
    journal.gate.clear()
    with pytest.raises(Unconfirmed):
        await impatient.publish(message)
    assert not impatient.health.ok
    journal.gate.set()
    assert (await inbox.next()).message_id == message.message_id


async def test_what_waits_too_long_behind_a_slow_commit_was_never_sent(impatient, journal):
    journal.gate.clear()
    first, second = call_message(), call_message()
    future = impatient.publish(first)
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await impatient.publish(second)
    with pytest.raises(Unconfirmed):
        await future
    journal.gate.set()
    assert impatient._log is not None
    impatient._log._timeout = WAIT
    third = call_message()
    await publish(impatient, third)
    records = await read(await impatient.read_log(None), 2)
    assert [record.message_id for record in records] == [first.message_id, third.message_id]


async def test_a_defect_of_the_journal_answers_every_publisher(transport, journal, monkeypatch):
    def broken(records):
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(journal, "append", broken)
    with pytest.raises(Unavailable, match="a defect"):
        await transport.publish(call_message())


async def test_a_journal_that_is_lost_takes_nothing_more_whatever_stands_there_later(transport, journal):
    journal.failure = StoreLost("a.db was removed; begin anew")
    with pytest.raises(Unavailable, match="begin anew"):
        await transport.publish(call_message())
    journal.failure = None
    with pytest.raises(Unavailable, match="begin anew"):
        await transport.publish(call_message())
    assert (transport.health.ok, transport.health.reason) == (False, "a.db was removed; begin anew")
    assert await transport.backlog(QUEUE) == 0
    assert journal.last() is None


async def test_a_commit_that_fails_after_the_loss_hides_neither_it_nor_what_to_do(impatient, journal):
    journal.gate.clear()
    first = impatient.publish(call_message())
    with pytest.raises(Unconfirmed):
        await first
    journal.failure = StoreLost("a.db was removed; begin anew")
    journal.gate.set()
    await eventually(lambda: _reason(impatient, "begin anew"))
    assert not impatient.health.ok


async def test_a_lost_journal_is_noticed_where_nobody_writes(journal, monkeypatch):
    monkeypatch.setattr(log, "_LOOK_EVERY", 0.01)
    transport = EmbeddedTransport(journal)
    await transport.open()
    journal.failure = StoreLost("a.db was removed; begin anew")
    await eventually(lambda: _reason(transport, "begin anew"))
    assert not transport.health.ok
    await transport.close()


async def _reason(transport: EmbeddedTransport, text: str) -> bool:
    return text in transport.health.reason


async def test_a_journal_that_cannot_be_read_stops_the_start(journal, monkeypatch):
    def away() -> None:
        raise StoreUnavailable("unable to open database file")

    monkeypatch.setattr(journal, "last", away)
    with pytest.raises(Unavailable, match="unable to open"):
        await EmbeddedTransport(journal).open()


async def test_a_reader_is_told_when_the_journal_cannot_be_read(transport, journal):
    await publish(transport, call_message())
    reader = await transport.read_log(None)
    journal.failure = StoreUnavailable("disk I/O error")
    with pytest.raises(Unavailable, match="disk I/O error"):
        await reader.batch(10)


async def test_a_waiting_reader_is_told_of_the_end(transport):
    reader = await transport.read_log(None)
    waiting = asyncio.ensure_future(reader.batch(10))
    await asyncio.sleep(0)
    await transport.close()
    with pytest.raises(Unavailable):
        await waiting


# ---- refusals ---------------------------------------------------------------------------------------
async def test_a_full_pool_refuses_a_call_before_it_is_logged(transport, journal, monkeypatch):
    for _ in range(3):
        transport.redeliver(call_message(), 0)
    monkeypatch.setattr(transport._queues[QUEUE], "_limit", 3)
    with pytest.raises(Unavailable, match="full"):
        await transport.publish(call_message())
    assert journal.last() is None


async def test_a_queue_that_refuses_nothing_drops_its_oldest(transport, monkeypatch):
    monkeypatch.setattr(transport._queues[topology.QUARANTINE], "_limit", 2)
    for body in (b"1", b"2", b"3"):
        await transport.publish(Message(topology.CONTROL, topology.quarantine_key("http"), body, body.decode()))
    assert [message.body for message, _ in transport.waiting(topology.QUARANTINE)] == [b"2", b"3"]


async def test_an_unknown_exchange_is_refused(transport):
    with pytest.raises(Unavailable, match=r"'toolyard\.typo'"):
        await transport.publish(Message("toolyard.typo", "a.b", b"", "m"))


async def test_consuming_a_queue_that_is_not_there_is_refused(transport):
    with pytest.raises(Unavailable, match=r"toolyard\.reply\.nobody"):
        await transport.consume(topology.reply_queue("nobody"), Inbox(), prefetch=1)


async def test_nothing_works_before_it_is_open(journal):
    transport = EmbeddedTransport(journal)
    assert not transport.health.ok
    with pytest.raises(Unavailable):
        await transport.publish(call_message())
    with pytest.raises(Unavailable):
        await transport.read_log(None)
    await transport.close()


# ---- redelivery, own queues, defects ------------------------------------------------------------------
async def test_a_redelivered_call_carries_its_count_and_is_not_logged_again(transport, journal):
    inbox, message = Inbox(), call_message()
    transport.redeliver(message, 2)
    await transport.consume(QUEUE, inbox, prefetch=1)
    got = await inbox.next()
    assert (got.message_id, got.count, got.key) == (message.message_id, 2, message.key)
    assert journal.last() is None


async def test_what_waits_in_a_queue_can_be_listed_with_its_counts(transport):
    fresh, old = call_message(), call_message()
    transport.redeliver(old, 1)
    await publish(transport, fresh)
    assert transport.waiting(QUEUE) == [(old, 1), (fresh, 0)]
    assert transport.waiting("toolyard.reply.nobody") == []


async def test_an_own_queue_goes_when_nobody_consumes_it(transport, monkeypatch):
    monkeypatch.setattr(topology, "OWN_QUEUE_EXPIRES", 0.01)
    subscription = await _consume_own(transport)
    await publish(transport, event_message())
    await subscription.close()
    gone = asyncio.Event()
    transport._queues = Watched(transport._queues, gone)
    async with asyncio.timeout(WAIT):
        await gone.wait()
    await publish(transport, event_message())  # routed to nobody, and taken all the same


class Watched(dict[str, MemoryQueue]):
    """The queues, telling when one is removed."""

    def __init__(self, queues: dict[str, MemoryQueue], removed: asyncio.Event) -> None:
        super().__init__(queues)
        self._removed = removed

    def pop(self, *args):
        self._removed.set()
        return super().pop(*args)


async def test_an_own_queue_stays_while_it_is_consumed(transport, monkeypatch):
    monkeypatch.setattr(topology, "OWN_QUEUE_EXPIRES", 0)
    subscription = await _consume_own(transport)
    await asyncio.sleep(0)
    await publish(transport, event_message())
    assert topology.reply_queue("g1") in transport._queues
    await subscription.close()


async def _consume_own(transport: EmbeddedTransport):
    await transport.own_queue(topology.reply_queue("g1"), topology.reply_bindings("g1"))
    return await transport.consume(topology.reply_queue("g1"), Inbox(), prefetch=1)


async def test_bindings_of_an_own_queue_can_be_added(transport):
    inbox = await listen(transport, "g1")
    await transport.own_queue(topology.reply_queue("g1"), topology.reply_bindings("g2"))
    await publish(transport, event_message(gateway="g2"), event_message(gateway="g1"))
    assert [got.key.split(".")[4] for got in await inbox.take(2)] == ["g2", "g1"]


async def test_a_consumer_with_a_defect_does_not_stop_the_queue(transport):
    seen: asyncio.Queue[Delivery] = asyncio.Queue()

    def on_delivery(delivery: Delivery) -> None:
        seen.put_nowait(delivery)
        if delivery.count == 0 and delivery.body == b"bad":
            raise ZeroDivisionError
        delivery.ack()

    await transport.consume(QUEUE, on_delivery, prefetch=1)
    await publish(transport, call_message(body=b"bad"), call_message(body=b"good"))
    async with asyncio.timeout(WAIT):
        got = [await seen.get() for _ in range(3)]
    assert [(delivery.body, delivery.count) for delivery in got] == [(b"bad", 0), (b"good", 0), (b"bad", 1)]


async def test_a_message_released_too_often_becomes_a_dead_letter(transport):
    dead = Inbox()
    await transport.consume(topology.DEAD, dead, prefetch=1)
    transport.redeliver(call_message(), topology.DELIVERY_LIMIT)
    await transport.consume(QUEUE, lambda delivery: delivery.release(), prefetch=1)
    got = await dead.next()
    assert got.death is not None
    assert got.death.reason == "delivery_limit"


async def test_an_attempt_whose_subscription_ended_before_its_start_does_not_run(transport):
    started: list[Delivery] = []

    async def run(delivery: Delivery) -> None:
        started.append(delivery)

    subscription = await transport.work("http", run, slots=1)
    transport.redeliver(call_message(), 0)
    close_once_delivered(subscription, transport)
    await asyncio.sleep(0)  # delivered, and closed in the same turn, before the task's first step
    await asyncio.sleep(0)
    assert started == []
    assert await transport.backlog(QUEUE) == 1


def close_once_delivered(subscription, transport: EmbeddedTransport) -> None:
    """Ends the subscription right behind the turn of the loop in which its queue delivers."""
    end: Callable[[], None] = subscription.end
    asyncio.get_running_loop().call_soon(end)


async def test_many_routes_do_not_pile_up(transport, monkeypatch):
    monkeypatch.setattr("toolyard.transport.embedded.transport._ROUTES_KEPT", 5)
    await publish(transport, *[call_message(tool=f"t{n}") for n in range(20)])
    assert len(transport._routes) <= 5
    assert await transport.backlog(QUEUE) == 20
