"""What is told to whoever asked by a message: calls, the messages of turns, problems; and tickets for what is open.

Every answer is persistent and confirmed. One that no queue takes is counted: the call itself stays in the ledger.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Final

from toolyard import ids
from toolyard.clock import Clock
from toolyard.contracts.codec import encode_json
from toolyard.contracts.requests import Ticket
from toolyard.errors import NotTaken, Refused, TransportError, Unroutable
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Delivery, Header, Message, Transport
from toolyard.transport.envelope import Envelope
from toolyard_gateway.amqp import addresses
from toolyard_gateway.api import problems
from toolyard_gateway.api.calls import JSON
from toolyard_gateway.metrics import Metrics
from toolyard_gateway.pending import Answer
from toolyard_gateway.turns import Turned

log = logger("requests")

#: Seconds between two tries to publish, and for which a queue may refuse an answer.
AGAIN: Final = 0.5
PATIENCE: Final = 30.0
#: Answers that wait for queues that refuse them, at a time: a full one must not take the places of all other requests.
MOST_REFUSED: Final = 100


@dataclass(frozen=True, slots=True)
class Told:
    """An answer.

    Attributes:
        kind: ``call``, ``turn`` or ``problem``.
        result: by which it is counted.
        retry_after: seconds until another try makes sense.
        reason: of a problem, for whoever looks at it where there is nobody to tell.
    """

    kind: str
    body: bytes
    result: str
    content_type: str = JSON
    retry_after: float | None = None
    reason: str = ""


def call_told(answer: Answer) -> Told:
    """A call, ended or as it stands."""
    return Told("call", answer.body, "ended" if answer.terminal else "open")


def turn_told(turned: Turned) -> Told:
    """The messages of a turn."""
    return Told("turn", encode_json(turned), "ended")


def problem_told(refused: Refused) -> Told:
    """Why something was refused."""
    body = encode_json(problems.problem(refused))
    reason = f"{refused.refusal}: {refused.detail}"
    return Told("problem", body, "refused", problems.MEDIA_TYPE, refused.retry_after, reason)


class Teller:
    """Publishes answers and tickets."""

    def __init__(self, transport: Transport, envelope: Envelope, metrics: Metrics, clock: Clock) -> None:
        self._transport = transport
        self._envelope = envelope
        self._metrics = metrics
        self._clock = clock
        self._refused = 0

    async def tell(self, delivery: Delivery, told: Told, *, to: str, correlation_id: str) -> bool:
        """Publish an answer; False where the delivery was lost meanwhile: whoever gets it next tells."""
        headers: dict[str, Header] = {} if told.retry_after is None else {"retry-after": f"{told.retry_after:g}"}
        message = Message(
            *("", to, told.body, ids.new_id(), headers),
            kind=told.kind,
            correlation_id=correlation_id,
            content_type=told.content_type,
            mandatory=not addresses.is_direct(to),  # the broker returns those even where somebody listens
        )
        try:
            return await self._published(delivery, message, most=MOST_REFUSED)
        except TransportError as error:
            self._metrics.undeliverable()
            log.warning("an answer was not delivered", reply_to=to, type=told.kind, reason=str(error))
            return True

    async def wait(self, delivery: Delivery, ticket: Ticket) -> bool:
        """Have it come back after a while; False as `tell`."""
        while True:
            try:
                return await self._published(delivery, self._envelope.ticket(ticket))
            except TransportError as error:
                log.warning("a request cannot wait", reason=str(error))
                await asyncio.sleep(AGAIN)

    async def _published(self, delivery: Delivery, message: Message, *, most: float = math.inf) -> bool:
        """Raises `TransportError` where the broker refuses it for long, or too many, while it takes other messages."""
        until = self._clock.monotonic() + PATIENCE
        refused = False
        try:
            while delivery.alive:
                try:
                    await self._transport.publish(message)
                except Unroutable:
                    raise
                except TransportError as error:
                    if self._transport.health.ok and self._clock.monotonic() > until:
                        raise
                    if isinstance(error, NotTaken) and not refused:
                        if self._refused >= most:
                            raise
                        self._refused, refused = self._refused + 1, True
                    await asyncio.sleep(AGAIN)  # nobody tells when the broker takes it
                else:
                    return True
            return False
        finally:
            self._refused -= refused
