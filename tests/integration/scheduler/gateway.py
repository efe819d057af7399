"""A gateway that asks a scheduler for pages of the feed, by hand."""

import asyncio
from typing import Any

from tests.support.ledger import ENVELOPE

from toolyard.contracts.calls import VERSION
from toolyard.contracts.feed import BEGINNING, Cursor, FeedAsked, FeedItem, FeedPage
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Transport


class Gateway:
    """Asks, and keeps the pages that come."""

    def __init__(self, transport: Transport, name: str = "g1") -> None:
        self._transport = transport
        self._name = name
        self._number = 0
        self._pages: dict[int, asyncio.Future[FeedPage]] = {}

    async def begin(self) -> "Gateway":
        queue = topology.live_queue(self._name)
        await self._transport.own_queue(queue, topology.live_bindings(self._name))
        await self._transport.consume(queue, self._take, prefetch=10)
        return self

    def _take(self, delivery: Delivery) -> None:
        page = ENVELOPE.open_feed_page(delivery)
        self._page(page.number).set_result(page)
        delivery.ack()

    def _page(self, number: int) -> "asyncio.Future[FeedPage]":
        return self._pages.setdefault(number, asyncio.get_running_loop().create_future())

    async def say(self, cursor: Cursor | None, **fields: Any) -> "asyncio.Future[FeedPage]":
        """Ask, and do not wait for the page."""
        self._number += 1
        place = {} if cursor is None else {"offset": cursor.offset, "n": cursor.n}
        given: dict[str, Any] = {"org": "default", "patience": 20.0, **place, **fields}
        asked = FeedAsked(v=VERSION, gateway=self._name, number=self._number, **given)
        await self._transport.publish(ENVELOPE.feed_asked(asked))
        return self._page(self._number)

    async def ask(self, cursor: Cursor | None, **fields: Any) -> FeedPage:
        """Ask, and wait for the page."""
        return await asyncio.wait_for(await self.say(cursor, **fields), 60)

    async def follow(self, cursor: Cursor = BEGINNING, *, until: str, **fields: Any) -> list[FeedItem]:
        """Page after page, up to the one with this event."""
        items: list[FeedItem] = []
        while not any(item.event_id == until for item in items):
            page = await self.ask(cursor, **fields)
            assert page.cursor >= cursor
            items += page.items
            cursor = page.cursor
        return items
