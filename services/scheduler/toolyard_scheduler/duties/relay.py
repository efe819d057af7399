"""The relay: gives gateways what followers are told, page by page, as they ask for it.

It comes behind the ledger: what a batch tells is made into items once the batch is committed, and only for orgs that
somebody follows. Nothing here is kept, and nothing that goes wrong here is in the ledger's way.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import count
from typing import Final

from toolyard.clock import Clock
from toolyard.contracts.calls import VERSION
from toolyard.contracts.feed import Cursor, FeedAsked, FeedItem, FeedPage
from toolyard.errors import ToolyardError, TransportError
from toolyard.store.connect import Store
from toolyard.store.crossing import Crossing
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Transport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler import feed
from toolyard_scheduler.duty import until_first
from toolyard_scheduler.entries import Entry
from toolyard_scheduler.questions import Question, Questions
from toolyard_scheduler.rereading import Rereader
from toolyard_scheduler.tails import Bounds, Piece, Tail, Tails, after
from toolyard_scheduler.told import Bell

#: Entries that are made into items without letting others on this loop have a turn.
_SLICE: Final = 100
#: Seconds between two looks at what nobody asks for any more.
_SWEEP: Final = 5.0
#: In the place of a gateway: this process itself, and the seconds that its pages may be late.
_OWN: Final = ""
_LATE: Final = 20.0
log = logger("relay")


class Relay:
    """Answers `FeedAsked`; one a term.

    Args:
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
        bounds: Bounds,
    ) -> None:
        self._transport = transport
        self._envelope = envelope
        self._calls = store.calls
        self._ledger = store.ledger
        self._crossing = crossing
        self._clock = clock
        self._applied = offset
        self._counts = counts
        self._bounds = bounds
        self._repeats = feed.Repeats()
        self._rereader = Rereader(transport, envelope, store.calls, crossing, self._bounds, self._repeats)
        self._remembers = False
        self._remembering = asyncio.Lock()
        self._tails = Tails(self._bounds)
        self._questions = Questions(self._bounds.questions)
        #: What the ledger has applied and the tails do not have yet, by org; and how much that is.
        self._heard: dict[str, list[Entry]] = {}
        self._behind = 0
        self._made = offset
        self._bell = Bell()
        self._line: asyncio.Queue[Question] = asyncio.Queue()
        self._own: dict[int, asyncio.Future[FeedPage]] = {}
        self._numbers = count()

    # ---- what it hears ------------------------------------------------------------------------
    @property
    def followed(self) -> int:
        """How many orgs are followed."""
        return len(self._tails)

    def hear(self, entries: Sequence[Entry], offset: int) -> None:
        """The ledger has applied these, up to this offset, and they are committed."""
        self._applied = offset
        if not len(self._tails):
            return
        for entry in entries:
            org = feed.followed_org(entry)
            if org in self._tails:
                self._heard.setdefault(str(org), []).append(entry)
                self._behind += 1
        if self._behind > self._bounds.behind:
            self._begin_anew("more happens than can be told")
        self._bell.ring()

    def ask(self, asked: FeedAsked) -> None:
        """A gateway asks for what comes behind a place."""
        tail = self._tail(asked.org)
        question = self._questions.add(asked)
        if (oldest := self._questions.one_too_many()) is not None:
            self._answer(oldest, Piece(self._bounds, None, oldest.cursor))
        if asked.offset is None:
            self._answer(question, Piece(self._bounds, None, tail.end))
        else:
            self._look_for(question)

    async def page(self, org: str, cursor: Cursor, patience: float) -> FeedPage:
        """What comes behind a place, for this process itself: what a gateway would be told.

        Raises:
            TimeoutError: nothing came; ask again.
        """
        number = next(self._numbers)
        page: asyncio.Future[FeedPage] = asyncio.get_running_loop().create_future()
        self._own[number] = page
        asked = FeedAsked(
            v=VERSION, gateway=_OWN, number=number, org=org, offset=cursor.offset, n=cursor.n, patience=patience
        )
        try:
            self.ask(asked)
            async with asyncio.timeout(patience + _LATE):
                return await page
        finally:
            del self._own[number]

    # ---- its life -----------------------------------------------------------------------------
    async def run(self) -> None:
        """Answer for ever."""
        try:
            await until_first(self._keep_up(), self._read_again())
        finally:
            self._questions.clear()

    async def _keep_up(self) -> None:
        """Make items of what the ledger has applied, and answer those who wait for them."""
        while True:
            await self._bell.wait(_SWEEP)
            try:
                await self._make_items()
            except Exception as error:  # noqa: BLE001 - what followers are told must not stop the ledger
                self._begin_anew(_reason(error))
            self._tails.forget_unasked(self._clock.monotonic(), self._questions.orgs())
            self._remembers = self._remembers and len(self._tails) > 0

    async def _remember(self) -> None:
        """Before anything is told: know what was told last, while another one led or nobody followed."""
        async with self._remembering:
            if self._remembers:
                return
            try:
                await self._rereader.remember(self._applied)
            except Exception as error:  # noqa: BLE001 - the same; an event may be told twice then
                log.warning("what was told before is not known", reason=_reason(error))
            self._remembers = True

    async def _read_again(self) -> None:
        """Answer, one after the other, those who stand before the tail of their org."""
        while True:
            question = await self._line.get()
            if question not in self._questions:
                continue
            try:
                await self._reread_for(question)
            except Exception as error:  # noqa: BLE001 - the same; whoever asked asks again
                log.warning("a question for events stays without an answer", reason=_reason(error))
                self._questions.close(question)

    # ---- behind the ledger --------------------------------------------------------------------
    async def _make_items(self) -> None:
        while self._made < self._applied and len(self._tails):
            await self._remember()
            heard, offset = self._heard, self._applied
            self._heard, self._behind = {}, 0
            told: dict[str, list[FeedItem]] = defaultdict(list)
            ids = {entry.call_id for entries in heard.values() for entry in entries}
            rows = await self._crossing.run(self._calls.outlines, list(ids)) if ids else {}
            for org, entries in heard.items():
                for start in range(0, len(entries), _SLICE):
                    told[org] += feed.items(entries[start : start + _SLICE], rows, self._repeats)
                    await asyncio.sleep(0)
            self._made = offset
            self._tails.extend(told, offset)
            for question in [each for org in told for each in self._questions.waiting(org)]:
                self._look_for(question)

    def _begin_anew(self, reason: str) -> None:
        """Drop the tails; whoever asks again is answered from the log."""
        log.warning("the tails of events are dropped; what they held is read again", reason=reason)
        self._tails.clear()
        self._heard, self._behind = {}, 0
        for question in [each for org in list(self._questions.orgs()) for each in self._questions.waiting(org)]:
            self._answer(question, Piece(self._bounds, None, question.cursor))

    # ---- answers ------------------------------------------------------------------------------
    def _tail(self, org: str) -> Tail:
        return self._tails.asked(org, self._applied, self._clock.monotonic())

    def _look_for(self, question: Question) -> None:
        """Answer it from the tail of its org, or let it wait."""
        tail = self._tail(question.asked.org)
        if question.cursor < tail.start or question.cursor > after(self._applied):
            self._questions.go_on(question)
            self._line.put_nowait(question)
            return
        piece = Piece(self._bounds, question.asked.only, question.cursor)
        piece.look_at(tail.behind(question.cursor), tail.end)
        if piece.items or question.lost or self._questions.impatient(question):
            self._answer(question, piece)
        else:
            question.cursor = piece.upto
            self._questions.wait(question, self._look_for)

    async def _reread_for(self, question: Question) -> None:
        """Answer it from the log; where there is nothing before the tail, from the tail."""
        asked = question.asked
        if self._questions.stale(question):
            self._questions.close(question)
            return
        if question.cursor > after(self._applied):
            await self._refuse(question)
            return
        await self._remember()
        end = self._tail(asked.org).start
        found = await self._rereader.read(asked.org, asked.only, question.cursor, end)
        if question not in self._questions:
            return
        question.lost = question.lost or found.lost
        if found.piece.items or found.piece.upto < self._tail(asked.org).start:
            self._answer(question, found.piece)
        else:
            question.cursor = found.piece.upto
            self._look_for(question)

    async def _refuse(self, question: Question) -> None:
        """Tell that nobody can have been given its cursor, unless another scheduler leads by now, and has given it."""
        place = await self._crossing.run(self._ledger.position)
        if question.cursor > after(place.offset):
            self._answer(question, Piece(self._bounds, None, self._tail(question.asked.org).end), ahead=True)
        else:
            self._questions.close(question)

    def _answer(self, question: Question, piece: Piece, *, ahead: bool = False) -> None:
        if question not in self._questions:
            return
        self._questions.close(question)
        asked, tail = question.asked, self._tails.get(question.asked.org)
        page = FeedPage(
            v=VERSION,
            number=asked.number,
            org=asked.org,
            items=tuple(piece.items),
            offset=piece.upto.offset,
            n=piece.upto.n,
            at_end=tail is not None and piece.upto >= tail.end,
            lost=question.lost,
            ahead=ahead,
        )
        self._counts["feed_pages"] += 1
        self._counts["feed_items"] += len(piece.items)
        if asked.gateway != _OWN:
            self._transport.publish(self._envelope.feed_page(page, asked.gateway)).add_done_callback(_note)
        elif (own := self._own.get(asked.number)) is not None and not own.done():
            own.set_result(page)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, ToolyardError) else repr(error)


def _note(sent: "asyncio.Future[None]") -> None:
    if not sent.cancelled() and isinstance(error := sent.exception(), TransportError):
        log.warning("a page of events may not have arrived", reason=str(error))
