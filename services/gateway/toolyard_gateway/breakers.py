"""How the workers' breakers stand, as far as this gateway heard: they tell it again every few seconds.

Fed by the inbox, shown by the pools. Nothing is kept of it: a gateway that has just begun knows it within moments.
"""

from collections import OrderedDict, defaultdict
from typing import Any, Final

from toolyard.clock import Clock, rfc3339
from toolyard.contracts.control import BreakerTold

#: Circuits of all orgs that are remembered; the one that was told longest ago is forgotten first.
LIMIT: Final = 10_000
#: Seconds after which a breaker that nobody tells of any more is forgotten, beyond the time that it is open: some times
#: as long as workers take between two tellings.
KEPT: Final = 10.0

#: Org, pool and circuit.
_Key = tuple[str, str, str]


class Breakers:
    """Remembers the breakers that are not closed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heard: OrderedDict[_Key, tuple[float, BreakerTold]] = OrderedDict()

    def hear(self, told: BreakerTold) -> None:
        """A worker told how one stands."""
        key = told.org, told.pool, told.circuit
        self._heard.pop(key, None)
        if told.state == "closed":
            return
        if len(self._heard) >= LIMIT:
            self._heard.popitem(last=False)
        self._heard[key] = self._clock.monotonic(), told

    def of(self, org: str) -> dict[str, list[dict[str, Any]]]:
        """Pool -> its breakers that are not closed for this org, by circuit."""
        now, found = self._clock.monotonic(), defaultdict(list)
        for key, (at, told) in sorted(self._heard.items(), key=lambda item: item[0]):
            if now - at > told.seconds + KEPT:
                del self._heard[key]
            elif told.org == org:
                found[told.pool].append(_shown(told, max(told.seconds - (now - at), 0.0)))
        return found


def _shown(told: BreakerTold, seconds: float) -> dict[str, Any]:
    return {
        "circuit": told.circuit,
        "state": told.state if seconds else "half_open",
        "since": rfc3339(told.since),
        "retry_after": round(seconds, 3),
        "failures": told.failures,
    }
