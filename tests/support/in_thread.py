"""A server that a test runs in a thread of its own, with a loop of its own, as a context manager."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Self


class InThread:
    """Opens in ``__enter__``, in the thread, and closes in ``__exit__``; what keeps it from opening is raised there.

    Attributes:
        loop: of the thread, once it is open.
    """

    loop: asyncio.AbstractEventLoop

    def open(self) -> AbstractAsyncContextManager[None]:
        """What is there while it is open; entered and left on the loop of the thread."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._opened = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._thread.start()
        self._opened.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:
            if self._opened.is_set():
                raise
            self._failure = error  # told to the thread that waits in __enter__
            self._opened.set()

    async def _live(self) -> None:
        self.loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with self.open():
            self._opened.set()
            await self._end.wait()

    async def serve(self, on_open: Callable[[], None]) -> None:
        """In a process of its own: open, tell so, and stay so until it is cancelled."""
        self.loop = asyncio.get_running_loop()
        async with self.open():
            on_open()
            await asyncio.Event().wait()
