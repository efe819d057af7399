"""Looks, once in a while, at what waits: in the pools' queues, with the ledger, and in queues that should be empty.

For `/metrics` alone. What cannot be seen at the moment is not shown, and nothing else goes worse for it.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, get_args

from toolyard.clock import Clock
from toolyard.contracts.tools import POOLS
from toolyard.errors import ToolyardError
from toolyard.store.crossing import Crossing
from toolyard.store.ledger_rows import ParkedFor, Waits
from toolyard.store.open_calls import SqlOpenCalls
from toolyard.telemetry import catalogue
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import Board, Reading
from toolyard.transport import topology
from toolyard.transport.base import Transport

#: Seconds between two looks. One costs a question for each queue, and a query that reads all open calls.
INTERVAL: Final = 10.0
#: Queues that are emptied at once, as a rule.
_QUEUES: Final = tuple(
    queue.name
    for queue in topology.QUEUES
    if queue.name not in {topology.pool_queue(pool) for pool in POOLS} and queue.name != topology.LOG
)
log = logger("loads")


class Seen:
    """What the newest look has found; shown by a scheduler whether it leads or not, and empty where it does not."""

    def __init__(self, board: Board) -> None:
        self.readings: Sequence[Reading] = ()
        shown = (catalogue.BACKLOG, catalogue.OLDEST, catalogue.PARKED, catalogue.QUEUE_MESSAGES)
        board.watch(lambda: self.readings, *shown)


class Loads:
    """Looks while its scheduler leads."""

    def __init__(
        self,
        transport: Transport,
        open_calls: SqlOpenCalls,
        crossing: Crossing,
        clock: Clock,
        seen: Seen,
        *,
        interval: float = INTERVAL,
    ) -> None:
        self._transport = transport
        self._open_calls = open_calls
        self._crossing = crossing
        self._clock = clock
        self._seen = seen
        self._interval = interval

    async def run(self) -> None:
        """Look for ever."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(self._interval)
        finally:
            self._seen.readings = ()

    async def _look(self) -> None:
        try:
            backlogs = [Reading(catalogue.BACKLOG, (pool,), await self._backlog(pool)) for pool in POOLS]
            queues = [
                Reading(catalogue.QUEUE_MESSAGES, (queue,), await self._transport.backlog(queue)) for queue in _QUEUES
            ]
            waits = await self._crossing.run(self._open_calls.waits)
        except ToolyardError as error:
            log.info("what waits cannot be seen at the moment", reason=str(error))
            self._seen.readings = ()
        else:
            self._seen.readings = [*backlogs, *queues, *_ages(waits, self._clock.now()), *_parked(waits)]

    async def _backlog(self, pool: str) -> int:
        return await self._transport.backlog(topology.pool_queue(pool))


def _ages(waits: Sequence[Waits], now: float) -> Iterator[Reading]:
    """Of each pool's oldest call that waits for its start and for nothing else; 0 where none does."""
    since = {each.pool: each.oldest for each in waits if each.parked_for is None and each.oldest is not None}
    return (Reading(catalogue.OLDEST, (pool,), round(max(0.0, now - since.get(pool, now)), 3)) for pool in POOLS)


def _parked(waits: Sequence[Waits]) -> Iterator[Reading]:
    for reason in get_args(ParkedFor):
        calls = sum(each.calls for each in waits if each.parked_for == reason)
        yield Reading(catalogue.PARKED, (reason,), calls)
