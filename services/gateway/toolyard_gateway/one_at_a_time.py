"""Turns for those who want the same: one after the other, in the order in which they came."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable


class OneAtATime:
    """Lets one with a key through at a time, and others meanwhile."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def only(self, key: Hashable) -> AsyncIterator[None]:
        """Wait until nobody else is inside with this key."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = (lock, users - 1)
