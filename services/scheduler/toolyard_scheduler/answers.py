"""What leaves after a batch is committed: answers to claims and questions, and events of what was parked.

None of it is kept: a worker whose answer is lost asks again, and the ledger answers the same.
"""

import asyncio

from toolyard.errors import TransportError
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Message, Transport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler.entries import Answer, Folded

log = logger("answers")


class Answers:
    """Sends them, in the background."""

    def __init__(self, transport: Transport, envelope: Envelope) -> None:
        self._transport = transport
        self._envelope = envelope
        self._open: set[asyncio.Task[None]] = set()

    def send(self, folded: Folded) -> None:
        """Send what this batch came to; it was committed."""
        for answer in folded.answers:
            if answer.first is None:
                self._publish(self._sealed(answer))
            else:
                task = asyncio.get_running_loop().create_task(self._after_its_event(answer))
                self._open.add(task)
                task.add_done_callback(self._open.discard)
        for parked in folded.parked:
            self._publish(self._envelope.event(parked))

    async def _after_its_event(self, answer: Answer) -> None:
        if answer.first is None:
            raise AssertionError("nothing to wait for")
        try:
            await self._transport.publish(self._envelope.event(answer.first))
        except TransportError as error:
            log.warning("a claim stays unanswered until it is repeated", reason=str(error))
            return
        self._publish(self._sealed(answer))

    def _sealed(self, answer: Answer) -> Message:
        return self._envelope.control(answer.message, pool=answer.pool, org=answer.org, gateway=answer.reply)

    def _publish(self, message: Message) -> None:
        self._transport.publish(message).add_done_callback(_note)


def _note(sent: "asyncio.Future[None]") -> None:
    if not sent.cancelled() and (error := sent.exception()) is not None:
        log.warning("an answer may not have arrived", reason=str(error))
