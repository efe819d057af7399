"""Publishing with confirms: each message has a future that ends when the broker has it, or says why not.

It stands on a lane that comes and goes with its connection. Nothing waits longer than the publish timeout; one timer
looks after all messages.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable

from pika.exceptions import AMQPError

from toolyard.errors import (
    NotTaken,
    Overdue,
    ToolyardError,
    TransportError,
    Unavailable,
    Unconfirmed,
    Unroutable,
)
from toolyard.transport.base import Message
from toolyard.transport.rabbitmq.errors import ENCODING_ERRORS, unsendable
from toolyard.transport.rabbitmq.lane import Lane

#: Seconds after the loss of a connection in which a publish waits for the next one.
RECONNECT_GRACE = 1.0
#: Seconds between two looks at the clock; for short timeouts, this part of one.
_LOOK_EVERY, _LOOKS = 0.1, 20

#: Why nothing is published while the broker has an alarm.
BLOCKED = "the broker blocks publishing: it is low on memory or disk"
#: For nobody: the default exchange knows no queue without a name, drops it, and confirms.
_PROBE = Message("", "", b"", "")

Confirmed = asyncio.Future[None]


class Publisher:
    """Hands messages to a lane and their futures to the callers.

    Args:
        timeout: seconds within which every future ends.
        refusal: says why a message must not be published now, or is empty.
    """

    def __init__(self, *, timeout: float, refusal: Callable[[Message], str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._refusal = refusal
        self._look_every = min(_LOOK_EVERY, timeout / _LOOKS)
        self._patience = timeout - 2 * self._look_every
        self._lane: Lane | None = None
        self._tag = 0
        #: By delivery tag, so in the order of publishing: future, and when its time is over.
        self._pending: dict[int, tuple[Confirmed, float]] = {}
        #: By message id, those that come back where no queue takes them.
        self._mandatory: dict[str, Confirmed] = {}
        self._waiting: deque[tuple[Message, Confirmed, float]] = deque()
        self._grace_ends = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._reason = "not connected yet"
        self.blocked = False
        #: Whether `refusal` has to be asked; set by whoever knows of missing queues.
        self.careful = False

    @property
    def published(self) -> int:
        """How many messages this lane was given."""
        return self._tag

    @property
    def ready(self) -> bool:
        """Whether a message would be sent at once."""
        return self._lane is not None and not self.blocked

    def publish(self, message: Message) -> Confirmed:
        """See `toolyard.transport.base.Transport.publish`."""
        future: Confirmed = self._loop.create_future()
        if self._lane is None or self.blocked or self.careful:
            self._publish_if_possible(message, future)
        else:
            self._send(self._lane, message, future)
        return future

    def probe(self) -> None:
        """Publish something for nobody: the broker says that it blocks only to a connection that publishes."""
        if self._lane is not None and not self.blocked and not self._pending:
            with contextlib.suppress(AMQPError):  # it is being closed: the link sees to that
                self._lane.publish(_PROBE)
                self._tag += 1  # its confirm is nobody's

    # ---- what the connection tells --------------------------------------------------------------
    def up(self, lane: Lane) -> None:
        """A new channel in confirm mode: what waited goes first."""
        self._lane, self._tag = lane, 0
        self.blocked = False
        waiting, self._waiting = self._waiting, deque()
        for message, future, _ in waiting:
            if not future.done():
                self._publish_if_possible(message, future)

    def down(self, reason: ToolyardError) -> None:
        """The channel is gone: nobody will confirm what was sent on it."""
        if self._lane is not None:
            self._grace_ends = self._loop.time() + RECONNECT_GRACE
        self._lane, self._reason, self.blocked = None, str(reason), False
        pending, self._pending = self._pending, {}
        for future, _ in pending.values():
            _fail(future, Unconfirmed(f"sent, but not confirmed before the connection was lost: {reason}"))

    def block(self, blocked: bool) -> None:
        """The broker asks to publish nothing, or takes it back."""
        self.blocked = blocked

    def confirm(self, tag: int, multiple: bool, refused: bool) -> None:
        """The broker took or refused a message, or all up to it."""
        if not multiple:
            entry = self._pending.pop(tag, None)
            if entry is not None:
                _end(entry[0], refused)
            return
        for each in list(itertools.takewhile(lambda pending: pending <= tag, self._pending)):
            _end(self._pending.pop(each)[0], refused)

    def returned(self, message_id: str) -> None:
        """No queue takes this message; its confirm is on the way."""
        future = self._mandatory.get(message_id)
        if future is not None:
            _fail(future, Unroutable("there is no such queue at the broker"))

    async def drain(self, within: float) -> None:
        """Wait until all that was handed over is confirmed or has failed, at most this long."""
        open_ = [future for future, _ in self._pending.values()] + [future for _, future, _ in self._waiting]
        if open_:
            await asyncio.wait(open_, timeout=within)

    def close(self) -> None:
        """Fail what is left."""
        self.down(Unavailable("the transport was closed"))
        self._grace_ends = 0.0
        self._fail_waiting(float("inf"))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- inside ---------------------------------------------------------------------------------
    def _send(self, lane: Lane, message: Message, future: Confirmed) -> None:
        try:
            lane.publish(message)
        except ENCODING_ERRORS as error:
            future.set_exception(unsendable(error))
            return
        if message.mandatory:
            self._mandatory[message.message_id] = future
            future.add_done_callback(lambda _: self._mandatory.pop(message.message_id, None))
        self._tag += 1
        self._pending[self._tag] = (future, self._loop.time() + self._patience)
        if self._timer is None:
            self._look_later()

    def _publish_if_possible(self, message: Message, future: Confirmed) -> None:
        if self.blocked:
            future.set_exception(Unavailable(BLOCKED))
        elif self._lane is None:
            self._wait(message, future)
        elif reason := self._refusal(message):
            future.set_exception(Unavailable(reason))
        else:
            self._send(self._lane, message, future)

    def _wait(self, message: Message, future: Confirmed) -> None:
        now = self._loop.time()
        if now >= self._grace_ends:
            future.set_exception(Unavailable(f"the broker is away: {self._reason}"))
            return
        self._waiting.append((message, future, min(self._grace_ends, now + self._patience)))
        if self._timer is None:
            self._look_later()

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(self._look_every, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        self._fail_waiting(now)
        late = []
        for tag, (_, due) in self._pending.items():
            if due > now:
                break
            late.append(tag)
        for tag in late:
            _fail(self._pending.pop(tag)[0], Overdue("sent, but the broker did not confirm it in time"))
        self._timer = None
        if self._pending or self._waiting:
            self._look_later()

    def _fail_waiting(self, now: float) -> None:
        while self._waiting and self._waiting[0][2] <= now:
            _fail(self._waiting.popleft()[1], Unavailable(f"the broker is away: {self._reason}"))


def _end(future: Confirmed, refused: bool) -> None:
    if refused:
        _fail(future, NotTaken("the broker refused the message, or one of its queues did"))
    elif not future.done():
        future.set_result(None)


def _fail(future: Confirmed, error: TransportError) -> None:
    if not future.done():
        future.set_exception(error)
