"""What a worker hears on its own queue, and whom it concerns. Built by `worker`; it never fails over a message."""

import math
from collections.abc import Callable, Sequence

from toolyard.contracts import control
from toolyard.contracts.control import Cancel, ClaimRefused, Control, Granted, Pause, Resume
from toolyard.contracts.events import Withdrawn
from toolyard.contracts.secrets import SecretsTold
from toolyard.errors import ContractError
from toolyard.telemetry.logs import logger
from toolyard.transport import topology
from toolyard.transport.base import Delivery
from toolyard.transport.envelope import Envelope
from toolyard_executors.cancellation import Cancellations
from toolyard_executors.clock import WorkerClock
from toolyard_executors.pauses import Pauses
from toolyard_executors.runtime import Runtime

log = logger("worker")


class Hearing:
    """Takes the messages of a worker's own queues.

    Args:
        changed: called when what is paused has changed, or is known for the first time.
        told: is told secrets that were asked for.
    """

    def __init__(
        self,
        *,
        envelope: Envelope,
        clock: WorkerClock,
        runtimes: Sequence[Runtime],
        cancellations: Cancellations,
        pauses: Pauses,
        changed: Callable[[], None],
        told: Callable[[SecretsTold], None],
    ) -> None:
        self._envelope = envelope
        self._clock = clock
        self._runtimes = runtimes
        self._cancellations = cancellations
        self._pauses = pauses
        self._changed = changed
        self._told = told

    def take(self, delivery: Delivery) -> None:
        """A message of our own queue. What is none of ours is dropped: nothing waits for it."""
        try:
            if delivery.exchange == topology.EVENTS:
                self._event(delivery)
            elif delivery.key.startswith(topology.SECRETS_TOLD):
                self._told(self._envelope.open_secrets_told(delivery))
            else:
                self._control(self._envelope.open_control(delivery))
        except ContractError as error:
            log.warning("a message was not understood", reason=str(error), key=delivery.key)
        delivery.ack()

    def _event(self, delivery: Delivery) -> None:
        for event in self._envelope.open_events(delivery):
            if isinstance(event, Withdrawn):
                self._cancellations.note(event.org, event.call_id, "withdrawn")

    def _control(self, message: Control) -> None:
        match message:
            case Granted() | ClaimRefused():
                for runtime in self._runtimes:
                    runtime.claims.answered(message)
            case Cancel():
                self._cancel(message)
            case Pause() | Resume():
                self._pauses.hear(message)
                self._changed()
            case control.Pauses():
                self._learn(message)
                self._changed()
            case _:  # a kind of message that only others need
                pass

    def _learn(self, message: control.Pauses) -> None:
        """The time first, so that what is known since now is known by a right clock."""
        asked_at = math.inf
        if message.asked is not None:
            asked_at = self._clock.monotonic() - (self._clock.own() - message.asked)
            self._clock.set(asked=message.asked, told=message.time)
        self._pauses.learn(message.paused, now=self._clock.now(), asked_at=asked_at)

    def _cancel(self, message: Cancel) -> None:
        if message.call_id:
            self._cancellations.note(message.org, message.call_id, "cancelled")
        else:
            self._cancellations.note_conversation(message.org, message.conversation, message.time)
        for runtime in self._runtimes:
            runtime.cancel(message)
