"""What the broker gave up: over a dead call a verdict begins, anything else is quarantined. Never silence."""

import asyncio
from typing import Final

from toolyard.clock import Clock
from toolyard.contracts.calls import CallMessage
from toolyard.contracts.events import Ending
from toolyard.errors import ContractError, TransportError
from toolyard.telemetry import logs
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import Counter
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Transport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler.telling import ending

_TOGETHER: Final = 50
#: Seconds before a dead letter that could not be dealt with is taken up again.
_PAUSE: Final = 1.0
log = logger("dead_letters")


class DeadLetters:
    """Consumes `toolyard.dead`; a letter is acked once what became of it is confirmed, and ``counted`` by that."""

    def __init__(self, transport: Transport, envelope: Envelope, clock: Clock, counted: Counter) -> None:
        self._transport = transport
        self._envelope = envelope
        self._clock = clock
        self._counted = counted
        self._open: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Consume for ever.

        Raises:
            Unavailable: the broker is away.
        """
        subscription = await self._transport.consume(topology.DEAD, self._take, prefetch=_TOGETHER)
        try:
            await asyncio.Event().wait()
        finally:
            for task in self._open:
                task.cancel()
            await subscription.close()

    def _take(self, delivery: Delivery) -> None:
        task = asyncio.get_running_loop().create_task(self._settle(delivery))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _settle(self, delivery: Delivery) -> None:
        try:
            await self._bury(delivery)
        except TransportError as error:
            log.warning("a dead letter is kept for later", message_id=delivery.message_id, reason=str(error))
            await asyncio.sleep(_PAUSE)
            delivery.release()
        else:
            delivery.ack()

    async def _bury(self, delivery: Delivery) -> None:
        try:
            message = self._envelope.open_dead_call(delivery)
        except ContractError as error:
            self._counted.add("quarantined")
            log.warning("a dead letter was quarantined", message_id=delivery.message_id, reason=str(error))
            await self._transport.publish(self._envelope.quarantined(delivery, str(error)))
            return
        reason = "" if delivery.death is None else delivery.death.reason
        code = "poisoned" if reason == "delivery_limit" else "internal"
        self._counted.add(code)
        log.warning("a call died in its queue", **logs.of(message.call), reason=reason)
        await self._transport.publish(self._envelope.event(self._ending(message, code)))

    def _ending(self, message: CallMessage, code: str) -> Ending:
        """It ends, unless somebody holds a grant of this attempt, or another one follows: then those see to it."""
        return ending(message.call, message.attempt, code, self._clock.now())
