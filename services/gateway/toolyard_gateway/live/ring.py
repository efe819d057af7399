"""The newest events of one org, for followers who come back. Called by its channel; pure."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import islice

from toolyard.contracts.feed import Cursor, FeedItem

#: Bytes that an event takes beside its body.
OVERHEAD = 500


def size_of(item: FeedItem) -> int:
    """The bytes that an event takes in memory, about."""
    return len(memoryview(item.body)) + OVERHEAD


class Ring:
    """What came behind one place, without a gap, up to another.

    Args:
        begin: the place behind which it begins.
        max_items: that it holds; ``max_bytes``: their size.

    Attributes:
        begin: the place behind which nothing is missing.
        end: the place behind which nothing came yet.
        bytes: the size of what it holds.
    """

    def __init__(self, begin: Cursor, *, max_items: int, max_bytes: int) -> None:
        self.begin = begin
        self.end = begin
        self.bytes = 0
        self._items: deque[FeedItem] = deque()
        self._max_items = max_items
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        return len(self._items)

    def append(self, item: FeedItem) -> None:
        """Add what came next; the oldest goes where it is too much."""
        self._items.append(item)
        self.end = item.cursor
        self.bytes += size_of(item)
        while self._items and (len(self._items) > self._max_items or self.bytes > self._max_bytes):
            oldest = self._items.popleft()
            self.bytes -= size_of(oldest)
            self.begin = oldest.cursor

    def advance(self, cursor: Cursor) -> None:
        """Nothing that is told stands before this place."""
        self.end = max(self.end, cursor)

    def restart(self, cursor: Cursor) -> None:
        """Begin anew, behind this place: what came before does not lead up to it."""
        self._items.clear()
        self.begin = self.end = cursor
        self.bytes = 0

    def behind(self, cursor: Cursor) -> Iterator[FeedItem]:
        """What came behind this place; ask only where it is not before `begin`."""
        return islice(self._items, bisect_right(self._items, cursor, key=_cursor), None)


def _cursor(item: FeedItem) -> Cursor:
    return item.cursor
