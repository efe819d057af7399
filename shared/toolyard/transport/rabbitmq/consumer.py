"""Consumers of queues: each has a channel of its own and comes back by itself, on the next connection or channel.

Used by `RabbitTransport.consume` and `work`. It hands deliveries on and knows nothing of what is done with them.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

from pika.adapters.asyncio_connection import AsyncioConnection

from toolyard.errors import SettingsError, ToolyardError, Unavailable
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Delivery, OnDelivery
from toolyard.transport.rabbitmq.acks import Settlement
from toolyard.transport.rabbitmq.channel import Channel
from toolyard.transport.rabbitmq.lane import Lane, Parcel
from toolyard.transport.rabbitmq.link import FIRST_RETRY, LAST_RETRY, Link

#: Questions to the queue, by way of the channel, after which all that the queue had sent before the first is here: the
#: answer to the first one overtakes what waits in the channel, the second one stands behind it.
_ROUND_TRIPS = 2
#: Seconds between two looks at a queue that gives nothing.
_LOOK_EVERY = 2.0

MakeLane = Callable[[Channel], Lane]
#: Called with the open channel before the queue is consumed.
Prepare = Callable[[Channel, str], Awaitable[None]]


class Consumer:
    """Keeps `toolyard.transport.base.Subscription`."""

    def __init__(
        self, link: Link, make_lane: MakeLane, prepare: Prepare, queue: str, on_delivery: OnDelivery, *, prefetch: int
    ) -> None:
        self._link, self._make_lane, self._prepare = link, make_lane, prepare
        self._queue, self._on_delivery, self._prefetch = queue, on_delivery, prefetch
        self._channel: Channel | None = None
        self._lane: Lane | None = None
        self._settlement: Settlement | None = None
        self._tag = ""
        self._paused = self._closed = False
        self._changing = asyncio.Lock()
        self._ended: asyncio.Future[ToolyardError] | None = None
        self._tried: asyncio.Future[ToolyardError | None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._log = logger("transport")
        self.reason = ""

    @property
    def active(self) -> bool:
        """Whether the broker delivers to it at this moment."""
        return bool(self._tag) and self._channel is not None and self._channel.is_open

    async def start(self) -> None:
        """Begin to consume; returns after the first attempt, or at once while the broker is away.

        Raises:
            SettingsError: it is not allowed.
        """
        self._task = asyncio.create_task(self._keep())
        if not self._link.is_up:
            return
        first = await self._tried
        if isinstance(first, SettingsError):
            await self.close()
            raise first

    async def pause(self) -> None:
        """See `toolyard.transport.base.Subscription`."""
        self._paused = True
        async with self._changing:
            if self.active:
                await self._cancel()

    async def resume(self) -> None:
        """See `toolyard.transport.base.Subscription`."""
        self._paused = False
        async with self._changing:
            if self._channel is not None and self._channel.is_open and not self._tag:
                with contextlib.suppress(Unavailable):  # the next channel consumes
                    await self._consume(self._channel)

    async def close(self) -> None:
        """See `toolyard.transport.base.Subscription`."""
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._leave()

    # ---- its life -------------------------------------------------------------------------------
    async def _keep(self) -> None:
        pause = FIRST_RETRY
        while True:
            connection = await self._link.up()
            try:
                await self._subscribe(connection)
                self._has_tried(None)
                pause = FIRST_RETRY
                raise await self._until_ended()
            except ToolyardError as error:
                self._has_tried(error)
            await self._leave()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_RETRY)

    async def _subscribe(self, connection: AsyncioConnection) -> None:
        async with self._changing:
            channel = await Channel.open(connection)
            self._ended = asyncio.get_running_loop().create_future()
            self._channel, self._lane = channel, self._make_lane(channel)
            self._settlement = Settlement(channel, self._lane)
            channel.on_close = self._end
            channel.raw.add_on_cancel_callback(self._cancelled_by_broker)
            await self._prepare(channel, self._queue)
            await channel.ask(f"consuming {self._queue}", channel.raw.basic_qos, prefetch_count=self._prefetch)
            if not self._paused:
                await self._consume(channel)

    async def _until_ended(self) -> ToolyardError:
        assert self._ended is not None  # noqa: S101 - set by `_subscribe`
        before = -1
        while not (await asyncio.wait((self._ended,), timeout=_LOOK_EVERY))[0]:
            given = await self._given_nothing()
            if 0 <= given == before:
                return Unavailable(
                    f"{self._queue} has messages and gives none: it was declared anew behind its consumer"
                )
            before = given
        return self._ended.result()

    async def _given_nothing(self) -> int:
        """The deliveries until now, where the queue has messages and we hold none; else -1.

        A quorum queue that is deleted and declared again within a moment keeps its consumers, tells them nothing and
        gives them nothing (seen with RabbitMQ 3.10.8). So does no other: who holds nothing is given what there is.
        """
        channel, settlement = self._channel, self._settlement
        if channel is None or settlement is None or settlement.outstanding or not self.active:
            return -1
        look = f"looking at {self._queue}"
        frame = await channel.ask(look, channel.raw.queue_declare, self._queue, passive=True)
        return settlement.delivered if frame.method.message_count > 0 and self.active else -1

    async def _consume(self, channel: Channel) -> None:
        assert self._lane is not None  # noqa: S101 - comes and goes with the channel
        assert self._settlement is not None  # noqa: S101 - the same
        start = self._lane.consumer(partial(self._take, self._settlement))
        frame = await channel.ask(f"consuming {self._queue}", start, self._queue, arguments={})
        self._tag = frame.method.consumer_tag

    async def _cancel(self) -> None:
        """End the consumer while nothing is on its way to it.

        What is on its way between the queue and the channel at that moment goes back and counts as delivered, though
        nobody has seen it. So acks wait until the prefetch is used up, or nothing more comes.
        """
        assert self._channel is not None  # noqa: S101 - `active` was asked
        assert self._lane is not None  # noqa: S101 - comes and goes with the channel
        assert self._settlement is not None  # noqa: S101 - the same
        settlement = self._settlement
        settlement.hold(True)
        try:
            with contextlib.suppress(ToolyardError):  # the channel is gone, and with it the consumer
                await self._until_quiet(self._channel, settlement)
                tag, self._tag = self._tag, ""
                await self._channel.ask(f"pausing {self._queue}", self._lane.cancel, tag)
        finally:
            settlement.hold(False)

    async def _until_quiet(self, channel: Channel, settlement: Settlement) -> None:
        before = -1
        while settlement.delivered > before and settlement.outstanding < self._prefetch:
            before = settlement.delivered
            for _ in range(_ROUND_TRIPS):
                await channel.ask(f"looking at {self._queue}", channel.raw.queue_declare, self._queue, passive=True)

    async def _leave(self) -> None:
        channel, self._channel, self._tag = self._channel, None, ""
        if channel is not None:
            if self._settlement is not None:
                self._settlement.flush()
            await channel.close()

    def _end(self, reason: ToolyardError) -> None:
        self._tag = ""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(reason)

    def _cancelled_by_broker(self, _frame: object) -> None:
        self._end(Unavailable(f"the broker ended the consumer of {self._queue}: the queue was deleted or has moved"))

    def _has_tried(self, error: ToolyardError | None) -> None:
        text = "" if error is None else str(error)
        if text and text != self.reason and self._link.is_up:  # else the link has told
            self._log.warning("not consuming", queue=self._queue, reason=text)
        self.reason = text
        if not self._tried.done():
            self._tried.set_result(error)

    # ---- deliveries -----------------------------------------------------------------------------
    def _take(self, settlement: Settlement, parcel: Parcel) -> None:
        if self._closed:
            return
        settlement.delivered = parcel.tag
        delivery = _delivery(self._queue, parcel, settlement)
        try:
            self._on_delivery(delivery)
        except Exception:  # noqa: BLE001 - a defect in a handler must not cost the connection, nor all other deliveries
            self._log.exception("handling a delivery failed", queue=self._queue, message_id=delivery.message_id)
            delivery.release()


def _delivery(queue: str, parcel: Parcel, settlement: Settlement) -> Delivery:
    headers = parcel.headers
    return Delivery(
        queue,
        parcel.exchange,
        parcel.key,
        parcel.body,
        parcel.message_id,
        headers,
        parcel.expiration,
        headers.delivery_count() if parcel.redelivered else 0,
        parcel.tag,
        settlement,
        parcel.kind,
        parcel.correlation_id,
        parcel.reply_to,
        parcel.user_id,
        headers.death(),
        headers.dropped,
    )
