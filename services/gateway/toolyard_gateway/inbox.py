"""This gateway's own queue: answers to its calls, changed tools, the ledger's position, how workers stand.

Opened, verified, handed on. Started by the app. What does not verify or decode is quarantined, and nothing is done
with it.
"""

import asyncio
from typing import Final

from toolyard.clock import Clock
from toolyard.contracts.control import LedgerPosition, LogLevelSet, ToolChanged
from toolyard.errors import ContractError, UnknownKind
from toolyard.telemetry.levels import LEVELS
from toolyard.telemetry.logs import logger
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Subscription, Transport
from toolyard.transport.envelope import Envelope
from toolyard.transport.newer import NewerKinds
from toolyard_gateway.breakers import Breakers
from toolyard_gateway.consent_asking import ConsentAsker
from toolyard_gateway.correlation import Correlator
from toolyard_gateway.isolation import Isolation
from toolyard_gateway.position import LedgerWatch
from toolyard_gateway.publishing import Publisher
from toolyard_gateway.registry import Registry

log = logger("inbox")

PREFETCH: Final = 1_000
#: Seconds between looks at whether the queue is still consumed.
WATCH: Final = 0.5


class Inbox:
    """Consumes the reply queue of one gateway."""

    def __init__(
        self,
        *,
        gateway_id: str,
        transport: Transport,
        envelope: Envelope,
        correlator: Correlator,
        registry: Registry,
        ledger: LedgerWatch,
        breakers: Breakers,
        consents: ConsentAsker,
        isolation: Isolation,
        publisher: Publisher,
        clock: Clock,
    ) -> None:
        self._gateway_id = gateway_id
        self._transport = transport
        self._envelope = envelope
        self._correlator = correlator
        self._registry = registry
        self._ledger = ledger
        self._breakers = breakers
        self._consents = consents
        self._isolation = isolation
        self._publisher = publisher
        self._clock = clock
        self._newer = NewerKinds()
        self._subscription: Subscription | None = None

    @property
    def consuming(self) -> bool:
        """Whether answers come in at this moment."""
        return self._subscription is not None and self._subscription.active

    async def start(self) -> None:
        """Declare the queue and consume it."""
        queue = topology.reply_queue(self._gateway_id)
        await self._transport.own_queue(queue, topology.reply_bindings(self._gateway_id))
        self._subscription = await self._transport.consume(queue, self.receive, prefetch=PREFETCH)

    async def stop(self) -> None:
        """Consume no more."""
        if self._subscription is not None:
            await self._subscription.close()

    async def watch(self) -> None:
        """After a lost connection, trust nothing that was remembered; for ever."""
        before = self.consuming
        while True:
            await asyncio.sleep(WATCH)
            now = self.consuming
            if now and not before:
                log.info("answers come in again")
                self._registry.forget_all()
                self._correlator.suspect_all()
            before = now

    def receive(self, delivery: Delivery) -> None:
        """Handle one delivery and settle it."""
        try:
            if delivery.exchange == topology.EVENTS:
                for event in self._envelope.open_events(delivery):
                    self._correlator.receive(event)
            else:
                self._on_control(delivery)
        except UnknownKind as error:
            self._newer.passed_over(error)
        except ContractError as error:
            self._publisher.put_away(delivery, str(error))
            return
        delivery.ack()

    def _on_control(self, delivery: Delivery) -> None:
        if delivery.key.startswith(topology.BREAKERS):
            self._breakers.hear(self._envelope.open_breaker(delivery))
            return
        if delivery.key.startswith(topology.HEARTBEATS):
            self._isolation.hear(self._envelope.open_heartbeat(delivery))
            return
        if delivery.key.startswith(topology.CONSENT_TOLD):
            self._consents.hear(self._envelope.open_consent_told(delivery))
            return
        message = self._envelope.open_control(delivery)
        if isinstance(message, ToolChanged):
            self._registry.forget(message.org, message.tool)
        elif isinstance(message, LogLevelSet):
            LEVELS.hear(message, self._clock.now())
        elif isinstance(message, LedgerPosition):
            self._ledger.receive(message)
