"""An old part of the feed, made anew from the log: for a cursor that is older than what the tail of its org keeps.

Used by the relay alone. It reads beside the ledger, on the same loop, and lets it have its turn all the time.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from toolyard.contracts.feed import Cursor, FeedItem, Interest
from toolyard.store.calls import SqlCalls
from toolyard.store.crossing import Crossing
from toolyard.transport import topology
from toolyard.transport.base import Record, Transport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler import feed
from toolyard_scheduler.entries import Entry
from toolyard_scheduler.reading import Opened, open_records
from toolyard_scheduler.tails import Bounds, Piece, after

#: Records that are opened without letting others on this loop have a turn.
_SLICE: Final = 100
#: Newest records of the log whose events are known before anything is told; see `Rereader.remember`.
_REMEMBERED: Final = 2_000
#: Seconds until the log must have given records that the ledger has read before.
_PATIENCE: Final = 10.0
#: The place of the org among the words of a key; see `toolyard.transport.topology.call_key`.
_ORG: Final = 3


class Reread(NamedTuple):
    """What was found.

    Attributes:
        lost: what came directly behind the place is not in the log any more.
    """

    piece: Piece
    lost: bool


class Rereader:
    """Reads the log again, a bounded piece at a time.

    Args:
        repeats: what was told, by whomever.
    """

    def __init__(
        self,
        transport: Transport,
        envelope: Envelope,
        calls: SqlCalls,
        crossing: Crossing,
        bounds: Bounds,
        repeats: feed.Repeats,
    ) -> None:
        self._transport = transport
        self._envelope = envelope.unwatched()
        self._calls = calls
        self._crossing = crossing
        self._bounds = bounds
        self._repeats = repeats

    async def remember(self, end: int) -> None:
        """Know what the newest records up to this offset told, of all orgs.

        A lost connection ends a term, and what had no confirm then is published again in the next one, under whomever.

        Raises:
            TransportError, TimeoutError, StoreError: as from `read`.
        """
        reader = await self._transport.read_log(max(0, end - _REMEMBERED))
        try:
            offset = -1
            while offset < end:
                async with asyncio.timeout(_PATIENCE):
                    records = await reader.batch(_SLICE)
                offset = records[-1].offset
                deque(await self._items(None, None, [each for each in records if each.offset <= end]), maxlen=0)
        finally:
            await reader.close()

    async def read(self, org: str, only: Interest | None, start: Cursor, end: Cursor) -> Reread:
        """What the org is told between two places, as far as one page and one reading go.

        The second one must not be beyond what the ledger has applied.

        Raises:
            TransportError: the log cannot be read.
            TimeoutError: it gives nothing.
            StoreError: the calls cannot be read.
        """
        piece, lost, count = Piece(self._bounds, only, start), False, 0
        reader = await self._transport.read_log(start.offset)
        try:
            while piece.upto < end and not piece.full and count < self._bounds.records:
                async with asyncio.timeout(_PATIENCE):
                    records = await reader.batch(_SLICE)
                if not count:
                    lost = records[0].offset > start.offset + 1  # one is missing where a segment begins
                count += len(records)
                found = await self._items(org, only, [each for each in records if each.offset <= end.offset])
                upto = min(after(records[-1].offset), end)
                piece.look_at((item for item in found if start < item.cursor <= end), upto)
        finally:
            await reader.close()
        return Reread(piece, lost)

    async def _items(self, org: str | None, only: Interest | None, records: Sequence[Record]) -> Iterator[FeedItem]:
        opened = Opened()
        open_records(self._envelope, [record for record in records if _may_tell(record, org)], opened)
        await asyncio.sleep(0)
        entries = [each for each in opened.entries if _is_of(each, org) and feed.may_be_wanted(each, only)]
        if not entries:
            return iter(())
        rows = await self._crossing.run(self._calls.outlines, list({entry.call_id for entry in entries}))
        return feed.items(entries, rows, self._repeats)


def _is_of(entry: Entry, org: str | None) -> bool:
    """Whether it may tell followers of this org something; of any, where none is named."""
    found = feed.followed_org(entry)
    return found is not None and org in (None, found)


def _may_tell(record: Record, org: str | None) -> bool:
    """The same, by what can be seen before it is opened."""
    if record.exchange not in (topology.CALLS, topology.EVENTS):
        return False
    if org is None or record.key.startswith(topology.OUTCOMES):
        return True
    words = record.key.split(".")
    return len(words) > _ORG and words[_ORG] == org
