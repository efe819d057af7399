"""The correlator: events in, waiters woken, from this gateway's own queue or from the ledger.

Called by the door (`expect`), by whoever reads calls (`wait`), and by the inbox (`receive`). It knows nothing of HTTP.

Who may say that a call ended: the worker that ran it, as long as the deadline is more than a second away, no verdict of
the scheduler is under way, and no second worker may speak of it; else only the scheduler's own event, or the store.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from toolyard.clock import Clock
from toolyard.contracts.calls import Call
from toolyard.contracts.events import Claimed, Ending, Event, Parked, SoftTimeout, Started, Succeeded, Withdrawn
from toolyard.contracts.events import Ended as EndedEvent
from toolyard.errors import Refused, StoreUnavailable
from toolyard.store.base import CallRow
from toolyard.telemetry import logs
from toolyard.telemetry.levels import LEVELS
from toolyard.telemetry.logs import logger
from toolyard_gateway.pending import Answer, Ended, Pending

log = logger("correlation")

#: Seconds before the deadline from which on only the ledger ends a call.
LEDGER_ONLY: Final = 1.0
#: Seconds after which a call without an end is looked up in the store, and how often that is done.
OVERDUE: Final = 2.0
TURN: Final = 1.0
#: Seconds until a held outcome is looked up, and a call whose end may be told to another gateway; for that the pauses
#: double up to a turn.
SOON: Final = 0.2
#: Seconds that a timer may be early.
_EARLY: Final = 0.05
#: Calls in one look-up.
MAX_LOOKED_UP: Final = 2_000
#: Seconds after its deadline that a call nobody waits for is forgotten.
GRACE: Final = 60.0

LookUp = Callable[[Sequence[str]], Awaitable[Sequence[CallRow]]]


class Correlator:
    """Knows which calls of this gateway are open.

    Args:
        look_up: those of these calls that have ended or wait for their users, by the store, in one query.
        max_open: calls open at a time.
        max_bytes: what open calls may hold together.
    """

    def __init__(
        self, *, look_up: LookUp, clock: Clock, max_open: int = 10_000, max_bytes: int = 256 * 1024 * 1024
    ) -> None:
        self._look_up = look_up
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clock = clock
        self._max_open = max_open
        self._max_bytes = max_bytes
        self._open: dict[str, Pending] = {}
        self._foreign: dict[str, Pending] = {}
        self._bytes = 0
        self._ended = Ended()
        self._wake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._left = asyncio.Event()
        self._released = asyncio.Event()

    # ---- open calls ---------------------------------------------------------------------------
    @property
    def open(self) -> int:
        """How many calls are open."""
        return len(self._open) + len(self._foreign)

    @property
    def waiting(self) -> int:
        """How many requests wait for an end at this moment."""
        return sum(one.waiting for calls in (self._open, self._foreign) for one in calls.values())

    def check_room(self, size: int) -> None:
        """Make room for a call, or refuse it. What nobody waits for makes room first: the store knows it too.

        Raises:
            Refused: ``unavailable``: this gateway has as many open calls as it may.
        """
        if self._full(size):
            idle = [one for one in self._open.values() if one.accepted and not one.watched]
            for pending in idle[: max(1, self._max_open // 4)]:
                self.forget(pending)
        if self._full(size):
            raise Refused("unavailable", "This gateway has too many open calls; try again.", retry_after=1)

    def _full(self, size: int) -> bool:
        return self.open >= self._max_open or self._bytes + size > self._max_bytes

    def expect(self, call: Call, size: int, *, shared: bool = False) -> Pending:
        """Begin to listen for a call, before it is published.

        Args:
            call: the call.
            size: what it holds, in bytes.
            shared: another gateway may accept it at the same moment (it has a key), and be told its end in our place.
        """
        pending = Pending(call, over=self._future(), since=self._clock.monotonic(), size=size)
        self._open[call.call_id] = pending
        self._bytes += size
        self._look_later(pending, shared=shared)
        return pending

    def _look_later(self, pending: Pending, *, shared: bool) -> None:
        pending.pause = SOON if shared else TURN
        pending.look_at = pending.since + (SOON if shared else OVERDUE)
        if shared:
            self._wake_in(SOON)

    def _future(self) -> "asyncio.Future[None]":
        return self._running_loop().create_future()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        """The one loop that we run on: asking for it is a system call (Python before 3.12)."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def forget(self, pending: Pending) -> None:
        """Listen no longer: it was not accepted."""
        if self._open.get(pending.call.call_id) is pending:
            del self._open[pending.call.call_id]
            self._bytes -= pending.size

    def find(self, org: str, call_id: str) -> Pending | None:
        """An open call that this gateway accepted."""
        found = self._open.get(call_id)
        return found if found is not None and found.call.org == org else None

    def open_ids(self, org: str, conversation: str) -> set[str]:
        """The open calls of a conversation that this gateway accepted."""
        calls = (one.call for one in self._open.values() if one.accepted)
        return {call.call_id for call in calls if (call.org, call.conversation) == (org, conversation)}

    def ended(self, org: str, call_id: str) -> Answer | None:
        """A call that ended a short while ago."""
        return self._ended.get(org, call_id)

    def follow(self, row: CallRow) -> Pending:
        """Wait for a call that another gateway accepted."""
        call_id = row.call.call_id
        found = self._foreign.get(call_id)
        if found is None:
            self.check_room(0)
            now = self._clock.monotonic()
            found = self._foreign[call_id] = Pending(row.call, over=self._future(), since=now, size=0, row=row)
            self._look_later(found, shared=True)
        found.row = row
        return found

    async def wait(self, pending: Pending, seconds: float, *, for_user: bool = True) -> None:
        """Until the call has ended, the time is over, or waiters are sent away because the gateway stops.

        Args:
            pending: the call.
            seconds: how long, at most.
            for_user: wait also while the call itself waits for its user.
        """
        if not for_user and pending.awaits_user and not pending.foreign:
            await self._look_whether_it_went_on(pending)
        pending.waiting += 1
        try:
            if seconds > 0 and not pending.over.done() and not self._released.is_set():
                await _ended_within(pending, seconds, for_user=for_user)
        finally:
            pending.waiting -= 1
            self.leave(pending)
            self._left.set()

    async def _look_whether_it_went_on(self, pending: Pending) -> None:
        """Nobody tells us that a user has consented: what the ledger has neither ended nor waiting has gone on."""
        try:
            rows = await self._look_up([pending.call.call_id])
        except StoreUnavailable:
            return
        for row in rows:
            self._learn_from(row)
        if not rows:
            pending.go_on()

    async def all_left(self, within: float) -> None:
        """Until nobody waits any more, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self.waiting:
                    self._left.clear()
                    await self._left.wait()

    def leave(self, pending: Pending) -> None:
        """A waiter or follower is gone; of another gateway's call nothing is kept without one."""
        if pending.foreign and not pending.watched:
            self._foreign.pop(pending.call.call_id, None)

    def release(self) -> None:
        """Send all waiters away with the call as it stands: the gateway stops."""
        self._released.set()
        for calls in (self._open, self._foreign):
            for pending in calls.values():
                if not pending.over.done():
                    pending.over.set_result(None)
                pending.tell()

    @property
    def released(self) -> bool:
        """Whether waiters were sent away."""
        return self._released.is_set()

    # ---- events -------------------------------------------------------------------------------
    def receive(self, event: Event) -> None:
        """An event of one of our calls; what is not open any more, or not ours, is dropped."""
        pending = self._open.get(event.call_id)
        if pending is None or event.body_hash != pending.call.body_hash or pending.answer is not None:
            return
        if event.pool not in (pending.call.pool, pending.call.fallback):
            log.warning(
                "a worker speaks of another pool's call", security=True, pool=event.pool, **logs.of(pending.call)
            )
            return
        if isinstance(event, EndedEvent):
            self._on_end(pending, event)
        elif isinstance(event, Ending | Claimed):
            pending.ledger_only = True
        else:
            _note(pending, event)

    def _on_end(self, pending: Pending, event: EndedEvent) -> None:
        if not event.final and event.started_at is not None:
            pending.ran(event.attempt, event.started_at)
        if not event.final or (event.attempt < pending.attempt and event.error is not None):
            return
        if event.by != "scheduler" and self._only_a_report(pending, event):
            self._hold(pending)
            return
        if LEVELS.detail:
            log.debug("its end is here", **logs.of(event), end=type(event).__name__, by=event.by)
        pending.end(event)  # type: ignore[arg-type]  # every event that ends a call is one of the union `End`
        self._close(pending)

    def _only_a_report(self, pending: Pending, event: EndedEvent) -> bool:
        """Whether the ledger must confirm it. It alone knows whether another may start what this one did not."""
        not_started = event.started_at is None and not isinstance(event, Succeeded)
        late = self._clock.now() > pending.call.deadline - LEDGER_ONLY
        return pending.ledger_only or not_started or late

    def _hold(self, pending: Pending) -> None:
        """It has ended, most likely; what counts is what the ledger made of it, and it makes that within moments."""
        if not pending.held:
            pending.held, pending.pause = True, SOON
            pending.look_at = self._clock.monotonic() + SOON
        self._wake_in(SOON)

    def _close(self, pending: Pending) -> None:
        self.forget(pending)
        self._foreign.pop(pending.call.call_id, None)
        if pending.answer is not None:
            self._ended.add(pending.answer, self._clock.monotonic())

    # ---- the ledger ---------------------------------------------------------------------------
    async def run(self) -> None:
        """Look overdue calls up, turn by turn, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):  # nothing was held: an ordinary turn
                async with asyncio.timeout(TURN):
                    await self._wake.wait()
            self._wake.clear()
            await self.look_up()

    def _wake_in(self, seconds: float) -> None:
        """Begin the next turn then, where it would not begin before. One alarm at most: calls share their turns."""
        loop = self._running_loop()
        if self._alarm is not None:
            if self._alarm.when() <= loop.time() + seconds:
                return
            self._alarm.cancel()
        self._alarm = loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._wake.set()

    def suspect_all(self) -> None:
        """Events may have been missed: every open call is looked up in the next turn."""
        for pending in self._open.values():
            pending.suspect = True
        self._wake.set()

    async def look_up(self) -> None:
        """One turn: ask the store about all calls that are overdue, in one query, and forget what is old."""
        now = self._clock.monotonic()
        self._forget_old(now)
        asked = self._overdue(now)
        if asked:
            await self._ask(asked, now)
        self._set_alarm(now)

    async def _ask(self, asked: Sequence[Pending], now: float) -> None:
        for pending in asked:
            pending.look_at = now + pending.pause
            pending.pause = min(2 * pending.pause, TURN)
        try:
            rows = await self._look_up([pending.call.call_id for pending in asked])
        except StoreUnavailable as error:
            log.warning("the store does not tell which calls ended", calls=len(asked), error=str(error))
            return
        for pending in asked:
            pending.suspect = False
        for row in rows:
            self._learn_from(row)

    def _overdue(self, now: float) -> list[Pending]:
        """Those that have most likely ended first, then those that somebody waits for."""
        own = [one for one in self._open.values() if one.held or one.suspect or _overdue(one, now)]
        own.sort(key=lambda one: not (one.held or one.suspect))
        foreign = [one for one in self._foreign.values() if _overdue(one, now)]
        return [*foreign, *own][:MAX_LOOKED_UP]

    def _set_alarm(self, now: float) -> None:
        """The next turn comes early where a call is to be looked up before it."""
        looks = (one.look_at for calls in (self._open, self._foreign) for one in calls.values() if one.watched)
        first = min(looks, default=now + TURN)
        if first < now + TURN:
            self._wake_in(max(SOON, first - now))

    def _learn_from(self, row: CallRow) -> None:
        for calls in (self._open, self._foreign):
            pending = calls.get(row.call.call_id)
            if pending is None or pending.call.org != row.call.org:
                continue
            if row.finished_at is None:
                pending.park_from(row)
            else:
                pending.end_from(row)
                self._close(pending)

    def _forget_old(self, now: float) -> None:
        self._ended.forget_old(now)
        limit = self._clock.now() - GRACE
        for pending in [one for one in self._foreign.values() if now - one.since > GRACE]:
            self.leave(pending)
        for pending in [one for one in self._open.values() if one.call.deadline < limit and not one.watched]:
            self.forget(pending)


def _note(pending: Pending, event: Event) -> None:
    """What happened on the way to the end."""
    match event:
        case Started():
            if event.attempt >= pending.attempt:
                pending.start(event.attempt, event.time)
        case Parked():
            pending.park(event)
        case SoftTimeout():
            pending.warn(event)
        case Withdrawn():
            log.debug("withdrawn", **logs.of(event))


def _overdue(pending: Pending, now: float) -> bool:
    return pending.watched and now >= pending.look_at - _EARLY


async def _ended_within(pending: Pending, seconds: float, *, for_user: bool) -> None:
    """What ``asyncio.wait`` does for one future, at half its cost: every call comes this way."""
    if not for_user and pending.awaits_user:
        return
    over = pending.over
    loop = over.get_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    over.add_done_callback(wake)
    if not for_user:
        pending.wakers.append(wake)
    timer = loop.call_later(seconds, wake)
    try:
        await waiter
    finally:
        timer.cancel()
        over.remove_done_callback(wake)
        if not for_user:
            pending.wakers.remove(wake)
