"""Transports over the real broker, on the fast and on the plain way, and a relay before it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.support.relay import Relay

from toolyard.testing.transport_parts import WAIT
from toolyard.transport.rabbitmq import RabbitTransport


@pytest.fixture
def fast() -> bool:
    """Which way a test goes; a module that goes both ways parametrises it."""
    return True


@pytest.fixture
async def open_transport(fast: bool) -> AsyncIterator[Callable[..., Awaitable[RabbitTransport]]]:
    """Opens transports by their URL and options, and closes them all in the end."""
    transports: list[RabbitTransport] = []

    async def open_transport(url: str, **options: Any) -> RabbitTransport:
        given: dict[str, Any] = {
            "name": f"test {len(transports)}",
            "declare": True,
            "watch": ("http",),
            "publish_timeout": WAIT,
        }
        transport = RabbitTransport(url, fast=fast, **(given | options))
        transports.append(transport)
        await transport.open()
        return transport

    yield open_transport
    for transport in transports:
        await transport.close()


@pytest.fixture
async def relay(amqp_url: str) -> AsyncIterator[Relay]:
    """A relay to the broker of the test."""
    address = urlsplit(amqp_url)
    relay = Relay(str(address.hostname), int(address.port or 5672))
    relay.listen()
    yield relay
    await relay.close()


@pytest.fixture
def relay_url(relay: Relay, amqp_url: str) -> str:
    """The URL of the test's vhost by the relay."""
    address = urlsplit(amqp_url)
    return address._replace(netloc=f"{address.username}:{address.password}@127.0.0.1:{relay.port}").geturl()
