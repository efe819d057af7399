"""How far an attempt has come, as its tool says: told at most once a second, and what was said last in any case.

Made by `runtime` when an attempt says so for the first time. Whoever says it waits for nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple

#: Seconds between two tellings of one attempt.
PAUSE: Final = 1.0


class Said(NamedTuple):
    """How much is done, of how much where that is known, and a word for people."""

    done: float
    total: float | None = None
    message: str | None = None


class Progress:
    """What one attempt says of its progress.

    Args:
        tell: tells followers.
    """

    def __init__(self, tell: Callable[[Said], None]) -> None:
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._untold: Said | None = None
        self._pause: asyncio.TimerHandle | None = None

    def say(self, said: Said) -> None:
        """The attempt has come so far."""
        self._untold = said
        if self._pause is None:
            self._tell_newest()

    def close(self) -> None:
        """The attempt is over: what it said last is told."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._untold is not None:
            self._tell(self._untold)
            self._untold = None

    def _tell_newest(self) -> None:
        self._pause = None
        said, self._untold = self._untold, None
        if said is not None:
            self._pause = self._loop.call_later(PAUSE, self._tell_newest)
            self._tell(said)
