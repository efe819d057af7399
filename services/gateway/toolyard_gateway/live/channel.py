"""The live events of one org: read page after page, kept for a while, and handed to its followers.

Made by `following`. It waits for nobody: who is too slow is cut off, and who is far behind catches up by itself.
"""

import asyncio
from typing import Final

from toolyard.contracts.feed import Cursor, FeedItem, FeedPage
from toolyard.errors import FieldError, FieldsRefused
from toolyard.telemetry.logs import logger
from toolyard_gateway.live.asking import Asker
from toolyard_gateway.live.bounds import Bounds
from toolyard_gateway.live.follower import Follower
from toolyard_gateway.live.index import Index
from toolyard_gateway.live.ring import Ring

log = logger("live")

#: Events after which everybody else has a turn, the writers among them; and how often they were handed to somebody.
AT_ONCE: Final = 100
HANDED_AT_ONCE: Final = 10_000
#: Seconds until a page is asked for again that a scheduler without news gave to one who is behind.
NO_FURTHER: Final = 0.5


def ahead() -> FieldsRefused:
    """The refusal of a cursor that nobody can have been given."""
    return FieldsRefused((FieldError("since", "the cursor is ahead of the log; leave it out to begin now"),))


class Channel:
    """One org.

    Args:
        begin: the place behind which it begins to read.
        now: the place behind which those are told who want nothing older.
        turns: of all who catch up at this gateway.

    Attributes:
        members: all who follow here, also those who catch up.
    """

    def __init__(
        self, org: str, begin: Cursor, now: Cursor, asker: Asker, bounds: Bounds, turns: asyncio.Semaphore
    ) -> None:
        self.org = org
        self._now = now
        self.ring = Ring(begin, max_items=bounds.ring_items, max_bytes=bounds.ring_bytes)
        self.members: set[Follower] = set()
        self._asker = asker
        self._bounds = bounds
        self._turns = turns
        self._index = Index()
        self._tasks: dict[Follower, asyncio.Task[None]] = {}
        self._reading: asyncio.Task[None] | None = None

    # ---- its life -------------------------------------------------------------------------------
    def start(self) -> "asyncio.Task[None]":
        """Begin to read; the task ends only by a defect, or when it is stopped."""
        self._reading = asyncio.create_task(self._read())
        return self._reading

    async def stop(self) -> None:
        """Read no more."""
        tasks = [*self._tasks.values(), *([self._reading] if self._reading else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        while True:
            page = await self._asker.ask(self.org, self.ring.end, patience=self._bounds.patience)
            if page.ahead:
                await self._begin_anew()
            elif page.lost:
                self._after_a_gap(page)
            else:
                await self._take(page)

    async def _take(self, page: FeedPage) -> None:
        """Keep what a page tells, and hand it to those who want it."""
        handed = 0
        for number, item in enumerate(page.items, start=1):
            if item.cursor > self.ring.end:
                self.ring.append(item)
                handed += self._tell(item)
            if number % AT_ONCE == 0 or handed >= HANDED_AT_ONCE:
                handed = 0
                await asyncio.sleep(0)
        self.ring.advance(page.cursor)

    def _tell(self, item: FeedItem) -> int:
        """Hand it to those who may want it; how many these are."""
        those = list(self._index.wanting(item))
        for follower in those:
            follower.offer(item)
        return len(those)

    def _after_a_gap(self, page: FeedPage) -> None:
        """What comes behind the ring is lost: everybody is told so, and goes on behind the gap."""
        gap = place_behind(page)
        log.warning("a part of the feed is not kept any more", org=self.org, behind=str(self.ring.end), until=str(gap))
        self.ring.restart(gap)
        for follower in self._index:
            follower.gap(gap)
        for item in page.items:
            self.ring.append(item)
            self._tell(item)
        self.ring.advance(page.cursor)

    async def _begin_anew(self) -> None:
        """The log does not reach the place where this stands: it is another one now."""
        page = await self._asker.ask(self.org, None)
        log.warning("the log is another one", org=self.org, behind=str(self.ring.end), now=str(page.cursor))
        self._now = page.cursor
        self.ring.restart(page.cursor)
        for follower in self._index:
            follower.gap(page.cursor)
        for follower in self._tasks:  # where these stand is nowhere now
            follower.outbox.end("cut_off")

    # ---- followers ------------------------------------------------------------------------------
    async def join(self, follower: Follower, since: Cursor | None) -> None:
        """Let somebody follow, from this place on or from now on; what comes goes to its outbox.

        Raises:
            FieldsRefused: the log does not reach that place.
        """
        if since is None:
            since = max(self.ring.end, self._now)
        elif since > self.ring.end:  # told by another gateway, which is further, or by nobody
            page = await self._asker.ask(self.org, since)
            if page.ahead:
                raise ahead()
        follower.open(since)
        if since >= self.ring.end:
            self._attach(follower)
        else:
            self._tasks[follower] = task = asyncio.create_task(self._catch_up(follower, since))
            task.add_done_callback(lambda done: self._caught_up(follower, done))

    def leave(self, follower: Follower) -> None:
        """Tell this one nothing more."""
        self.members.discard(follower)
        self._index.discard(follower)
        follower.gone = True
        follower.ring = None
        if (task := self._tasks.get(follower)) is not None:
            task.cancel()

    def _attach(self, follower: Follower) -> None:
        if not follower.over:
            follower.ring = self.ring
            self._index.add(follower)

    def _caught_up(self, follower: Follower, task: "asyncio.Task[None]") -> None:
        del self._tasks[follower]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("catching up failed", org=self.org, error=type(error).__name__, exc_info=error)
            follower.outbox.end("cut_off")

    async def _catch_up(self, follower: Follower, place: Cursor) -> None:
        """Tell what was missed, at the follower's own pace, until it can be told what is new with all others."""
        while not follower.over:
            if place >= self.ring.begin:
                place, attached = self._from_the_ring(follower, place)
                if attached:
                    return
                await follower.room()
            else:
                async with self._turns:
                    page = await self._asker.ask(self.org, place, only=follower.interest, late=self._bounds.old_page)
                place = await self._from_a_page(follower, place, page)
                follower.passed(place)
                await follower.room()

    def _from_the_ring(self, follower: Follower, place: Cursor) -> tuple[Cursor, bool]:
        """Tell as much of the ring as there is room for; the place that was reached, and whether it is all."""
        for item in self.ring.behind(place):
            if not follower.roomy:
                return place, False
            follower.offer(item)
            place = item.cursor
        self._attach(follower)
        return place, True

    async def _from_a_page(self, follower: Follower, place: Cursor, page: FeedPage) -> Cursor:
        """Tell what an old page has for this follower alone, at its own pace: it is nobody's turn; the place behind."""
        if page.ahead:
            follower.gap(self.ring.end)
            return self.ring.end
        if page.lost:
            follower.gap(place_behind(page))
        for item in page.items:
            await follower.room()
            follower.offer(item)
        if page.cursor <= place:
            await asyncio.sleep(NO_FURTHER)
        return max(page.cursor, place)


def place_behind(page: FeedPage) -> Cursor:
    """The place from which on the page tells everything."""
    return Cursor(page.items[0].offset, page.items[0].n - 1) if page.items else page.cursor
