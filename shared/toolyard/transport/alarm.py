"""Security events: what a part was given to read and did not believe is counted, told to operators, and logged.

One for each process, built by its composition root. What becomes of the message is its reader's to say: it is put away,
and never acted on.
"""

import asyncio
from typing import Final, get_args

from toolyard.clock import SYSTEM, Clock
from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import SecurityTold
from toolyard.contracts.tools import POOLS
from toolyard.errors import BadSignature, Disbelief
from toolyard.telemetry import catalogue
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import Board
from toolyard.transport import topology, trust
from toolyard.transport.base import Delivery, Record, Transport
from toolyard.transport.envelope import Envelope

#: Events that are told in a row, and each second after: all are counted, and a flood must not become one of ours.
_AT_ONCE: Final = 20
_EACH_SECOND: Final = 2.0
#: Bounds of what a forger may have written.
_WORD, _LABEL = 128, 300

log = logger("security")


class Alarm:
    """Is told by its envelope what that does not believe.

    Args:
        sender: the process, as it calls itself in messages.
        board: where it is shown how often that happened.
        pool: of a worker; the core tells it of the pool that the message names.
    """

    def __init__(
        self,
        transport: Transport,
        envelope: Envelope,
        *,
        sender: str,
        board: Board,
        pool: str | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._transport = transport
        self._envelope = envelope
        self._sender = sender
        self._pool = pool
        self._clock = clock
        self._failures = board.counter(catalogue.SIGNATURE_FAILURES, get_args(Disbelief))
        self._left, self._at, self._untold = float(_AT_ONCE), clock.monotonic(), 0
        envelope.watch(self.raised)

    def raised(self, delivery: Delivery | Record, error: BadSignature) -> None:
        """A message is not believed."""
        self._failures.add(error.reason)
        if not self._may_tell():
            self._untold += 1
            return
        untold, self._untold = self._untold, 0
        told = self._told(delivery, error)
        log.warning(
            "a message is not believed",
            security=True,
            reason=told.reason,
            why=str(error),
            queue=told.queue,
            exchange=told.exchange,
            key=told.key,
            key_id=told.key_id,
            message_id=told.message_id,
            untold_before=untold,
        )
        self._transport.publish(self._envelope.security(told)).add_done_callback(_heed)

    def _told(self, delivery: Delivery | Record, error: BadSignature) -> SecurityTold:
        named = trust.pool_of(delivery.key)
        return SecurityTold(
            v=VERSION,
            sender=self._sender,
            time=self._clock.now(),
            pool=self._pool or (named if named in POOLS else "-"),
            reason=error.reason,
            queue=(delivery.queue if isinstance(delivery, Delivery) else topology.LOG)[:_LABEL],
            exchange=delivery.exchange[:_LABEL],
            key=delivery.key[:_LABEL],
            key_id=error.key_id[:_WORD],
            message_id=delivery.message_id[:_WORD],
        )

    def _may_tell(self) -> bool:
        now = self._clock.monotonic()
        self._left = min(float(_AT_ONCE), self._left + (now - self._at) * _EACH_SECOND)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _heed(sent: "asyncio.Future[None]") -> None:
    """Nobody waits for it: the line in the log says the same."""
    if not sent.cancelled():
        sent.exception()
