"""The time of an attempt: ends what a task does when its time is over, or when its call is cancelled.

It does what `asyncio.timeout` does, at a fraction of the cost: a call that is over at once never sets a timer for it.
"""

import asyncio
from types import TracebackType
from typing import Self


class Limit:
    """While it is entered, what its task does ends with `TimeoutError` once the limit is over."""

    __slots__ = ("_before", "_handle", "_loop", "_task", "over")

    def __init__(self, loop: asyncio.AbstractEventLoop, task: "asyncio.Task[None]") -> None:
        self._loop = loop
        self._task = task
        self._before = 0
        self._handle: asyncio.Handle | None = None
        #: Whether it has ended what its task does.
        self.over = False

    def __enter__(self) -> Self:
        self._before = self._task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()
        # whoever else cancelled the task meanwhile has the last word
        if self.over and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def at(self, moment: float) -> None:
        """Be over at this moment of the loop's clock, and not at any that was named before."""
        self._forget()
        self._handle = self._loop.call_at(moment, self._end)

    def now(self) -> None:
        """Be over with the next turn of the loop."""
        self._forget()
        self._handle = self._loop.call_soon(self._end)

    def _forget(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def _end(self) -> None:
        self.over = True
        self._task.cancel()
