"""What a worker hears on its own queue, and whom it concerns. Built by `worker`; it never fails over a message."""

import math
from collections.abc import Callable, Sequence
from typing import Final

from toolyard.contracts import control
from toolyard.contracts.control import BreakerTold, Cancel, ClaimRefused, Control, Granted, LogLevelSet, Pause, Resume
from toolyard.contracts.events import Withdrawn
from toolyard.contracts.secrets import SecretsTold
from toolyard.errors import BadSignature, ContractError, UnknownKind
from toolyard.telemetry.levels import LEVELS
from toolyard.telemetry.logs import logger
from toolyard.transport import topology
from toolyard.transport.base import Delivery
from toolyard.transport.envelope import Envelope
from toolyard.transport.newer import NewerKinds
from toolyard.transport.replays import Remembered, replayed
from toolyard_executors.cancellation import Cancellations
from toolyard_executors.clock import WorkerClock
from toolyard_executors.pauses import Pauses
from toolyard_executors.runtime import Runtime

#: Seconds after which a pause is not news any more: the ledger's answer has told it.
_STALE: Final = 600.0
log = logger("worker")


class Hearing:
    """Takes the messages of a worker's own queues.

    Args:
        changed: called when what is paused has changed, or is known for the first time.
        told: is told secrets that were asked for.
        put_away: is given what is not believed, and why.
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
        put_away: Callable[[Delivery, str], None],
    ) -> None:
        self._envelope = envelope
        self._clock = clock
        self._runtimes = runtimes
        self._cancellations = cancellations
        self._pauses = pauses
        self._changed = changed
        self._told = told
        self._put_away = put_away
        self._seen = Remembered()
        self._newer = NewerKinds()

    def take(self, delivery: Delivery) -> None:
        """A message of our own queue. What is none of ours is put away, or dropped: nothing waits for it."""
        try:
            if delivery.exchange == topology.EVENTS:
                self._event(delivery)
            elif delivery.key.startswith(topology.BREAKERS):
                self._breaker(self._envelope.open_breaker(delivery))
            elif delivery.key.startswith(topology.SECRETS_TOLD):
                self._told(self._envelope.open_secrets_told(delivery))
            else:
                self._control(delivery, self._envelope.open_control(delivery))
        except BadSignature as error:
            self._put_away(delivery, str(error))
        except UnknownKind as error:
            self._newer.passed_over(error)
        except ContractError as error:
            log.warning("a message was not understood", reason=str(error), key=delivery.key)
        delivery.ack()

    def _event(self, delivery: Delivery) -> None:
        for event in self._envelope.open_events(delivery):
            if isinstance(event, Withdrawn):
                self._cancellations.note(event.org, event.call_id, "withdrawn")

    def _breaker(self, told: BreakerTold) -> None:
        for runtime in self._runtimes:
            if runtime.circuits.pool == told.pool:
                runtime.circuits.hear(told)

    def _control(self, delivery: Delivery, message: Control) -> None:
        match message:
            case Granted() | ClaimRefused():
                for runtime in self._runtimes:
                    runtime.claims.answered(message)
            case Cancel():
                self._cancel(message)
            case Pause() | Resume():
                self._pause(delivery, message)
            case control.Pauses():
                self._learn(message)
                self._changed()
            case LogLevelSet():
                LEVELS.hear(message, self._clock.now())
            case _:  # a kind of message that only others need
                pass

    def _pause(self, delivery: Delivery, message: Pause | Resume) -> None:
        """A pause or its end; one of long ago, or that came to this queue before, is somebody's who plays it again."""
        here = f"{delivery.queue} {delivery.message_id}"
        again = delivery.count == 0 and not self._seen.first_time(here)
        if again or message.time < self._clock.now() - _STALE:
            raise self._envelope.refused(delivery, replayed())
        self._pauses.hear(message)
        self._changed()

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
