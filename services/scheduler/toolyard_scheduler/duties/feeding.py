"""Publishes the feed for followers at the broker: what the ledger has applied, in its order, once it is committed.

What no queue is bound for is not even made, but for a witness of each key; see `wanted`.

It has a connection of its own: followers whose queues are slow or full may hold up the feed, and nothing else. What it
cannot keep up with it lets go, and reads from the log again. Nothing that goes wrong here is in the ledger's way.
"""

import asyncio
import contextlib
import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from msgspec import UNSET

from toolyard.clock import Clock
from toolyard.contracts.codec import MAX_EVENT
from toolyard.contracts.events import Ended
from toolyard.errors import NotTaken, Overdue, ToolyardError, Unroutable
from toolyard.store.connect import Store
from toolyard.store.crossing import Crossing
from toolyard.telemetry.logs import logger
from toolyard.transport import followed
from toolyard.transport.base import LogReader, Message, Record, Transport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler import feed
from toolyard_scheduler.entries import Entry
from toolyard_scheduler.reading import Opened, open_records
from toolyard_scheduler.rereading import Rereader
from toolyard_scheduler.tails import Bounds
from toolyard_scheduler.told import Bell
from toolyard_scheduler.wanted import Keyed, Wanted

#: Entries that are made into messages without letting others on this loop have a turn.
_SLICE: Final = 50
#: Seconds between two notes of the place, at least: what was published after the last one is published once more by
#: the next leader.
_NOTED: Final = 1.0
#: Seconds that are not told apart where the lag is measured.
_MOMENT: Final = 0.1
#: Seconds until the log must have given records that the ledger has read before.
_PATIENCE: Final = 10.0
#: Seconds before another try, the first and the longest.
_BACKOFF: Final = (0.1, 5.0)
log = logger("feed")


@dataclass(frozen=True, slots=True)
class Most:
    """How much is held and under way at a time.

    Attributes:
        entries: that wait to be published. ``bytes``: of what came back in them.
        records: of the log that are read again together.
        messages: that wait for their confirms. ``message_bytes``: of these; one alone may be larger.
        pace: seconds between two looks at what the ledger has applied.
    """

    entries: int = 5_000
    bytes: int = 32 * 1024 * 1024
    records: int = 200
    messages: int = 200
    message_bytes: int = 4 * 1024 * 1024
    pace: float = 0.05


class Feeding:
    """Fills the exchange of the feed; one a term.

    Args:
        transport: used for nothing else.
        offset: up to which the ledger has applied the log.
        counts: what happened how often; outlives the term.
    """

    def __init__(
        self,
        transport: Transport,
        envelope: Envelope,
        store: Store,
        crossing: Crossing,
        clock: Clock,
        offset: int,
        counts: Counter[str],
        most: Most,
    ) -> None:
        self._transport = transport
        self._envelope = envelope.unwatched()
        self._calls = store.calls
        self._place = store.feed
        self._crossing = crossing
        self._clock = clock
        self._counts = counts
        self._most = most
        self._repeats = feed.Repeats()
        self._wanted = Wanted()
        self._rereader = Rereader(transport, envelope, store.calls, crossing, Bounds(), self._repeats)
        self._applied = offset
        #: The record up to which everything is published, as far as it is known; and as it was noted last.
        self._at: int | None = None
        self._noted = offset
        self._noted_at = clock.monotonic()
        #: When the ledger had applied what is not published yet: offsets, each with the time of its moment.
        self._unpublished = deque([(offset, self._noted_at)])
        #: Whether it hears the ledger; else it reads the log.
        self._hears = False
        self._heard: list[Entry] = []
        self._weight = 0
        #: Where something was not confirmed in time.
        self._overdue: int | None = None
        self._bell = Bell()

    @property
    def lag(self) -> float:
        """Seconds for which the oldest of what the ledger has applied waits to be published."""
        return self._clock.monotonic() - self._unpublished[0][1] if self._unpublished else 0.0

    def hear(self, entries: Sequence[Entry], offset: int) -> None:
        """The ledger has applied these, up to this offset, and they are committed."""
        self._applied = offset
        now, before = self._clock.monotonic(), self._unpublished[-1][1] if self._unpublished else -math.inf
        if now - before < _MOMENT:
            self._unpublished[-1] = (offset, before)
        else:
            self._unpublished.append((offset, now))
        if self._hears:
            told = [entry for entry in entries if feed.followed_org(entry) is not None]
            self._heard += told
            self._weight += sum(map(_weight, told))
            if len(self._heard) > self._most.entries or self._weight > self._most.bytes:
                self._let_go()
        self._bell.ring()

    # ---- its life -----------------------------------------------------------------------------
    async def run(self) -> None:
        """Publish for ever; what did not work is tried again from the place up to which it had."""
        pause, longest = _BACKOFF
        try:
            while True:
                began = self._at
                try:
                    await self._follow()
                except Exception as error:  # noqa: BLE001 - what followers are told must not stop the ledger
                    log.warning("events are not published for now", reason=_reason(error))
                self._let_go()
                pause = _BACKOFF[0] if self._at != began else min(2 * pause, longest)
                await asyncio.sleep(pause)
        finally:
            with contextlib.suppress(ToolyardError):
                await asyncio.shield(self._note())

    async def _follow(self) -> None:
        """Publish what is missing, then what comes."""
        if self._at is None:
            begun = await self._crossing.run(self._place.begin, self._applied)
            await self._rereader.remember(begun)
            self._at = self._noted = begun
        while True:
            await self._catch_up(self._at)
            await self._keep_up()

    async def _keep_up(self) -> None:
        """Publish what the ledger applies, until that is too much."""
        while True:
            await self._bell.wait(_NOTED)
            if not self._hears:  # what was heard meanwhile is let go
                return
            entries, offset = self._heard, self._applied
            self._heard, self._weight = [], 0
            await self._publish(entries)
            await self._move(offset)
            await asyncio.sleep(self._most.pace)

    def _let_go(self) -> None:
        """Hear nothing more: the log has it."""
        self._hears = False
        self._heard, self._weight = [], 0

    # ---- behind -------------------------------------------------------------------------------
    async def _catch_up(self, at: int) -> None:
        """Publish from the log what lies between here and the ledger, and hear from then on."""
        if at >= self._applied:
            self._hears = True
            await self._move(at)
            return
        reader = await self._transport.read_log(at if at >= 0 else None)
        try:
            ahead = await self._next(reader)
            self._count_lost(at, ahead[0].offset)
            while at < (upto := self._applied):
                ahead = ahead or await self._next(reader)
                records = [record for record in ahead if record.offset <= upto]
                ahead = ahead[len(records) :]
                await self._publish_records([record for record in records if record.offset > at])
                at = upto if ahead else records[-1].offset
                await self._move(at)
            self._hears = True
        finally:
            await reader.close()

    async def _next(self, reader: LogReader) -> Sequence[Record]:
        async with asyncio.timeout(_PATIENCE):
            return await reader.batch(self._most.records)

    def _count_lost(self, at: int, first: int) -> None:
        """Offsets have holes of exactly one, where a segment of the log begins."""
        if 0 <= at < first - 2:
            self._counts["feed_lost"] += first - at - 1
            log.error("events are lost: the log does not reach back to the place of the feed", place=at, log=first)

    async def _publish_records(self, records: Sequence[Record]) -> None:
        opened = Opened()
        for start in range(0, len(records), _SLICE):
            open_records(self._envelope, records[start : start + _SLICE], opened)
            await asyncio.sleep(0)
        await self._publish([entry for entry in opened.entries if feed.followed_org(entry) is not None])

    # ---- publishing ---------------------------------------------------------------------------
    async def _publish(self, entries: Sequence[Entry]) -> None:
        """Publish what these tell, in order; returns when all of it is confirmed, or was refused by somebody's queue.

        Raises:
            TransportError: some of it may not have been taken.
            StoreError: the calls cannot be read.
        """
        if not entries:
            return
        rows = await self._crossing.run(self._calls.outlines, list({entry.call_id for entry in entries}))
        happened: list[feed.Happening] = []
        for start in range(0, len(entries), _SLICE):
            happened += feed.happenings(entries[start : start + _SLICE], rows, self._repeats)
            await asyncio.sleep(0)
        first, others = self._wanted.split(happened)
        await self._publish_all(first)
        await self._publish_all(wanted := self._wanted.wanted(others))
        self._counts["feed_unwanted"] += len(others) - len(wanted)

    async def _publish_all(self, events: Sequence[Keyed]) -> None:
        """Publish these, in order; the first of each key asks who wants it, and so do all whose key none took."""
        together: list[tuple[Message, str]] = []
        asked: set[str] = set()
        size = 0
        for number, (happened, key) in enumerate(events):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            message = message_of(feed.tell(happened))
            known = key in asked and self._wanted.is_taken(key)
            together.append((message if known else replace(message, mandatory=True), key))
            asked.add(key)
            size += len(message.body)
            if len(together) >= self._most.messages or size >= self._most.message_bytes:
                await self._send(together)
                together, size = [], 0
        await self._send(together)

    async def _send(self, events: Sequence[tuple[Message, str]]) -> None:
        """Hand these over in one go, so that none can overtake another one, and wait for all confirms."""
        sent = [self._transport.publish(message) for message, _ in events]
        overdue: list[Overdue] = []
        for (message, key), answer in zip(events, await asyncio.gather(*sent, return_exceptions=True), strict=True):
            if isinstance(answer, Overdue):
                overdue.append(answer)
            elif isinstance(answer, Unroutable):
                self._counts["feed_unwanted"] += 1
            elif answer is None or isinstance(answer, NotTaken):
                self._counts["feed_published"] += 1
                self._counts["feed_nacked"] += answer is not None
            else:
                raise answer
            if message.mandatory:
                self._wanted.note(key, taken=not isinstance(answer, Unroutable))
        if overdue:
            self._pass_over(overdue)

    def _pass_over(self, overdue: Sequence[Overdue]) -> None:
        """Not confirmed in time: publish it again; after the second time it is some follower's queue that cannot."""
        if self._overdue != self._at:
            self._overdue = self._at
            raise overdue[0]
        log.warning("events were passed over: a queue does not confirm them", events=len(overdue))
        self._counts["feed_unconfirmed"] += len(overdue)

    # ---- its place ----------------------------------------------------------------------------
    async def _move(self, at: int) -> None:
        """Everything up to here was published."""
        self._at = at
        while self._unpublished and self._unpublished[0][0] <= at:
            self._unpublished.popleft()
        if self._clock.monotonic() - self._noted_at >= _NOTED:
            await self._note()

    async def _note(self) -> None:
        at, self._noted_at = self._at, self._clock.monotonic()
        if at is not None and at > self._noted:
            await self._crossing.run(self._place.move, at)
            self._noted = at


def message_of(told: feed.Telling) -> Message:
    """The event for followers; without an answer that no message could carry."""
    data = told.view.data
    message = followed.of_a_call(told.view, data, told.word, told.pool)
    if len(message.body) <= MAX_EVENT:
        return message
    return followed.of_a_call(told.view, feed.without_answer(data), told.word, told.pool)


def _weight(entry: Entry) -> int:
    """Bytes of what came back; all else is small."""
    result = entry.content.result if isinstance(entry.content, Ended) else None
    if result is None:
        return 0
    return len(result.content or "") + (0 if result.structured is UNSET else len(result.structured))


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ToolyardError) else repr(error)
