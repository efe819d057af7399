"""What a worker says of itself: its heartbeats, its breakers, and the question what is paused and what time it is.

That is asked every second until it is answered, and then once in a while, for the time alone. Built by `worker`. It
also sees when the worker may have missed something, and then has it asked again.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import PausesAsked
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Transport
from toolyard.transport.envelope import Envelope
from toolyard_executors.circuits import Circuits
from toolyard_executors.claims import HEARTBEAT
from toolyard_executors.clock import WorkerClock
from toolyard_executors.pauses import Pauses
from toolyard_executors.sending import send

#: Seconds between two looks.
_LOOK: Final = 1.0
#: Seconds without an own queue in use after which it may be gone, and what it held with it: the broker keeps it for
#: `toolyard.transport.topology.OWN_QUEUE_EXPIRES`.
_DEAF: Final = 30.0
#: Seconds between two questions what time it is. Each is two records of the log.
ASK_AGAIN: Final = 60.0

log = logger("worker")


class Attendance:
    """Runs beside a worker until it is cancelled.

    Args:
        pools: their names; ``circuits``: their breakers; ``beats``: give a sign of life, each for one of them.
        hears: whether the own queues are consumed at this moment.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        envelope: Envelope,
        clock: WorkerClock,
        worker_id: str,
        pools: Sequence[str],
        beats: Sequence[Callable[[], None]],
        circuits: Sequence[Circuits],
        pauses: Pauses,
        hears: Callable[[], bool],
    ) -> None:
        self._transport = transport
        self._envelope = envelope
        self._clock = clock
        self._worker_id = worker_id
        self._pools = pools
        self._beats = beats
        self._circuits = circuits
        self._pauses = pauses
        self._hears = hears
        self._heard_at = self._beat_at = self._ask_at = clock.monotonic()

    async def run(self) -> None:
        """Attend, for ever."""
        while True:
            self._look()
            await asyncio.sleep(_LOOK)

    def _look(self) -> None:
        now = self._clock.monotonic()
        if now - self._heard_at > _DEAF:
            if self._pauses.known:
                log.warning("messages may have been missed: asking what is paused", worker=self._worker_id)
            self._pauses.doubt(at=now - _LOOK)  # when nothing was asked, because nothing was heard
        if self._clock.was_set():
            self._ask_at = now
        if self._hears():
            self._heard_at = now
            if now >= self._ask_at or not self._pauses.known:
                self._ask_at = now + ASK_AGAIN
                self._ask()
        for circuits in self._circuits:
            circuits.look()
        if now >= self._beat_at:
            self._beat_at = now + HEARTBEAT
            for beat in self._beats:
                beat()

    def _ask(self) -> None:
        asked = PausesAsked(v=VERSION, sender=self._worker_id, time=self._clock.own(), reply=self._worker_id)
        for pool in self._pools:
            send(self._transport, self._envelope.control(asked, pool=pool))
