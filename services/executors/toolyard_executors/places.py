"""Where attempts run: so many at a time. Asked by `runtime`, for its slots and for the lane of one of the process."""

import asyncio
from collections import deque
from typing import Final

#: Calls that one process runs at a time in a pool, if nobody says otherwise: most wait for an upstream. Those that
#: compute have a process of their own each, and share the cores and the memory of one machine; those of Arcade share
#: what its plan allows.
CONCURRENCY: Final = 256
_OF_POOL: Final = {"sandbox": 8, "arcade": 64}


def places_of(pool: str, asked: int | None = None) -> int:
    """Calls that one process runs at a time in this pool; ``asked`` is what somebody said."""
    return _OF_POOL.get(pool, CONCURRENCY) if asked is None else asked


def window(slots: int) -> int:
    """How many deliveries may wait beside the slots, for the ledger or for a slot.

    A quarter of them: while the ledger is away, calls that need no claim still find slots; and a worker whose slots are
    all taken keeps no more than that from other workers.
    """
    return max(1, slots // 4)


class Slots:
    """So many attempts at a time; first come, first served."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._closed = False

    def take(self) -> bool:
        """Take a slot if one is free; nobody waits while one is."""
        if self._free and not self._closed:
            self._free -= 1
            return True
        return False

    async def wait(self, *, first: bool = False) -> bool:
        """Wait for a slot, behind all others or before them; False where the process stops meanwhile."""
        if self._closed or self.take():
            return not self._closed
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(place)
        else:
            self._waiting.append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result():
                self.give()
            raise

    def give(self) -> None:
        """Give a slot back: to whoever waits, if somebody does."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(True)
                return
        self._free += 1

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(False)
