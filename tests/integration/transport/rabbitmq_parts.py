"""What the tests of the transport over RabbitMQ share: somebody else at the broker, and ways to wait."""

import contextlib
from collections.abc import Awaitable, Callable

import pika

from toolyard.testing.transport_parts import eventually
from toolyard.transport.base import Transport
from toolyard.transport.rabbitmq import RabbitTransport

Open = Callable[..., Awaitable[RabbitTransport]]


def at_the_broker(url: str) -> "contextlib.closing[pika.BlockingConnection]":
    """Somebody else's connection, for what happens behind the transport's back."""
    return contextlib.closing(pika.BlockingConnection(pika.URLParameters(url)))


async def is_healthy(transport: Transport) -> None:
    async def check() -> bool:
        return transport.health.ok

    await eventually(check)


async def is_lost(transport: Transport) -> None:
    async def check() -> bool:
        return not transport.health.connected

    await eventually(check)


async def is_missing(transport: Transport, name: str) -> None:
    async def check() -> bool:
        return name in transport.health.missing

    await eventually(check)
