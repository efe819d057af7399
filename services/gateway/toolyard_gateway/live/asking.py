"""Questions for pages of the feed, and their answers, on a queue beside that of the calls' answers.

Called by the channels. What does not verify or decode is quarantined, and nothing is done with it.
"""

import asyncio
import random
from typing import Final, NamedTuple

from msgspec import structs

from toolyard.contracts.calls import VERSION
from toolyard.contracts.feed import Cursor, FeedAsked, FeedItem, FeedPage, Interest
from toolyard.errors import ContractError, TransportError
from toolyard.telemetry.logs import logger
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Subscription, Transport
from toolyard.transport.envelope import Envelope
from toolyard_gateway.live.bounds import Bounds
from toolyard_gateway.publishing import Publisher

log = logger("live")

PREFETCH: Final = 16
#: Seconds until a question is published again that the transport did not take.
AGAIN: Final = 0.5
_NUMBERS: Final = 2**31


class _Open(NamedTuple):
    org: str
    page: "asyncio.Future[FeedPage]"


class Asker:
    """Asks the scheduler that leads. The queue is declared when somebody follows for the first time.

    Numbers begin anywhere: an answer to the process that had this queue before is no answer to this one.
    """

    def __init__(
        self, *, gateway_id: str, transport: Transport, envelope: Envelope, publisher: Publisher, bounds: Bounds
    ) -> None:
        self._gateway_id = gateway_id
        self._transport = transport
        self._envelope = envelope
        self._publisher = publisher
        self._bounds = bounds
        self._number = random.randrange(_NUMBERS)  # noqa: S311 - it only has to differ
        self._open: dict[int, _Open] = {}
        self._starting = asyncio.Lock()
        self._subscription: Subscription | None = None

    async def ask(
        self,
        org: str,
        cursor: Cursor | None,
        *,
        patience: float = 0.0,
        only: Interest | None = None,
        late: float | None = None,
    ) -> FeedPage:
        """The page behind this cursor, or behind what there is at this moment; asks until it is there.

        Args:
            org: whose.
            cursor: behind which to go on; ``None`` for from now on.
            patience: seconds that the answer may wait for something to tell.
            only: what is wanted; ``None`` for all of the org.
            late: seconds beyond that until it is asked for again.
        """
        within = patience + (self._bounds.late if late is None else late)
        while True:
            try:
                await self._listen()
                async with asyncio.timeout(within):
                    return await self._asked(org, cursor, patience, only)
            except TimeoutError:
                log.info("a page of the feed is asked for again", org=org)
            except TransportError as error:
                log.warning("a page of the feed was not asked for", org=org, error=str(error))
                await asyncio.sleep(AGAIN)

    async def stop(self) -> None:
        """Consume no more."""
        if self._subscription is not None:
            await self._subscription.close()

    async def _asked(self, org: str, cursor: Cursor | None, patience: float, only: Interest | None) -> FeedPage:
        self._number = number = (self._number + 1) % _NUMBERS
        asked = FeedAsked(
            v=VERSION,
            gateway=self._gateway_id,
            number=number,
            org=org,
            offset=None if cursor is None else cursor.offset,
            n=0 if cursor is None else cursor.n,
            patience=patience,
            only=only,
        )
        one = self._open[number] = _Open(org, asyncio.get_running_loop().create_future())
        try:
            await self._transport.publish(self._envelope.feed_asked(asked))
            return await one.page
        finally:
            del self._open[number]

    async def _listen(self) -> None:
        """Declare the queue and consume it, once."""
        async with self._starting:
            if self._subscription is None:
                queue = topology.live_queue(self._gateway_id)
                await self._transport.own_queue(queue, topology.live_bindings(self._gateway_id))
                self._subscription = await self._transport.consume(queue, self.receive, prefetch=PREFETCH)

    def receive(self, delivery: Delivery) -> None:
        """Handle one delivery and settle it."""
        try:
            page = self._envelope.open_feed_page(delivery)
        except ContractError as error:
            self._publisher.put_away(delivery, str(error))
            return
        delivery.ack()
        asked = self._open.get(page.number)
        if asked is not None and asked.org == page.org and not asked.page.done():
            asked.page.set_result(structs.replace(page, items=tuple(map(_alone, page.items))))


def _alone(item: FeedItem) -> FeedItem:
    """The item with bytes of its own: as decoded, one small event would keep its whole page in memory."""
    return structs.replace(item, body=item.body.copy())
