"""Makes a fresh ledger of the log: two walks over it, the first for the decisions, the second for the fold.

The fresh ledger is a file of its own; what becomes of it is in `rebuilding.process`. Nothing here is in memory for
longer than a batch.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from toolyard.clock import SYSTEM
from toolyard.contracts.calls import CallMessage
from toolyard.contracts.control import Claim, Paused
from toolyard.errors import LogGap
from toolyard.store.base import NotStorable
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.store.database import Database
from toolyard.store.decisions import SqlDecisions, Told
from toolyard.store.ledger import Position
from toolyard.transport import topology
from toolyard.transport.base import Record, Transport
from toolyard.transport.envelope import Envelope
from toolyard.transport.replays import Remembered
from toolyard_scheduler.applying import apply
from toolyard_scheduler.entries import Entry
from toolyard_scheduler.reading import Opened, open_records
from toolyard_scheduler.rebuilding.hindsight import Hindsight
from toolyard_scheduler.rebuilding.scouting import scout, unknown_keys

#: Records of one batch.
BATCH: Final = 1_000
#: Seconds that one statement on the fresh ledger may take.
_TIMEOUT: Final = 120.0
#: How the keys of further messages of a call begin; every other one is its own record.
_DISPATCHED: Final = "call.dispatched."
_NOWHERE: Final = -1

#: Told how many records were read, of how many (0 where nobody knows), and in which walk.
Progress = Callable[[int, int, str], None]


@dataclass(slots=True)
class Built:
    """What the log came to.

    Attributes:
        since: when the first record that tells a time was made: what is older is not in the log.
        first: the offset of the first record; -1 where the log is empty.
        records: how many were folded.
        passed_over: how many did not verify or decode, or could not be stored.
        unknown: how many were signed with a key that is not here, by its id.
    """

    since: float = 0.0
    first: int = _NOWHERE
    records: int = 0
    passed_over: int = 0
    unknown: Counter[str] = field(default_factory=Counter)


class Log:
    """The log, from its first record to the one that was its last when this began.

    Args:
        end: whether this record is the last one.
    """

    def __init__(self, transport: Transport, end: Callable[[Record], bool]) -> None:
        self._transport = transport
        self._end = end

    async def walk(self) -> AsyncIterator[Sequence[Record]]:
        """All records, in order.

        Raises:
            Unavailable: the log cannot be read.
        """
        reader = await self._transport.read_log(None)
        try:
            over = False
            while not over:
                records = await reader.batch(BATCH)
                last = next((place for place, record in enumerate(records) if self._end(record)), None)
                over = last is not None
                yield records if last is None else records[: last + 1]
        finally:
            await reader.close()


class Builder:
    """One rebuild.

    Args:
        folder: empty; the fresh ledger and what is put by on the way are made there.
        paused: what is paused today, as far as anybody knows: it may have begun before the log does.
    """

    def __init__(
        self,
        folder: Path,
        log: Log,
        envelope: Envelope,
        crossing: Crossing,
        paused: dict[Paused, float],
        progress: Progress = lambda _, __, ___: None,
    ) -> None:
        self.fresh: Store = open_store(f"sqlite:///{folder / 'fresh.db'}", timeout=_TIMEOUT)
        self.decisions = SqlDecisions(Database(f"sqlite:///{folder / 'decisions.db'}", timeout=_TIMEOUT))
        self.fresh.migrate()
        self._log = log
        self._envelope = envelope
        self._crossing = crossing
        self._paused = paused
        self._progress = progress
        self._pauses: frozenset[Paused] = frozenset()
        self.built = Built()
        self.place: Position = self.fresh.ledger.lead(self.fresh.ledger.position(), "rebuild")
        #: The last place of a ledger that the log tells of: what comes behind it, nobody may have decided.
        self.told_position = _NOWHERE
        self._last = _NOWHERE
        self._seen = Remembered()
        #: When a ledger told its place last: as far as the log had come then, in time.
        self._told_at = 0.0

    def close(self) -> None:
        """Close the files."""
        self.fresh.close()
        self.decisions.close()

    # ---- the first walk -----------------------------------------------------------------------
    async def scout(self) -> None:
        """Put the decisions by that stand in the log."""
        read = 0
        async for records in self._log.walk():
            scouted = scout(self._envelope, records)
            await self._crossing.run(self.decisions.note, scouted.told)
            self.told_position = max(self.told_position, scouted.position)
            read, self._last = read + len(records), records[-1].offset
            self._progress(read, 0, "decisions")

    # ---- the second walk ----------------------------------------------------------------------
    async def fold(self, upto: int) -> None:
        """Fold the records up to this offset, inclusive.

        Raises:
            LogGap: records between two others are lost.
        """
        before = await self._crossing.run(self.decisions.began_before, self._paused)
        await self._crossing.run(self._pause, before)
        async for records in self._log.walk():
            wanted = [record for record in records if record.offset <= upto]
            if wanted:
                await self._batch(wanted)
            if len(wanted) < len(records):
                break
            self._progress(self.built.records, upto - self.built.first + 1, "ledger")

    def _pause(self, paused: set[Paused]) -> None:
        place = self.place
        with self.fresh.ledger.batch(place.epoch, place.offset, place.offset, "", 0.0) as batch:
            for each in paused:
                batch.pause(each, self._paused.get(each, 0.0))
        self._pauses = frozenset(paused)

    async def _batch(self, records: Sequence[Record]) -> None:
        self._check_holes(records)
        opened = Opened(before=self._told_at)
        open_records(self._envelope, records, opened, self._seen)
        self._told_at = max((told.time for _, told in opened.positions), default=self._told_at)
        if opened.passed_over:
            self.built.unknown.update(unknown_keys(self._envelope, records))
        self._note_times(records, opened)
        last = records[-1]
        time = opened.newest_after(self.place.record_time, SYSTEM.now())
        await self._crossing.run(self._apply, opened.entries, last.offset, last.message_id, time)
        await self._crossing.run(self.decisions.note, Told(accepted=_accepted(records, opened.entries)))
        self.built.records += len(records)
        self.built.passed_over += opened.passed_over

    def _check_holes(self, records: Sequence[Record]) -> None:
        """Offsets have holes of exactly one, where a segment of the log begins."""
        before = self.place.offset
        for record in records:
            if before >= 0 and not before < record.offset <= before + 2:
                raise LogGap(
                    f"after offset {before} the log goes on at {record.offset}: records between them are lost, and no"
                    " ledger can be made of the rest alone"
                )
            before = record.offset

    def _note_times(self, records: Sequence[Record], opened: Opened) -> None:
        if self.built.first == _NOWHERE:
            self.built.first = records[0].offset
        if not self.built.since:
            self.built.since = opened.newest if not opened.entries else _time_of(opened.entries[0])

    def _apply(self, entries: list[Entry], offset: int, record_id: str, time: float) -> None:
        """On a thread of the crossing. What cannot be stored is found by halves and passed over, as by the ledger."""
        try:
            self._write(entries, offset, record_id, time)
        except NotStorable:
            if not entries:
                raise
            if len(entries) == 1:
                self.built.passed_over += 1
                self._write([], offset, record_id, time)
                return
            half = len(entries) // 2
            place = self.place
            self._apply(entries[:half], place.offset, place.record_id, place.record_time)
            self._apply(entries[half:], offset, record_id, time)

    def _write(self, entries: list[Entry], offset: int, record_id: str, time: float) -> None:
        place = self.place
        told = self._told(entries)
        with self.fresh.ledger.batch(place.epoch, place.offset, offset, record_id, time) as batch:
            _, self._pauses = apply(batch, entries, Hindsight(0.0, "rebuild", self._pauses, told=told))
        self.place = Position(offset, record_id, time, place.owner, place.epoch, place.beat)

    def _told(self, entries: Sequence[Entry]) -> Told:
        calls = list({entry.call_id for entry in entries if entry.call_id})
        claims = list({entry.content.claim_id for entry in entries if isinstance(entry.content, Claim)})
        found = self.decisions.of(calls[:BATCH], claims[:BATCH])
        for start in range(BATCH, max(len(calls), len(claims)), BATCH):  # outcomes travel together, many in a record
            more = self.decisions.of(calls[start : start + BATCH], claims[start : start + BATCH])
            found.claims |= more.claims
            found.parked |= more.parked
            found.ended |= more.ended
            found.diverted |= more.diverted
        return found


def _accepted(records: Sequence[Record], entries: Sequence[Entry]) -> set[str]:
    """The calls of which these are the own records."""
    calls = (each for each in records if each.exchange == topology.CALLS)
    own = {each.offset for each in calls if not each.key.startswith(_DISPATCHED)}
    return {entry.call_id for entry in entries if entry.offset in own}


def _time_of(entry: Entry) -> float:
    content = entry.content
    return content.call.accepted_at if isinstance(content, CallMessage) else content.time
