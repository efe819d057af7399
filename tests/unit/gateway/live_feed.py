"""Stand-ins for the scheduler's side of live events: a log of a test's own, asked by hand or over the transport."""

import asyncio
from typing import Any, cast

from msgspec import Raw

from toolyard.contracts.calls import VERSION
from toolyard.contracts.codec import encode_json
from toolyard.contracts.feed import Cursor, FeedAsked, FeedItem, FeedPage, Interest
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Transport
from toolyard.transport.envelope import Envelope


def an_item(offset: int, n: int = 2, *, size: int = 0, **said: Any) -> FeedItem:
    """An event at this place; ``size``: bytes of its body, about."""
    call_id = said.setdefault("call_id", "call-1")
    given: dict[str, Any] = {"event": "started", "state": "running", "tool": "echo", "time": float(offset)}
    given |= {"event_id": f"{call_id}/{offset}/{n}", **said}
    body = encode_json({"id": given["event_id"], "fill": "x" * size})
    return FeedItem(offset=offset, n=n, body=Raw(body), **given)


class FakeLog:
    """What the scheduler knows.

    Attributes:
        items: of each org, in order.
        end: the offset of the next record.
        kept: the place before which nothing is kept.
        page: items that one page has at most.
    """

    def __init__(self, *, page: int = 500) -> None:
        self.items: dict[str, list[FeedItem]] = {}
        self.end = 1
        self.kept = Cursor(0)
        self.page = page
        self.changed = asyncio.Event()

    def tell(self, org: str = "default", **said: Any) -> FeedItem:
        """Something happens."""
        item = an_item(self.end, **said)
        self.items.setdefault(org, []).append(item)
        self.end += 1
        self.changed.set()
        return item

    def answer(self, org: str, cursor: Cursor | None, only: Interest | None, number: int = 1) -> FeedPage:
        """The page behind this cursor."""
        end = Cursor(self.end, 0)
        said: dict[str, Any] = {"v": VERSION, "number": number, "org": org}
        if cursor is None or cursor > end:
            return FeedPage(**said, offset=end.offset, at_end=True, ahead=cursor is not None)
        wanted = only or Interest()
        place = max(cursor, self.kept)
        found = [item for item in self.items.get(org, []) if item.cursor > place and wanted.takes(item)]
        upto = end if len(found) <= self.page else found[self.page - 1].cursor
        items = tuple(found[: self.page])
        return FeedPage(**said, items=items, offset=upto.offset, n=upto.n, at_end=upto == end, lost=cursor < self.kept)


class HandAsker:
    """Asks the log without a transport. Questions with patience wait for something to tell, for ever.

    Attributes:
        asked: every question: the cursor, and what was wanted.
        most: that were open at a time, of those without patience.
    """

    def __init__(self, log: FakeLog) -> None:
        self.log = log
        self.asked: list[tuple[Cursor | None, Interest | None]] = []
        self.open = 0
        self.most = 0

    async def ask(
        self,
        org: str,
        cursor: Cursor | None,
        *,
        patience: float = 0.0,
        only: Interest | None = None,
        late: float | None = None,
    ) -> FeedPage:
        self.asked.append((cursor, only))
        if not patience:
            self.open += 1
            self.most = max(self.most, self.open)
            await asyncio.sleep(0)
            self.open -= 1
            return self.log.answer(org, cursor, only)
        while True:
            self.log.changed.clear()
            page = self.log.answer(org, cursor, only)
            await asyncio.sleep(0)
            if page.items or page.lost or page.ahead:
                return page
            await self.log.changed.wait()

    async def stop(self) -> None:
        """Nothing was started."""


class FakeScheduler:
    """Answers gateways over the transport, as the relay does.

    Attributes:
        asked: every question.
        silent: answer nothing.
    """

    def __init__(self, transport: Transport, envelope: Envelope, log: FakeLog | None = None) -> None:
        self.log = FakeLog() if log is None else log
        self.asked: list[FeedAsked] = []
        self.silent = False
        self._transport = transport
        self._envelope = envelope
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        await self._transport.consume(topology.SCHEDULER, self._receive, prefetch=1_000)

    async def stop(self) -> None:
        """Answer no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def tell(self, org: str = "default", **said: Any) -> FeedItem:
        """Something happens."""
        return self.log.tell(org, **said)

    def _receive(self, delivery: Delivery) -> None:
        if "feed_asked" in delivery.key:
            asked = self._envelope.open_feed_asked(delivery)
            self.asked.append(asked)
            if not self.silent:
                task = asyncio.ensure_future(self._answer(asked))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        delivery.ack()

    async def _answer(self, asked: FeedAsked) -> None:
        cursor = None if asked.offset is None else Cursor(asked.offset, asked.n)
        loop = asyncio.get_running_loop()
        until = loop.time() + asked.patience
        while True:
            page = self.log.answer(asked.org, cursor, asked.only, asked.number)
            if page.items or page.lost or page.ahead or cursor is None or loop.time() >= until:
                await self._transport.publish(self._envelope.feed_page(page, asked.gateway))
                return
            await asyncio.sleep(0.01)


def as_asker(asker: HandAsker) -> Any:
    """For who wants the real one."""
    return cast("Any", asker)
