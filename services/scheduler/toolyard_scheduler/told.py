"""What the duties share: a bell that wakes them before their time, and a memory of what they have just published.

Nothing that matters is kept here: what is to be done stands in the rows, and a scheduler that begins anew finds it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from typing import Final, TypeVar

from toolyard.clock import Clock

#: Seconds until the record of what was published must have been read back; then it is published again.
REST: Final = 10.0
#: What is published side by side.
_TOGETHER: Final = 200

T = TypeVar("T")


class Bell:
    """Wakes who waits for it, or who will wait next."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """There is something to do."""
        self._rung.set()

    async def wait(self, longest: float) -> None:
        """Until it rings, or for so many seconds."""
        # not `wait_for`: until Python 3.12 it swallows the cancelling of one who is rung for in the same moment
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await self._rung.wait()
        self._rung.clear()


class JustTold:
    """What was published a moment ago, so that it is not published again before the ledger has read it back."""

    def __init__(self, clock: Clock, rest: float = REST) -> None:
        self._clock = clock
        self._rest = rest
        self._until: dict[Hashable, float] = {}

    def __contains__(self, word: Hashable) -> bool:
        return self._until.get(word, 0.0) > self._clock.monotonic()

    def __len__(self) -> int:
        return len(self._until)

    def note(self, word: Hashable) -> None:
        """It is published, and that is confirmed."""
        self._until[word] = self._clock.monotonic() + self._rest

    def fresh(self, found: Iterable[T], word: Callable[[T], Hashable]) -> list[T]:
        """Those of which nothing was published a moment ago."""
        return [each for each in found if word(each) not in self]

    def forget(self) -> None:
        """Forget what must have been read back by now."""
        now = self._clock.monotonic()
        self._until = {word: until for word, until in self._until.items() if until > now}


async def side_by_side(do: Callable[[T], Awaitable[object]], all_of: Sequence[T]) -> None:
    """Do this for all of them, so many at a time."""
    for start in range(0, len(all_of), _TOGETHER):
        await asyncio.gather(*(do(each) for each in all_of[start : start + _TOGETHER]))
