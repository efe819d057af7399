"""Events of calls on their way to their gateways: those that are ready at the same moment travel as one message.

Used by workers for outcomes, by the scheduler for its verdicts. A message costs the broker the same whether it holds
one event or thirty: the busier its publisher is, the less each event costs. One that comes alone leaves alone, at once
(docs/decisions/0007).
"""

import asyncio
from collections import deque
from functools import cached_property, partial
from typing import Final, NamedTuple

from toolyard.contracts import codec
from toolyard.contracts.events import CallEvent
from toolyard.errors import TransportError, Unavailable
from toolyard.transport.base import Transport
from toolyard.transport.envelope import Envelope

#: Events in one message, and their bytes together; a larger one travels alone.
MAX_COUNT: Final = 64
MAX_BYTES: Final = 128 * 1024
#: Messages to one gateway that wait for their confirms; what comes meanwhile is collected.
UNDER_WAY: Final = 2

Confirmed = asyncio.Future[None]
#: Pool and gateway: what travels together has both in common.
_Way = tuple[str, str]


class _Waiting(NamedTuple):
    event: CallEvent
    encoded: bytes
    confirmed: Confirmed


class _Group:
    """The events of one pool's calls for one gateway.

    Attributes:
        woken: whether the waiting ones leave with the next turn of the loop.
    """

    __slots__ = ("under_way", "waiting", "woken")

    def __init__(self) -> None:
        self.waiting: deque[_Waiting] = deque()
        self.under_way = 0
        self.woken = False

    def take(self) -> list[_Waiting]:
        """The next message's events: at least one."""
        taken = [self.waiting.popleft()]
        size = len(taken[0].encoded)
        while self.waiting and len(taken) < MAX_COUNT:
            size += len(self.waiting[0].encoded)
            if size > MAX_BYTES:
                break
            taken.append(self.waiting.popleft())
        return taken


class Bundles:
    """Publishes events of calls."""

    def __init__(self, transport: Transport, envelope: Envelope) -> None:
        self._transport = transport
        self._envelope = envelope
        self._groups: dict[_Way, _Group] = {}

    def publish(self, event: CallEvent, encoded: bytes | None = None) -> Confirmed:
        """Hand over an event, with its bytes where they are there already.

        The future ends as that of `toolyard.transport.base.Transport.publish`.
        """
        confirmed: Confirmed = self._loop.create_future()
        way = (event.pool, event.gateway)
        group = self._groups.get(way)
        if group is None:
            group = self._groups[way] = _Group()
        group.waiting.append(_Waiting(event, codec.encode(event) if encoded is None else encoded, confirmed))
        if not group.woken and group.under_way < UNDER_WAY:
            group.woken = True
            self._loop.call_soon(self._send, way, group)
        return confirmed

    def _send(self, way: _Way, group: _Group) -> None:
        group.woken = False
        while group.waiting and group.under_way < UNDER_WAY:
            taken = group.take()
            if len(taken) == 1:
                message = self._envelope.event(taken[0].event, taken[0].encoded)
            else:
                message = self._envelope.outcomes(*way, [each.encoded for each in taken])
            group.under_way += 1
            self._transport.publish(message).add_done_callback(partial(self._sent, way, group, taken))

    def _sent(self, way: _Way, group: _Group, taken: list[_Waiting], sent: Confirmed) -> None:
        group.under_way -= 1
        error = Unavailable("the transport was closed") if sent.cancelled() else sent.exception()
        for each in taken:
            if each.confirmed.done():  # its attempt was abandoned
                continue
            if error is None:
                each.confirmed.set_result(None)
            else:  # one exception each: those who wait add their tracebacks to it
                kind = type(error) if isinstance(error, TransportError) else Unavailable
                each.confirmed.set_exception(kind(str(error)))
        if group.waiting:
            self._send(way, group)
        elif not group.under_way and not group.woken:
            self._groups.pop(way, None)

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """The one loop that we run on: asking for it is a system call (Python before 3.12)."""
        return asyncio.get_running_loop()
