"""The tails of the orgs that are followed: the newest of each org's feed, in memory, within bounds. Pure.

What a tail has let go is read again from the log. It is known to the relay alone.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from toolyard.contracts.feed import BEGINNING, Cursor, FeedItem, Interest


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept and told.

    Attributes:
        items: of one tail. ``bytes``: of these, as they are told. ``together``: bytes of all tails.
        page: items of one page. ``page_bytes``: of these; one alone may be larger.
        unasked: seconds after which a tail is dropped that nobody has asked for.
        records: of the log that are read again for one page.
        questions: that may be open at a time.
        behind: entries that may wait to be made into items.
    """

    items: int = 20_000
    bytes: int = 16 * 1024 * 1024
    together: int = 64 * 1024 * 1024
    page: int = 500
    page_bytes: int = 512 * 1024
    unasked: float = 60.0
    records: int = 20_000
    questions: int = 10_000
    behind: int = 50_000


class Piece:
    """What is told together, while it is gathered.

    Attributes:
        upto: the place that has been looked at.
        full: what comes next is for another page.
    """

    def __init__(self, bounds: Bounds, only: Interest | None, start: Cursor) -> None:
        self._bounds = bounds
        self._only = only
        self._bytes = 0
        self.items: list[FeedItem] = []
        self.upto = start
        self.full = False

    def look_at(self, those: Iterable[FeedItem], end: Cursor) -> None:
        """Take what is wanted of these, which are all there is between here and ``end``, as far as there is room."""
        for item in those:
            if self._only is None or self._only.takes(item):
                self._bytes += len(item.body)
                if self.items and (len(self.items) >= self._bounds.page or self._bytes > self._bounds.page_bytes):
                    self.full = True
                    return
                self.items.append(item)
            self.upto = item.cursor
        self.upto = max(self.upto, end)


class Tail:
    """The newest of one org's feed: all there is between two places.

    Attributes:
        start: the place behind which it is complete.
        end: the place up to which the log has been made into items.
        asked_at: when somebody asked for it last, on the monotonic clock.
    """

    def __init__(self, start: Cursor, now: float) -> None:
        self._items: deque[FeedItem] = deque()
        self.bytes = 0
        self.start = self.end = start
        self.asked_at = now

    def __len__(self) -> int:
        return len(self._items)

    def extend(self, those: Iterable[FeedItem], end: Cursor) -> None:
        """The feed went on with these, and has been read up to there. What came before its start is not for it."""
        for item in those:
            if item.cursor > self.start:
                self._items.append(item)
                self.bytes += len(item.body)
        self.end = max(self.end, end)

    def drop_oldest(self) -> None:
        """Let the oldest item go."""
        item = self._items.popleft()
        self.bytes -= len(item.body)
        self.start = item.cursor

    def behind(self, cursor: Cursor) -> Iterator[FeedItem]:
        """What comes behind this place, in order."""
        if not self._items or cursor >= self._items[-1].cursor:
            return iter(())
        return islice(self._items, bisect_right(self._items, cursor, key=lambda item: item.cursor), None)


class Tails:
    """One for each org that is followed."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._tails: dict[str, Tail] = {}

    def __len__(self) -> int:
        return len(self._tails)

    def __contains__(self, org: object) -> bool:
        return org in self._tails

    def asked(self, org: str, offset: int, now: float) -> Tail:
        """The tail of an org that somebody asks for now; a new one begins after this offset."""
        tail = self._tails.get(org)
        if tail is None:
            tail = self._tails[org] = Tail(after(offset), now)
        tail.asked_at = now
        return tail

    def get(self, org: str) -> Tail | None:
        """The tail of this org, if it is followed."""
        return self._tails.get(org)

    def extend(self, told: dict[str, list[FeedItem]], offset: int) -> None:
        """The log was made into these items, by org, up to this offset."""
        for org, tail in self._tails.items():
            tail.extend(told.get(org, ()), after(offset))
            while len(tail) > self._bounds.items or tail.bytes > self._bounds.bytes:
                tail.drop_oldest()
        over = sum(tail.bytes for tail in self._tails.values()) - self._bounds.together
        while over > 0:
            largest = max(self._tails.values(), key=lambda tail: tail.bytes)
            before = largest.bytes
            largest.drop_oldest()
            over -= before - largest.bytes

    def forget_unasked(self, now: float, waited_for: Iterable[str]) -> None:
        """Drop the tails that nobody asked for in a long time, nor waits for now."""
        kept = set(waited_for)
        for org, tail in list(self._tails.items()):
            if org not in kept and now - tail.asked_at > self._bounds.unasked:
                del self._tails[org]

    def clear(self) -> None:
        """Drop all."""
        self._tails.clear()


def after(offset: int) -> Cursor:
    """The place behind the whole record at this offset; before the first record it is -1."""
    return BEGINNING if offset < 0 else Cursor(offset + 1, 0)
