"""One worker process, as an object: its own queue, its pools, its end. Knows no transport and no kind by name.

Built by ``__main__`` over RabbitMQ and by the embedded composition root in one process with everything else. It takes
calls once it knows what is paused: until then nothing could start (docs/decisions/0008).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from toolyard.errors import ToolyardError
from toolyard.telemetry import catalogue
from toolyard.telemetry.health import Verdict
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import Board
from toolyard.timing import DRAIN
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Subscription, Transport
from toolyard.transport.envelope import Envelope
from toolyard_executors.attendance import Attendance
from toolyard_executors.breaker import USUAL, Policy
from toolyard_executors.cancellation import Cancellations
from toolyard_executors.clock import WorkerClock
from toolyard_executors.executor import Executor
from toolyard_executors.hearing import Hearing
from toolyard_executors.metrics import Metrics
from toolyard_executors.pauses import Pauses
from toolyard_executors.places import Slots, places_of, window
from toolyard_executors.runtime import Runtime
from toolyard_executors.secrets import StoredSecrets
from toolyard_executors.sending import send

#: Unsettled messages of the worker's own queue.
_OWN_PREFETCH: Final = 256
#: Seconds without an answer after which a full window means that no claim is answered.
_FULL_FOR: Final = 5.0

log = logger("worker")


class SecretSource(Protocol):
    """Where the values of secrets come from; see `toolyard.security.secrets`."""

    def get(self, org: str, name: str) -> str | None:
        """The value, or None where there is none of that name."""


@dataclass(slots=True)
class _Pool:
    """One pool of this process.

    Attributes:
        places: calls that run at a time.
        taking: whether its calls are to be taken.
    """

    executor: Executor
    runtime: Runtime
    places: int
    subscription: Subscription | None = None
    taking: bool = False

    @property
    def name(self) -> str:
        return self.executor.pool


class Worker:
    """Runs the calls of some pools until it is stopped.

    Args:
        executors: one for each pool.
        secrets: those that this process knows itself; the store's are asked for.
        worker_id: tells this process from all others; a part of its own queue's name.
        clock: the executors' too, where they judge absolute times.
        concurrency: calls that run at a time, in each pool; None for what is usual in that pool.
        breaker: when a provider that fails is left alone; None for never.
        board: where its numbers are shown; one of its own where none is given.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        envelope: Envelope,
        executors: Sequence[Executor],
        secrets: SecretSource,
        worker_id: str,
        clock: WorkerClock | None = None,
        concurrency: int | None = None,
        breaker: Policy | None = USUAL,
        board: Board | None = None,
    ) -> None:
        self._transport = transport
        self._envelope = envelope
        self._worker_id = worker_id
        self._clock = clock = clock or WorkerClock()
        self._metrics = Metrics(board)
        self._pauses = Pauses()
        self._changed = asyncio.Event()
        self._own: list[Subscription] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = self._open = False
        cancellations, lane = Cancellations(), Slots(1)
        every: dict[str, Any] = {"transport": transport, "envelope": envelope, "clock": clock}
        self._stored = StoredSecrets(**every, worker_id=worker_id)
        self._pools = [
            _Pool(
                executor,
                Runtime(
                    **every,
                    executor=executor,
                    get_secret=secrets.get,
                    stored=self._stored,
                    cancellations=cancellations,
                    pauses=self._pauses,
                    worker_id=worker_id,
                    lane=lane,
                    concurrency=(places := places_of(executor.pool, concurrency)),
                    metrics=self._metrics,
                    breaker=breaker,
                ),
                places,
            )
            for executor in executors
        ]
        runtimes = [pool.runtime for pool in self._pools]
        self._hearing = Hearing(
            envelope=envelope,
            clock=clock,
            runtimes=runtimes,
            cancellations=cancellations,
            pauses=self._pauses,
            changed=self._changed.set,
            told=self._stored.answered,
            put_away=self._put_away,
        )
        self._attendance = Attendance(
            **every,
            worker_id=worker_id,
            pools=[pool.name for pool in self._pools],
            beats=[runtime.beat for runtime in runtimes],
            circuits=[runtime.circuits for runtime in runtimes],
            pauses=self._pauses,
            hears=lambda: all(own.active for own in self._own),
        )
        self._show()

    async def open(self) -> None:
        """Get the kinds ready. `start` does it too; who does it before knows earlier that one of them cannot.

        Raises:
            ToolyardError: a kind cannot run here.
        """
        if not self._open:
            self._open = True
            for pool in self._pools:
                await pool.executor.open()

    async def close(self) -> None:
        """Let go of the kinds, where that is still to be done."""
        if self._open:
            self._open = False
            for pool in self._pools:
                await pool.executor.close()

    async def start(self) -> None:
        """Hear of cancels first, then ask what is paused, and then take calls. The transport must be open."""
        await self.open()
        for pool in self._pools:
            own = topology.worker_queue(pool.name, self._worker_id)
            await self._transport.own_queue(own, topology.worker_bindings(pool.name, self._worker_id))
            self._own.append(await self._transport.consume(own, self._hearing.take, prefetch=_OWN_PREFETCH))
        for pool in self._pools:
            slots = pool.places + window(pool.places)
            pool.subscription = await self._transport.work(pool.name, pool.runtime.run, slots=slots, paused=True)
        self._tasks = [asyncio.create_task(self._attendance.run()), asyncio.create_task(self._follow())]

    async def stop(self, drain: float = DRAIN) -> None:
        """Take no more calls, let those that run end within ``drain`` seconds, and leave the rest to the broker."""
        self._stopping = True
        taking = [pool.subscription for pool in self._pools if pool.subscription is not None]
        await asyncio.gather(*(subscription.pause() for subscription in taking))
        for pool in self._pools:
            pool.runtime.turn_away()
        try:
            async with asyncio.timeout(drain):
                await asyncio.gather(*(pool.runtime.idle() for pool in self._pools))
        except TimeoutError:
            left = sum(pool.runtime.abandon() for pool in self._pools)
            log.warning("calls were left to the broker", worker=self._worker_id, calls=left, waited=drain)
        await self._end_tasks()
        self._stored.close()
        await asyncio.gather(*(subscription.close() for subscription in [*taking, *self._own]))
        self._own.clear()
        for pool in self._pools:
            pool.subscription = None
        await self.close()

    @property
    def running(self) -> int:
        """How many calls are under way."""
        return sum(pool.runtime.running for pool in self._pools)

    @property
    def board(self) -> Board:
        """The worker's numbers."""
        return self._metrics.board

    def _show(self) -> None:
        self.board.ask(catalogue.RUNNING, lambda: self.running)
        self.board.ask(catalogue.CLAIMS_WAITING, lambda: self._waiting)
        self.board.ask(catalogue.CLOCK_OFFSET, lambda: round(self._clock.offset, 3))
        self._metrics.breakers(lambda: (each for pool in self._pools for each in pool.runtime.circuits.standing()))
        self.board.watch(lambda: (each for pool in self._pools for each in pool.executor.standing().metrics))

    @property
    def details(self) -> dict[str, object]:
        """What its kinds have to show."""
        return {name: value for pool in self._pools for name, value in pool.executor.standing().details.items()}

    def ready(self) -> Verdict:
        """Whether calls are being taken, or would be if a pool were not paused: it proves consumption."""
        paused = [pool.name for pool in self._pools if self._pauses.holds_pool(pool.name)]
        details: dict[str, object] = {"running": self.running, "waiting": self._waiting, **self.details}
        if paused:
            details["paused"] = paused
        if self._clock.offset:
            details["clock_offset"] = round(self._clock.offset, 3)
        reason = self._why_not(paused)
        return Verdict(ok=not reason, reason=reason, details=details)

    def _why_not(self, paused: Sequence[str]) -> str:
        """Why calls are not being taken; empty where they are."""
        if self._stopping:
            return "the worker is stopping"
        health = self._transport.health
        if not health.ok:
            why = health.reason or ("the broker blocks publishing" if health.blocked else "")
            missing = f"missing at the broker: {', '.join(health.missing)}" if health.missing else ""
            return why or missing or "no connection to the broker"
        if not self._pauses.begun:
            return "no scheduler has said yet what is paused"
        for pool in self._pools:
            if reason := pool.executor.standing().reason:
                return reason
            if pool.name not in paused and (pool.subscription is None or not pool.subscription.active):
                return f"the pool {pool.name} is not consumed"
        return self._full()

    def _full(self) -> str:
        """Why the window takes no more; empty where it does. Calls that need no claim may still go through."""
        for pool in self._pools:
            claims = pool.runtime.claims
            if claims.waiting >= window(pool.places) and claims.waited > _FULL_FOR:
                return f"the window of {pool.name} is full: {claims.waiting} claims wait for a scheduler's answer"
        return ""

    @property
    def _waiting(self) -> int:
        return sum(pool.runtime.claims.waiting for pool in self._pools)

    def _put_away(self, delivery: Delivery, reason: str) -> None:
        """Quarantine a message of our own queue that is not believed."""
        pool = self._pools[0].name
        send(self._transport, self._envelope.quarantined(delivery, reason, pool=pool))

    async def _follow(self) -> None:
        """Take the calls of the pools that are not paused, from the moment when that is known."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            for pool in self._pools:
                taking = self._pauses.begun and not self._pauses.holds_pool(pool.name)
                if pool.subscription is not None and not self._stopping and taking != pool.taking:
                    await self._take(pool, pool.subscription, taking=taking)

    async def _take(self, pool: _Pool, subscription: Subscription, *, taking: bool) -> None:
        try:
            await (subscription.resume() if taking else subscription.pause())
        except ToolyardError as error:  # `ready` says that it is not consumed
            log.warning("the pool is not consumed", pool=pool.name, reason=str(error))
        else:
            log.info("calls are taken" if taking else "the pool is paused", pool=pool.name, worker=self._worker_id)
        pool.taking = taking

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
