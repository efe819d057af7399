"""What held when the ledger applied a record, as the log tells it afterwards: for the fold, in place of a clock. Pure.

A record of which no decision is told was made by a clock that we take at its word: see docs/decisions/0028.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from toolyard.contracts.control import Claim
from toolyard.contracts.events import Ended
from toolyard.store.decisions import Told
from toolyard_scheduler.rows import Around


@dataclass(frozen=True, slots=True)
class Known:
    """Whether another try was let through, in place of a budget."""

    granted: bool = True

    def earn(self, org: str, tool: str) -> None:
        """Nothing is counted again."""

    def spend(self, org: str, tool: str, now: float) -> bool:
        """Whether there was one."""
        return self.granted


@dataclass(frozen=True, slots=True)
class Hindsight(Around):
    """What held for a batch, record by record.

    Attributes:
        told: the decisions about the calls and claims of this batch.
    """

    told: Told = field(default_factory=Told)

    def at(self, content: Any) -> "Hindsight":
        """What held for this record."""
        if isinstance(content, Claim):
            return replace(self, now=self.told.claims.get(content.claim_id, (content.time, False))[0])
        time = getattr(content, "time", 0.0)
        if isinstance(content, Ended) and not content.final:
            return self._behind(content, time)
        return replace(self, now=time)

    def _behind(self, failed: Ended, time: float) -> "Hindsight":
        """What held for an attempt that may be followed by another.

        It was followed by none where the scheduler ended its call with it, and by none that the budget paid for where
        its fallback took over.
        """
        call_id, following = failed.call_id, failed.attempt + 1
        ended = self.told.ended.get(call_id) == failed.attempt
        fell_back = self.told.diverted.get(call_id) == following
        now = self.told.parked.get((call_id, following), time)
        return replace(self, now=now, budget=Known(not ended and not fell_back))
