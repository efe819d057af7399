"""One attempt's life, step by step: verify, claim if needed, judge, run, tell, and ack once the outcome is confirmed.

`worker` hands it the deliveries of a pool. It knows the seam of the kinds (`executor`) and none of the kinds. Each step
takes the same `Life`; the first one that decides how it ends is the last one before that is told.
"""

import asyncio
from functools import cached_property, partial
from typing import Any, Final, NamedTuple

import msgspec

from toolyard.clock import Clock
from toolyard.contracts.calls import Phase, error_info
from toolyard.contracts.control import Cancel
from toolyard.states import State
from toolyard.telemetry import logs, spans
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Delivery, Transport
from toolyard.transport.envelope import Envelope
from toolyard_executors import traced, trail
from toolyard_executors.breaker import USUAL, Policy
from toolyard_executors.cancellation import Cancellations, concerns
from toolyard_executors.circuits import Circuits
from toolyard_executors.claims import Claims
from toolyard_executors.context import Attempt, GetSecret
from toolyard_executors.defects import defect, effect_of, without_secrets
from toolyard_executors.entrance import Entrance
from toolyard_executors.executor import Executor, Finished
from toolyard_executors.faults import fault_of_provider, fault_of_silence
from toolyard_executors.judgement import Judge
from toolyard_executors.life import Key, KnownTools, Life
from toolyard_executors.limit import Limit
from toolyard_executors.metrics import Metrics
from toolyard_executors.pauses import Pauses
from toolyard_executors.places import CONCURRENCY, Slots
from toolyard_executors.progress import Progress, Said
from toolyard_executors.redacting import asking_safely, redacted_error, redacted_report, redacted_result
from toolyard_executors.secrets import Secrets, SecretsRefused, SecretsUnavailable, StoredSecrets
from toolyard_executors.telling import Teller

#: Seconds after which an attempt is worth a ``started`` event of its own.
TOLD_AFTER: Final = 0.25
#: The part of its time after which an attempt that still runs tells ``soft_timeout``.
SOFT_TIMEOUT: Final = 0.8

log = logger("runtime")


class _Limit(NamedTuple):
    """The time of an attempt, and whose it is: its own, or what is left of its call's."""

    seconds: float
    phase: Phase


class Runtime:
    """Runs the attempts of one pool.

    Args:
        get_secret: the value of an org's secret that this process knows itself; ``stored`` asks for all others.
        cancellations: what must not start, and ``pauses``: what must not for now; shared with the worker, which fills
            both.
        lane: the lane of one of this process.
        concurrency: attempts that run at a time.
        metrics: where it counts.
        breaker: when the breakers of its circuits open; None for none.
    """

    def __init__(
        self,
        *,
        executor: Executor,
        transport: Transport,
        envelope: Envelope,
        get_secret: GetSecret,
        cancellations: Cancellations,
        pauses: Pauses,
        clock: Clock,
        worker_id: str,
        lane: Slots | None = None,
        concurrency: int = CONCURRENCY,
        metrics: Metrics | None = None,
        stored: StoredSecrets | None = None,
        breaker: Policy | None = USUAL,
    ) -> None:
        pool = executor.pool
        self._executor = executor
        self._metrics = metrics or Metrics()
        self._secrets = Secrets(get_secret, stored)
        self._clock = clock
        self._worker_id = worker_id
        seam: dict[str, Any] = {"transport": transport, "envelope": envelope, "clock": clock, "pool": pool}
        self.claims = Claims(**seam, worker_id=worker_id, metrics=self._metrics)
        self.circuits = Circuits(**seam, worker_id=worker_id, metrics=self._metrics, policy=breaker)
        self._judge = Judge(
            envelope=envelope,
            pool=pool,
            tools=KnownTools(executor),
            cancellations=cancellations,
            pauses=pauses,
            clock=clock,
        )
        self._teller = Teller(**seam, claims=self.claims)
        self._slots, self._lane = Slots(concurrency), lane or Slots(1)
        self._entrance = Entrance(slots=self._slots, lane=self._lane, claims=self.claims, teller=self._teller)
        self._lives: set[Life] = set()
        self._first: dict[Key, Life] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    async def run(self, delivery: Delivery) -> None:
        """The whole life of one delivery: settles it."""
        life = Life(delivery, worker=self._worker_id, received=self._clock.monotonic())
        self._judge.verify(life)
        if life.decided:
            await self._quarantine(life)
            return
        traced.begin(life)
        if (before := self._came_before(life)) is not None:
            await self._join(before, life)
        else:
            await self._live(life)
        traced.over(life)

    async def _live(self, life: Life) -> None:
        self._hold(life)
        trail.taken(life)
        try:
            if not self._entrance.take(life):
                await self._entrance.wait(life, alone=life.message.alone)
            if not life.decided and self._judge.needs_claim(life):
                await self._entrance.claim(life)
            self._judge.judge(life)
            trail.admitted(life)
            if not life.decided:
                await self._execute(life)
            self._entrance.leave(life)
            self._count(life)
            trail.ended(life)
            await self._teller.tell(life)
            trail.told(life)
        finally:
            self._let_go(life)

    # ---- from outside ---------------------------------------------------------------------------
    def cancel(self, cancel: Cancel) -> None:
        """Stop the attempts of a call, or of a conversation's calls accepted before, if they run here."""
        for life in list(self._lives):
            if concerns(cancel, life.message.call):
                life.cancel()

    def beat(self) -> None:
        """Give a sign of life."""
        self.claims.beat(self._executor.standing().isolation)

    @property
    def running(self) -> int:
        """How many deliveries are in hand: attempts, what waits for a place or a claim, outcomes on their way."""
        return len(self._lives)

    async def idle(self) -> None:
        """Returns when nothing is under way."""
        await self._idle.wait()

    def turn_away(self) -> None:
        """Start nothing more: what waits for a place or a claim goes back to the broker."""
        self._slots.close()
        self._lane.close()
        self.claims.turn_away()

    def abandon(self) -> int:
        """Stop everything without an outcome: the broker delivers it again. Returns how much that was."""
        tasks = [life.task for life in self._lives if life.task is not None]
        for task in tasks:
            task.cancel()
        return len(tasks)

    # ---- the run --------------------------------------------------------------------------------
    async def _execute(self, life: Life) -> None:
        """Run the kind, unless its provider is left alone for a while."""
        values: dict[str, str] = {}
        attempt, limit = self._attempt(life, values)
        circuit = self._executor.circuit(attempt)
        trail.starts(life, limit.seconds, circuit)
        passage = self.circuits.enter(life.message.call.org, circuit)
        if isinstance(passage, Finished):
            self._end_as_told(life, attempt, limit.phase, passage)
            return
        fault: bool | None = None
        span = attempt.span = spans.execute(attempt.call, attempt.number)
        attempt.call = spans.within(span, attempt.call)
        try:
            fault = await self._run_within(limit, life, attempt, values)
        finally:
            passage.over(failed=fault)
            if span is not None:
                traced.executed(span, life, attempt)

    def _attempt(self, life: Life, values: dict[str, str]) -> tuple[Attempt, _Limit]:
        """The attempt, and its time."""
        call, begun = life.message.call, self._clock.monotonic()
        seconds = min(call.timeout, life.remaining - (begun - life.received))
        attempt = Attempt(
            call=call,
            tool=life.known.tool,
            plan=life.known.plan,
            number=life.number,
            ends_at=begun + seconds,
            clock=self._clock,
            get_secret=self._secrets.lookup(values),
        )
        return attempt, _Limit(seconds, "attempt" if call.timeout <= seconds else "deadline")

    async def _run_within(self, limit: _Limit, life: Life, attempt: Attempt, values: dict[str, str]) -> bool | None:
        """Make an outcome of what the kind says; whether its provider failed, as far as that can be said."""
        (seconds, phase), fault = limit, None
        life.started_at = self._clock.now()
        attempt.hear = partial(self._say_progress, life, attempt)
        try:
            with self._limited(life, seconds):
                if life.known.secrets:
                    values.update(await self._secrets.needed(life, seconds))
                fault = fault_of_silence(seconds, phase)
                finished = await self._run_kind(attempt)
        except (SecretsUnavailable, SecretsRefused) as error:
            self._end_as_told(life, attempt, phase, without_secrets(error))
        except TimeoutError:
            self._end_early(life, attempt, phase, seconds)
            return None if life.cancelled else fault
        else:
            self._end_as_told(life, attempt, phase, finished)
            return fault_of_provider(finished, fault)
        finally:
            life.limit = attempt.hear = None  # `hear` holds its attempt: all would stay until cycles are looked for
            if life.timer is not None:
                life.timer.cancel()
            if life.progress is not None:
                life.progress.close()
        return None

    def _say_progress(self, life: Life, attempt: Attempt, said: Said) -> None:
        """What comes when the attempt is over is not told any more."""
        if life.limit is None:
            return
        if life.progress is None:
            life.progress = Progress(partial(self._teller.progress, life, attempt))
        life.progress.say(said)

    def _limited(self, life: Life, seconds: float) -> Limit:
        """The limit of an attempt. Most are over before it is worth a timer: it gets one once others are told of it."""
        assert life.task is not None  # noqa: S101 - this is it
        limit = life.limit = Limit(self._loop, life.task)
        ends = self._loop.time() + seconds
        if seconds > TOLD_AFTER:
            life.timer = self._loop.call_later(TOLD_AFTER, self._still_runs, life, seconds, ends)
        else:
            limit.at(ends)
        return limit

    def _still_runs(self, life: Life, seconds: float, ends: float) -> None:
        """Tell that it runs, and later that its time is mostly over."""
        if life.limit is not None and not life.cancelled:
            life.limit.at(ends)
        self._teller.started(life)
        ends_at = self._clock.now() - TOLD_AFTER + seconds
        left = max(0.0, SOFT_TIMEOUT * seconds - TOLD_AFTER)
        life.timer = self._loop.call_later(left, self._teller.soft_timeout, life, ends_at)

    async def _run_kind(self, attempt: Attempt) -> Finished:
        try:
            return await self._executor.run(attempt)
        except Exception as error:  # noqa: BLE001 - a defect of one call must not hurt its neighbours
            return defect("a defect in an executor", error, attempt, effect_of(attempt))

    def _end_early(self, life: Life, attempt: Attempt, phase: Phase, seconds: float) -> None:
        now = self._clock.now()
        if life.cancelled:
            life.end("cancelled", effect_of(attempt), now=now, error=error_info("cancelled", "stopped while it ran"))
        else:
            error = error_info("timed_out", f"it did not end within {seconds:g} s", phase=phase)
            life.end("timed_out", effect_of(attempt), now=now, error=error)

    def _end_as_told(self, life: Life, attempt: Attempt, phase: Phase, finished: Finished) -> None:
        """A defect where an answer is looked at must not have the broker give the call to the next worker."""
        try:
            self._end(life, attempt, phase, finished)
        except Exception as error:  # noqa: BLE001
            self._end(life, attempt, phase, defect("a defect at an answer", error, attempt, finished.effect))

    def _end(self, life: Life, attempt: Attempt, phase: Phase, finished: Finished) -> None:
        now, redactor = self._clock.now(), attempt.redactor
        finished = asking_safely(redactor, finished)
        report, error = redacted_report(redactor, finished.report), finished.error
        if error is None and finished.result is not None:
            error = life.known.check(finished.result, redactor)
        if error is None:
            result = redacted_result(redactor, finished.result)
            life.end("succeeded", finished.effect, now=now, result=result, report=report)
            return
        state: State = "failed"
        if error.code == "timed_out":  # a kind that keeps its time itself; whose time it was, it may leave to us
            state, error = "timed_out", msgspec.structs.replace(error, phase=error.phase or phase)
        life.end(
            state,
            finished.effect,
            now=now,
            error=redacted_error(redactor, error),
            report=report,
            authorization=finished.authorization,
        )

    async def _quarantine(self, life: Life) -> None:
        self._count(life)
        await self._teller.tell(life)

    def _count(self, life: Life) -> None:
        if life.quarantine:
            self._metrics.quarantined(self._executor.pool)
        if life.outcome is not None:
            self._metrics.ended(life.message.call, life.outcome)

    # ---- what is under way ----------------------------------------------------------------------
    def _came_before(self, life: Life) -> Life | None:
        """The same attempt of a rerunnable call, if it is in hand; of any other the ledger knows."""
        return self._first.get(life.key) if life.message.call.rerunnable else None

    async def _join(self, before: Life, life: Life) -> None:
        """The same attempt again while the first is in hand: its one outcome is for both."""
        await before.over.wait()
        first, call = before.message.call, life.message.call
        if not before.told or before.outcome is None:
            life.delivery.release()
        elif (first.gateway, first.body_hash) == (call.gateway, call.body_hash):
            life.delivery.ack()
        elif first.body_hash == call.body_hash:
            life.outcome = msgspec.structs.replace(before.outcome, gateway=call.gateway)
            await self._teller.tell(life)
        else:  # an end of its own would end the first call too; its gateway finds what became of the id in the ledger
            log.warning("another call under the same id was not run", **logs.of(call), gateway=call.gateway)
            life.delivery.ack()

    def _hold(self, life: Life) -> None:
        self._lives.add(life)
        self._idle.clear()
        life.task = asyncio.current_task()
        if life.message.call.rerunnable:
            self._first[life.key] = life

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """The one loop that we run on: asking for it is a system call (Python before 3.12)."""
        return asyncio.get_running_loop()

    def _let_go(self, life: Life) -> None:
        self._entrance.leave(life)
        self.claims.let_go(life)
        self._lives.discard(life)
        if life.message.call.rerunnable:
            del self._first[life.key]
        life.over.set()
        if not self._lives:
            self._idle.set()
