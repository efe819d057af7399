"""How the world hears of an attempt: events published until they are confirmed, and only then the ack.

Called by `runtime`; it decides nothing about a call.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from toolyard.clock import Clock
from toolyard.contracts import codec
from toolyard.errors import TransportError
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Message, Transport
from toolyard.transport.bundles import Bundles
from toolyard.transport.envelope import Envelope
from toolyard_executors import lifecycle, traced
from toolyard_executors.claims import Claims
from toolyard_executors.context import Attempt
from toolyard_executors.life import Life
from toolyard_executors.progress import Said
from toolyard_executors.sending import send

#: Seconds between two tries to publish one message: the first pause and the longest.
_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
#: Seconds past the deadline for which the outcome of an attempt that ran is kept for publishing.
_KEPT: Final = 60.0

log = logger("runtime")


class Teller:
    """Publishes what became of deliveries, and settles them."""

    def __init__(self, *, transport: Transport, envelope: Envelope, clock: Clock, pool: str, claims: Claims) -> None:
        self._transport = transport
        self._envelope = envelope
        self._clock = clock
        self._pool = pool
        self._claims = claims
        self._bundles = Bundles(transport, envelope)

    def started(self, life: Life) -> None:
        """Tell that an attempt runs. Nobody waits for that: its outcome carries the same time."""
        if life.started_at is not None:
            event = lifecycle.started(life.message.call, life.number, worker=life.worker, at=life.started_at)
            life.announcement = send(self._transport, self._envelope.event(event))

    def soft_timeout(self, life: Life, ends_at: float) -> None:
        """Tell that an attempt has used most of its time. Nobody waits for that either."""
        call, now = life.message.call, self._clock.now()
        event = lifecycle.soft_timeout(call, life.number, life.said, worker=life.worker, now=now, ends_at=ends_at)
        life.said += 1
        send(self._transport, self._envelope.event(event))

    def progress(self, life: Life, attempt: Attempt, said: Said) -> None:
        """Tell how far an attempt has come. Nobody waits for that, and it may be lost."""
        if said.message is not None:
            said = said._replace(message=attempt.redactor.text(said.message))
        now = self._clock.now()
        event = lifecycle.progress(life.message.call, life.number, life.said, said, worker=life.worker, now=now)
        life.said += 1
        send(self._transport, self._envelope.progress(event))

    async def tell(self, life: Life) -> None:
        """Publish what is to be told, and settle the delivery when that is confirmed."""
        if life.settle == "leave":
            return
        told = True
        if life.quarantine:
            log.warning("quarantined", reason=life.quarantine, message_id=life.delivery.message_id)
            message = self._envelope.quarantined(life.delivery, life.quarantine, pool=self._pool)
            told = await self._publish(life, partial(self._transport.publish, message))
        if told and life.outcome is not None:
            outcome, span = traced.sending(life.outcome)
            encoded = codec.encode(outcome)
            told = await self._publish(life, partial(self._bundles.publish, outcome, encoded))
            if span is not None:
                span.end("" if told else "unavailable")
        elif told and life.parked is not None:
            told = await self._publish(life, partial(self._send, partial(self._envelope.event, life.parked)))
        elif told and life.settle == "release":
            told = await self.give_back(life)
        life.told = told
        if told and life.settle == "ack":
            life.delivery.ack()
        elif told:
            life.delivery.release()

    async def give_back(self, life: Life) -> bool:
        """Publish that a grant, if there is one, is not used; whether that was confirmed."""
        if life.grant is None:
            return True
        released = self._claims.released(life, life.grant)
        seal = partial(self._envelope.control, released, pool=self._pool, org=life.message.call.org)
        return await self._publish(life, partial(self._send, seal))

    def _send(self, seal: Callable[[], Message]) -> Awaitable[None]:
        """Publish under a new id: one that came twice would look like a message that somebody plays again."""
        return self._transport.publish(seal())

    async def _publish(self, life: Life, publish: Callable[[], Awaitable[None]]) -> bool:
        """Publish until it is confirmed; False where somebody else gets the delivery and will have to."""
        pause = _PAUSE
        while True:
            try:
                await publish()
            except TransportError as error:
                if not self._worth_keeping(life):
                    log.warning("not published", reason=str(error), message_id=life.delivery.message_id)
                    return False
            else:
                return True
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _worth_keeping(self, life: Life) -> bool:
        """Keep what came of an attempt that ran, or was ours to run: whoever gets its delivery next knows less."""
        if life.delivery.alive:
            return True
        ours = life.started_at is not None or life.grant is not None
        return ours and self._clock.monotonic() - life.received < life.remaining + _KEPT
