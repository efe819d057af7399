"""Finds calls whose message is gone: accepted, never started, and in no queue. They are dispatched again, claimed.

A pool's queue that was missing for a moment may have lost all that was in it. Where nobody saw that moment, a queue
that is empty tells by itself: what was to wait in it for a minute does not. A call that runs all the same is started
twice only if it may: claims decide.
"""

import asyncio
from typing import Final

from toolyard.clock import Clock
from toolyard.contracts.tools import POOLS
from toolyard.errors import TransportError
from toolyard.store.crossing import Crossing
from toolyard.store.open_calls import SqlOpenCalls
from toolyard.telemetry.logs import logger
from toolyard.transport import topology
from toolyard.transport.base import Transport
from toolyard_scheduler.duties.dispatch import ON_ITS_WAY, Dispatcher, attempt_of
from toolyard_scheduler.told import JustTold

#: Seconds between two looks at the pools' queues, and at whether one is missing.
INTERVAL: Final = 5.0
GLANCE: Final = 0.5
#: Seconds that a call must have waited where its queue was missing: its message may be on its way into the new one.
JUST_NOW: Final = 2.0
_BATCH: Final = 1_000
log = logger("lost_calls")


class LostCalls:
    """Looks for them."""

    def __init__(
        self, transport: Transport, dispatcher: Dispatcher, open_calls: SqlOpenCalls, crossing: Crossing, clock: Clock
    ) -> None:
        self._transport = transport
        self._dispatcher = dispatcher
        self._open_calls = open_calls
        self._crossing = crossing
        self._clock = clock
        self._came_back = JustTold(clock, ON_ITS_WAY)
        self._missing: set[str] = set()
        self._look_at = 0.0

    async def run(self) -> None:
        """Look for ever.

        Raises:
            StoreUnavailable: the database is away.
        """
        while True:
            await self.glance()
            await asyncio.sleep(GLANCE)

    async def glance(self) -> None:
        """Dispatch what was in queues that came back since the last glance, and now and then look at all queues."""
        missing = {pool for pool in POOLS if topology.pool_queue(pool) in self._transport.health.missing}
        back, self._missing = self._missing - missing, missing
        now = self._clock.monotonic()
        look, before = now >= self._look_at, self._clock.now()
        if look:
            self._look_at = now + INTERVAL
            self._came_back.forget()
            self._dispatcher.lately.forget()
        for pool in POOLS:
            if pool in back:
                await self._dispatch_all(pool, before - JUST_NOW, self._came_back)
            elif look and pool not in missing and await self._is_empty(pool):
                await self._dispatch_all(pool, before - ON_ITS_WAY, self._dispatcher.lately)

    async def _is_empty(self, pool: str) -> bool:
        try:
            return await self._transport.backlog(topology.pool_queue(pool)) == 0
        except TransportError:
            return False  # the broker is away: nothing can be said

    async def _dispatch_all(self, pool: str, before: float, told: JustTold) -> None:
        """Dispatch again what was accepted before that time and not heard of since, but for what was told just now."""
        while True:
            found = await self._crossing.run(self._open_calls.queued, pool, before, _BATCH + len(told))
            sent = 0
            for call in told.fresh(found, attempt_of):
                if await self._dispatcher.dispatch(call):
                    told.note(attempt_of(call))
                    sent += 1
            if sent:
                log.warning("calls whose messages were lost were dispatched again", pool=pool, calls=sent)
            if sent < _BATCH:
                return
