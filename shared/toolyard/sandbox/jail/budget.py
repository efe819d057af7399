"""How many runs, and how much memory of all of them together, at the same time. First come, first served."""

import asyncio
import contextlib
from collections import deque
from typing import NamedTuple


class _Waiting(NamedTuple):
    amount: int
    admitted: asyncio.Future[None]


class Budget:
    """Places for runs, and bytes that they share.

    Args:
        places: runs at the same time.
        bytes_in_all: the sum of their memory limits.
    """

    def __init__(self, places: int, bytes_in_all: int) -> None:
        self._places = places
        self._bytes = bytes_in_all
        self.whole = bytes_in_all
        self._queue: deque[_Waiting] = deque()

    async def take(self, amount: int) -> None:
        """Waits until there is a place with `amount` bytes, and takes it.

        Raises:
            ValueError: there never will be: it is more than the whole.
        """
        if amount > self.whole:
            raise ValueError(f"a run with a memory limit of {amount} bytes; all runs together have {self.whole}")
        if self.take_at_once(amount):
            return
        waiting = _Waiting(amount, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._admit()
        try:
            await waiting.admitted
        except asyncio.CancelledError:
            self._leave(waiting)
            raise

    def take_at_once(self, amount: int) -> bool:
        """Takes a place if nobody has to wait for it; whether there was one."""
        if self._queue or not self._places or amount > self._bytes:
            return False
        self._places -= 1
        self._bytes -= amount
        return True

    def give_back(self, amount: int) -> None:
        """Gives back a place with `amount` bytes."""
        self._places += 1
        self._bytes += amount
        self._admit()

    def _leave(self, waiting: _Waiting) -> None:
        if waiting.admitted.done() and not waiting.admitted.cancelled():
            self.give_back(waiting.amount)
            return
        with contextlib.suppress(ValueError):  # already taken out of the queue
            self._queue.remove(waiting)
        self._admit()

    def _admit(self) -> None:
        """Lets in from the front only: a large run is not passed by small ones for ever."""
        while self._queue and self._places and self._queue[0].amount <= self._bytes:
            waiting = self._queue.popleft()
            if waiting.admitted.cancelled():
                continue
            self._places -= 1
            self._bytes -= waiting.amount
            waiting.admitted.set_result(None)
