"""What waits to be written on one connection: bounded, and freed at once when its reader is too slow.

Filled by channels, which never wait for it; emptied by the writer of the connection.
"""

import asyncio
from collections import deque
from typing import Final, Literal, NamedTuple, Protocol

from toolyard.contracts.feed import Cursor, FeedItem
from toolyard_gateway.live.ring import size_of

#: Why a connection ends.
Ending = Literal["cut_off", "drained", "revoked", "misused"]
#: Answers that wait before the next request of the connection is looked at.
ANSWERS: Final = 64


class Opened(NamedTuple):
    """From this place on, all that is wanted will be told."""

    cursor: Cursor


class Gap(NamedTuple):
    """What came before is not kept any more; it goes on behind this place."""

    cursor: Cursor


#: What a follower is told.
Told = FeedItem | Opened | Gap


class Recipient(Protocol):
    """For whom something waits: a `toolyard_gateway.live.follower.Follower`, whose words these are."""

    name: str
    told: Cursor
    gone: bool

    def counted(self, items: int, size: int) -> None:
        """More waits for it, or less."""


class Entry(NamedTuple):
    """One thing to write for a follower."""

    follower: Recipient
    what: Told


class Outbox:
    """The queue of one connection.

    Args:
        max_bytes: of the events that wait.

    Attributes:
        bytes: of the events that wait, or are being written.
        ending: why nothing more is taken, once it is so.
        at: the event that was one too many, where that is why.
        over: set together with ``ending``.
    """

    def __init__(self, max_bytes: int) -> None:
        self.bytes = 0
        self.ending: Ending | None = None
        self.at: Cursor | None = None
        self.over = asyncio.Event()
        self._max_bytes = max_bytes
        self._entries: deque[Entry | bytes] = deque()
        self._answers = 0
        self._cleared = False
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def full(self) -> bool:
        """Whether a further event is too much."""
        return self.bytes >= self._max_bytes

    @property
    def roomy(self) -> bool:
        """Whether somebody who can wait may add more."""
        return self.bytes < self._max_bytes // 2

    def add(self, follower: Recipient, what: Told) -> None:
        """Let this be written; nothing happens once the connection is to end."""
        if self.ending is None:
            if isinstance(what, FeedItem):
                size = size_of(what)
                self.bytes += size
                follower.counted(1, size)
            self._push(Entry(follower, what))

    async def answer(self, data: bytes) -> None:
        """Let an answer be written; waits while many are waiting, so that who only asks is slowed down."""
        while self._answers >= ANSWERS and self.ending is None:
            await self.taken()
        if self.ending is None:
            self._answers += 1
            self._push(data)

    async def take(self, within: float | None = None) -> Entry | bytes | None:
        """The next thing to write; ``None`` after so many seconds without one, or once the connection is to end.

        It waits until it is `done` with.
        """
        try:
            async with asyncio.timeout(within):
                while not self._entries and self.ending is None:
                    self._filled.clear()
                    await self._filled.wait()
        except TimeoutError:
            return None
        return self._entries.popleft() if self._entries else None

    def more(self, room: int) -> list[Entry | bytes]:
        """What waits beside that, until so many bytes are full; each is to be `done` with too. It waits for nothing."""
        found: list[Entry | bytes] = []
        while self._entries and room > 0:
            found.append(entry := self._entries.popleft())
            if isinstance(entry, Entry) and isinstance(entry.what, FeedItem):
                room -= size_of(entry.what)
        return found

    def done(self, entry: Entry | bytes) -> None:
        """This was handed to the socket, or need not be."""
        if isinstance(entry, bytes):
            self._answers -= 1
        else:
            entry.follower.told = entry.what.cursor
            if isinstance(entry.what, FeedItem) and not self._cleared:
                size = size_of(entry.what)
                self.bytes -= size
                entry.follower.counted(-1, -size)
        self._taken.set()

    async def taken(self) -> None:
        """Wait until the writer is done with something, or the connection is to end."""
        if self.ending is None:
            self._taken.clear()
            await self._taken.wait()

    def end(self, why: Ending, *, at: Cursor | None = None) -> None:
        """Take nothing more. Who is cut off is told nothing of what waits: it can be had again by its cursor."""
        if self.ending is None:
            self.ending, self.at = why, at
            if why in ("cut_off", "revoked"):
                self._cleared = True
                self._entries.clear()
                self.bytes = 0
            self.over.set()
            self._filled.set()
            self._taken.set()

    def _push(self, entry: Entry | bytes) -> None:
        self._entries.append(entry)
        self._filled.set()
