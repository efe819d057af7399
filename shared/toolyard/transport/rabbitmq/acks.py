"""Settling deliveries: acks of one turn of the loop leave together, as one frame where their tags run on.

One `Settlement` belongs to one channel; when that is gone, settling is silent, because the broker delivers again.
"""

import asyncio

from toolyard.transport.rabbitmq.channel import Channel
from toolyard.transport.rabbitmq.lane import Lane


class Settlement:
    """Keeps `toolyard.transport.base.Settle` for the deliveries of one channel."""

    __slots__ = ("_acked", "_channel", "_held", "_lane", "_loop", "_settled", "_upto", "delivered")

    def __init__(self, channel: Channel, lane: Lane) -> None:
        self._channel, self._lane = channel, lane
        self._loop = asyncio.get_running_loop()
        self._acked: list[int] = []
        self._held = False
        #: The highest tag that was delivered.
        self.delivered = 0
        #: All tags up to this one are settled.
        self._upto = 0
        #: Settled tags above `_upto`.
        self._settled: set[int] = set()

    def alive(self) -> bool:
        """Whether the channel still stands."""
        return self._channel.is_open

    def ack(self, tag: int) -> None:
        """Done with."""
        self._acked.append(tag)
        if len(self._acked) == 1:
            self._loop.call_soon(self.flush)

    def reject(self, tag: int) -> None:
        """To the dead letters."""
        self._give_back(tag, requeue=False)

    def release(self, tag: int) -> None:
        """Back into the queue."""
        self._give_back(tag, requeue=True)

    @property
    def outstanding(self) -> int:
        """How many deliveries the broker holds as ours."""
        return self.delivered - self._upto - len(self._settled)

    def hold(self, held: bool) -> None:
        """Keep acks back, so that the broker delivers nothing in their place; or send them after all."""
        self._held = held
        self.flush()

    def flush(self) -> None:
        """Send the acks that were said until now."""
        if self._held or not self._acked:
            return
        acked, self._acked = self._acked, []
        if not self._channel.is_open:
            return
        if len(acked) == 1 and acked[0] == self._upto + 1 and not self._settled:
            self._upto = acked[0]
            self._lane.ack(acked[0], multiple=False)
            return
        new = {tag for tag in acked if not self._is_settled(tag)}
        run = self._advance(new)
        if run:
            self._lane.ack(run[-1], multiple=len(run) > 1)
        for tag in sorted(new.difference(run)):
            self._lane.ack(tag, multiple=False)

    def _advance(self, new: set[int]) -> list[int]:
        """Move `_upto` over all that is settled; returns the new tags among it, in order."""
        self._settled |= new
        run = []
        while self._upto + 1 in self._settled:
            self._upto += 1
            self._settled.discard(self._upto)
            if self._upto in new:
                run.append(self._upto)
        return run

    def _give_back(self, tag: int, *, requeue: bool) -> None:
        if tag in self._acked or self._is_settled(tag) or not self._channel.is_open:
            return
        self._settled.add(tag)
        self._lane.reject(tag, requeue=requeue)

    def _is_settled(self, tag: int) -> bool:
        return tag <= self._upto or tag in self._settled
