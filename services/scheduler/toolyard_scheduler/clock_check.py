"""Whether our clock may judge deadlines: it is compared with the times in records that others have just written.

Old records prove nothing: only those count that came into the log after a record of our own. One gateway with a wrong
clock proves nothing either: we are wrong if nobody agrees with us.
"""

from typing import Final

from toolyard.clock import Clock
from toolyard.errors import ToolyardError

#: Seconds by which clocks may differ.
TOLERANCE: Final = 2.0
#: Seconds that are judged at a time at least, and after which silence is taken for consent.
WINDOW: Final = 10.0
#: Records without which a window proves nothing.
_ENOUGH: Final = 3


class ClockDiffersError(ToolyardError):
    """Our clock differs from everybody else's; deadlines must not be judged by it."""

    code = "unavailable"


class ClockCheck:
    """Collects times of fresh records, window by window.

    Args:
        clock: ours.
        doubted: not where all parts share one process, and so one clock.
    """

    def __init__(self, clock: Clock, *, doubted: bool = True) -> None:
        self._clock = clock
        self._fresh_after: int | None = None
        self._agreed = not doubted
        self._began = self._heard = clock.monotonic()
        self._seen = 0
        self._closest = 0.0

    @property
    def trusted(self) -> bool:
        """Whether somebody agreed with our clock, or nobody has said anything for a while."""
        return self._agreed or self._clock.monotonic() - self._heard >= WINDOW

    @property
    def undisputed(self) -> bool:
        """Whether nobody contradicts our clock, so that others may put theirs right by it.

        The database server agreed when the term began, or is this very machine.
        """
        return self._seen == 0 or abs(self._closest) <= TOLERANCE

    def compare_with_database(self, time: float | None) -> None:
        """Compare with the database server's clock, where it has one of its own.

        Raises:
            ClockDiffersError: it differs too much.
        """
        if time is not None and abs(self._clock.now() - time) > TOLERANCE:
            raise _differs(self._clock.now() - time, "the database server's")

    def own_came_back(self, offset: int) -> None:
        """A record of our own, published when the ledger stood at ``offset``, was read: what follows is fresh."""
        if self._fresh_after is None:
            self._fresh_after = offset

    def saw(self, offset: int, time: float) -> None:
        """A record was read that was made at this time by its maker's clock.

        Raises:
            ClockDiffersError: for a whole window nobody's time was near ours.
        """
        if self._fresh_after is None or offset <= self._fresh_after:
            return
        difference = self._clock.now() - time
        if self._seen == 0 or abs(difference) < abs(self._closest):
            self._closest = difference
        self._heard = self._clock.monotonic()
        if self._seen == 0:
            self._began = self._heard
        self._seen += 1
        if abs(difference) <= TOLERANCE:
            self._agreed = True
        if self._seen >= _ENOUGH and self._heard - self._began >= WINDOW:
            self._judge(self._closest)

    def _judge(self, closest: float) -> None:
        self._seen = 0
        if abs(closest) > TOLERANCE:
            self._agreed = False
            raise _differs(closest, "the clocks of all gateways")


def _differs(seconds: float, whose: str) -> ClockDiffersError:
    way = "ahead of" if seconds > 0 else "behind"
    return ClockDiffersError(
        f"this machine's clock is {abs(seconds):.1f} s {way} {whose}; it may differ by {TOLERANCE:g} s: synchronise it"
    )
