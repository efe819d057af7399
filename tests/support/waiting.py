"""Waiting for something that will happen: look, look again, and say what was missing when the time is over.

Used by the test services and by tests. It knows nothing of what it waits for.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
Reason = str | Callable[[], str]

PAUSE = 0.02


def wait_until(check: Callable[[], T], *, within: float, what: Reason, every: float = PAUSE) -> T:
    """Returns the first true answer of `check`.

    Raises:
        TimeoutError: no true answer came `within` that many seconds; the message is `what`.
    """
    end = time.monotonic() + within
    while True:
        if answer := check():
            return answer
        if time.monotonic() > end:
            raise TimeoutError(_missing(what, within))
        time.sleep(every)


async def async_wait_until(
    check: Callable[[], Awaitable[T]], *, within: float, what: Reason, every: float = PAUSE
) -> T:
    """The same for code on an event loop; `check` is a coroutine function."""
    end = time.monotonic() + within
    while True:
        if answer := await check():
            return answer
        if time.monotonic() > end:
            raise TimeoutError(_missing(what, within))
        await asyncio.sleep(every)


def _missing(what: Reason, within: float) -> str:
    return f"not within {within:g} s: {what if isinstance(what, str) else what()}"
