"""Claims: the right to start an attempt, asked of the ledger and kept alive as long as the attempt is ours.

Used by `runtime` for what may not start without one; the answers come in by `hearing`, heartbeats go out by
`attendance`. It decides nothing about a call (docs/concepts/claims.md).
"""

import asyncio
import itertools
from collections.abc import Callable
from functools import cached_property
from typing import Final

import msgspec

from toolyard import ids
from toolyard.clock import Clock
from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import Claim, ClaimRefused, Control, Granted, Heartbeat, Released
from toolyard.telemetry import spans
from toolyard.telemetry.tracing import Span
from toolyard.transport.base import Transport
from toolyard.transport.envelope import Envelope
from toolyard_executors.life import Life
from toolyard_executors.metrics import Metrics
from toolyard_executors.sending import send

#: Seconds until a claim without an answer is repeated: the first pause and the longest.
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 5.0
#: Seconds that a delivery waits for its answer at least: an overdue one that went back would come again at once.
KEPT_AT_LEAST: Final = 30.0
#: Seconds between two heartbeats. A process that stood still for twice as long may have lost its leases.
HEARTBEAT: Final = 5.0
#: Claims in one heartbeat: a longer one would be more than schedulers read (`toolyard.contracts.codec.MAX_CONTROL`).
NAMED: Final = 1_000

Answer = Granted | ClaimRefused


class _Asked:
    """A claim that waits for its answer.

    Attributes:
        until: when it is given up, on the monotonic clock.
        unanswered: called when the claim must be repeated.
        repeats: how often it was published again.
        late: whether the process stood still since it was asked, so that a grant may be over.
    """

    __slots__ = (
        "answer",
        "asked_at",
        "claim",
        "late",
        "pause",
        "published_at",
        "repeats",
        "timer",
        "unanswered",
        "until",
    )

    timer: asyncio.TimerHandle

    def __init__(self, claim: Claim, answer: "asyncio.Future[Answer | None]", unanswered: Callable[[], None]) -> None:
        self.claim = claim
        self.answer = answer
        self.unanswered = unanswered
        self.asked_at = self.published_at = self.until = 0.0
        self.pause = FIRST_PAUSE
        self.repeats = 0
        self.late = False


class Claims:
    """The claims of one pool of one process.

    Args:
        worker_id: whose own queue gets the answers.
        metrics: where it counts.
    """

    def __init__(
        self, *, transport: Transport, envelope: Envelope, pool: str, worker_id: str, clock: Clock, metrics: Metrics
    ) -> None:
        self._transport = transport
        self._envelope = envelope
        self._pool = pool
        self._worker_id = worker_id
        self._clock = clock
        self._metrics = metrics
        self._process = ids.new_id()
        self._numbers = itertools.count(1)
        self._asked: dict[str, _Asked] = {}
        self._held: set[str] = set()
        self._beat_at = clock.monotonic()

    # ---- asking ---------------------------------------------------------------------------------
    async def ask(self, life: Life, *, unanswered: Callable[[], None]) -> Answer | None:
        """The ledger's answer; None where none came until the deadline: then the claim is given back, unseen.

        The same claim is published again until it is answered. ``unanswered`` is called each time.
        """
        span = spans.claim(life.message.call)
        asked = _Asked(self._claim(life, span), self._loop.create_future(), unanswered)
        asked.asked_at = self._clock.monotonic()
        asked.until = max(life.received + life.remaining, asked.asked_at + KEPT_AT_LEAST)
        claim_id = asked.claim.claim_id
        self._asked[claim_id] = asked
        self._publish(asked)
        answer: Answer | None = None
        try:
            answer = await asked.answer
        finally:  # also where the process stops meanwhile
            asked.timer.cancel()
            del self._asked[claim_id]
            if answer is None:
                self._give_up(asked.claim)
            if span is not None:
                spans.claimed(span, _word(answer))
        life.claimed_at, life.late = asked.published_at, asked.late
        self._metrics.answered(self._pool, _word(answer), self._clock.monotonic() - asked.asked_at)
        return answer

    def answered(self, answer: Answer) -> None:
        """An answer came; one that nobody waits for is an answer to a repeat, or another process's."""
        asked = self._asked.get(answer.claim_id)
        if asked is None or asked.answer.done():
            return
        if isinstance(answer, Granted):
            self._held.add(answer.claim_id)
            asked.late = asked.late or self._stood_still()
        asked.answer.set_result(answer)

    def turn_away(self) -> None:
        """Wait for no answer any more: the process stops."""
        for asked in self._asked.values():
            if not asked.answer.done():
                asked.answer.set_result(None)

    # ---- holding --------------------------------------------------------------------------------
    def let_go(self, life: Life) -> None:
        """The attempt is over, and its lease is renewed no more. One that never started is given back, if it can be."""
        grant = life.grant
        if grant is None:
            return
        self._held.discard(grant.claim_id)
        if life.started_at is None and not life.told:
            self._send(self.released(life, grant), life.message.call.org)

    def gave_back(self, life: Life) -> None:
        """A grant was given back, and that is confirmed; the delivery may ask again, under another claim."""
        if life.grant is not None:
            self._held.discard(life.grant.claim_id)
            life.grant = None

    def released(self, life: Life, grant: Granted) -> Released:
        """What gives a grant back."""
        return Released(
            v=VERSION,
            sender=self._worker_id,
            time=self._clock.now(),
            claim_id=grant.claim_id,
            call_id=life.message.call.call_id,
            attempt=grant.attempt,
        )

    def beat(self, isolation: str | None = None) -> None:
        """Tell that we live and which grants we hold: their leases are renewed; and how well tools are locked up."""
        if self._stood_still():
            for asked in self._asked.values():
                asked.late = True
        self._beat_at = self._clock.monotonic()
        held = sorted(self._held)
        for start in range(0, max(len(held), 1), NAMED):
            claims = tuple(held[start : start + NAMED])
            heartbeat = Heartbeat(
                v=VERSION,
                worker=self._worker_id,
                pool=self._pool,
                time=self._clock.now(),
                claims=claims,
                isolation=isolation,
            )
            send(self._transport, self._envelope.heartbeat(heartbeat))

    @property
    def waiting(self) -> int:
        """How many deliveries wait in the window: their claims had to be repeated."""
        return sum(1 for asked in self._asked.values() if asked.repeats)

    @property
    def waited(self) -> float:
        """Seconds that the first of them has waited."""
        oldest = min((asked.asked_at for asked in self._asked.values()), default=None)
        return 0.0 if oldest is None else self._clock.monotonic() - oldest

    # ---- the messages ---------------------------------------------------------------------------
    def _claim(self, life: Life, span: Span | None) -> Claim:
        call = spans.within(span, life.message.call)
        return Claim(
            v=VERSION,
            sender=self._worker_id,
            time=self._clock.now(),
            claim_id=f"{self._process}:{next(self._numbers)}",
            call_id=call.call_id,
            attempt=life.number,
            body_hash=call.body_hash,
            attempt_timeout=call.timeout,
            reply=self._worker_id,
            org=call.org,
            tool=call.tool,
            version=call.version,
            pool=call.pool,
            gateway=call.gateway,
            accepted_at=call.accepted_at,
            deadline=call.deadline,
            queue_timeout=call.queue_timeout,
            rerunnable=call.rerunnable,
            traceparent=call.traceparent,
            again=life.delivery.count > 1,  # one worker's death is no sign against the call (docs/decisions/0009)
            first=life.delivery.count == 0 and life.message.claim == "if_needed",
        )

    def _publish(self, asked: _Asked) -> None:
        asked.published_at = self._clock.monotonic()
        self._send(asked.claim, asked.claim.org)
        asked.timer = self._loop.call_later(asked.pause, self._repeat, asked)
        asked.pause = min(2 * asked.pause, LONGEST_PAUSE)

    def _repeat(self, asked: _Asked) -> None:
        if asked.answer.done():
            return
        if self._clock.monotonic() >= asked.until:
            asked.answer.set_result(None)
            return
        asked.repeats += 1
        asked.unanswered()
        asked.claim = msgspec.structs.replace(asked.claim, time=self._clock.now())
        self._publish(asked)

    def _give_up(self, claim: Claim) -> None:
        """Give a claim back that may yet be granted, or was when nobody waited for it any more."""
        self._held.discard(claim.claim_id)
        released = Released(
            v=VERSION,
            sender=self._worker_id,
            time=self._clock.now(),
            claim_id=claim.claim_id,
            call_id=claim.call_id,
            attempt=claim.attempt,
        )
        self._send(released, claim.org)

    def _send(self, message: Control, org: str) -> None:
        """Publish, and wait for nothing: what is lost of a claim is repeated."""
        send(self._transport, self._envelope.control(message, pool=self._pool, org=org))

    def _stood_still(self) -> bool:
        return self._clock.monotonic() - self._beat_at > 2 * HEARTBEAT

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """The one loop that we run on: asking for it is a system call (Python before 3.12)."""
        return asyncio.get_running_loop()


def _word(answer: Answer | None) -> str:
    if answer is None:
        return "none"
    return "granted" if isinstance(answer, Granted) else answer.reason
