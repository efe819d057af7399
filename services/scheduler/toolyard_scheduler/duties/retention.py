"""Drops ended calls, authorizations and records of the embedded log once they are too old, piece by piece."""

import asyncio
from collections.abc import Callable
from typing import Final

from toolyard.clock import Clock
from toolyard.store.crossing import Crossing
from toolyard.store.retention import PIECE, SqlRetention
from toolyard.telemetry.logs import logger

#: Seconds that records of the embedded log are kept (as the broker keeps those of its own).
LOG_KEPT: Final = 7 * 86_400.0
#: Seconds between two sweeps, and between two pieces of one: the ledger goes first.
INTERVAL: Final = 60.0
PAUSE: Final = 0.05
log = logger("retention")


class Retention:
    """Sweeps for what is too old."""

    def __init__(
        self,
        store: SqlRetention,
        crossing: Crossing,
        clock: Clock,
        *,
        kept: float,
        log_kept: float = LOG_KEPT,
        interval: float = INTERVAL,
        pause: float = PAUSE,
    ) -> None:
        self._store = store
        self._crossing = crossing
        self._clock = clock
        self._kept = kept
        self._log_kept = log_kept
        self._interval = interval
        self._pause = pause

    async def run(self) -> None:
        """Sweep for ever.

        Raises:
            StoreUnavailable: the database is away.
        """
        while True:
            await self.sweep()
            await asyncio.sleep(self._interval)

    async def sweep(self) -> int:
        """Drop what is too old now; how many calls."""
        dropped, org = 0, await self._crossing.run(self._store.next_org, "")
        while org is not None:
            dropped += await self._calls(org, self._clock.now() - self._kept)
            org = await self._crossing.run(self._store.next_org, org)
        asked = await self._pieces(self._store.drop_authorizations, self._clock.now() - self._kept)
        records = await self._pieces(self._store.trim_log, self._clock.now() - self._log_kept)
        if dropped or asked or records:
            log.info("what was too old is gone", calls=dropped, authorizations=asked, records=records)
        return dropped

    async def _calls(self, org: str, before: float) -> int:
        piece = await self._crossing.run(self._store.drop_calls, org, before, None)
        dropped = piece.dropped
        while piece.place is not None:
            await asyncio.sleep(self._pause)
            piece = await self._crossing.run(self._store.drop_calls, org, before, piece.place)
            dropped += piece.dropped
        return dropped

    async def _pieces(self, drop: Callable[[float], int], before: float) -> int:
        gone = dropped = await self._crossing.run(drop, before)
        while gone == PIECE:
            await asyncio.sleep(self._pause)
            gone = await self._crossing.run(drop, before)
            dropped += gone
        return dropped
