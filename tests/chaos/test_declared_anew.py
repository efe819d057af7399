"""A queue that is deleted and declared again within a moment: the broker forgets to tell its consumer."""

import asyncio
from collections.abc import Callable
from typing import Any

import pika
import uvloop
from tests.support.rabbit import RabbitNode

from toolyard.transport import topology
from toolyard.transport.base import Delivery
from toolyard.transport.rabbitmq import RabbitTransport

QUEUE = next(queue for queue in topology.QUEUES if queue.name == topology.pool_queue("http"))
PREFETCH = 4
WAITING = 20


def _admin(node: RabbitNode, act: Callable[[Any], object]) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(node.url()))
    try:
        act(connection.channel())
    finally:
        connection.close()


def _declare_anew(channel: Any) -> None:
    channel.queue_delete(QUEUE.name)
    channel.queue_declare(QUEUE.name, durable=True, arguments=QUEUE.arguments)


def _fill(channel: Any) -> None:
    for _ in range(WAITING):
        channel.basic_publish("", QUEUE.name, b"x")


async def _consume(node: RabbitNode) -> None:
    came = asyncio.Event()
    count = 0

    def take(delivery: Delivery) -> None:
        nonlocal count
        count += 1
        delivery.ack()
        if count == WAITING:
            came.set()

    transport = RabbitTransport(node.url(), name="a drill", declare=True)
    await transport.open()
    try:
        await transport.consume(QUEUE.name, take, prefetch=PREFETCH)
        for act in (_fill, _declare_anew, _fill):
            await asyncio.to_thread(_admin, node, act)
            if act is _fill:
                async with asyncio.timeout(60):
                    await came.wait()
                came.clear()
                count = 0
    finally:
        await transport.close()


def test_its_consumer_notices_that_it_is_given_nothing(private_broker: RabbitNode) -> None:
    uvloop.run(_consume(private_broker))
