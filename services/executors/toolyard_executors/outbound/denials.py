"""What tools were denied: noted for the operator, and counted. The kinds that reach out by themselves keep one each."""

from collections.abc import Iterator
from typing import Final

from toolyard.contracts.calls import Call
from toolyard.security.egress import EgressDenied, Reason
from toolyard.telemetry import catalogue, logs
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import Counter, Reading

log: Final = logger("egress")


class Denials:
    """The denials of one pool of one process; asked, it says how many there were for each reason."""

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._counted = Counter(catalogue.EGRESS_DENIED, ((pool, str(reason)) for reason in Reason))

    def note(self, denied: EgressDenied, call: Call) -> None:
        """A call wanted to go where it may not; callers and models are not told why."""
        self._counted.add(self._pool, str(denied.reason))
        log.info("egress denied", **logs.of(call), reason=str(denied.reason))

    def __call__(self) -> Iterator[Reading]:
        """The readings."""
        return self._counted()
