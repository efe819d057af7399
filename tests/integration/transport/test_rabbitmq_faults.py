"""A broker that closes connections, blocks publishers, freezes and dies: a private node, which these tests may harm."""

import asyncio
import contextlib
from typing import Any

import pytest
from tests.integration.transport.rabbitmq_parts import Open, is_healthy, is_lost
from tests.support.rabbit import RabbitNode

from toolyard import ids
from toolyard.errors import TransportError, Unavailable
from toolyard.testing.transport_parts import (
    POOL,
    QUEUE,
    WAIT,
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
from toolyard.transport.base import Transport
from toolyard.transport.rabbitmq import RabbitTransport

both_ways = pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])


@pytest.fixture
def vhost(private_broker: RabbitNode) -> str:
    name = f"faults-{ids.new_id()}"
    private_broker.add_vhost(name)
    return name  # it goes with the node


async def at_the_node(action: Any, *args: Any, **options: Any) -> Any:
    """What an operator does, while the loop of the test goes on."""
    return await asyncio.to_thread(action, *args, **options)


async def is_blocked(transport: Transport) -> None:
    """Publish until the broker says that it blocks: it tells only who has tried."""

    async def check() -> bool:
        transport.publish(event_message()).add_done_callback(lambda future: future.exception())
        return transport.health.blocked

    await eventually(check)


async def hears_of_it(transport: Transport) -> None:
    """Publish nothing, and wait until the broker has said that it blocks."""

    async def check() -> bool:
        return transport.health.blocked

    await eventually(check)


async def publish_surely(transport: Transport, count: int) -> set[str]:
    """Publish calls one after the other, each until it is confirmed; returns their ids."""
    sent = set()
    for _ in range(count):
        message = call_message()
        sent.add(message.message_id)

        async def taken(message: Any = message) -> bool:
            with contextlib.suppress(TransportError):
                await transport.publish(message)
                return True
            return False

        await eventually(taken)
    return sent


@both_ways
async def test_connections_that_the_broker_closes_come_back_and_lose_nothing(
    private_broker: RabbitNode, vhost: str, open_transport: Open
) -> None:
    transport = await open_transport(private_broker.url(vhost))
    replies, done = await listen(transport, "g1"), Inbox()

    async def run(delivery: Any) -> None:
        await transport.publish(event_message())
        done(delivery)

    async def closed() -> bool:
        """A node lists a connection a moment after it was opened."""
        return bool(await at_the_node(private_broker.close_connections, "an operator wants it", vhost=vhost))

    work = await transport.work(POOL, run, slots=4)
    async with asyncio.TaskGroup() as tasks:
        sending = [tasks.create_task(publish_surely(transport, 50)) for _ in range(4)]
        for _ in range(2):
            await replies.next()
            await is_healthy(transport)
            await eventually(closed)
    sent = set().union(*(task.result() for task in sending))
    while not sent <= {delivery.message_id for delivery in done.seen}:
        await done.next()
    await is_healthy(transport)
    await is_active(work)
    await backlog_is(transport, QUEUE, 0)


@both_ways
async def test_while_the_broker_blocks_publishing_nothing_starts_and_what_is_done_is_acked(
    private_broker: RabbitNode, vhost: str, open_transport: Open
) -> None:
    gateway = await open_transport(private_broker.url(vhost))
    worker = await open_transport(private_broker.url(vhost))
    attempts = Attempts()
    await publish(gateway, *[call_message() for _ in range(3)])
    work = await worker.work(POOL, attempts, slots=2)
    await attempts.wait_for(2)
    await at_the_node(private_broker.block)
    try:
        await is_blocked(worker)
        assert not worker.health.ok
        with pytest.raises(Unavailable, match="blocks publishing"):
            await worker.publish(event_message())
        attempts.end(attempts.running[0])
        await attempts.wait_for(1)
        await backlog_is(gateway, QUEUE, 0)  # the ack went through, and the third call is ours
        assert attempts.most == 2
        assert len(attempts.running) == 1
    finally:
        await at_the_node(private_broker.unblock)
    await attempts.wait_for(2)
    await is_healthy(worker)
    for running in tuple(attempts.running):
        attempts.end(running)
    await attempts.wait_for(0)
    await publish(worker, event_message())
    await work.close()


async def probes_no_more(transport: RabbitTransport) -> None:
    async def check() -> bool:
        return not transport._probes

    await eventually(check)


@both_ways
async def test_who_publishes_nothing_hears_of_a_block_and_of_its_end_too(
    private_broker: RabbitNode, vhost: str, open_transport: Open
) -> None:
    idle = await open_transport(private_broker.url(vhost), probe=True)

    await at_the_node(private_broker.block)
    try:
        await hears_of_it(idle)
        assert not idle.health.ok
        assert idle.health.reason == "the broker blocks publishing: it is low on memory or disk"
        late = await open_transport(private_broker.url(vhost), probe=True)  # a connection of during the alarm
        await hears_of_it(late)
    finally:
        await at_the_node(private_broker.unblock)
    await is_healthy(idle)
    await is_healthy(late)
    await publish(idle, event_message())


@both_ways
async def test_who_may_not_write_to_the_default_exchange_goes_without_the_probe(
    private_broker: RabbitNode, vhost: str, open_transport: Open
) -> None:
    everything_but_that = (".*", "^toolyard.*$", ".*")
    for command in (("add_user", "few", "few"), ("set_permissions", "-p", vhost, "few", *everything_but_that)):
        await at_the_node(private_broker.ctl, *command)
    try:
        few = private_broker.url(vhost).replace(f"{private_broker.user}:{private_broker.password}@", "few:few@")
        await open_transport(private_broker.url(vhost))  # declares what there is
        idle = await open_transport(few, declare=False, probe=True)
        await probes_no_more(idle)  # the broker closed the channel of the first one
        await is_healthy(idle)
        await publish(idle, event_message())
    finally:
        await at_the_node(private_broker.ctl, "delete_user", "few")


async def test_a_broker_that_is_killed_and_started_again_is_found_with_all_it_confirmed(
    private_broker: RabbitNode, vhost: str, open_transport: Open
) -> None:
    transport = await open_transport(private_broker.url(vhost))
    replies, pool = await listen(transport, "g1"), Inbox(ack=False)
    messages = [call_message() for _ in range(20)]
    await publish(transport, *messages)
    await transport.consume(QUEUE, pool, prefetch=50)
    held = await pool.take(20)
    await at_the_node(private_broker.flush)
    await at_the_node(private_broker.kill)
    await is_lost(transport)

    async def all_dropped() -> bool:
        """The two connections learn of the death one after the other."""
        return not any(delivery.alive for delivery in held)

    await eventually(all_dropped)
    with pytest.raises(TransportError):
        await transport.publish(call_message())
    await at_the_node(private_broker.start)
    await is_healthy(transport)
    again = await pool.take(20)
    assert {delivery.message_id for delivery in again} == {message.message_id for message in messages}
    assert all(delivery.count >= 1 for delivery in again)
    for delivery in again:
        delivery.ack()
    event = event_message()
    await publish(transport, event)
    assert (await replies.next()).message_id == event.message_id
    records = await read(await transport.read_log(None), 21)
    assert {message.message_id for message in messages} <= {record.message_id for record in records}
    await backlog_is(transport, QUEUE, 0)


async def test_what_a_starting_broker_confirms_is_in_the_log(
    private_broker: RabbitNode, vhost: str, open_transport: Open
) -> None:
    """It takes messages, and confirms them, before it has recovered the queues they are bound for."""
    transport = await open_transport(private_broker.url(vhost))
    confirmed: set[str] = set()

    async def tell() -> None:
        while True:
            message = event_message()
            try:
                await transport.publish(message)
            except TransportError:
                await asyncio.sleep(0.001)
            else:
                confirmed.add(message.message_id)

    telling = asyncio.create_task(tell())
    await at_the_node(private_broker.flush)
    await at_the_node(private_broker.kill)
    await is_lost(transport)
    before = len(confirmed)
    await at_the_node(private_broker.start)

    async def enough() -> bool:
        return len(confirmed) >= before + 100

    await eventually(enough)
    telling.cancel()
    (last,) = await publish_surely(transport, 1)
    reader, logged = await transport.read_log(None), set[str]()
    async with asyncio.timeout(WAIT):
        while last not in logged:
            logged |= {record.message_id for record in await reader.batch(1000)}
    assert confirmed <= logged


async def test_a_frozen_broker_fails_publishes_in_time_and_the_end_too(
    private_broker: RabbitNode, vhost: str, open_transport: Open
) -> None:
    transport = await open_transport(private_broker.url(vhost), publish_timeout=0.5)
    await transport.consume(QUEUE, Inbox(), prefetch=1)
    await at_the_node(private_broker.suspend)
    try:
        with pytest.raises(TransportError):
            await transport.publish(call_message())
        await transport.close()
    finally:
        await at_the_node(private_broker.resume)
