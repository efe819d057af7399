"""Publishing without waiting, for what nobody waits for: it is repeated, or something else tells it once more."""

import asyncio

from toolyard.telemetry.logs import logger
from toolyard.transport.base import Message, Transport

log = logger("worker")


def send(transport: Transport, message: Message) -> "asyncio.Future[None]":
    """Publish a message; that it was not published is noted, and nothing more. The future says it too."""
    sent = transport.publish(message)
    sent.add_done_callback(_note)
    return sent


def _note(sent: "asyncio.Future[None]") -> None:
    if not sent.cancelled() and (error := sent.exception()) is not None:
        log.debug("a message was not published", reason=str(error))
