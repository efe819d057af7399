"""The breakers of one pool of one process: who may pass, what others are told, and what they tell.

`runtime` asks before it sends anything, and says how it ended; `hearing` passes on what other workers of the pool tell;
`attendance` has what is open told again. What a circuit is, a kind says: see `toolyard_executors.executor.Executor`.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from toolyard import ids
from toolyard.clock import Clock, rfc3339
from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import BreakerTold
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Transport
from toolyard.transport.envelope import Envelope
from toolyard_executors.breaker import USUAL, Breaker, Policy, State
from toolyard_executors.executor import Finished, failed
from toolyard_executors.metrics import Metrics
from toolyard_executors.sending import send

#: Circuits that are remembered; the one that was used longest ago is forgotten first.
LIMIT: Final = 4096
#: Seconds between two tellings of a breaker that is not closed: for whoever came late, or missed the first.
TOLD_AGAIN: Final = 3.0
#: The part of a pause, and of the first pause at least, by which calls are sent back apart from one another.
_SPREAD: Final = 0.5
_LEAST_SPREAD: Final = 0.5

log = logger("breaker")

#: Org and circuit: the credentials of one org must not shut another one out.
_Key = tuple[str, str]


class Passage:
    """The way of one attempt through its breaker."""

    __slots__ = ("_breaker", "_circuits", "_key", "_leave")

    def __init__(self, circuits: "Circuits", key: _Key, breaker: Breaker, leave: int) -> None:
        self._circuits = circuits
        self._key = key
        self._breaker = breaker
        self._leave = leave

    def over(self, *, failed: bool | None) -> None:
        """The attempt has ended: with a failure of its provider, without one, or in a way that says nothing of it."""
        self._circuits.ended(self._key, self._breaker, self._leave, failed=failed)


class Free:
    """The way of an attempt that has no breaker."""

    def over(self, *, failed: bool | None) -> None:
        """Nobody counts."""


_FREE: Final = Free()


class Circuits:
    """Keeps a breaker for each circuit of each org.

    Args:
        metrics: where it counts.
        policy: when they open; None where there are to be none.
        chance: between 0 and 1, to send calls back apart from one another.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        envelope: Envelope,
        clock: Clock,
        pool: str,
        worker_id: str,
        metrics: Metrics,
        policy: Policy | None = USUAL,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.pool = pool
        self._transport = transport
        self._envelope = envelope
        self._clock = clock
        self._worker_id = worker_id
        self._metrics = metrics
        self._policy = policy
        self._chance = chance
        self._known: OrderedDict[_Key, Breaker] = OrderedDict()
        #: Those that are not closed, and when they were told last.
        self._told: dict[_Key, float] = {}

    # ---- attempts -------------------------------------------------------------------------------
    def enter(self, org: str, circuit: str | None) -> Passage | Free | Finished:
        """The way of an attempt that is about to start; how it ended, where its breaker lets nothing through."""
        if circuit is None or self._policy is None:
            return _FREE
        key = org, circuit
        breaker = self._known.get(key)
        if breaker is None:
            breaker = self._add(key, self._policy)
        self._known.move_to_end(key)
        before, now = breaker.state, self._clock.monotonic()
        leave = breaker.admit(now)
        if breaker.state != before:
            self._moved(key, breaker)
        if leave is None:
            return self._refused(circuit, breaker, now)
        return Passage(self, key, breaker, leave)

    def ended(self, key: _Key, breaker: Breaker, leave: int, *, failed: bool | None) -> None:
        """An attempt is over; called by its `Passage`."""
        if breaker.ended(leave, self._clock.monotonic(), failed=failed) and self._known.get(key) is breaker:
            self._moved(key, breaker)
            self._tell(key, breaker)

    def _refused(self, circuit: str, breaker: Breaker, now: float) -> Finished:
        self._metrics.circuit_open(self.pool)
        seconds = breaker.remaining(now)
        seconds += self._chance() * max(_SPREAD * seconds, _LEAST_SPREAD * self._first_pause)
        since = rfc3339(breaker.since)
        text = f"{circuit} has been failing since {since}: nothing was sent; it can be tried again in {seconds:.1f} s"
        details = {"circuit": circuit, "since": since}
        return failed("circuit_open", text, "none", retryable=True, retry_after=round(seconds, 3), details=details)

    # ---- other workers --------------------------------------------------------------------------
    def hear(self, told: BreakerTold) -> None:
        """A worker of this pool told how a breaker of its own stands."""
        if told.worker == self._worker_id or self._policy is None:
            return
        key, now = (told.org, told.circuit), self._clock.monotonic()
        if told.state == "closed":
            known = self._known.get(key)
            if known is not None and known.hear_closed(told.episode, now):
                self._moved(key, known, told.worker)
            return
        breaker = self._known.get(key)
        if breaker is None:
            if told.state != "open":
                return
            breaker = self._add(key, self._policy)
        if told.state == "open" and breaker.hear_open(
            told.episode,
            now,
            openings=told.openings,
            seconds=told.seconds,
            since=told.since,
            failures=told.failures,
        ):
            self._moved(key, breaker, told.worker)
        elif breaker.tells and breaker.episode == told.episode and told.worker < self._worker_id:
            breaker.tells = False  # one that tells it again is enough

    def look(self) -> None:
        """Tell what is not closed once more, where it is time to; forget what nobody needs."""
        now = self._clock.monotonic()
        for key, told_at in list(self._told.items()):
            breaker = self._known[key]
            if breaker.lapse(now):
                self._moved(key, breaker)
            elif breaker.tells and now - told_at >= TOLD_AGAIN:
                self._tell(key, breaker)

    def _tell(self, key: _Key, breaker: Breaker) -> None:
        """Nobody waits for it: what is not published is counted, and told again while it is so."""
        now = self._clock.monotonic()
        if key in self._told:
            self._told[key] = now
        org, circuit = key
        told = BreakerTold(
            v=VERSION,
            worker=self._worker_id,
            pool=self.pool,
            org=org,
            circuit=circuit,
            state=_state(breaker, now),
            episode=breaker.episode,
            openings=breaker.openings,
            time=self._clock.now(),
            since=breaker.since,
            seconds=max(breaker.until - now, 0.0) if breaker.state == "open" else 0.0,
            failures=breaker.failures,
        )
        send(self._transport, self._envelope.breaker(told)).add_done_callback(self._note)

    def _note(self, sent: "asyncio.Future[None]") -> None:
        if not sent.cancelled() and sent.exception() is not None:
            self._metrics.breaker_untold(self.pool)

    # ---- all of them ----------------------------------------------------------------------------
    def standing(self) -> Iterator[tuple[str, str, State]]:
        """Pool, circuit and state of all that are not closed."""
        now = self._clock.monotonic()
        for key in self._told:
            yield self.pool, key[1], _state(self._known[key], now)

    def _add(self, key: _Key, policy: Policy) -> Breaker:
        if len(self._known) >= LIMIT:
            forgotten, _ = self._known.popitem(last=False)
            self._told.pop(forgotten, None)
        breaker = self._known[key] = Breaker(policy, self._episode)
        return breaker

    def _episode(self) -> tuple[str, float]:
        return f"{self._worker_id}:{ids.new_id()}", self._clock.now()

    def _moved(self, key: _Key, breaker: Breaker, heard_of: str = "") -> None:
        if breaker.state == "closed":
            self._told.pop(key, None)
        else:
            self._told.setdefault(key, self._clock.monotonic())
        self._metrics.breaker_moved(self.pool, breaker.state)
        org, circuit = key
        about: dict[str, object] = {"pool": self.pool, "org": org, "circuit": circuit, "failures": breaker.failures}
        if breaker.state == "open":
            about["seconds"] = round(breaker.until - self._clock.monotonic(), 3)
        if heard_of:
            about["heard_of"] = heard_of
        say = log.warning if breaker.state == "open" else log.info
        say(_WORDS[breaker.state], **about)

    @property
    def _first_pause(self) -> float:
        return 0.0 if self._policy is None else self._policy.first_pause


#: What the log says.
_WORDS: Final[dict[State, str]] = {
    "open": "a provider is left alone for a while",
    "half_open": "a provider is tried again",
    "closed": "a provider is asked again as usual",
}


def _state(breaker: Breaker, now: float) -> State:
    """How it stands: one whose pause is over is half-open, although nobody has come yet."""
    return "half_open" if breaker.state == "open" and now >= breaker.until else breaker.state
