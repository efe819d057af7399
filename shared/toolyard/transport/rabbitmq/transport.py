"""`RabbitTransport`: the two links, and what runs over them.

Built by `toolyard.transport.connect`. The consuming link carries deliveries, acks, the log and all questions to the
broker; the publishing link carries publishes alone, because a memory alarm stops the broker from reading it.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Protocol

from pika.adapters.asyncio_connection import AsyncioConnection

from toolyard.errors import SettingsError, ToolyardError, Unavailable
from toolyard.telemetry.logs import logger
from toolyard.transport import topology
from toolyard.transport.base import Health, LogReader, Message, OnDelivery, Run, Subscription
from toolyard.transport.rabbitmq.channel import Channel
from toolyard.transport.rabbitmq.consumer import Consumer
from toolyard.transport.rabbitmq.declare import Lookout, declare_own, declare_topology
from toolyard.transport.rabbitmq.errors import Missing
from toolyard.transport.rabbitmq.lane import Lane
from toolyard.transport.rabbitmq.link import Link, parameters
from toolyard.transport.rabbitmq.log import StreamReader
from toolyard.transport.rabbitmq.proof import pair
from toolyard.transport.rabbitmq.publisher import BLOCKED, Publisher

#: Seconds between two looks at what is watched. After something is found missing the first one comes sooner, and the
#: pauses double up to this: a starting broker needs moments, and what an operator has deleted may stay away.
LOOK_EVERY, LOOK_AGAIN = 1.0, 0.1
#: Looks, one after the other, between which nothing was published: then something is, for nobody.
_SILENT_LOOKS = 3
#: How the broker names, in a refusal, the exchange that probes go to.
_DEFAULT_EXCHANGE = "'amq.default'"
#: Seconds in which a closing transport still publishes what it was given.
DRAIN_WITHIN = 1.0
#: Seconds that the publishing link waits for the consuming one, which asks the broker for both.
_OTHER_LINK_WITHIN = 2.0


class RabbitTransport:
    """Keeps `toolyard.transport.base.Transport` over a RabbitMQ (3.10 or later).

    The broker says that it blocks publishing only to a connection that tried to publish: who publishes seldom, and is
    asked whether it could, has to `probe`.

    Args:
        url: ``amqp://`` or ``amqps://``, with pika's query options.
        name: what the broker's own screens call our connections.
        declare: declare the topology and mend what is missing of it (except the log, whose loss must be seen), or only
            look whether it is there.
        watch: pools whose queues must be there, as the log must, before a call is published.
        beside: queues that are declared, or looked for, beside the shared ones.
        publish_timeout: seconds within which every publish ends.
        probe: publish something for nobody where nothing else was for some seconds, to hear of a block. Not where the
            user has no right to write to the default exchange: the broker closes the channel of who tries.
        fast: False keeps to pika's public interface.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        declare: bool,
        watch: Sequence[str] = (),
        beside: Sequence[topology.Queue] = (),
        publish_timeout: float = 2.0,
        probe: bool = False,
        fast: bool = True,
    ) -> None:
        self._consume_parameters = parameters(url, f"{name} consume")
        self._publish_parameters = parameters(url, f"{name} publish")
        self._declares = declare
        own = tuple(queue.name for queue in beside)
        self._queues = (*topology.QUEUES, *(queue for queue in beside if queue not in topology.QUEUES))
        self._watched = (*topology.EXCHANGES, topology.LOG, *(topology.pool_queue(pool) for pool in watch), *own)
        self._needed = {*self._watched, *(queue.name for queue in self._queues if queue.needed)}
        self._publish_timeout = publish_timeout
        self._probes = probe
        self._fast = fast
        self._log = logger("transport")
        self._opened = False
        self._missing: frozenset[str] = frozenset()
        self._own: dict[str, Sequence[tuple[str, str]]] = {}
        self._subscriptions: list[Subscription] = []
        self._works: list[_Work] = []
        self._watching: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """See `toolyard.transport.base.Transport`."""
        connection_class, self._lane_class = await pair(fast=self._fast)
        self._publisher = Publisher(timeout=self._publish_timeout, refusal=self._refusal)
        self._consuming = Link(self._consume_parameters, connection_class, set_up=self._set_up_consuming)
        self._publishing = Link(
            self._publish_parameters,
            connection_class,
            set_up=self._set_up_publishing,
            on_blocked=self._blocked,
        )
        self._opened = True
        try:
            await self._consuming.start()
            await self._publishing.start()
        except SettingsError:
            await self.close()
            raise

    async def close(self) -> None:
        """See `toolyard.transport.base.Transport`."""
        if not self._opened:
            return
        await self._publisher.drain(DRAIN_WITHIN)
        await asyncio.gather(*(each.close() for each in self._subscriptions))
        await self._stop_watching()
        await asyncio.gather(self._publishing.close(), self._consuming.close())
        self._publisher.close()

    @property
    def health(self) -> Health:
        """See `toolyard.transport.base.Transport`."""
        if not self._opened:
            return Health(connected=False, reason="not opened yet")
        return Health(
            connected=self._consuming.is_up and self._publishing.is_up,
            blocked=self._publisher.blocked,
            missing=tuple(sorted(self._missing)),
            reason=self._consuming.reason or self._publishing.reason or (BLOCKED if self._publisher.blocked else ""),
        )

    def publish(self, message: Message) -> "asyncio.Future[None]":
        """See `toolyard.transport.base.Transport`."""
        return self._publisher.publish(message)

    async def consume(self, queue: str, on_delivery: OnDelivery, *, prefetch: int) -> Subscription:
        """See `toolyard.transport.base.Transport`."""
        consumer = self._consumer(queue, on_delivery, prefetch)
        self._subscriptions.append(consumer)
        await consumer.start()
        return consumer

    async def work(self, pool: str, run: Run, *, slots: int, paused: bool = False) -> Subscription:
        """See `toolyard.transport.base.Transport`."""
        from toolyard.transport.rabbitmq.broker import work_on  # here, because only workers have dramatiq installed

        work = work_on(pool, run, slots=slots, may_start=lambda: self._publisher.ready, make_consumer=self._consumer)
        if paused:
            await work.pause()
        self._works.append(work)
        self._subscriptions.append(work)
        await work.start()
        return work

    async def own_queue(self, name: str, bindings: Sequence[tuple[str, str]]) -> None:
        """See `toolyard.transport.base.Transport`."""
        self._own[name] = tuple(bindings)
        if self._consuming.connection is not None:
            with contextlib.suppress(Unavailable):  # then the next connection, or its consumer, declares it
                await self._declare_own(self._consuming.connection)

    async def read_log(self, offset: int | None) -> LogReader:
        """See `toolyard.transport.base.Transport`."""
        return await StreamReader.open(self._connection(), self._lane, offset)

    async def backlog(self, queue: str) -> int:
        """See `toolyard.transport.base.Transport`."""
        self._connection()
        return await self._backlogs.backlog(queue)

    # ---- setting up the links -------------------------------------------------------------------
    async def _set_up_consuming(self, connection: AsyncioConnection) -> None:
        await self._stop_watching()
        self._lookout, self._backlogs = Lookout(connection), Lookout(connection)
        declared = self._declares and await self._declare(connection)
        await self._look(self._watched if declared else self._needed)
        await self._declare_own(connection)
        self._watching = asyncio.create_task(self._watch(connection))

    async def _declare(self, connection: AsyncioConnection) -> bool:
        """Declare all; False when something is there and does not serve, which must not keep the rest from working."""
        channel = await Channel.open(connection)
        try:
            await declare_topology(channel, self._queues)
        except Missing as error:  # a queue whose data are on a node that is down
            self._log.warning("cannot declare the topology", reason=str(error))
            return False
        await channel.close()
        return True

    async def _set_up_publishing(self, connection: AsyncioConnection) -> None:
        try:
            async with asyncio.timeout(_OTHER_LINK_WITHIN):
                await self._consuming.up()
        except TimeoutError:
            raise Unavailable("the consuming connection is not up") from None
        await self._look(self._watched)  # what is there may have changed with the broker
        channel = await Channel.open(connection)
        lane = self._lane(channel)
        lane.returns(self._publisher.returned)
        await channel.ask("asking for confirms", lane.confirms(self._publisher.confirm))

        def closed(reason: ToolyardError) -> None:
            self._publisher.down(reason)
            self._probe_no_more(reason)
            if connection.is_open:  # an exchange was missing: begin anew, and look at everything
                connection.close()

        channel.on_close = closed
        self._publisher.up(lane)
        self._go_on()
        if self._probes:
            self._publisher.probe()

    def _probe_no_more(self, reason: ToolyardError) -> None:
        """Where the probe is what this user may not do, each would cost the connection."""
        if self._probes and isinstance(reason, SettingsError) and _DEFAULT_EXCHANGE in str(reason):
            self._probes = False
            self._log.warning("does without the probe for a broker that blocks publishing", reason=str(reason))

    async def _declare_own(self, connection: AsyncioConnection) -> None:
        for name, bindings in tuple(self._own.items()):
            channel = await Channel.open(connection)
            with contextlib.suppress(Missing):  # of an exchange: again when that is there
                await declare_own(channel, name, bindings)
            await channel.close()

    def _blocked(self, blocked: bool) -> None:
        self._log.warning("the broker blocks publishing" if blocked else "the broker takes messages again")
        self._publisher.block(blocked)
        self._go_on()

    def _go_on(self) -> None:
        for work in self._works:
            work.go_on()

    # ---- what must be there ---------------------------------------------------------------------
    async def _watch(self, connection: AsyncioConnection) -> None:
        pause, silence = LOOK_AGAIN, 0
        while True:
            before = self._publisher.published
            await asyncio.sleep(pause if self._missing else LOOK_EVERY)
            silence = 0 if self._publisher.published != before else silence + 1
            if self._probes and silence >= _SILENT_LOOKS:
                self._publisher.probe()
                silence = 0
            pause = min(2 * pause, LOOK_EVERY) if self._missing else LOOK_AGAIN
            try:
                await self._look((*self._watched, *self._missing))
            except ToolyardError as error:  # no answer: what was known stands
                if not connection.is_open:
                    return
                self._log.warning("cannot look at the queues", reason=str(error))

    async def _look(self, names: Iterable[str]) -> None:
        looked_for = frozenset(names)
        gone = await self._lookout.missing(looked_for)
        before = self._missing | gone
        if gone and self._declares:
            gone = await self._mend(gone)
        missing = self._missing - looked_for | gone
        if missing != self._missing:
            self._log.warning("what is missing at the broker has changed", missing=sorted(missing))
        self._missing = missing
        self._publisher.careful = bool(missing)
        if before - missing:  # an exchange that comes back has lost its bindings
            await self._declare_own(self._lookout.connection)

    async def _mend(self, missing: frozenset[str]) -> frozenset[str]:
        """Declare what was deleted meanwhile, and all bindings; returns what is still missing.

        A log that was lost must be seen, and is not made anew here.
        """
        lost_log = missing & {topology.LOG}
        try:
            channel = await Channel.open(self._lookout.connection)
            await declare_topology(channel, self._queues, without=lost_log)
            await channel.close()
        except ToolyardError as error:
            self._log.warning("cannot declare what is missing", names=sorted(missing), reason=str(error))
            return missing
        if missing - lost_log:
            self._log.warning("declared anew what was missing", names=sorted(missing - lost_log))
        return lost_log

    async def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None

    def _refusal(self, message: Message) -> str:
        """Why a message must not be published now: asked only while something is missing.

        A broker that has just started confirms what is bound for a queue that it has not recovered yet, and drops it.
        """
        if message.exchange in self._missing:
            return f"the exchange {message.exchange} is missing at the broker"
        gone = [name for name in topology.destinations(message.exchange, message.key) if name in self._missing]
        return f"missing at the broker: {', '.join(gone)}" if gone else ""

    # ---- small things ---------------------------------------------------------------------------
    def _consumer(self, queue: str, on_delivery: OnDelivery, prefetch: int) -> Consumer:
        return Consumer(self._consuming, self._lane, self._prepare, queue, on_delivery, prefetch=prefetch)

    async def _prepare(self, channel: Channel, queue: str) -> None:
        if queue in self._own:
            await declare_own(channel, queue, self._own[queue])

    def _connection(self) -> AsyncioConnection:
        connection = self._consuming.connection
        if connection is None:
            raise Unavailable(f"the broker is away: {self._consuming.reason}")
        return connection

    def _lane(self, channel: Channel) -> Lane:
        return self._lane_class(channel.raw)


class _Work(Subscription, Protocol):
    """A subscription that waits while the broker blocks publishing."""

    async def start(self) -> None: ...

    def go_on(self) -> None: ...
