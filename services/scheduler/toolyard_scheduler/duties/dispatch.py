"""Dispatches what is due: the next attempt of a retried call, what waited for its time or for the end of a pause.

What is due stands in the rows. The record of a dispatch takes it out again, so one that was lost is done once more;
what is dispatched twice starts once, by its claim.
"""

from typing import Final

from msgspec import structs

from toolyard.clock import Clock
from toolyard.contracts.calls import VERSION, CallMessage
from toolyard.errors import TransportError
from toolyard.store.crossing import Crossing
from toolyard.store.ledger_rows import OpenCall
from toolyard.store.open_calls import SqlOpenCalls
from toolyard.telemetry import logs, tracing
from toolyard.telemetry.logs import logger
from toolyard.telemetry.tracing import Span
from toolyard.transport.base import Message, Transport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler import traced
from toolyard_scheduler.bindings import Bindings
from toolyard_scheduler.telling import ending
from toolyard_scheduler.told import Bell, JustTold, side_by_side

INTERVAL: Final = 0.2
#: Seconds in which a message may wait, or be with a worker that has said nothing of it yet.
ON_ITS_WAY: Final = 60.0
#: Calls that are read at a time.
_BATCH: Final = 1_000
log = logger("dispatch")


class Dispatcher:
    """Publishes attempts, each as a message that needs a claim.

    Attributes:
        lately: the attempts that it published within `ON_ITS_WAY`, as `attempt_of` names them.
    """

    def __init__(self, transport: Transport, envelope: Envelope, bindings: Bindings, clock: Clock) -> None:
        self._transport = transport
        self._envelope = envelope
        self._bindings = bindings
        self._clock = clock
        self.lately = JustTold(clock, ON_ITS_WAY)

    async def dispatch(self, due: OpenCall) -> bool:
        """Publish the attempt of this call; whether that is confirmed.

        Raises:
            StoreUnavailable: the database is away.
        """
        message, span = await self._message(due)
        try:
            with tracing.lasting(traced.sending(span, due.call.call_id, message)):
                await self._transport.publish(message)
        except TransportError as error:
            log.warning("an attempt is dispatched later", **logs.of(due.call), reason=str(error))
            return False
        self.lately.note(attempt_of(due))
        return True

    async def _message(self, due: OpenCall) -> tuple[Message, Span | None]:
        call, now = due.call, self._clock.now()
        tool = await self._bindings.of(call, diverted=due.diverted)
        if tool is None:  # the store was set back behind the call: nobody can run it any more
            return self._envelope.event(ending(call, due.attempt, "internal", now)), None
        if due.diverted and call.fallback is not None:
            call = structs.replace(call, pool=call.fallback, fallback=None)
        budget = max(call.deadline - now, 0.0)
        message, span = traced.dispatching(
            CallMessage(
                v=VERSION,
                call=call,
                tool=tool,
                attempt=due.attempt,
                budget=budget,
                claim="required",
                alone=due.alone,
                waived=due.waived,
                diverted=due.diverted,
            )
        )
        return self._envelope.call(message, event="dispatched"), span


class Dispatch:
    """Looks for what is due."""

    def __init__(
        self, dispatcher: Dispatcher, open_calls: SqlOpenCalls, crossing: Crossing, clock: Clock, bell: Bell
    ) -> None:
        self._dispatcher = dispatcher
        self._open_calls = open_calls
        self._crossing = crossing
        self._clock = clock
        self._bell = bell
        self._told = JustTold(clock)

    async def run(self) -> None:
        """Dispatch for ever.

        Raises:
            StoreUnavailable: the database is away.
        """
        while True:
            if await self.sweep() < _BATCH:
                await self._bell.wait(INTERVAL)

    async def sweep(self) -> int:
        """Dispatch what is due now, at most a thousand; how many were found."""
        self._told.forget()
        found = await self._crossing.run(self._open_calls.due, self._clock.now(), _BATCH + len(self._told))
        fresh = self._told.fresh(found, _word)
        await side_by_side(self._dispatch, fresh)
        return len(fresh)

    async def _dispatch(self, due: OpenCall) -> None:
        if await self._dispatcher.dispatch(due):
            self._told.note(_word(due))


def attempt_of(due: OpenCall) -> tuple[str, int]:
    """Its call's id, and which attempt it is."""
    return due.call.call_id, due.attempt


def _word(due: OpenCall) -> tuple[str, int, float | None]:
    return due.call.call_id, due.attempt, due.due_at
