"""Ends calls whose deadline has passed without an outcome: their worker died, or nobody took them."""

import asyncio
from typing import Final

from toolyard.clock import Clock
from toolyard.store.crossing import Crossing
from toolyard.store.ledger import SqlLedger
from toolyard.store.ledger_rows import OpenCall
from toolyard.store.open_calls import SqlOpenCalls
from toolyard_scheduler.clock_check import ClockCheck
from toolyard_scheduler.duties.verdicts import Marks
from toolyard_scheduler.told import JustTold, side_by_side

#: Seconds after the deadline before its verdict begins; until it counts, an outcome may still come in.
GRACE: Final = 0.1
INTERVAL: Final = 0.1
#: Calls that are looked at a time.
_BATCH: Final = 1_000


class Deadlines:
    """Sweeps for overdue calls."""

    def __init__(
        self,
        marks: Marks,
        store: SqlLedger,
        open_calls: SqlOpenCalls,
        crossing: Crossing,
        clock: Clock,
        clock_check: ClockCheck,
        *,
        grace: float = GRACE,
        interval: float = INTERVAL,
    ) -> None:
        self._marks = marks
        self._store = store
        self._open_calls = open_calls
        self._crossing = crossing
        self._clock = clock
        self._clock_check = clock_check
        self._grace = grace
        self._interval = interval
        self._told = JustTold(clock)

    async def run(self) -> None:
        """Sweep for ever, whenever our clock can be trusted.

        Raises:
            ClockDiffersError: it cannot.
            StoreUnavailable: the database is away.
        """
        while True:
            found = await self.sweep() if self._clock_check.trusted else 0
            if found < _BATCH:
                await asyncio.sleep(self._interval)

    async def sweep(self) -> int:
        """Begin to end what is overdue now, at most a thousand calls; how many were found."""
        self._told.forget()
        before = self._clock.now() - self._grace
        found = await self._crossing.run(self._open_calls.overdue, before, _BATCH + len(self._told))
        fresh = self._told.fresh(found, _word)
        if fresh:  # before anything is ended for good
            self._clock_check.compare_with_database(await self._crossing.run(self._store.clock))
        await side_by_side(self._end, fresh)
        return len(fresh)

    async def _end(self, overdue: OpenCall) -> None:
        if await self._marks.begin(overdue, overdue.doomed or "timed_out"):
            self._told.note(_word(overdue))


def _word(overdue: OpenCall) -> tuple[str, int, str | None]:
    return overdue.call.call_id, overdue.attempt, overdue.holder
