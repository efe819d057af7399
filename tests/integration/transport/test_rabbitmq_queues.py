"""Queues that come and go under a transport over a real broker, and the workers of dramatiq on one."""

import asyncio
import contextlib
from urllib.parse import urlsplit

import dramatiq
import pytest
from tests.integration.transport.rabbitmq_parts import Open, at_the_broker, is_healthy, is_missing, is_taken
from tests.support.relay import Relay

from toolyard import ids
from toolyard.errors import NotTaken, SettingsError, Unavailable, Unconfirmed
from toolyard.testing.transport_parts import (
    POOL,
    QUEUE,
    Attempts,
    Inbox,
    backlog_is,
    call_message,
    event_message,
    eventually,
    is_active,
    listen,
    publish,
    read,
)
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Message
from toolyard.transport.rabbitmq.broker import LoopActor, Work, WorkBroker


# -- queues come and go ---------------------------------------------------------------------------
@pytest.mark.parametrize("name", [QUEUE, topology.LOG])
async def test_what_is_bound_for_a_missing_queue_is_refused_and_nothing_else(
    amqp_url: str, open_transport: Open, name: str
) -> None:
    await (await open_transport(amqp_url)).close()
    transport = await open_transport(amqp_url, declare=False)
    with at_the_broker(amqp_url) as connection:
        connection.channel().queue_delete(name)
    await is_missing(transport, name)
    with pytest.raises(Unavailable, match=name):
        await transport.publish(call_message())
    with pytest.raises(Unavailable, match=name) if name == topology.LOG else contextlib.nullcontext():
        await transport.publish(event_message())
    await publish(transport, event_message("progress"))
    await open_transport(amqp_url)
    await is_healthy(transport)
    await publish(transport, call_message(), event_message())


async def test_a_topology_that_is_not_there_yet_is_told_and_found_when_it_comes(
    amqp_url: str, open_transport: Open
) -> None:
    transport = await open_transport(amqp_url, declare=False)
    needed = {queue.name for queue in topology.QUEUES if queue.needed}
    assert set(transport.health.missing) == {*topology.EXCHANGES, *needed}
    inbox = await listen(transport, "g1")
    with pytest.raises(Unavailable, match=topology.EVENTS):
        await transport.publish(event_message())
    await open_transport(amqp_url)
    await is_healthy(transport)
    event = event_message()

    async def heard() -> bool:
        await transport.publish(event)
        return bool(inbox.seen)

    await eventually(heard)


async def test_a_consumer_comes_back_with_its_queue(amqp_url: str, open_transport: Open) -> None:
    transport = await open_transport(amqp_url)  # declares, so it mends
    inbox = Inbox()
    subscription = await transport.consume(QUEUE, inbox, prefetch=10)
    await is_active(subscription)
    with at_the_broker(amqp_url) as connection:
        connection.channel().queue_delete(QUEUE)

    async def inactive() -> bool:
        return not subscription.active

    await eventually(inactive)
    await is_active(subscription)
    await is_healthy(transport)
    message = call_message()
    await publish(transport, message)
    assert (await inbox.next()).message_id == message.message_id


async def test_a_deleted_exchange_is_mended_with_all_its_bindings(amqp_url: str, open_transport: Open) -> None:
    transport = await open_transport(amqp_url)
    replies = await listen(transport, "g1")
    reader = await transport.read_log(None)
    with at_the_broker(amqp_url) as connection:
        connection.channel().exchange_delete(topology.EVENTS)
    with pytest.raises(Unconfirmed):
        await transport.publish(event_message())
    event = event_message()
    assert await is_taken(transport, event)
    assert (await replies.next()).message_id == event.message_id
    (record,) = await read(reader, 1)
    assert record.message_id == event.message_id
    await is_healthy(transport)


async def test_a_full_queue_refuses_and_the_publisher_is_told(amqp_url: str, open_transport: Open) -> None:
    transport = await open_transport(amqp_url)
    with at_the_broker(amqp_url) as connection:
        channel = connection.channel()
        channel.queue_declare("full", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
        channel.queue_bind("full", topology.FEED, "#")
        feed = [Message(topology.FEED, "default.call", b"{}", ids.new_id()) for _ in range(5)]
        ends = await asyncio.gather(*[transport.publish(message) for message in feed], return_exceptions=True)
        channel.queue_delete("full")
    assert ends[0] is None
    assert isinstance(ends[-1], NotTaken)
    assert "refused" in str(ends[-1])
    assert transport.health.ok


async def test_a_queue_of_another_kind_stops_the_start(amqp_url: str, open_transport: Open) -> None:
    with at_the_broker(amqp_url) as connection:
        connection.channel().queue_declare(QUEUE, durable=True)
        with pytest.raises(SettingsError, match=r"toolyard\.call\.http.*'x-queue-type': 'quorum'.*inequivalent arg"):
            await open_transport(amqp_url)
        connection.channel().queue_delete(QUEUE)


async def test_a_wrong_password_or_vhost_stops_the_start(amqp_url: str, open_transport: Open) -> None:
    address = urlsplit(amqp_url)
    place = f"{address.hostname}:{address.port}"
    for url in (f"amqp://guest:hunter2@{place}{address.path}", f"amqp://guest:guest@{place}/no-such-vhost"):
        with pytest.raises(SettingsError, match="refused") as caught:
            await open_transport(url)
        assert "hunter2" not in str(caught.value)


# -- work -----------------------------------------------------------------------------------------
async def test_what_was_not_started_when_its_connection_was_lost_is_dropped(
    relay: Relay, relay_url: str, open_transport: Open
) -> None:
    transport = await open_transport(relay_url)
    started: list[Delivery] = []

    async def run(delivery: Delivery) -> None:
        started.append(delivery)
        delivery.ack()

    may_start = False
    broker = WorkBroker(may_start=lambda: may_start)
    LoopActor(run, broker=broker, pool=POOL, queue_name=QUEUE)
    subscription = transport._consumer(QUEUE, broker.take, 4)
    await subscription.start()
    await publish(transport, *[call_message() for _ in range(4)])
    await backlog_is(transport, QUEUE, 0)

    async def held() -> bool:
        return len(broker._held) == 4

    await eventually(held)
    relay.cut()

    async def again() -> bool:
        return len(broker._held) == 8

    await eventually(again)
    may_start = True
    broker.go_on()
    await backlog_is(transport, QUEUE, 0)

    async def ran() -> bool:
        return len(started) == 4

    await eventually(ran)
    assert {delivery.count for delivery in started} == {1}
    await subscription.close()


async def test_work_goes_on_after_a_cut_connection(relay: Relay, relay_url: str, open_transport: Open) -> None:
    transport = await open_transport(relay_url)
    attempts = Attempts()
    subscription = await transport.work(POOL, attempts, slots=2)
    await publish(transport, call_message())
    await attempts.wait_for(1)
    first = attempts.running[0]
    relay.cut()
    await attempts.wait_for(2)
    assert not first.alive
    second = attempts.running[1]
    assert (second.message_id, second.count) == (first.message_id, 1)
    attempts.running.remove(first)
    attempts.end(second)
    await attempts.wait_for(0)
    await backlog_is(transport, QUEUE, 0)
    await is_active(subscription)


async def test_dramatiq_sees_the_delivery_its_count_and_headers(amqp_url: str, open_transport: Open) -> None:
    transport = await open_transport(amqp_url)
    seen: asyncio.Queue[tuple[str, object]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    class Watcher(dramatiq.Middleware):
        def before_process_message(self, broker: dramatiq.Broker, message: object) -> None:
            loop.call_soon_threadsafe(seen.put_nowait, ("before", message))

        def after_process_message(self, broker: dramatiq.Broker, message: object, **ends: object) -> None:
            loop.call_soon_threadsafe(seen.put_nowait, ("after", ends.get("exception")))

    async def run(delivery: Delivery) -> None:
        if delivery.count == 0:
            raise ZeroDivisionError
        delivery.ack()

    work = await transport.work(POOL, run, slots=1)
    work._broker.add_middleware(Watcher())  # type: ignore[attr-defined]
    sent = call_message()
    await publish(transport, Message(sent.exchange, sent.key, b"{}", sent.message_id, {"a": "b"}))
    events = [await seen.get() for _ in range(4)]
    assert [name for name, _ in events] == ["before", "after", "before", "after"]
    assert isinstance(events[1][1], ZeroDivisionError)
    assert events[3][1] is None
    message = events[2][1]
    assert isinstance(message, dramatiq.broker.MessageProxy)
    assert (message.queue_name, message.actor_name, message.message_id) == (QUEUE, POOL, sent.message_id)
    assert message.options == {"delivery_count": 1, "headers": {"a": "b"}}
    with pytest.raises(NotImplementedError, match="published by a gateway"):
        work._broker.enqueue(message)  # type: ignore[attr-defined]
    assert dramatiq.broker.global_broker is None


async def test_an_actor_that_blocks_runs_on_the_threads_of_dramatiq(amqp_url: str, open_transport: Open) -> None:
    transport = await open_transport(amqp_url)
    loop = asyncio.get_running_loop()
    ran: asyncio.Queue[bytes] = asyncio.Queue()

    def run(delivery: Delivery) -> None:
        loop.call_soon_threadsafe(ran.put_nowait, delivery.body)
        if delivery.body == b"bad" and delivery.count == 0:
            raise ZeroDivisionError

    broker = WorkBroker(may_start=lambda: True)
    dramatiq.Actor(run, broker=broker, actor_name=POOL, queue_name=QUEUE, priority=0, options={})
    broker.subscription = transport._consumer(QUEUE, broker.take, 2)
    work = Work(broker, broker.subscription, QUEUE, slots=2)
    await work.start()
    await publish(transport, call_message(body=b"good"), call_message(body=b"bad"))
    assert sorted([await ran.get() for _ in range(3)]) == [b"bad", b"bad", b"good"]
    await backlog_is(transport, QUEUE, 0)
    await work.close()
