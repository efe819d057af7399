"""The scheduler: waits until it may lead, leads, and comes back by itself when the broker or the database went away.

Composition root of its parts; it is given a transport, a store and a clock, and does not know which they are.
"""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from toolyard import ids
from toolyard.clock import SYSTEM, Clock
from toolyard.contracts.control import Paused
from toolyard.errors import LedgerMoved, StoreError, StoreUnavailable, ToolyardError, TransportError
from toolyard.store.connect import Store
from toolyard.store.crossing import Crossing
from toolyard.store.ledger import Position as Place
from toolyard.telemetry import catalogue
from toolyard.telemetry.health import Verdict
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import Board
from toolyard.timing import LONGEST_ATTEMPT
from toolyard.transport.base import Transport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler import metrics
from toolyard_scheduler.answers import Answers
from toolyard_scheduler.bindings import Bindings
from toolyard_scheduler.claims import LEASE
from toolyard_scheduler.clock_check import ClockCheck, ClockDiffersError
from toolyard_scheduler.consent_desk import ConsentDesk, Starts
from toolyard_scheduler.duties.consents import Asked, ConsentsWatch
from toolyard_scheduler.duties.dead_letters import DeadLetters
from toolyard_scheduler.duties.deadlines import GRACE, Deadlines
from toolyard_scheduler.duties.dispatch import Dispatch, Dispatcher
from toolyard_scheduler.duties.feeding import Feeding, Most
from toolyard_scheduler.duties.leases import Leases
from toolyard_scheduler.duties.loads import INTERVAL, Loads, Seen
from toolyard_scheduler.duties.lost_calls import LostCalls
from toolyard_scheduler.duties.monitor import Monitor
from toolyard_scheduler.duties.position import Position
from toolyard_scheduler.duties.quarantine import Quarantine
from toolyard_scheduler.duties.recurring import Recurring
from toolyard_scheduler.duties.relay import Relay
from toolyard_scheduler.duties.retention import Retention
from toolyard_scheduler.duties.unlogged import Unlogged
from toolyard_scheduler.duties.verdicts import Marks, Verdicts
from toolyard_scheduler.duties.webhooks import Webhooks
from toolyard_scheduler.duty import Duty, run_together
from toolyard_scheduler.heed import Heed
from toolyard_scheduler.ledger import PACE, Ledger
from toolyard_scheduler.settings import KEPT
from toolyard_scheduler.tails import Bounds
from toolyard_scheduler.webhooks.delivering import Means

#: Seconds before another try, the first and the longest.
_BACKOFF: Final = (0.1, 2.0)
#: Seconds before a scheduler whose clock was wrong tries to lead again.
_CLOCK_PAUSE: Final = 10.0
log = logger("scheduler")


@dataclass(frozen=True, slots=True)
class Options:
    """What may be set; the defaults are for every day.

    Attributes:
        alone: nobody else can lead (embedded): whoever led before is dead.
        takeover: seconds without a sign of life after which a standby takes over.
        watch: seconds between two looks of a standby.
        grace: seconds after a deadline before its verdict begins.
        lease: seconds that a grant lasts without a sign of life.
        lag_bound: seconds by which the ledger may be behind and the process still ready.
        pace: seconds between two batches of the ledger.
        retention: seconds that ended calls are kept.
        longest_attempt: seconds that one attempt of a schedule's call may take.
        look: seconds between two looks at what waits, for `/metrics`.
        feed: how much of what followers are told is kept and told at a time.
        followed: the same of what is published for followers at the broker.
    """

    alone: bool = False
    takeover: float = 3.0
    watch: float = 0.5
    grace: float = GRACE
    lease: float = LEASE
    lag_bound: float = 30.0
    pace: float = PACE
    retention: float = KEPT
    longest_attempt: float = LONGEST_ATTEMPT
    look: float = INTERVAL
    feed: Bounds = field(default_factory=Bounds)
    followed: Most = field(default_factory=Most)


class Scheduler:
    """One scheduler; of several on one database one leads, the others stand by.

    Args:
        consents: knows what became of what users were asked for; without it nobody looks.
        starts: asks users for consents that no call needs yet; without it nobody does.
        board: where its numbers are shown; one of its own where none is given.
        followers: the way to followers at the broker, used for nothing else; without it there are none.
        deliveries: what webhooks are delivered with; without it none are.
    """

    def __init__(
        self,
        transport: Transport,
        envelope: Envelope,
        store: Store,
        crossing: Crossing,
        clock: Clock = SYSTEM,
        options: Options | None = None,
        consents: Asked | None = None,
        starts: Starts | None = None,
        board: Board | None = None,
        followers: Transport | None = None,
        deliveries: Means | None = None,
    ) -> None:
        self._transport = transport
        self._followers = followers
        self._deliveries = deliveries
        self._webhooks: Webhooks | None = None
        self._envelope = envelope
        self._store = store.ledger
        self._shelf = store
        self._crossing = crossing
        self._clock = clock
        self._options = options or Options()
        self._consents = consents
        self._starts = starts
        self._id = ids.new_id()
        #: Whether all who held a grant are dead: so it is in the first term of the one process that has everything.
        self._alone = self._options.alone
        self._task: asyncio.Task[None] | None = None
        self._state = "starting"
        self._reason = "it has not looked at the ledger yet"
        self._leading = asyncio.Event()
        self._place: Place | None = None
        self._ledger: Ledger | None = None
        self._relay: Relay | None = None
        self._feeding: Feeding | None = None
        self.counts: Counter[str] = Counter()
        self.board = board or Board()
        self._seen = Seen(self.board)
        self._died = self.board.counter(catalogue.DEAD_LETTERS, (("poisoned",), ("internal",), ("quarantined",)))
        self._put_away = self.board.counter(catalogue.QUARANTINED)
        self._show()

    # ---- its life -----------------------------------------------------------------------------
    async def start(self) -> None:
        """Begin, in the background; a transport must be open. What goes wrong shows in `health` and in `run`."""
        self._task = asyncio.create_task(self._serve(), name="scheduler")

    async def run(self) -> None:
        """Wait until it ends.

        Raises:
            LogGap: the log does not continue where the ledger stands; an operator must decide.
            StoreError: the tables are missing or of another version.
        """
        if self._task is None:
            await self.start()
        assert self._task is not None  # noqa: S101 - start has just made it
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Step back, so that another may lead at once, and end."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ToolyardError):
            await self._task
        self._task = None

    # ---- what it tells ------------------------------------------------------------------------
    @property
    def leading(self) -> bool:
        """Whether it keeps the ledger at this moment."""
        return self._ledger is not None

    async def reached(self, offset: int) -> None:
        """Wait until the ledger has applied the record at this offset."""
        while True:
            await self._leading.wait()
            ledger = self._ledger
            if ledger is None:
                continue
            if ledger.offset >= offset:
                return
            await ledger.advanced()

    @property
    def lag(self) -> float:
        """Seconds since the ledger was certainly up to date; 0 where it does not lead."""
        return 0.0 if self._ledger is None else self._clock.monotonic() - self._ledger.seen_own

    def health(self) -> Verdict:
        """Whether it does its work: leads and keeps up, or stands by for one that lives."""
        ledger, health = self._ledger, self._transport.health
        details: dict[str, object] = {"role": self._state}
        if self._task is not None and self._task.done():
            return Verdict(ok=False, reason=self._reason or "it has ended", details=details)
        if not health.connected:
            return Verdict(ok=False, reason=health.reason or "the broker is away", details=details)
        if ledger is None:
            return Verdict(ok=self._state == "standby", reason=self._reason, details=details)
        details |= {"offset": ledger.offset, "lag_seconds": round(self.lag, 3)}
        if self.lag > self._options.lag_bound:
            return Verdict(ok=False, reason=f"the ledger is {self.lag:.0f} s behind the log", details=details)
        return Verdict(ok=True, details=details)

    def _show(self) -> None:
        metrics.show(self.board, self.counts)
        self.board.ask(catalogue.LEADING, lambda: self.leading)
        self.board.ask(catalogue.LAG, lambda: round(self.lag, 3))
        self.board.ask(catalogue.FEED_ORGS, lambda: 0 if self._relay is None else self._relay.followed)
        self.board.ask(catalogue.WEBHOOK_AGE, lambda: 0.0 if self._webhooks is None else round(self._webhooks.age, 3))
        self.board.ask(catalogue.FEED_LAG, lambda: 0.0 if self._feeding is None else round(self._feeding.lag, 3))

    # ---- terms --------------------------------------------------------------------------------
    async def _serve(self) -> None:
        """Term after term; a pause after each that failed, growing as long as none lasts."""
        pause, longest = _BACKOFF
        try:
            while True:
                began = self._clock.monotonic()
                pause_now = await self._try_a_term() or pause
                lasted = self._clock.monotonic() - began > longest
                await self._step_back()
                await asyncio.sleep(pause_now)
                pause = _BACKOFF[0] if lasted else min(pause * 2, longest)
        finally:
            await self._step_back()

    async def _try_a_term(self) -> float | None:
        """One term, and the reason of its end where `health` looks for it; how long to wait where that is known."""
        try:
            await self._term()
        except LedgerMoved as error:
            self._waits("standby", str(error))
        except (TransportError, StoreUnavailable) as error:
            self._waits("away", str(error))
        except ClockDiffersError as error:
            self._waits("clock", str(error))
            return _CLOCK_PAUSE
        except ToolyardError as error:  # nothing that time heals: an operator must look
            self._waits(error.code, str(error))
            raise
        return None

    async def _term(self) -> None:
        """Stand by until the ledger is free, then lead until something ends it."""
        place = self._place = await self._lead()
        clock_check = ClockCheck(self._clock, doubted=not self._options.alone)
        clock_check.compare_with_database(await self._crossing.run(self._store.clock))
        pauses = await self._crossing.run(self._shelf.open_calls.pauses)
        await run_together(self._duties(place, clock_check, pauses))

    async def _lead(self) -> Place:
        """Take the ledger over as soon as its owner is gone, stepped back, or gives no sign of life."""
        seen, since = await self._crossing.run(self._store.position), self._clock.monotonic()
        while not (self._options.alone or seen.owner in (None, self._id)):
            self._waits("standby", "another scheduler keeps the ledger")
            await asyncio.sleep(self._options.watch)
            now = await self._crossing.run(self._store.position)
            if (now.epoch, now.beat) != (seen.epoch, seen.beat):
                seen, since = now, self._clock.monotonic()
            elif self._clock.monotonic() - since >= self._options.takeover:
                log.warning("the ledger's keeper gives no sign of life", keeper=seen.owner)
                break
        return await self._crossing.run(self._store.lead, seen, self._id)

    def _duties(self, place: Place, clock_check: ClockCheck, pauses: frozenset[Paused]) -> list[Duty]:
        seam, crossing, clock = (self._transport, self._envelope), self._crossing, self._clock
        open_calls = self._shelf.open_calls
        marks = Marks(*seam, clock)
        dispatcher = Dispatcher(*seam, Bindings(self._shelf.tools, crossing), clock)
        orphaned, self._alone = self._alone, False
        leases = Leases(marks, open_calls, crossing, clock, lease=self._options.lease, orphaned=orphaned)
        heed = Heed(Answers(*seam), leases, clock)
        relay = Relay(*seam, self._shelf, crossing, clock, place.offset, self.counts, self._options.feed)
        followed = self._for_followers(place.offset)
        consent_desk = ConsentDesk(*seam, self._shelf, crossing, clock, self._starts)
        ledger = Ledger(
            *seam,
            self._store,
            crossing,
            clock,
            position=place,
            counts=self.counts,
            clock_check=clock_check,
            pace=self._options.pace,
            pauses=pauses,
            told=heed,
            heard=[relay.hear, *([self._feeding.hear] if self._feeding else [])],
        )
        self._ledger, self._relay = ledger, relay
        self._state, self._reason = "leading", ""
        self._leading.set()
        log.info("this scheduler keeps the ledger", epoch=place.epoch, offset=place.offset)
        return [
            ledger,
            heed.leases,
            relay,
            Monitor(*seam, leases.renew, relay.ask, consent_desk.ask),
            consent_desk,
            Dispatch(dispatcher, open_calls, crossing, clock, heed.due),
            Verdicts(marks, open_calls, crossing, clock, heed.watched),
            Deadlines(marks, self._store, open_calls, crossing, clock, clock_check, grace=self._options.grace),
            DeadLetters(*seam, clock, self._died),
            LostCalls(self._transport, dispatcher, open_calls, crossing, clock),
            Position(*seam, ledger, clock),
            *followed,
            *self._delivered(relay),
            *self._duties_beside(clock_check),
        ]

    def _for_followers(self, offset: int) -> tuple[Feeding, Unlogged] | tuple[()]:
        if self._followers is None:
            return ()
        seam = (self._followers, self._envelope)
        self._feeding = Feeding(
            *seam, self._shelf, self._crossing, self._clock, offset, self.counts, self._options.followed
        )
        return self._feeding, Unlogged(*seam, self.counts)

    def _delivered(self, relay: Relay) -> list[Duty]:
        self._webhooks = None if self._deliveries is None else Webhooks(self._deliveries, relay.page)
        return [] if self._webhooks is None else [self._webhooks]

    def _duties_beside(self, clock_check: ClockCheck) -> list[Duty]:
        """What needs the leader, but not its ledger."""
        crossing, clock = self._crossing, self._clock
        seam, authorizations = (self._transport, self._envelope), self._shelf.authorizations
        return [
            *([ConsentsWatch(*seam, authorizations, self._consents, crossing, clock)] if self._consents else []),
            Recurring(*seam, self._shelf, crossing, clock, clock_check, longest_attempt=self._options.longest_attempt),
            Retention(self._shelf.retention, crossing, clock, kept=self._options.retention),
            Quarantine(self._transport, self._shelf.dead_letters, crossing, clock, self._put_away),
            Loads(self._transport, self._shelf.open_calls, crossing, clock, self._seen, interval=self._options.look),
        ]

    async def _step_back(self) -> None:
        """Let another lead at once; where the database is away, another waits until we give no sign of life."""
        place, self._place = self._place, None
        self._leads_no_more()
        if place is not None:
            await asyncio.shield(self._release(place.epoch))

    async def _release(self, epoch: int) -> None:
        """To its end, also where nobody waits for that any more."""
        try:
            await self._crossing.run(self._store.release, epoch)
        except StoreError as error:
            log.info("the lead could not be given back; another waits until it is stale", reason=str(error))

    def _waits(self, state: str, reason: str) -> None:
        if (state, reason) != (self._state, self._reason):
            log.warning("the ledger is not kept by this scheduler", state=state, reason=reason)
        self._state, self._reason = state, reason
        self._leads_no_more()

    def _leads_no_more(self) -> None:
        self._ledger = self._relay = self._feeding = self._webhooks = None
        self._leading.clear()
