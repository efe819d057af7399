"""Passes on to followers what is not in the log: how far attempts have come, and how the breakers of workers stand.

At most once: what cannot be passed on at this moment is counted and dropped, and nobody is the worse for it.
"""

import asyncio
from collections import Counter
from typing import Final

from toolyard.errors import ContractError, NotTaken, ToolyardError
from toolyard.telemetry.logs import logger
from toolyard.transport import followed, topology
from toolyard.transport.base import Delivery, Message, Transport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler import feed

#: Messages that are read ahead; what a scheduler that was stopped holds back, another one does not pass on.
_PREFETCH: Final = 100
#: Messages that wait for their confirms; what comes beyond is dropped.
_UNDER_WAY: Final = 1_000
#: Seconds before another try to consume.
_PAUSE: Final = 5.0
log = logger("feed")


class Unlogged:
    """Consumes `toolyard.relay`.

    Args:
        transport: the one of followers.
        counts: what happened how often; outlives the term.
    """

    def __init__(self, transport: Transport, envelope: Envelope, counts: Counter[str]) -> None:
        self._transport = transport
        self._envelope = envelope
        self._counts = counts
        self._under_way = 0

    async def run(self) -> None:
        """Pass on for ever; a queue that is missing is waited for."""
        while True:
            try:
                subscription = await self._transport.consume(topology.RELAY, self._take, prefetch=_PREFETCH)
            except ToolyardError as error:  # what followers are told must not stop the ledger
                log.warning("progress is not passed on for now", reason=str(error))
                await asyncio.sleep(_PAUSE)
                continue
            try:
                await asyncio.Event().wait()
            finally:
                await subscription.close()

    def _take(self, delivery: Delivery) -> None:
        delivery.ack()
        try:
            message = self._message(delivery)
        except ContractError as error:
            log.warning("what is no message of ours was not passed on", key=delivery.key, reason=str(error))
            self._counts["feed_dropped"] += 1
            return
        if self._under_way >= _UNDER_WAY:
            self._counts["feed_dropped"] += 1
            return
        self._under_way += 1
        self._transport.publish(message).add_done_callback(self._passed_on)

    def _message(self, delivery: Delivery) -> Message:
        if delivery.key.startswith(topology.BREAKERS):
            return followed.of_a_breaker(self._envelope.open_breaker(delivery))
        event = self._envelope.open_progress(delivery)
        view = feed.progress(event)
        return followed.of_a_call(view, view.data, "progress", event.pool, persistent=False)

    def _passed_on(self, sent: "asyncio.Future[None]") -> None:
        self._under_way -= 1
        error = None if sent.cancelled() else sent.exception()
        if error is None or isinstance(error, NotTaken):
            self._counts["feed_published"] += 1
            self._counts["feed_nacked"] += error is not None
        else:
            self._counts["feed_dropped"] += 1
