"""What the tests of the transport over RabbitMQ share: somebody else at the broker, and ways to wait."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pika

from toolyard.errors import Unavailable, Unconfirmed
from toolyard.testing.transport_parts import WAIT, eventually
from toolyard.transport.base import Message, Transport
from toolyard.transport.rabbitmq import RabbitTransport

Open = Callable[..., Awaitable[RabbitTransport]]


def at_the_broker(url: str) -> "contextlib.closing[pika.BlockingConnection]":
    """Somebody else's connection, for what happens behind the transport's back."""
    return contextlib.closing(pika.BlockingConnection(pika.URLParameters(url)))


async def is_healthy(transport: Transport) -> None:
    async def check() -> bool:
        return transport.health.ok

    await eventually(check)


async def is_taken(transport: Transport, message: Message) -> bool:
    """Whether it was confirmed; what was never sent, because a new connection took its time, is sent later."""
    async with asyncio.timeout(WAIT):
        while True:
            try:
                await transport.publish(message)
            except Unavailable:
                await is_healthy(transport)
            except Unconfirmed:
                return False
            else:
                return True


async def is_lost(transport: RabbitTransport) -> None:
    """Both connections have learned of it, which they do one after the other."""

    async def check() -> bool:
        return not (transport._consuming.is_up or transport._publishing.is_up)

    await eventually(check)


async def is_missing(transport: Transport, name: str) -> None:
    async def check() -> bool:
        return name in transport.health.missing

    await eventually(check)
