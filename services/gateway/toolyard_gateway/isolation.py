"""How well the workers of the sandbox lock tools up, as their heartbeats tell. Fed by the inbox, shown by the pools."""

from typing import Final

from toolyard.clock import Clock
from toolyard.contracts.control import Heartbeat
from toolyard.sandbox.jail.levels import Level

#: Seconds after which a worker without a heartbeat does not count: some times as long as between two of them.
KEPT: Final = 15.0
#: Workers that are remembered.
LIMIT: Final = 10_000


class Isolation:
    """Remembers the workers that gave a sign of life."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: dict[str, tuple[float, str, Level]] = {}

    def hear(self, heartbeat: Heartbeat) -> None:
        """A worker lives. A level that this build does not know is passed over."""
        self._heard.pop(heartbeat.worker, None)
        if heartbeat.isolation in _LEVELS:
            if len(self._heard) >= LIMIT:
                del self._heard[next(iter(self._heard))]
            self._heard[heartbeat.worker] = self._clock.monotonic(), heartbeat.pool, Level(heartbeat.isolation)

    def of(self, pool: str) -> Level | None:
        """The weakest of a pool's workers; None where none lives that locks tools up."""
        now = self._clock.monotonic()
        self._heard = {worker: heard for worker, heard in self._heard.items() if now - heard[0] <= KEPT}
        levels = [level for _, of, level in self._heard.values() if of == pool]
        return max(levels, key=_LEVELS.index, default=None)


_LEVELS: Final = list(Level)  # the best first
