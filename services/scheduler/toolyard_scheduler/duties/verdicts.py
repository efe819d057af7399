"""Carries verdicts through: the first mark, the second one a moment later, and then the end.

What they mean is in `toolyard_scheduler.verdicts`. How far each one is stands in its row, so that any scheduler goes
on where the last one stopped.
"""

from collections.abc import Awaitable
from typing import Final

from toolyard.clock import Clock
from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import Settled
from toolyard.contracts.events import CallEvent
from toolyard.errors import TransportError
from toolyard.store.crossing import Crossing
from toolyard.store.ledger_rows import OpenCall
from toolyard.store.open_calls import SqlOpenCalls
from toolyard.telemetry import logs
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Transport
from toolyard.transport.bundles import Bundles
from toolyard.transport.envelope import Envelope
from toolyard_scheduler.telling import ended, ending
from toolyard_scheduler.told import Bell, JustTold, side_by_side
from toolyard_scheduler.verdicts import BETWEEN_MARKS, LAPSED

INTERVAL: Final = 0.1
_BATCH: Final = 1_000
log = logger("verdicts")


class Marks:
    """Publishes first marks, and remembers when each was confirmed."""

    def __init__(self, transport: Transport, envelope: Envelope, clock: Clock) -> None:
        self._bundles = Bundles(transport, envelope)
        self._transport = transport
        self._envelope = envelope
        self._clock = clock
        self._told = JustTold(clock)
        self._rests = JustTold(clock, BETWEEN_MARKS)

    async def begin(self, call: OpenCall, code: str) -> bool:
        """Say that this call is being ended; whether that is confirmed, now or a moment ago.

        The mark is about the claim that holds the call; another one's it does not end.
        """
        holder = call.holder or ""
        word = (call.call.call_id, call.attempt, holder)
        if word in self._told:
            return True
        mark = ending(call.call, call.attempt, code, self._clock.now(), holder)
        if not await self.tell(mark, call):
            return False
        self._told.note(word)
        self._rests.note(word)
        return True

    def may_settle(self, call: OpenCall) -> bool:
        """Whether the second mark may follow. One that another scheduler began is given its time once more."""
        word = (call.call.call_id, call.attempt, call.ending_claim or "")
        if word not in self._told:
            self._told.note(word)
            self._rests.note(word)
        return word not in self._rests

    async def tell(self, event: CallEvent, call: OpenCall) -> bool:
        """Publish this event of a call, with others for its gateway; whether it is confirmed."""
        return await _confirmed(self._bundles.publish(event), call)

    async def settle(self, call: OpenCall) -> bool:
        """Publish the second mark of a call; whether it is confirmed."""
        mark = Settled(
            v=VERSION,
            sender="scheduler",
            time=self._clock.now(),
            call_id=call.call.call_id,
            attempt=call.attempt,
            claim_id=call.ending_claim or "",
        )
        message = self._envelope.control(mark, pool=call.call.pool, org=call.call.org)
        return await _confirmed(self._transport.publish(message), call)

    def forget(self) -> None:
        """Forget what is long over."""
        self._told.forget()
        self._rests.forget()


class Verdicts:
    """Looks for verdicts that are to go on."""

    def __init__(
        self,
        marks: Marks,
        open_calls: SqlOpenCalls,
        crossing: Crossing,
        clock: Clock,
        bell: Bell,
    ) -> None:
        self._marks = marks
        self._open_calls = open_calls
        self._crossing = crossing
        self._clock = clock
        self._bell = bell
        self._told = JustTold(clock)

    async def run(self) -> None:
        """Go on with verdicts for ever.

        Raises:
            StoreUnavailable: the database is away.
        """
        while True:
            if await self.sweep() < _BATCH:
                await self._bell.wait(INTERVAL)

    async def sweep(self) -> int:
        """Go on with those whose time has come, at most a thousand; how many there were."""
        self._marks.forget()
        self._told.forget()
        found = await self._crossing.run(self._open_calls.watched, self._clock.now(), _BATCH + len(self._told))
        fresh = self._told.fresh(found, _word)
        await side_by_side(self._go_on, fresh)
        return len(fresh)

    async def _go_on(self, call: OpenCall) -> None:
        if call.settled:
            log.info("a call is ended by the ledger", **logs.of(call.call), code=call.doomed)
            done = await self._marks.tell(ended(call, self._clock.now()), call)
        elif not call.ending:
            done = await self._marks.begin(call, call.doomed or LAPSED)
        elif self._marks.may_settle(call):
            done = await self._marks.settle(call)
        else:
            done = False
        if done:
            self._told.note(_word(call))


async def _confirmed(published: Awaitable[None], call: OpenCall) -> bool:
    try:
        await published
    except TransportError as error:
        log.warning("a call could not be ended yet", **logs.of(call.call), reason=str(error))
        return False
    return True


def _word(call: OpenCall) -> tuple[str, int, bool, bool, str | None]:
    return call.call.call_id, call.attempt, call.ending, call.settled, call.ending_claim
