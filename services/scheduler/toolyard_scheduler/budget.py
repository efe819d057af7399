"""The retry budget: when much of what a tool does fails, trying everything again would only add to what hurts it.

Kept in memory, a tool at a time: a scheduler that begins to lead begins with full budgets.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol

#: Retries that each accepted call adds, that each second adds, and that may be saved up (and are there at first).
SHARE: Final = 0.2
EACH_SECOND: Final = 10.0
MOST: Final = 1_000.0
#: Tools whose budgets are remembered.
_TOOLS: Final = 10_000


class Budget(Protocol):
    """Who knows whether a retry may be had."""

    def earn(self, org: str, tool: str) -> None:
        """A call was accepted."""

    def spend(self, org: str, tool: str, now: float) -> bool:
        """Take one retry, at this time; whether there was one."""


@dataclass(slots=True)
class _Purse:
    left: float
    at: float


class RetryBudget:
    """How many retries the calls of each tool may still have."""

    def __init__(self) -> None:
        self._purses: OrderedDict[tuple[str, str], _Purse] = OrderedDict()

    def earn(self, org: str, tool: str) -> None:
        """A call was accepted; a tool that was never retried has all it can have."""
        purse = self._purses.get((org, tool))
        if purse is not None:
            purse.left = min(purse.left + SHARE, MOST)

    def spend(self, org: str, tool: str, now: float) -> bool:
        """Take one retry, at this time; whether there was one."""
        purse = self._purses.setdefault((org, tool), _Purse(MOST, now))
        purse.left = min(purse.left + max(now - purse.at, 0.0) * EACH_SECOND, MOST)
        purse.at = max(now, purse.at)
        self._purses.move_to_end((org, tool))
        if len(self._purses) > _TOOLS:
            self._purses.popitem(last=False)
        if purse.left < 1.0:
            return False
        purse.left -= 1.0
        return True
