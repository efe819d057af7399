"""Fires recurring schedules: looks which slots have come, publishes their calls, and only then moves the schedules on.

A scheduler that dies in between, or another one that fires the same slot, makes the same call once more: its id is made
of the slot, and it starts by claim alone.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from toolyard.clock import Clock
from toolyard.contracts.calls import CallMessage
from toolyard.contracts.recurrence import due
from toolyard.contracts.schedules import Failure, Firing
from toolyard.errors import TransportError
from toolyard.store.connect import Store
from toolyard.store.crossing import Crossing
from toolyard.store.schedules import Move, ScheduleRow
from toolyard.telemetry import spans, tracing
from toolyard.telemetry.logs import logger
from toolyard.timing import LONGEST_ATTEMPT
from toolyard.transport import topology
from toolyard.transport.base import Transport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler import traced
from toolyard_scheduler.clock_check import ClockCheck
from toolyard_scheduler.firing import Tool, call_id, fire

#: Seconds between two looks.
INTERVAL: Final = 0.25
#: Schedules that are fired side by side.
_TOGETHER: Final = 200
#: Seconds in which a schedule whose call could not be published is left alone, and how many are remembered so.
_REST: Final = 5.0
_RESTING: Final = 1_000
#: Seconds by which the ledger may be behind the log before gateways refuse calls: until then, a call that was
#: published and is not in the ledger yet has not ended.
_BEHIND: Final = 900.0
log = logger("recurring")

#: Org, name and version of a tool; a version of ``None`` is the current one.
ToolKey = tuple[str, str, int | None]


class Recurring:
    """Sweeps for schedules whose slot has come."""

    def __init__(
        self,
        transport: Transport,
        envelope: Envelope,
        store: Store,
        crossing: Crossing,
        clock: Clock,
        clock_check: ClockCheck,
        *,
        interval: float = INTERVAL,
        longest_attempt: float = LONGEST_ATTEMPT,
    ) -> None:
        self._transport = transport
        self._envelope = envelope
        self._store = store
        self._crossing = crossing
        self._clock = clock
        self._clock_check = clock_check
        self._interval = interval
        self._longest_attempt = longest_attempt
        self._resting: dict[str, float] = {}

    async def run(self) -> None:
        """Sweep for ever, whenever our clock can be trusted.

        Raises:
            ClockDiffersError: it cannot.
            StoreUnavailable: the database is away.
        """
        while True:
            found = await self.sweep() if self._clock_check.trusted else 0
            if found < _TOGETHER:
                await asyncio.sleep(self._interval)

    async def sweep(self) -> int:
        """Fire what is due now, at most a few hundred schedules; how many were found."""
        fresh = await self._due()
        if not fresh:
            return 0
        self._clock_check.compare_with_database(await self._crossing.run(self._store.ledger.clock))
        tools, running = await self._crossing.run(self._needed, fresh)
        moved = await asyncio.gather(*(self._fire(row, tools, running) for row in fresh))
        await self._crossing.run(self._store.schedules.move, [move for move in moved if move is not None])
        return len(fresh)

    async def _due(self) -> Sequence[ScheduleRow]:
        rested = self._clock.monotonic() - _REST
        self._resting = {each: at for each, at in self._resting.items() if at > rested}
        limit = _TOGETHER + min(len(self._resting), _RESTING)
        rows = await self._crossing.run(self._store.schedules.due, self._clock.now(), limit)
        return [row for row in rows if row.schedule_id not in self._resting][:_TOGETHER]

    # ---- what is needed -----------------------------------------------------------------------
    def _needed(self, rows: Sequence[ScheduleRow]) -> tuple[Mapping[ToolKey, Tool], Mapping[str, bool]]:
        """On a thread of the crossing: the tools of these schedules, and which earlier calls have not ended."""
        tools: dict[ToolKey, Tool] = {}
        for row in rows:
            key = _tool_of(row)
            if key not in tools:
                tools[key] = self._tool(*key)
        earlier = [row.last.call_id for row in rows if row.last is not None and row.spec.overlap == "skip"]
        return tools, self._store.schedules.open_calls(earlier) if earlier else {}

    def _tool(self, org: str, name: str, version: int | None) -> Tool:
        """A deleted or disabled tool is not called in any of its versions: the current one is looked at in any case."""
        current = self._store.tools.get(org, name)
        if current is None or version in (None, current.version):
            return Tool(current, current)
        return Tool(current, self._store.tools.get(org, name, version))

    # ---- one schedule -------------------------------------------------------------------------
    async def _fire(self, row: ScheduleRow, tools: Mapping[ToolKey, Tool], running: Mapping[str, bool]) -> Move | None:
        """Publish the calls of its due slots; how to move it on, or ``None`` where that must wait."""
        spec, now = row.spec, self._clock.now()
        if row.next_at is None:
            return None
        slots, next_at = due(
            spec.when, spec.anchor, missed=spec.missed, catch_up=spec.catch_up, first=row.next_at, now=now
        )
        if slots and self._overlaps(row, running, now):
            return Move(row, next_at, failure=row.failure, left_out=len(slots))
        made = [fire(row, slot, tools[_tool_of(row)], now, self._longest_attempt) for slot in slots]
        if not await self._published(row, (each for each in made if isinstance(each, CallMessage))):
            return None
        failure = next((each for each in made if isinstance(each, Failure)), None)
        if failure is not None:
            log.warning("a schedule could not be fired", schedule=spec.name, org=row.org, reason=failure.message)
            return Move(row, next_at, failure=failure)
        last = Firing(slot=slots[-1], call_id=call_id(row, slots[-1]), at=now) if slots else None
        return Move(row, next_at, last=last)

    def _overlaps(self, row: ScheduleRow, running: Mapping[str, bool], now: float) -> bool:
        """Whether the call before has not ended; one that the ledger does not know has, once it must know it."""
        if row.spec.overlap == "allow" or row.last is None:
            return False
        return running.get(row.last.call_id, now - row.last.at < _BEHIND)

    async def _published(self, row: ScheduleRow, messages: Iterable[CallMessage]) -> bool:
        """Publish these one after the other, so that a long catch-up is no flood; whether all are confirmed."""
        try:
            for message in messages:
                sealed, call = self._envelope.call(message), message.call
                span = spans.send_first(topology.CALLS, call.traceparent)
                with tracing.lasting(traced.sending(span, call.call_id, sealed)):
                    await self._transport.publish(sealed)
        except TransportError as error:
            self._resting[row.schedule_id] = self._clock.monotonic()
            log.warning("a schedule is fired later", schedule=row.spec.name, org=row.org, reason=str(error))
            return False
        return True


def _tool_of(row: ScheduleRow) -> ToolKey:
    return row.org, row.spec.tool, row.spec.version
