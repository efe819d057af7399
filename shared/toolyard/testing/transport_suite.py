# ruff: noqa: D102 - the names of the cases are sentences
"""One behaviour for every transport: subclass `TransportSuite`, give it ``make``, and pytest does the rest.

For whoever writes a transport. It knows the seam and the topology alone, and waits for signals, never for time::

    class TestMine(TransportSuite):
        @pytest.fixture
        async def make(self):
            transports = []
            async def make():
                transports.append(MyTransport(...))
                await transports[-1].open()
                return transports[-1]
            yield make
            for transport in transports:
                await transport.close()

It needs ``asyncio_mode = auto`` and, for readable failures, ``pytest.register_assert_rewrite`` of this module.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import ClassVar

import pytest

from toolyard import ids
from toolyard.errors import TransportError, Unavailable
from toolyard.security.signing import Keyring
from toolyard.testing.transport_parts import (
    POOL,
    QUEUE,
    WAIT,
    Attempts,
    Inbox,
    backlog_is,
    call_message,
    cancel_of,
    control_message,
    event_message,
    eventually,
    is_active,
    listen,
    monitor_messages,
    publish,
    read,
    signed_call,
    succeeded,
)
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Header, Message, Transport
from toolyard.transport.envelope import Envelope

#: Opens one more transport on the same broker or journal; the same object again where a process can have only one.
Make = Callable[[], Awaitable[Transport]]


class TransportSuite:
    """The cases. A subclass overrides `make`; each case needs an empty broker or journal of its own.

    Attributes:
        loses_queues: whether a queue can vanish under a running transport; then override `delete_queue` too.
    """

    loses_queues: ClassVar[bool] = False

    @pytest.fixture
    async def make(self) -> AsyncIterator[Make]:
        """Give the factory of open transports, and close them all in the end."""
        raise NotImplementedError
        yield  # noqa: PT022 - makes it the generator that a subclass overrides

    @pytest.fixture
    async def transport(self, make: Make) -> Transport:
        """The one transport of cases that need no other."""
        return await make()

    async def delete_queue(self, name: str) -> None:
        """Delete a shared queue behind the transport's back; only where ``loses_queues``."""
        raise NotImplementedError

    # -- routes ---------------------------------------------------------------------------------
    async def test_a_call_reaches_its_pool_queue_and_the_log(self, make: Make) -> None:
        gateway, worker, scheduler = await make(), await make(), await make()
        inbox, message = Inbox(), call_message(body=b'{"v":1}')
        await worker.consume(QUEUE, inbox, prefetch=10)
        await publish(gateway, message)
        got = await inbox.next()
        assert (got.queue, got.exchange, got.key) == (QUEUE, topology.CALLS, message.key)
        assert (got.body, got.message_id, got.count, got.death) == (message.body, message.message_id, 0, None)
        (record,) = await read(await scheduler.read_log(None), 1)
        assert (record.exchange, record.key) == (topology.CALLS, message.key)
        assert (record.body, record.message_id) == (message.body, message.message_id)

    async def test_an_event_reaches_the_queue_of_its_gateway_and_the_log(self, make: Make) -> None:
        gateway, worker, scheduler = await make(), await make(), await make()
        inbox, message = await listen(gateway, "g1"), event_message(gateway="g1")
        await publish(worker, message)
        got = await inbox.next()
        assert (got.exchange, got.key, got.message_id) == (topology.EVENTS, message.key, message.message_id)
        (record,) = await read(await scheduler.read_log(None), 1)
        assert record.message_id == message.message_id

    async def test_nothing_for_another_gateway_arrives(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        inbox = await listen(gateway, "g1")
        foreign, own = event_message(gateway="g2"), event_message(gateway="g1")
        await publish(worker, foreign, own)
        assert (await inbox.next()).message_id == own.message_id

    async def test_a_tool_whose_name_has_dots_is_routed_like_any_other(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        inbox, message = Inbox(), call_message(tool="crm.contacts.find")
        await worker.consume(QUEUE, inbox, prefetch=10)
        await publish(gateway, message)
        assert (await inbox.next()).key == message.key

    async def test_a_call_of_one_pool_is_not_seen_by_another(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        inbox = Inbox()
        await worker.consume(topology.pool_queue("sandbox"), inbox, prefetch=10)
        other = Message(topology.CALLS, "call.accepted.sandbox.default.g1.run", b"{}", ids.new_id())
        await publish(gateway, call_message(), other)
        assert (await inbox.next()).message_id == other.message_id
        await backlog_is(gateway, QUEUE, 1)

    async def test_control_messages_reach_the_workers_bound_to_them(self, make: Make) -> None:
        worker, sender = await make(), await make()
        queue, inbox = topology.worker_queue(POOL, "w1"), Inbox()
        await worker.own_queue(queue, topology.worker_bindings(POOL, "w1"))
        await worker.consume(queue, inbox, prefetch=100)
        cancel, withdrawn = control_message("cancel"), event_message("withdrawn")
        await publish(sender, control_message("ledger_position"), cancel, event_message("succeeded"))
        await publish(sender, withdrawn)
        assert [got.message_id for got in await inbox.take(2)] == [cancel.message_id, withdrawn.message_id]

    async def test_a_queue_bound_twice_to_a_message_gets_it_once(self, make: Make) -> None:
        transport, sender = await make(), await make()
        inbox, name = Inbox(), topology.reply_queue("g1")
        await transport.own_queue(name, [(topology.EVENTS, "call.#"), (topology.EVENTS, "call.*.http.#")])
        await transport.consume(name, inbox, prefetch=10)
        messages = [event_message(), event_message()]
        await publish(sender, *messages)
        assert [got.message_id for got in await inbox.take(2)] == [message.message_id for message in messages]

    async def test_an_own_queue_keeps_what_came_before_its_consumer(self, make: Make) -> None:
        transport, sender = await make(), await make()
        inbox, message = Inbox(), event_message()
        await transport.own_queue(topology.reply_queue("g1"), topology.reply_bindings("g1"))
        await publish(sender, message)
        await transport.consume(topology.reply_queue("g1"), inbox, prefetch=10)
        assert (await inbox.next()).message_id == message.message_id

    async def test_a_message_that_no_queue_wants_is_taken_all_the_same(self, transport: Transport) -> None:
        await publish(transport, Message(topology.FEED, "default.call.succeeded.http.weather", b"{}", ids.new_id()))

    async def test_what_did_not_verify_goes_to_the_quarantine_and_not_to_the_log(self, make: Make) -> None:
        transport, sender = await make(), await make()
        inbox, marker = Inbox(), call_message()
        bad = Message(topology.CONTROL, topology.quarantine_key(POOL), b"\xff", ids.new_id())
        await transport.consume(topology.QUARANTINE, inbox, prefetch=10)
        await publish(sender, bad, marker)
        assert (await inbox.next()).body == b"\xff"
        (record,) = await read(await transport.read_log(None), 1)
        assert record.message_id == marker.message_id

    # -- what travels ---------------------------------------------------------------------------
    async def test_headers_and_properties_arrive_as_published(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        headers: dict[str, Header] = {
            "text": "grüße",
            "empty": "",
            "number": -(2**40),
            "small": 3,
            "share": 0.25,
            "yes": True,
            "no": False,
        }
        sent = call_message()
        message = Message(sent.exchange, sent.key, b"{}", sent.message_id, headers, kind="call", correlation_id="c-1")
        inbox = Inbox()
        await worker.consume(QUEUE, inbox, prefetch=1)
        await publish(gateway, message)
        got = await inbox.next()
        assert {name: got.headers[name] for name in headers} == headers
        assert all(type(got.headers[name]) is type(value) for name, value in headers.items())
        assert (got.kind, got.correlation_id, got.expiration) == ("call", "c-1", "")
        (record,) = await read(await worker.read_log(None), 1)
        assert {name: record.headers[name] for name in headers} == headers

    async def test_a_body_of_one_mebibyte_and_an_empty_one_arrive_whole(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        bodies = [bytes(range(256)) * 4096, b""]
        inbox = Inbox()
        await worker.consume(QUEUE, inbox, prefetch=10)
        await publish(gateway, *[call_message(body=body) for body in bodies])
        assert [got.body for got in await inbox.take(2)] == bodies
        assert [record.body for record in await read(await worker.read_log(None), 2)] == bodies

    async def test_signatures_verify_after_the_trip(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        envelope, call = Envelope(Keyring({"k": bytes(32)})), signed_call()
        pool, replies = Inbox(), await listen(gateway, "g1")
        await worker.consume(QUEUE, pool, prefetch=10)
        end = succeeded(call.call)
        await publish(gateway, envelope.call(call))
        await publish(worker, envelope.event(end), envelope.control(cancel_of(call.call)))
        assert envelope.open_call(await pool.next()) == call
        assert list(envelope.open_events(await replies.next())) == [end]
        records = await read(await worker.read_log(None), 3)
        assert envelope.open_call(records[0]) == call
        assert list(envelope.open_events(records[1])) == [end]
        assert envelope.open_control(records[2]) == cancel_of(call.call)

    # -- order ----------------------------------------------------------------------------------
    async def test_what_one_publisher_sends_stays_in_order(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        inbox = Inbox()
        messages = [call_message(body=b"%d" % n) for n in range(300)]
        await worker.consume(QUEUE, inbox, prefetch=300)
        await publish(gateway, *messages)
        order = [message.message_id for message in messages]
        assert [got.message_id for got in await inbox.take(300)] == order
        assert [record.message_id for record in await read(await worker.read_log(None), 300)] == order

    async def test_progress_does_not_overtake_what_was_published_before_it(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        inbox = await listen(gateway, "g1")
        names = ["started", "progress", "progress", "succeeded"] * 10
        await publish(worker, *[event_message(name) for name in names])
        assert [got.key.split(".")[1] for got in await inbox.take(40)] == names

    async def test_progress_waits_for_the_relay_as_far_as_there_is_room_and_refuses_nobody(self, make: Make) -> None:
        worker, scheduler = await make(), await make()
        room = int(topology.queue(topology.RELAY).arguments["x-max-length"])
        messages = [event_message("progress") for _ in range(room + 10)]
        for start in range(0, len(messages), 1_000):
            await publish(worker, *messages[start : start + 1_000])
        inbox = Inbox()
        await scheduler.consume(topology.RELAY, inbox, prefetch=1_000)
        assert [got.message_id for got in await inbox.take(room)] == [sent.message_id for sent in messages[10:]]

    async def test_the_feed_is_routed_by_org_and_by_tool_with_its_dots(self, make: Make) -> None:
        scheduler, follower = await make(), await make()
        inbox = Inbox()
        await follower.own_queue("follow.acme.one", [(topology.FEED, "acme.call.*.*.look.up")])
        await follower.consume("follow.acme.one", inbox, prefetch=10)
        keys = [topology.feed_key(org, "call", "failed", POOL, "look.up") for org in ("acme", "acme-2", "acme")]
        await publish(scheduler, *[Message(topology.FEED, key, b"{}", ids.new_id()) for key in keys])
        assert [got.key for got in await inbox.take(2)] == [keys[0], keys[2]]

    # -- settling -------------------------------------------------------------------------------
    async def test_prefetch_bounds_what_is_not_settled(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        inbox = Inbox(ack=False)
        await publish(gateway, *[call_message() for _ in range(5)])
        await worker.consume(QUEUE, inbox, prefetch=2)
        first, _ = await inbox.take(2)
        await backlog_is(gateway, QUEUE, 3)
        assert len(inbox.seen) == 2
        first.ack()
        await inbox.next()
        await backlog_is(gateway, QUEUE, 2)
        assert len(inbox.seen) == 3

    async def test_two_consumers_share_a_queue_and_each_message_goes_to_one(self, make: Make) -> None:
        gateway, one, two = await make(), await make(), await make()
        inbox = Inbox()
        await one.consume(QUEUE, inbox, prefetch=1)
        await two.consume(QUEUE, inbox, prefetch=1)
        messages = [call_message() for _ in range(50)]
        await publish(gateway, *messages)
        got = [delivery.message_id for delivery in await inbox.take(50)]
        assert sorted(got) == sorted(message.message_id for message in messages)
        await backlog_is(gateway, QUEUE, 0)

    async def test_a_rejected_call_becomes_a_dead_letter_that_still_verifies(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        envelope, call = Envelope(Keyring({"k": bytes(32)})), signed_call()
        inbox, dead = Inbox(ack=False), Inbox()
        await worker.consume(QUEUE, inbox, prefetch=1)
        await worker.consume(topology.DEAD, dead, prefetch=1)
        message = envelope.call(call)
        await publish(gateway, message)
        (await inbox.next()).reject()
        got = await dead.next()
        assert (got.queue, got.body, got.message_id) == (topology.DEAD, message.body, message.message_id)
        death = got.death
        assert death is not None
        assert (death.reason, death.queue) == ("rejected", QUEUE)
        assert (death.exchange, death.key) == (topology.CALLS, message.key)
        assert envelope.open_dead_call(got) == call

    async def test_a_released_delivery_comes_again_and_its_count_rises(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        inbox, message = Inbox(ack=False), call_message()
        await worker.consume(QUEUE, inbox, prefetch=1)
        await publish(gateway, message)
        for count in range(3):
            got = await inbox.next()
            assert (got.message_id, got.count) == (message.message_id, count)
            got.release()
        (await inbox.next()).ack()
        await backlog_is(gateway, QUEUE, 0)

    async def test_a_message_that_expired_in_a_pool_queue_becomes_a_dead_letter(self, make: Make) -> None:
        gateway, scheduler = await make(), await make()
        dead, sent = Inbox(), call_message()
        await scheduler.consume(topology.DEAD, dead, prefetch=1)
        await publish(gateway, Message(sent.exchange, sent.key, b"{}", sent.message_id, expiration="1"))
        got = await dead.next()
        assert got.message_id == sent.message_id
        assert got.death is not None
        assert got.death.reason == "expired"

    # -- subscriptions --------------------------------------------------------------------------
    async def test_a_paused_subscription_takes_nothing_and_goes_on_when_resumed(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        inbox = Inbox(ack=False)
        subscription = await worker.consume(QUEUE, inbox, prefetch=10)
        await publish(gateway, call_message())
        held = await inbox.next()
        await is_active(subscription)
        await subscription.pause()
        assert not subscription.active
        await publish(gateway, call_message())
        await backlog_is(gateway, QUEUE, 1)
        assert len(inbox.seen) == 1
        assert held.alive
        held.ack()
        await subscription.resume()
        again = await inbox.next()
        assert again.count == 0
        again.ack()
        await is_active(subscription)
        await backlog_is(gateway, QUEUE, 0)

    async def test_what_a_closed_subscription_held_goes_back_to_its_queue(self, make: Make) -> None:
        gateway, worker, other = await make(), await make(), await make()
        inbox, second = Inbox(ack=False), Inbox()
        messages = [call_message() for _ in range(3)]
        subscription = await worker.consume(QUEUE, inbox, prefetch=10)
        await publish(gateway, *messages)
        held = await inbox.take(3)
        await subscription.close()
        assert not subscription.active
        assert not any(delivery.alive for delivery in held)
        for delivery in held:
            delivery.ack()  # silent: it is nobody's any more
        await other.consume(QUEUE, second, prefetch=10)
        got = await second.take(3)
        assert sorted(delivery.message_id for delivery in got) == sorted(message.message_id for message in messages)
        assert all(delivery.count >= 1 for delivery in got)
        await backlog_is(gateway, QUEUE, 0)

    async def test_a_closed_subscription_may_be_closed_again(self, transport: Transport) -> None:
        subscription = await transport.consume(QUEUE, Inbox(), prefetch=1)
        await subscription.close()
        await subscription.close()
        assert not subscription.active

    # -- work -----------------------------------------------------------------------------------
    async def test_work_runs_at_most_its_slots_at_a_time(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        attempts = Attempts()
        await worker.work(POOL, attempts, slots=3)
        await publish(gateway, *[call_message() for _ in range(8)])
        await attempts.wait_for(3)
        await backlog_is(gateway, QUEUE, 5)
        for left in (4, 3, 2, 1, 0):
            attempts.end(attempts.running[0])
            await backlog_is(gateway, QUEUE, left)
            await attempts.wait_for(3)
        assert attempts.most == 3
        for running in list(attempts.running):
            attempts.end(running)
        await attempts.wait_for(0)

    async def test_a_defect_in_an_attempt_releases_its_delivery(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def run(delivery: Delivery) -> None:
            if delivery.count == 0:
                raise ZeroDivisionError
            delivery.ack()
            ended.set_result(delivery.count)

        await worker.work(POOL, run, slots=1)
        await publish(gateway, call_message())
        async with asyncio.timeout(WAIT):
            assert await ended == 1
        await backlog_is(gateway, QUEUE, 0)

    async def test_work_that_begins_paused_starts_nothing_until_it_is_resumed(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        attempts = Attempts()
        subscription = await worker.work(POOL, attempts, slots=2, paused=True)
        assert not subscription.active
        await publish(gateway, call_message())
        await backlog_is(gateway, QUEUE, 1)
        assert attempts.most == 0
        await subscription.resume()
        await attempts.wait_for(1)
        assert subscription.active
        attempts.end(attempts.running[0])
        await attempts.wait_for(0)
        await backlog_is(gateway, QUEUE, 0)

    async def test_paused_work_starts_nothing_and_what_runs_may_end(self, make: Make) -> None:
        gateway, worker = await make(), await make()
        attempts = Attempts()
        subscription = await worker.work(POOL, attempts, slots=2)
        await publish(gateway, call_message())
        await attempts.wait_for(1)
        await subscription.pause()
        await publish(gateway, call_message())
        await backlog_is(gateway, QUEUE, 1)
        attempts.end(attempts.running[0])
        await attempts.wait_for(0)
        assert attempts.most == 1
        await subscription.resume()
        await attempts.wait_for(1)
        attempts.end(attempts.running[0])
        await attempts.wait_for(0)
        await backlog_is(gateway, QUEUE, 0)

    # -- the log --------------------------------------------------------------------------------
    async def test_the_log_has_every_lifecycle_event_and_neither_progress_nor_monitor(self, make: Make) -> None:
        sender, scheduler = await make(), await make()
        quiet = [event_message("progress"), *monitor_messages()]
        kept = [call_message(), call_message(event="dispatched"), control_message("claim")]
        kept += [event_message(name) for name in topology.LOGGED_EVENTS]
        await publish(sender, *quiet, *kept)
        records = await read(await scheduler.read_log(None), len(kept))
        assert [record.key for record in records] == [message.key for message in kept]

    async def test_the_log_is_read_from_an_offset_on_inclusive(self, make: Make) -> None:
        gateway, scheduler = await make(), await make()
        messages = [call_message(body=b"%d" % n) for n in range(10)]
        await publish(gateway, *messages)
        records = await read(await scheduler.read_log(None), 10, limit=3)
        offsets = [record.offset for record in records]
        assert offsets == sorted(set(offsets))
        again = await read(await scheduler.read_log(offsets[4]), 6)
        assert [(record.offset, record.message_id) for record in again] == [
            (record.offset, record.message_id) for record in records[4:]
        ]

    async def test_a_reader_at_the_end_waits_for_the_next_record(self, make: Make) -> None:
        gateway, scheduler = await make(), await make()
        reader = await scheduler.read_log(None)
        first, second = call_message(), call_message()
        waiting = asyncio.ensure_future(read(reader, 1))
        await publish(gateway, first)
        assert [record.message_id for record in await waiting] == [first.message_id]
        waiting = asyncio.ensure_future(read(reader, 1))
        await publish(gateway, second)
        assert [record.message_id for record in await waiting] == [second.message_id]

    async def test_two_readers_read_all_each(self, make: Make) -> None:
        gateway, one, two = await make(), await make(), await make()
        readers = [await one.read_log(None), await two.read_log(None)]
        messages = [call_message() for _ in range(20)]
        await publish(gateway, *messages)
        for records in await asyncio.gather(*[read(reader, 20) for reader in readers]):
            assert [record.message_id for record in records] == [message.message_id for message in messages]

    async def test_a_closed_reader_leaves_the_other_alone(self, make: Make) -> None:
        gateway, one, two = await make(), await make(), await make()
        closed, open_ = await one.read_log(None), await two.read_log(None)
        await closed.close()
        await closed.close()
        await publish(gateway, call_message())
        assert len(await read(open_, 1)) == 1

    # -- its own life ---------------------------------------------------------------------------
    async def test_an_open_transport_is_healthy_and_a_missing_queue_has_no_backlog(self, transport: Transport) -> None:
        assert transport.health.ok, transport.health
        assert await transport.backlog(QUEUE) == 0
        assert await transport.backlog("toolyard.worker.http.nobody") == 0

    async def test_what_was_handed_over_is_published_before_the_end(self, make: Make) -> None:
        transport = await make()
        messages = [call_message() for _ in range(20)]
        futures = [transport.publish(message) for message in messages]
        await transport.close()
        async with asyncio.timeout(WAIT):
            await asyncio.gather(*futures)
        records = await read(await (await make()).read_log(None), 20)
        assert [record.message_id for record in records] == [message.message_id for message in messages]

    async def test_nothing_can_be_published_after_the_end(self, make: Make) -> None:
        transport = await make()
        await transport.close()
        assert not transport.health.ok
        with pytest.raises(Unavailable):
            await transport.publish(call_message())

    async def test_a_lost_pool_queue_is_told_and_calls_for_it_are_refused(self, transport: Transport) -> None:
        if not self.loses_queues:
            return
        await self.delete_queue(QUEUE)

        async def missing() -> bool:
            return QUEUE in transport.health.missing

        await eventually(missing)
        assert not transport.health.ok
        with pytest.raises(TransportError):
            await transport.publish(call_message())
