"""Exchanges, queues and bindings at the broker: declaring them, or looking whether they are there.

Used by `RabbitTransport` on the consuming connection, which no alarm stops. What they are is written in
`toolyard.transport.topology` alone.
"""

import asyncio
from collections.abc import Container, Iterable, Sequence
from typing import Any

from pika.adapters.asyncio_connection import AsyncioConnection

from toolyard.transport import topology
from toolyard.transport.rabbitmq.channel import Channel
from toolyard.transport.rabbitmq.errors import Mismatch, Missing


async def declare_topology(channel: Channel, queues: Sequence[topology.Queue], without: Container[str] = ()) -> None:
    """Declare the exchanges and these queues, in this order, without some; what is there already stays as it is.

    Raises:
        SettingsError: something is there with other arguments, or this user may not.
    """
    for exchange in topology.EXCHANGES:
        doing = f"declaring the topic exchange {exchange}"
        await channel.ask(doing, channel.raw.exchange_declare, exchange, exchange_type="topic", durable=True)
    for queue in queues:
        if queue.name not in without:
            await _declare_queue(channel, queue)


async def declare_own(channel: Channel, name: str, bindings: Sequence[tuple[str, str]]) -> None:
    """Declare and bind a queue of one process, which goes away some time after its consumer."""
    arguments: dict[str, str | int] = {"x-expires": topology.OWN_QUEUE_EXPIRES * 1000}
    await _declare_queue(channel, topology.Queue(name, arguments, tuple(bindings)))


async def _declare_queue(channel: Channel, queue: topology.Queue) -> None:
    doing = f"declaring the queue {queue.name} with {queue.arguments}"
    try:
        await channel.ask(
            doing, channel.raw.queue_declare, queue.name, durable=True, arguments=dict(queue.arguments) or None
        )
    except Mismatch as error:
        raise Mismatch(
            f"{error}; delete the queue when it is empty, or let this process only check (declare=False)"
        ) from error
    for exchange, pattern in queue.bindings:
        doing = f"binding the queue {queue.name} to {exchange} by {pattern}"
        await channel.ask(doing, channel.raw.queue_bind, queue.name, exchange, pattern)


class Lookout:
    """Looks whether queues and exchanges are there, on a channel of its own that ends with each one missing."""

    def __init__(self, connection: AsyncioConnection) -> None:
        self.connection = connection
        self._channel: Channel | None = None
        self._one_at_a_time = asyncio.Lock()  # or one's missing queue would end the other's question

    async def missing(self, names: Iterable[str]) -> frozenset[str]:
        """Which of the names are not there, or do not answer.

        Raises:
            Unavailable: the connection is lost.
        """
        absent = set()
        for name in names:
            try:
                await self._ask(name)
            except Missing:
                absent.add(name)
        return frozenset(absent)

    async def backlog(self, queue: str) -> int:
        """How many messages wait in a queue; 0 where it is missing."""
        try:
            frame = await self._ask(queue)
        except Missing:
            return 0
        return int(frame.method.message_count)

    async def _ask(self, name: str) -> Any:
        doing = f"looking for {name}"
        async with self._one_at_a_time:
            channel = await self._open()
            if name in topology.EXCHANGES:
                return await channel.ask(doing, channel.raw.exchange_declare, name, passive=True)
            return await channel.ask(doing, channel.raw.queue_declare, name, passive=True)

    async def _open(self) -> Channel:
        if self._channel is None or not self._channel.is_open:
            self._channel = await Channel.open(self.connection)
        return self._channel
