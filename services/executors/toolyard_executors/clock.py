"""The time by which a worker judges: its machine's own clock, put right by the scheduler's word where that is wrong.

Made by the composition root, so that the kinds have the same one; `hearing` tells it what the scheduler said.
"""

from typing import Final

from toolyard.clock import SYSTEM, Clock
from toolyard.telemetry.logs import logger

#: Seconds by which a worker's clock may differ from the scheduler's. The scheduler's may differ from the gateways' by
#: less (`toolyard_scheduler.clock_check`).
TOLERANCE: Final = 5.0

log = logger("worker")


class WorkerClock:
    """Both clocks of a worker (`toolyard.clock.Clock`).

    A clock that was found wrong is not looked at any more: time goes on from the scheduler's word by the monotonic
    clock, so that it stays right when somebody sets the machine's clock.

    Args:
        own: the machine's.
    """

    def __init__(self, own: Clock = SYSTEM) -> None:
        self._own = own
        self.monotonic = own.monotonic
        #: What the monotonic clock lacks of the scheduler's time; None while the machine's clock serves.
        self._lacks: float | None = None
        self._logged = 0.0
        self._between = own.now() - own.monotonic()

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC, as far as we know."""
        return self._own.now() if self._lacks is None else self.monotonic() + self._lacks

    def own(self) -> float:
        """The same by the machine's clock, right or wrong."""
        return self._own.now()

    @property
    def offset(self) -> float:
        """Seconds that are added to the machine's clock; below zero where that is ahead."""
        return 0.0 if self._lacks is None else self.now() - self.own()

    def set(self, *, asked: float, told: float) -> None:
        """The scheduler told its time, asked when our machine's clock showed that."""
        own, monotonic = self._own.now(), self._own.monotonic()
        offset = corrected(self.offset, asked=asked, told=told, own=own)
        self._lacks = own + offset - monotonic if offset else None
        self._note(offset)

    def was_set(self) -> bool:
        """Whether the machine's clock has jumped since this was asked last: somebody set it, or the machine slept."""
        before, self._between = self._between, self._own.now() - self._own.monotonic()
        return abs(self._between - before) > TOLERANCE

    def _note(self, offset: float) -> None:
        """One line whenever it is another amount, not one for each answer."""
        if offset and abs(offset - self._logged) > TOLERANCE:
            log.warning(
                "this machine's clock is wrong: calls are judged by the scheduler's",
                seconds=round(abs(offset), 1),
                way="ahead" if offset < 0 else "behind",
                do="synchronise the time of this machine (NTP)",
            )
            self._logged = offset
        elif self._logged and not offset:
            log.info("this machine's clock agrees with the scheduler's again")
            self._logged = 0.0


def corrected(offset: float, *, asked: float, told: float, own: float) -> float:
    """What to add to our machine's clock: of all that an answer allows, the nearest to what was added before.

    The scheduler told its time between our asking and our hearing, so the error of our clock is known within the time
    that took. However late an answer comes, it puts no right clock wrong.

    Args:
        offset: what was added until now.
        asked: our machine's clock when we asked.
        told: the scheduler's clock after that.
        own: our machine's clock now.

    Returns:
        Seconds; 0 where our clock is right within `TOLERANCE`.
    """
    least, most = told - own, told - asked
    if least > most:  # our clock was set back meanwhile: this tells nothing
        return offset
    nearest = min(max(offset, least), most)
    return nearest if abs(nearest) > TOLERANCE else 0.0
