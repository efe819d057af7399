"""The seam between the parts and what carries their messages.

Gateways, workers and schedulers know these protocols only; ``rabbitmq`` and ``embedded`` keep them, and
`toolyard.testing.transport_suite` holds both to one behaviour. Everything here belongs to one asyncio loop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Header = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Message:
    """What is published: durable, to a named exchange, or by the default one (its name is empty) to the queue ``key``.

    Attributes:
        expiration: milliseconds in the queue, as text (AMQP); empty for none.
        kind: the AMQP ``type``.
        content_type: told to those who read it outside; empty where nobody does.
        mandatory: its future raises `Unroutable` where no queue takes it. Only for messages whose ids are their own.
    """

    exchange: str
    key: str
    body: bytes
    message_id: str
    headers: Mapping[str, Header] = field(default_factory=dict)
    expiration: str = ""
    kind: str = ""
    correlation_id: str = ""
    persistent: bool = True
    content_type: str = ""
    mandatory: bool = False


class Settle(Protocol):
    """How a delivery is settled; the transport gives one to each delivery."""

    def ack(self, tag: int) -> None:
        """Done with."""

    def reject(self, tag: int) -> None:
        """To the dead letters."""

    def release(self, tag: int) -> None:
        """Back into the queue."""

    def alive(self) -> bool:
        """Whether the connection still stands."""


@dataclass(frozen=True, slots=True)
class Death:
    """Why and from where a message came to the dead letters."""

    reason: str
    queue: str
    exchange: str
    key: str


@dataclass(slots=True, eq=False)
class Delivery:
    """What was delivered. It is settled exactly once; settling is silent when its connection is gone.

    Attributes:
        count: how often it was delivered before (also to workers that died holding it); 0 on the first delivery.
        headers: as published; values of other types than `Header` were dropped.
        dropped: tells the names of these.
        death: given for a dead letter; its exchange and key are those it was published with.
    """

    queue: str
    exchange: str
    key: str
    body: bytes
    message_id: str
    headers: Mapping[str, Header]
    expiration: str
    count: int
    tag: int
    settle: Settle
    kind: str = ""
    correlation_id: str = ""
    reply_to: str = ""
    user_id: str = ""
    death: Death | None = None
    dropped: Callable[[], Sequence[str]] = tuple

    @property
    def died(self) -> bool:
        """Whether it came out of some queue that it had died in, and not from its publisher."""
        return self.death is not None

    @property
    def alive(self) -> bool:
        """Whether the connection it came on still stands; if not, the broker delivers it again."""
        return self.settle.alive()

    def ack(self) -> None:
        """Done with: the broker forgets it."""
        self.settle.ack(self.tag)

    def reject(self) -> None:
        """Not to be handled by anybody: to the dead letters."""
        self.settle.reject(self.tag)

    def release(self) -> None:
        """Not by us: back into its queue, for another consumer."""
        self.settle.release(self.tag)


#: Called on the loop for each delivery, in order; must not block. It settles the delivery, now or later.
OnDelivery = Callable[[Delivery], None]
#: Runs one attempt and settles its delivery; a task of its own on the loop.
Run = Callable[[Delivery], Awaitable[None]]


class Subscription(Protocol):
    """A running consumer of one queue. It comes back by itself after a lost connection."""

    @property
    def active(self) -> bool:
        """Whether the broker delivers to it at this moment."""

    async def pause(self) -> None:
        """Take no more deliveries; those under way stay ours to settle."""

    async def resume(self) -> None:
        """Take deliveries again."""

    async def close(self) -> None:
        """Stop for good; what is not settled goes back to its queue."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the log.

    Attributes:
        died: it came out of some queue that it had died in, and not from its publisher.
    """

    offset: int
    exchange: str
    key: str
    body: bytes
    message_id: str
    headers: Mapping[str, Header]
    expiration: str = ""
    died: bool = False


class LogReader(Protocol):
    """Reads the log in order, from one place on."""

    async def batch(self, limit: int) -> Sequence[Record]:
        """The next records, at least one, at most ``limit``; waits until there is one.

        Raises:
            Unavailable: the connection is lost; open a new reader where the ledger stands.
        """

    async def close(self) -> None:
        """Stop reading."""


@dataclass(frozen=True, slots=True)
class Health:
    """What a transport can do at this moment.

    Attributes:
        connected: it can consume and publish.
        blocked: the broker asks to publish nothing (memory or disk alarm); nothing new should be started.
        missing: pool queues or the log that should be there and are not.
    """

    connected: bool
    blocked: bool = False
    missing: tuple[str, ...] = ()
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether new work may be started."""
        return self.connected and not self.blocked and not self.missing


class Transport(Protocol):
    """Carries messages for one process."""

    async def open(self) -> None:
        """Connect, and declare or check what is needed; returns when it is ready or has begun to try again.

        Raises:
            SettingsError: what is there contradicts the topology (another queue type, say).
        """

    async def close(self) -> None:
        """Publish what was handed over, as far as that goes within a second, then disconnect."""

    @property
    def health(self) -> Health:
        """What can be done now."""

    def publish(self, message: Message) -> "asyncio.Future[None]":
        """Hand over a message; the future ends when it is durable wherever it is routed to.

        The future raises `Unavailable` (nothing was sent) or `Unconfirmed` (refused or not confirmed in time; it may
        be in some of the queues), within the publish timeout (2 s) in any case; `Unroutable` where it is mandatory and
        there is no queue for it. `NotTaken` says that a queue refused it, `Overdue` that nothing was heard in time.
        Never raises by itself.
        """

    async def consume(self, queue: str, on_delivery: OnDelivery, *, prefetch: int) -> Subscription:
        """Consume a queue with at most ``prefetch`` unsettled deliveries."""

    async def work(self, pool: str, run: Run, *, slots: int, paused: bool = False) -> Subscription:
        """Run the calls of a pool, at most ``slots`` at a time (the prefetch); ``paused``: from `resume` on.

        Nothing new is started while the broker blocks publishing; a delivery whose connection was lost before its
        start is dropped. ``run`` settles its delivery; an exception that leaves it is a defect: it is logged, and the
        delivery is released.
        """

    async def own_queue(self, name: str, bindings: Sequence[tuple[str, str]]) -> None:
        """Declare a queue of this process (durable, expires 60 s after its consumer) and bind it.

        It is declared and bound anew after each reconnect. ``bindings``: pairs of exchange and key pattern.
        """

    async def read_log(self, offset: int | None) -> LogReader:
        """Read the log from this offset on (inclusive), or from its first record.

        Raises:
            Unavailable: the broker is away.
        """

    async def backlog(self, queue: str) -> int:
        """How many messages wait in a queue (0 where it is missing)."""
