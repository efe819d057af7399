"""Where the asynchronous parts meet the synchronous store: a small pool of threads, and nothing more.

The only place that crosses. It translates nothing: what the function raises, the caller sees.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

from toolyard.errors import StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")

#: Calls that may wait for each thread; beyond that the store is too slow to be of use.
_WAITING: Final = 64


class Crossing:
    """Runs functions of the store on threads of its own, a bounded number of them at a time.

    Args:
        threads: how many run at a time; at most as many as the store has connections.
    """

    def __init__(self, threads: int = 4) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="store")
        self._limit = threads * (1 + _WAITING)
        self._open = 0
        self._lock = threading.Lock()

    async def run(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns.

        A caller that is cancelled waits no longer, but a function that has begun runs to its end.

        Raises:
            StoreUnavailable: too many wait already.
        """
        with self._lock:
            if self._open >= self._limit:
                raise StoreUnavailable("too many requests wait for the database")
            self._open += 1
        future = self._pool.submit(partial(fn, *args, **kwargs))
        future.add_done_callback(self._done)
        return await asyncio.wrap_future(future)

    def _done(self, _: object) -> None:
        with self._lock:
            self._open -= 1

    async def close(self) -> None:
        """Let what has begun end, and take nothing more."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
