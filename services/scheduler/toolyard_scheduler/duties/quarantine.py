"""Keeps what does not verify or decode where a person can see it: the queue of the quarantine becomes a table.

Nothing here is acted on, and nothing is believed: a letter is kept as it came, and a repeat goes where it came from.
"""

import asyncio
from hashlib import sha256
from typing import Final

from toolyard import ids
from toolyard.clock import Clock
from toolyard.store.crossing import Crossing
from toolyard.store.dead_letters import MAX_BODY, DeadLetter, SqlDeadLetters
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import Counter
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Transport
from toolyard.transport.quarantine import unwrapped

#: Letters at a time; each may be as long as the broker lets it be.
_TOGETHER: Final = 20
log = logger("quarantine")


class Quarantine:
    """Consumes `toolyard.quarantine`; a letter is acked once it is kept."""

    def __init__(
        self, transport: Transport, store: SqlDeadLetters, crossing: Crossing, clock: Clock, counted: Counter
    ) -> None:
        self._transport = transport
        self._store = store
        self._crossing = crossing
        self._clock = clock
        self._counted = counted
        self._arrived: asyncio.Queue[Delivery] = asyncio.Queue()

    async def run(self) -> None:
        """Consume for ever.

        Raises:
            Unavailable: the broker is away.
            StoreUnavailable: the database is away; what is not kept stays in the queue.
        """
        subscription = await self._transport.consume(topology.QUARANTINE, self._arrived.put_nowait, prefetch=_TOGETHER)
        try:
            while True:
                await self._keep([await self._arrived.get()])
        finally:
            await subscription.close()

    async def _keep(self, deliveries: list[Delivery]) -> None:
        while not self._arrived.empty():
            deliveries.append(self._arrived.get_nowait())
        letters = [letter_of(delivery, self._clock.now()) for delivery in deliveries]
        await self._crossing.run(self._store.keep, letters)
        for delivery, letter in zip(deliveries, letters, strict=True):
            delivery.ack()
            self._counted.add()
            log.warning("a message was put away", letter_id=letter.letter_id, key=letter.key, reason=letter.reason)


def letter_of(delivery: Delivery, now: float) -> DeadLetter:
    """The message that was quarantined, as it came; the same message is the same letter, whoever put it away."""
    found = unwrapped(delivery)
    told = (found.exchange, found.key, found.message_id, found.expiration, sha256(delivery.body).hexdigest())
    return DeadLetter(
        letter_id=ids.derived_id("dead letter", *told),
        reason=found.reason,
        exchange=found.exchange,
        key=found.key,
        message_id=found.message_id,
        headers=found.headers,
        expiration=found.expiration,
        kind=found.kind,
        body=delivery.body[:MAX_BODY],
        size=len(delivery.body),
        complete=found.complete and len(delivery.body) <= MAX_BODY,
        arrived_at=now,
    )
