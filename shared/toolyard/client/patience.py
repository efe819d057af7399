"""When the same is asked once more, and after which pause. Pure: time and chance are handed in.

Only what can do no harm is asked again: a request that reads, that has an idempotency key, or that was never sent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

from toolyard.client.errors import Unexpected, Unreachable
from toolyard.clock import Clock
from toolyard.errors import CODES, Refused, ToolyardError

#: Seconds: the first pause at most, and the longest.
FIRST: Final = 0.2
LONGEST: Final = 5.0
#: Seconds that a connection must have held to show that somebody was there.
HELD: Final = 1.0
#: What proxies answer while the gateway behind them is away or overrun.
_AWAY: Final = frozenset({429, 502, 503, 504})
#: A number from 0 up to 1, by chance.
Chance = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is to be done for so many seconds."""

    seconds: float


class Backoff:
    """Pauses that double up to a longest one, each shortened by chance (full jitter): clients do not come in step."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._longest = FIRST

    def next(self) -> float:
        """The next pause in seconds."""
        pause = self._chance() * self._longest
        self._longest = min(2 * self._longest, LONGEST)
        return pause


class Patience:
    """How long one thing is tried.

    Args:
        seconds: for which tries go on, from the first that failed in a row.
        until: up to this time (monotonic) a connection that held, and was cut then, does not count as one in the row:
            somebody was there, and what is waited for takes long.
    """

    def __init__(self, seconds: float, *, clock: Clock, chance: Chance, until: float = inf) -> None:
        self._seconds = seconds
        self._clock = clock
        self._chance = chance
        self._until = until
        self._since: float | None = None
        self._backoff = Backoff(chance)

    def after(self, error: ToolyardError, *, repeatable: bool, lasted: float = 0.0) -> Pause:
        """The pause after a try that failed.

        Args:
            error: how it failed.
            repeatable: whether it does no harm to ask again what may have been heard.
            lasted: how long the try lasted, in seconds.

        Raises:
            ToolyardError: the error itself: another try makes no sense, or the time is over.
        """
        at_least = _asked_pause(error, repeatable)
        now = self._clock.monotonic()
        held = isinstance(error, Unreachable) and error.how == "cut" and lasted >= HELD and now < self._until
        if self._since is None or held:
            self._since, self._backoff = now, Backoff(self._chance)
        left = self._since + self._seconds - now
        if at_least is None or left <= 0 or at_least > left:
            raise error
        return Pause(min(at_least + self._backoff.next(), left))

    def renew(self) -> None:
        """It went well: what fails from now on is the first in its row."""
        self._since = None


def passes(refused: Refused) -> bool:
    """Whether a refusal is one that passes by itself."""
    known = CODES.get(refused.refusal)
    return refused.retry_after is not None or (known is not None and known.status in (429, 503))


def _asked_pause(error: ToolyardError, repeatable: bool) -> float | None:
    """The seconds for which no other try makes sense; None where none ever does."""
    match error:
        case Unreachable():
            return 0.0 if repeatable or error.how == "refused" else None
        case Unexpected():
            return 0.0 if repeatable and error.status in _AWAY else None
        case Refused():
            return (error.retry_after or 0.0) if repeatable and passes(error) else None
        case _:
            return None
