"""Hears what workers and gateways tell the leader beside the log: signs of life, and questions for events."""

import asyncio
from collections.abc import Callable
from typing import Final

from toolyard.contracts.consents import ConsentAsked
from toolyard.contracts.feed import FeedAsked
from toolyard.errors import ContractError, TransportError
from toolyard.telemetry.logs import logger
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Transport
from toolyard.transport.envelope import Envelope
from toolyard.transport.newer import NewerKinds

#: Messages that are read ahead; what a scheduler that was stopped holds back, another one does not hear.
_PREFETCH: Final = 20
#: How the keys of gateways' questions begin; all others are heartbeats, or refused as such.
_ASKED: Final = "monitor.feed_asked."
log = logger("monitor")


class Monitor:
    """Consumes `toolyard.scheduler`.

    Args:
        renew: is told the claims that a worker shows to be alive.
        ask: is told a gateway's question for events.
        ask_consent: is told a gateway's question for a consent.
    """

    def __init__(
        self,
        transport: Transport,
        envelope: Envelope,
        renew: Callable[[tuple[str, ...]], None],
        ask: Callable[[FeedAsked], None],
        ask_consent: Callable[[ConsentAsked], None],
    ) -> None:
        self._transport = transport
        self._envelope = envelope
        self._renew = renew
        self._ask = ask
        self._ask_consent = ask_consent
        self._newer = NewerKinds()

    async def run(self) -> None:
        """Hear for ever.

        Raises:
            Unavailable: the broker is away.
        """
        subscription = await self._transport.consume(topology.SCHEDULER, self._take, prefetch=_PREFETCH)
        try:
            await asyncio.Event().wait()
        finally:
            await subscription.close()

    def _take(self, delivery: Delivery) -> None:
        try:
            if delivery.key.startswith(_ASKED):
                self._ask(self._envelope.open_feed_asked(delivery))
            elif delivery.key.startswith(topology.CONSENT_ASKED):
                self._ask_consent(self._envelope.open_consent_asked(delivery))
            elif delivery.key.startswith(topology.HEARTBEATS):
                self._renew(self._envelope.open_heartbeat(delivery).claims)
            else:
                self._newer.passed_over(self._envelope.open_newer(delivery))
        except ContractError as error:
            quarantined = self._transport.publish(self._envelope.quarantined(delivery, str(error)))
            quarantined.add_done_callback(_note_refusal)
        delivery.ack()


def _note_refusal(sent: "asyncio.Future[None]") -> None:
    if not sent.cancelled() and isinstance(error := sent.exception(), TransportError):
        log.warning("what is no message of ours was not quarantined", reason=str(error))
