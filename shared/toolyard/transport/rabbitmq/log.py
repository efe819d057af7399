"""Reading the log: a stream consumer that hands out records in order, in batches.

Used by `RabbitTransport.read_log`. A stream takes acks only (anything else closes the whole connection), and an ack
removes nothing: it asks for more. Where reading goes on after a lost connection is the ledger's to say.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from pika.adapters.asyncio_connection import AsyncioConnection

from toolyard.errors import ToolyardError, Unavailable
from toolyard.transport import topology
from toolyard.transport.base import Record
from toolyard.transport.rabbitmq.channel import Channel
from toolyard.transport.rabbitmq.consumer import MakeLane
from toolyard.transport.rabbitmq.lane import Lane, Parcel

#: Records on their way to us, or waiting for `batch`.
PREFETCH = 2000
#: Records after which more are asked for: an ack costs the broker as much as a record.
_ACK_EVERY = PREFETCH // 4


class StreamReader:
    """Keeps `toolyard.transport.base.LogReader`."""

    def __init__(self, channel: Channel, lane: Lane, offset: int | None) -> None:
        self._channel, self._lane = channel, lane
        self._first = offset or 0
        self._parcels: deque[Parcel] = deque()
        self._acked = 0
        self._arrived = asyncio.Event()
        self._ended: ToolyardError | None = None
        channel.on_close = self._end
        channel.raw.add_on_cancel_callback(
            lambda _: self._end(Unavailable("the broker ended the reading of the log: it was deleted or has moved"))
        )

    @classmethod
    async def open(cls, connection: AsyncioConnection, make_lane: MakeLane, offset: int | None) -> "StreamReader":
        """Begin to read at an offset, or at the first record.

        Raises:
            Unavailable: the broker or the log is away.
        """
        channel = await Channel.open(connection)
        lane = make_lane(channel)
        reader = cls(channel, lane, offset)
        try:
            await reader._start()
        except ToolyardError:
            await channel.close()
            raise
        return reader

    async def _start(self) -> None:
        channel, place = self._channel, self._first or "first"
        await channel.ask("reading the log", channel.raw.basic_qos, prefetch_count=PREFETCH)
        start = self._lane.consumer(self._take)
        await channel.ask("reading the log", start, topology.LOG, arguments={"x-stream-offset": place})

    async def batch(self, limit: int) -> Sequence[Record]:
        """See `toolyard.transport.base.LogReader`."""
        while not self._parcels:
            if self._ended is not None:
                raise Unavailable(f"the log cannot be read any further: {self._ended}")
            self._arrived.clear()
            await self._arrived.wait()
        parcels = [self._parcels.popleft() for _ in range(min(limit, len(self._parcels)))]
        if self._ended is None and parcels[-1].tag - self._acked >= _ACK_EVERY:
            self._acked = parcels[-1].tag
            self._lane.ack(self._acked, multiple=True)
        return [_record(parcel) for parcel in parcels]

    async def close(self) -> None:
        """See `toolyard.transport.base.LogReader`."""
        self._end(Unavailable("the reader was closed"))
        self._parcels.clear()
        await self._channel.close()

    def _take(self, parcel: Parcel) -> None:
        if parcel.headers.offset() < self._first:  # a broker may begin at the segment that holds the offset
            self._lane.ack(parcel.tag, multiple=False)
            return
        self._parcels.append(parcel)
        self._arrived.set()

    def _end(self, reason: ToolyardError) -> None:
        if self._ended is None:
            self._ended = reason
        self._arrived.set()


def _record(parcel: Parcel) -> Record:
    headers = parcel.headers
    return Record(
        headers.offset(),
        parcel.exchange,
        parcel.key,
        parcel.body,
        parcel.message_id,
        headers,
        parcel.expiration,
        headers.died(),
    )
