"""How much is logged: the usual level of a process, and others for an org or a tool for a while. Used by `logs`.

What is set here ends by itself, and with the process. Lines below the usual level cost nothing as long as nobody wants
them: whoever writes one on the hot path asks `Levels.detail` first.
"""

import logging
import math
from collections.abc import Callable
from typing import Final

from toolyard.clock import SYSTEM
from toolyard.contracts.control import LogLevelSet

#: Words -> what `logging` makes of them.
NUMBERS: Final[dict[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
#: Levels that are kept at a time, of one org and of all; the one that ends first makes room.
MOST_OF_ORG: Final = 50
MOST: Final = 500
#: Seconds that one lasts at most.
LONGEST: Final = 86_400.0

#: Org and tool; no tool stands for all of the org.
_Key = tuple[str, str]


class Levels:
    """The levels of one process.

    Attributes:
        detail: whether somebody wants lines below the usual level; look here before putting one together.
        changed: called with the lowest level that is wanted, whenever it may have changed.
    """

    def __init__(self, now: Callable[[], float] = SYSTEM.monotonic) -> None:
        self._now = now
        self._usual = logging.INFO
        self._kept: dict[_Key, tuple[int, float]] = {}
        self._ends = math.inf
        self.detail = False
        self.changed: Callable[[int], None] = _nobody

    def begin(self, usual: str, changed: Callable[[int], None]) -> None:
        """This is the level where nobody says otherwise."""
        self._usual, self.changed = NUMBERS[usual], changed
        self._look()

    def hear(self, told: LogLevelSet, now: float) -> None:
        """A level was set; ``now`` is the time by our clock. What is over is not heard of."""
        seconds = min(told.seconds, LONGEST, told.time + told.seconds - now)
        key = told.org, told.tool
        self._kept.pop(key, None)
        if seconds > 0:
            self._kept[key] = NUMBERS[told.level], self._now() + seconds
            self._make_room([each for each in self._kept if each[0] == told.org], MOST_OF_ORG)
            self._make_room(list(self._kept), MOST)
        self._look()

    def _make_room(self, among: list[_Key], most: int) -> None:
        if len(among) > most:
            del self._kept[min(among, key=lambda each: self._kept[each][1])]

    def wanted(self, number: int, org: str, tool: str) -> bool:
        """Whether a line of this level is wanted that is about this org and tool, as far as it is about any."""
        if self._now() >= self._ends:
            self._look()
        kept = self._kept
        return number >= (kept.get((org, tool)) or kept.get((org, "")) or (self._usual,))[0]

    def of(self, org: str) -> list[tuple[str, str, float]]:
        """What was set for an org: tool (empty for all), level, seconds that it lasts."""
        self._look()
        words = {number: word for word, number in NUMBERS.items()}
        return [
            (tool, words[number], until - self._now())
            for (whose, tool), (number, until) in sorted(self._kept.items())
            if whose == org
        ]

    def _look(self) -> None:
        """Forget what is over, and see what is wanted now."""
        now = self._now()
        self._kept = {key: (number, until) for key, (number, until) in self._kept.items() if until > now}
        self._ends = min((until for _, until in self._kept.values()), default=math.inf)
        lowest = min((number for number, _ in self._kept.values()), default=self._usual)
        self.detail = min(lowest, self._usual) <= logging.DEBUG
        self.changed(min(lowest, self._usual))


def _nobody(_: int) -> None:
    """Logging is not configured."""


#: Those of this process, as its logs are its own.
LEVELS: Final = Levels()
