"""How far the ledger has read, as its scheduler says every second: past a bound nothing more is taken in.

Fed by the inbox, asked by the door.
"""

from toolyard.clock import Clock
from toolyard.contracts.control import LedgerPosition
from toolyard.errors import Refused


class LedgerWatch:
    """Knows how old the ledger's position is.

    Args:
        max_lag: seconds that the ledger may be behind; the log is kept for much longer.
    """

    def __init__(self, clock: Clock, *, max_lag: float) -> None:
        self._clock = clock
        self._max_lag = max_lag
        self._newest = clock.now()

    def receive(self, position: LedgerPosition) -> None:
        """The ledger told its position."""
        self._newest = max(self._newest, position.record_time)

    @property
    def lag(self) -> float:
        """Seconds between now and the newest record that the ledger is known to have read."""
        return max(self._clock.now() - self._newest, 0.0)

    def check(self) -> None:
        """Refuse calls while the ledger is too far behind.

        Raises:
            Refused: ``unavailable``.
        """
        if self.lag > self._max_lag:
            raise Refused("unavailable", "The ledger is too far behind to take more calls.", retry_after=5)
