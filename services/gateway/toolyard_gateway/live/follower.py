"""One who follows: what is wanted, how far it was told, and how much of it waits. Called by channels and writers."""

import asyncio

from toolyard.contracts.feed import Cursor, FeedItem, Interest
from toolyard_gateway.live.bounds import Bounds
from toolyard_gateway.live.outbox import Gap, Opened, Outbox
from toolyard_gateway.live.ring import Ring


class Follower:
    """A stream, or one subscription of a socket.

    Args:
        name: the client's word for it.
        outbox: of its connection.

    Attributes:
        told: the place up to which it was told: what was handed to its socket.
        waiting: events that wait for it, or are being written.
        ring: of the channel that hands it all that is new; ``None`` until it has caught up.
        gone: it left.
    """

    def __init__(self, org: str, interest: Interest, outbox: Outbox, bounds: Bounds, name: str = "") -> None:
        self.org = org
        self.interest = interest
        self.outbox = outbox
        self.name = name
        self.told = Cursor(0)
        self.waiting = 0
        self.bytes = 0
        self.ring: Ring | None = None
        self.gone = False
        self._bounds = bounds
        self._offered = Cursor(0)

    # ---- by its channel -------------------------------------------------------------------------
    def open(self, cursor: Cursor) -> None:
        """It is told what comes behind this place, and that it is."""
        self.told = self._offered = cursor
        self.outbox.add(self, Opened(cursor))

    def offer(self, item: FeedItem) -> None:
        """Hand it an event, if it is new and wanted; if too much waits already, the connection is cut off."""
        cursor = item.cursor
        if cursor <= self._offered:
            return
        self._offered = cursor
        if not self.interest.takes(item):
            return
        if self.waiting >= self._bounds.queue_items or self.bytes >= self._bounds.queue_bytes or self.outbox.full:
            self.outbox.end("cut_off", at=cursor)
        self.outbox.add(self, item)

    def passed(self, cursor: Cursor) -> None:
        """All that is wanted before this place was offered: once nothing of it waits, it was told that far."""
        if not (self.waiting or self.over):
            self.told = max(self.told, cursor)

    def gap(self, cursor: Cursor) -> None:
        """Tell it that something is missing, and that it goes on behind this place, wherever that is."""
        self._offered = cursor
        self.outbox.add(self, Gap(cursor))

    def counted(self, items: int, size: int) -> None:
        """More of it waits, or less."""
        self.waiting += items
        self.bytes += size

    # ---- by who can wait ------------------------------------------------------------------------
    @property
    def over(self) -> bool:
        """Whether nothing can be told to it any more."""
        return self.gone or self.outbox.ending is not None

    @property
    def roomy(self) -> bool:
        """Whether more may be added that could wait elsewhere."""
        few = self.waiting < max(1, self._bounds.queue_items // 2)
        return few and self.bytes < self._bounds.queue_bytes // 2 and self.outbox.roomy

    async def room(self) -> None:
        """Wait until there is room, or it is over; one that takes nothing is cut off."""
        while not (self.roomy or self.over):
            try:
                async with asyncio.timeout(self._bounds.stalled):
                    await self.outbox.taken()
            except TimeoutError:
                self.outbox.end("cut_off")

    # ---- by its writer --------------------------------------------------------------------------
    @property
    def place(self) -> Cursor:
        """The place to go on behind: nothing that is wanted stands before it and was not told."""
        if self.ring is None or self.waiting or self.over:
            return self.told
        return max(self.told, self.ring.end)

    @property
    def cut_at(self) -> Cursor:
        """The place to go on behind, once its connection was cut off: one that was quiet stands where that happened."""
        at = self.outbox.at
        if at is None or self.waiting or self.ring is None:
            return self.told
        return max(self.told, Cursor(at.offset, at.n - 1))
