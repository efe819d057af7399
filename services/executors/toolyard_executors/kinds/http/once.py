"""Work that several ask for at the same moment, and that is done once for them. It knows nothing of what it is."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Once:
    """Work under way, by what it is for. Who stops waiting does not stop it; after its end it is done anew."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}

    async def do(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the work for this gives or raises, begun here or before."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._over(key, done))
        result: T = await asyncio.shield(task)
        return result

    async def close(self) -> None:
        """Stop what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _over(self, key: Hashable, task: "asyncio.Task[Any]") -> None:
        del self._tasks[key]
        if not task.cancelled():
            task.exception()  # those who waited may be gone
