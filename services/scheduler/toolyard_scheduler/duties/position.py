"""Tells everybody every second how far the ledger has read; reading that back proves that it reads."""

import asyncio
from typing import Final

from toolyard.clock import Clock
from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import LedgerPosition
from toolyard.errors import TransportError
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Transport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler.ledger import Ledger

INTERVAL: Final = 1.0
log = logger("position")


class Position:
    """Publishes `LedgerPosition`."""

    def __init__(
        self, transport: Transport, envelope: Envelope, ledger: Ledger, clock: Clock, *, interval: float = INTERVAL
    ) -> None:
        self._transport = transport
        self._envelope = envelope
        self._ledger = ledger
        self._clock = clock
        self._interval = interval

    async def run(self) -> None:
        """Tell it for ever; one that is not confirmed is followed by the next."""
        while True:
            try:
                await self._transport.publish(self._envelope.control(self._position()))
            except TransportError as error:
                log.warning("the ledger's position was not published", reason=str(error))
            await asyncio.sleep(self._interval)

    def _position(self) -> LedgerPosition:
        return LedgerPosition(
            v=VERSION,
            sender=self._ledger.sender,
            time=self._clock.now(),
            offset=self._ledger.offset,
            record_time=self._ledger.record_time,
        )
