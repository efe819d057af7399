"""The single consumer of the log: reads it in order and applies it in batches, each exactly once.

The scheduler runs one `Ledger` per term of leadership. What records mean is in `folding`, how they are opened in
`reading`.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from toolyard.clock import Clock
from toolyard.contracts.control import Paused
from toolyard.errors import BadSignature, LogGap, TransportError, Unavailable
from toolyard.store.base import NotStorable
from toolyard.store.crossing import Crossing
from toolyard.store.ledger import Position, SqlLedger
from toolyard.telemetry.levels import LEVELS
from toolyard.telemetry.logs import logger
from toolyard.transport.base import LogReader, Record, Transport
from toolyard.transport.envelope import Envelope
from toolyard.transport.newer import NewerKinds
from toolyard.transport.replays import Remembered
from toolyard.transport.trust import not_theirs
from toolyard_scheduler import traced, trail
from toolyard_scheduler.applying import apply
from toolyard_scheduler.budget import RetryBudget
from toolyard_scheduler.clock_check import ClockCheck
from toolyard_scheduler.entries import Entry, Folded
from toolyard_scheduler.intake import Intake
from toolyard_scheduler.reading import Opened, is_urgent, open_records
from toolyard_scheduler.rows import Around

#: Records of one batch, at most.
BATCH: Final = 1_000
#: Bytes of these records, unless a single one is larger: what PostgreSQL writes in a fraction of the time that a
#: statement has.
LARGEST: Final = 4 * 1024 * 1024
#: Seconds between the beginnings of two batches that are not full, where nobody waits for them: a transaction costs the
#: same for ten records as for two hundred, and followers are told that much later.
PACE: Final = 0.03
#: Records that are opened without letting others on this loop have a turn.
_SLICE: Final = 50
#: Seconds after which an owner without records shows that it lives.
BEAT: Final = 1.0
#: Records of a batch that are put away, at most: a flood of forged ones is counted, and seen by its beginning.
_PUT_AWAY: Final = 20
#: Seconds until the record at which the ledger stands must have come.
_ATTACH: Final = 10.0

MEND: Final = (
    "restore the log or the database so that they fit, or let the ledger go on at the first record that the log still "
    "has, with `toolyard scheduler --accept-log-gap`; calls whose records are lost stay as the database has them, and "
    "their deadlines end them"
)
log = logger("ledger")


class Place(NamedTuple):
    """Where the ledger stands: at a record of the log, with the time of the newest record up to it."""

    offset: int
    record_id: str
    record_time: float


class Ledger:
    """Applies the log while it leads.

    Args:
        position: where it stands and in which epoch it leads: from `SqlLedger.lead`.
        pauses: what is paused at that place.
        told: is told what each batch came to, after its commit.
        heard: are told what each batch was, and up to which offset it went, after its commit.
        counts: what happened how often; outlives the term.
        pace: seconds between two batches.
    """

    def __init__(
        self,
        transport: Transport,
        envelope: Envelope,
        store: SqlLedger,
        crossing: Crossing,
        clock: Clock,
        *,
        position: Position,
        counts: Counter[str],
        clock_check: ClockCheck,
        pace: float = PACE,
        pauses: frozenset[Paused] = frozenset(),
        told: Callable[[Folded], None] = lambda _: None,
        heard: Sequence[Callable[[Sequence[Entry], int], None]] = (),
    ) -> None:
        self._transport = transport
        self._envelope = envelope
        self._store = store
        self._crossing = crossing
        self._clock = clock
        self._epoch = position.epoch
        self._counts = counts
        self._clock_check = clock_check
        self._pace = pace
        self._pauses = pauses
        self._budget = RetryBudget()
        self._told = told
        self._heard = heard
        self._seen = Remembered()
        self._foreign: set[tuple[int, int]] = set()
        self._newer = NewerKinds()
        self._moved = asyncio.Event()
        self._began = clock.now()
        self.sender = position.owner or ""
        self.offset = position.offset
        self.record_id = position.record_id
        self.record_time = position.record_time
        #: When (monotonic) the newest of our own position records that came back had been published.
        self.seen_own = clock.monotonic()

    # ---- what the duties ask ------------------------------------------------------------------
    def advanced(self) -> Awaitable[object]:
        """What ends when the next batch after this moment was applied, or the term is over."""
        return self._moved.wait()

    # ---- its life -----------------------------------------------------------------------------
    async def run(self) -> None:
        """Apply the log for ever.

        Raises:
            LedgerMoved: another scheduler leads.
            LogGap: the log does not continue where the ledger stands.
            Unavailable: the broker is away.
            StoreUnavailable: the database is away.
        """
        reader = await self._transport.read_log(self.offset if self.offset >= 0 else None)
        try:
            records = await self._attach(reader)
            intake = Intake(reader, records, most=BATCH, largest=LARGEST, pace=self._pace, urgent=is_urgent)
            async with intake:
                while True:
                    await self._apply(await intake.take(BEAT, self._beat))
        finally:
            self._moved.set()
            await reader.close()

    async def _attach(self, reader: LogReader) -> Sequence[Record]:
        """The first records after the place where the ledger stands, once that place was found as it was left."""
        if self.offset < 0:
            return await self._next(reader)
        try:
            async with asyncio.timeout(_ATTACH):
                records = await self._next(reader)
                while records[-1].offset < self.offset:  # some brokers begin a little earlier
                    records = await self._next(reader)
        except TimeoutError:
            await self._prove_gap()
        here = next((record for record in records if record.offset >= self.offset), records[-1])
        if (here.offset, here.message_id) != (self.offset, self.record_id):
            raise LogGap(
                f"the ledger stands at offset {self.offset} (record {self.record_id}), where the log has offset"
                f" {here.offset} (record {here.message_id}): the log was cut, or made anew, or the database is another;"
                f" {MEND}"
            )
        log.info("the ledger goes on where it stood", offset=self.offset)
        return [record for record in records if record.offset > self.offset]

    async def _prove_gap(self) -> None:
        """The record at which we stand did not come: the broker is slow, or the log is shorter than the ledger."""
        reader = await self._transport.read_log(None)
        try:
            async with asyncio.timeout(_ATTACH):
                first = (await reader.batch(1))[0].offset
        except TimeoutError:
            raise Unavailable(f"the log gives nothing, though the ledger stands at offset {self.offset}") from None
        finally:
            await reader.close()
        raise LogGap(
            f"the ledger stands at offset {self.offset}, which the log, from offset {first} on, does not reach: it was"
            f" made anew, or the database is another; {MEND}"
        )

    async def _beat(self) -> None:
        """Show that the owner lives, while there are no records."""
        await self._crossing.run(self._store.beat, self._epoch)

    async def _next(self, reader: LogReader) -> Sequence[Record]:
        """The next records; while there are none, the owner shows that it lives."""
        reading = asyncio.ensure_future(reader.batch(BATCH))
        try:
            while True:
                done, _ = await asyncio.wait({reading}, timeout=BEAT)
                if done:
                    return reading.result()
                await self._crossing.run(self._store.beat, self._epoch)
        finally:
            reading.cancel()

    # ---- one batch ----------------------------------------------------------------------------
    async def _apply(self, records: Sequence[Record]) -> None:
        if not records:
            return
        self._check_holes(records)
        began, opened = traced.now(), Opened(before=self.record_time)
        for start in range(0, len(records), _SLICE):
            open_records(self._envelope, records[start : start + _SLICE], opened, self._seen)
            await asyncio.sleep(0)
        last = records[-1]
        self._foreign.clear()
        to = Place(last.offset, last.message_id, opened.newest_after(self.record_time, self._clock.now()))
        await self._commit(opened.entries, to, began)
        applied = opened.entries
        if foreign := self._foreign:
            applied = [entry for entry in applied if (entry.offset, entry.place) not in foreign]
        for hear in self._heard:
            hear(applied, to.offset)
        self._counts["records"] += len(records)
        self._counts["passed_over"] += opened.passed_over + len(self._foreign)
        self._put_away([*opened.refused, *self._refused(records)])
        for error in opened.newer:
            self._newer.passed_over(error)
        self._note(opened)

    def _check_holes(self, records: Sequence[Record]) -> None:
        """Offsets have holes of exactly one, where a segment of the log begins."""
        before = self.offset
        for record in records:
            if before >= 0 and not before < record.offset <= before + 2:
                raise LogGap(
                    f"after offset {before} the log goes on at {record.offset}: records between them are lost; {MEND}"
                )
            before = record.offset

    async def _commit(self, entries: list[Entry], to: Place, began: int) -> None:
        """Apply these; what the database will never take is found by halves, told and passed over.

        The first half leaves the place where it is: should the second one not come to its end, it is applied again,
        which changes nothing.
        """
        try:
            folded, self._pauses = await self._crossing.run(self._write, entries, to)
        except NotStorable as error:
            if not entries:
                raise
            if len(entries) == 1:
                log.warning("a record cannot be stored and was passed over", offset=to.offset, reason=str(error))
                self._counts["passed_over"] += 1
                await self._commit([], to, began)
                return
            half = len(entries) // 2
            await self._commit(entries[:half], Place(self.offset, self.record_id, self.record_time), began)
            await self._commit(entries[half:], to, began)
            return
        self.offset, self.record_id, self.record_time = to
        self._tell(folded)
        traced.applied(entries, folded, began)
        trail.applied(entries)

    def _write(self, entries: list[Entry], to: Place) -> tuple[Folded, frozenset[Paused]]:
        """On a thread of the crossing: one transaction."""
        undisputed = self._clock_check.undisputed
        with self._store.batch(self._epoch, self.offset, *to) as batch:
            around = Around(self._clock.now(), self.sender, self._pauses, self._budget, undisputed)
            return apply(batch, entries, around)

    def _tell(self, folded: Folded) -> None:
        self._counts.update(folded.counts)
        self._foreign.update((entry.offset, entry.place) for entry in folded.foreign)
        self._told(folded)
        self._moved.set()
        self._moved = asyncio.Event()

    def _refused(self, records: Sequence[Record]) -> list[tuple[Record, BadSignature]]:
        """The records in which workers speak of calls of other pools."""
        said = {offset for offset, _ in self._foreign}
        return [(each, self._envelope.refused(each, not_theirs())) for each in records if each.offset in said]

    def _put_away(self, refused: Sequence[tuple[Record, BadSignature]]) -> None:
        """Quarantine what is not believed: of claims, say, nobody else reads. The same message is one letter only."""
        for record, error in refused[:_PUT_AWAY]:
            self._transport.publish(self._envelope.quarantined(record, str(error))).add_done_callback(_note_refusal)

    def _note(self, opened: Opened) -> None:
        now = self._clock.now()
        for offset, position in opened.positions:
            if position.sender == self.sender and position.time >= self._began:
                self.seen_own = max(self.seen_own, self._clock.monotonic() - max(now - position.time, 0.0))
                self._clock_check.own_came_back(offset)
        for offset, time in opened.times:
            self._clock_check.saw(offset, time)
        for told in opened.levels:
            LEVELS.hear(told, now)


def _note_refusal(sent: asyncio.Future[None]) -> None:
    if not sent.cancelled() and isinstance(error := sent.exception(), TransportError):
        log.warning("a record that is not believed was not quarantined", reason=str(error))
