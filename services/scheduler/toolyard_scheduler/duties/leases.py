"""Leases: a grant lasts as long as its worker shows that it lives, and no longer than its attempt may take.

Signs of life are kept in memory alone; a scheduler that begins to lead gives everybody a fresh lease, unless all who
held one are known to be dead.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from toolyard.clock import Clock
from toolyard.store.crossing import Crossing
from toolyard.store.open_calls import SqlOpenCalls
from toolyard.telemetry import logs
from toolyard.telemetry.logs import logger
from toolyard_scheduler.claims import LEASE
from toolyard_scheduler.duties.verdicts import Marks
from toolyard_scheduler.duty import in_background
from toolyard_scheduler.entries import Folded, Grant
from toolyard_scheduler.told import REST
from toolyard_scheduler.verdicts import LAPSED

INTERVAL: Final = 0.5
#: Seconds by which this process is late before that counts as standing still: it was frozen, or its machine paused.
_STALL: Final = 1.0
#: Lapsed claims that are looked up at a time.
_BATCH: Final = 500
log = logger("leases")


@dataclass(slots=True)
class _Lease:
    """On the monotonic clock: until when it lasts, and when its attempt is over."""

    call_id: str
    until: float
    over_at: float

    def has_lapsed(self, now: float) -> bool:
        """Whether it lasts no longer."""
        return now > self.until or now > self.over_at


class Leases:
    """Keeps the leases of all grants, and begins to end what lapses."""

    def __init__(
        self,
        marks: Marks,
        open_calls: SqlOpenCalls,
        crossing: Crossing,
        clock: Clock,
        *,
        lease: float = LEASE,
        orphaned: bool = False,
    ) -> None:
        self._marks = marks
        self._open_calls = open_calls
        self._crossing = crossing
        self._clock = clock
        self._lease = lease
        self._orphaned = orphaned
        self._held: dict[str, _Lease] = {}
        self._awake_at = clock.monotonic()

    # ---- what it hears ------------------------------------------------------------------------
    def note(self, folded: Folded) -> None:
        """Who was granted a claim and who gave it back, in a batch that was committed."""
        for claim_id in folded.freed:
            self._held.pop(claim_id, None)
        for grant in folded.granted:
            self._note(grant)

    def renew(self, claims: tuple[str, ...]) -> None:
        """A worker lives and holds these."""
        until = self._clock.monotonic() + self._lease
        for claim_id in claims:
            if claim_id in self._held:
                self._held[claim_id].until = until

    def __len__(self) -> int:
        return len(self._held)

    # ---- its life -----------------------------------------------------------------------------
    async def run(self) -> None:
        """Keep leases for ever.

        Raises:
            StoreUnavailable: the database is away.
        """
        for each in await self._crossing.run(self._open_calls.held):
            if each.holder is not None and each.holder not in self._held:
                # what was said of an attempt whose time is over, or that it asks once more, may wait to be read
                lasts = max((each.runs_until or 0.0) - self._clock.now(), self._lease)
                self._note(Grant(each.call.call_id, each.holder, lasts), over=self._orphaned)
        self._awake_at = self._clock.monotonic()
        async with in_background([self._stay_awake()]):
            while True:
                await self.sweep()
                await asyncio.sleep(INTERVAL)

    async def sweep(self) -> None:
        """Begin to end the attempts whose leases have lapsed."""
        now = self._awake()
        lapsed = {lease.call_id: claim_id for claim_id, lease in self._held.items() if lease.has_lapsed(now)}
        for start in range(0, len(lapsed), _BATCH):
            some = list(lapsed)[start : start + _BATCH]
            found = {each.call.call_id: each for each in await self._crossing.run(self._open_calls.these, some)}
            for call_id in some:
                claim_id, call = lapsed[call_id], found.get(call_id)
                if call is None or call.holder != claim_id:
                    self._held.pop(claim_id, None)
                elif not self._lapsed_still(claim_id):
                    continue
                elif call.ending or await self._marks.begin(call, LAPSED):
                    log.warning("a worker fell silent or is late", **logs.of(call.call), attempt=call.attempt)
                    self._rest(claim_id)

    # ---- what they share ----------------------------------------------------------------------
    async def _stay_awake(self) -> None:
        """Look at the clock beside the sweeps: one that waits for the database or the broker does not stand still."""
        while True:
            self._awake()
            await asyncio.sleep(INTERVAL)

    def _awake(self) -> float:
        """What time it is. If this process stood still, what workers said meanwhile waits to be heard, after this."""
        now = self._clock.monotonic()
        still, self._awake_at = now - self._awake_at - INTERVAL, now
        if still > _STALL:
            for lease in self._held.values():
                lease.until = max(lease.until, min(lease.until + still, now + self._lease))
        return now

    def _lapsed_still(self, claim_id: str) -> bool:
        """Its worker may have been heard, or its call have ended, while the sweep was busy with others."""
        lease = self._held.get(claim_id)
        return lease is not None and lease.has_lapsed(self._clock.monotonic())

    def _note(self, grant: Grant, *, over: bool = False) -> None:
        now = self._clock.monotonic()
        self._held[grant.claim_id] = _Lease(grant.call_id, now if over else now + self._lease, now + grant.lasts)

    def _rest(self, claim_id: str) -> None:
        """Its end is under way; it is looked at again should nothing come of that."""
        lease = self._held.get(claim_id)
        if lease is not None:
            lease.until = lease.over_at = self._clock.monotonic() + REST
