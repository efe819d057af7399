"""Queues and consumers in memory, with the broker's semantics. Used by `EmbeddedTransport`, which routes into them.

They know nothing of the log, of exchanges or of what a message means.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from toolyard.telemetry.logs import logger
from toolyard.transport.base import Death, Delivery, Message, OnDelivery, Run
from toolyard.transport.topology import DELIVERY_LIMIT, Queue

_log = logger("transport")

#: Messages in a queue that refuses none: the oldest goes when a further one comes.
_MEMORY_LIMIT = 100_000


@dataclass(slots=True, eq=False)
class Entry:
    """A message in a queue: how often it was delivered before, how it died, and the timer of its expiry."""

    message: Message
    count: int = 0
    death: Death | None = None
    expiry: asyncio.TimerHandle | None = None


class MemoryQueue:
    """One queue and its consumers, served in turn.

    Args:
        spec: its name and arguments, as the topology has them.
        bury: takes an entry that died in this queue, with the reason.
    """

    def __init__(self, spec: Queue, bury: Callable[["MemoryQueue", Entry, str], None]) -> None:
        self.spec = spec
        self.waiting: deque[Entry] = deque()
        self.consumers: deque[MemorySubscription] = deque()
        self._bury = bury
        self._loop = asyncio.get_running_loop()
        self._woken = False
        self._limit = int(spec.arguments.get("x-max-length", _MEMORY_LIMIT))
        self._refuses = spec.arguments.get("x-overflow") == "reject-publish"

    @property
    def full(self) -> bool:
        """Whether a further message is refused to its publisher."""
        return self._refuses and len(self.waiting) >= self._limit

    def put(self, entry: Entry) -> None:
        """Take a message, at the end."""
        if not self._refuses and len(self.waiting) >= self._limit:
            _unwatch(self.waiting.popleft())
        self.waiting.append(entry)
        if entry.message.expiration:
            entry.expiry = self._loop.call_later(int(entry.message.expiration) / 1000, self._expire, entry)
        self.wake()

    def take_back(self, entries: Iterable[Entry], *, in_front: bool) -> None:
        """Take what was delivered and not handled; it counts as one more delivery."""
        returned: list[Entry] = []
        for entry in entries:
            entry.count += 1
            if entry.count > DELIVERY_LIMIT:
                self._bury(self, entry, "delivery_limit")
            else:
                returned.append(entry)
        if in_front:
            self.waiting.extendleft(reversed(returned))
        else:
            self.waiting.extend(returned)
        self.wake()

    def bury(self, entry: Entry) -> None:
        """Take what a consumer rejected: to the dead letters."""
        self._bury(self, entry, "rejected")

    def wake(self) -> None:
        """Deliver in the next turn of the loop: never from inside a publish or an ack."""
        if self.waiting and self.consumers and not self._woken:
            self._woken = True
            self._loop.call_soon(self._serve)

    def _serve(self) -> None:
        self._woken = False
        while self.waiting and (consumer := self._next_consumer()):
            entry = self.waiting.popleft()
            _unwatch(entry)
            consumer.deliver(entry)

    def _next_consumer(self) -> "MemorySubscription | None":
        for _ in range(len(self.consumers)):
            consumer = self.consumers[0]
            self.consumers.rotate(-1)
            if consumer.ready:
                return consumer
        return None

    def _expire(self, entry: Entry) -> None:
        entry.expiry = None
        self.waiting.remove(entry)
        self._bury(self, entry, "expired")


def _unwatch(entry: Entry) -> None:
    if entry.expiry is not None:
        entry.expiry.cancel()
        entry.expiry = None


class MemorySubscription:
    """One consumer of a queue; it is what its deliveries are settled with, too.

    Args:
        may_take: asked before each delivery, beside the prefetch.
        closed: told when the consumer is gone.
    """

    def __init__(
        self,
        queue: MemoryQueue,
        on_delivery: OnDelivery,
        prefetch: int,
        *,
        may_take: Callable[[], bool] = lambda: True,
        closed: Callable[[MemoryQueue], None] = lambda _: None,
    ) -> None:
        self._queue = queue
        self._on_delivery = on_delivery
        self._prefetch = prefetch
        self._may_take = may_take
        self._closed = closed
        self._tags = itertools.count(1)
        self._unsettled: dict[int, Entry] = {}
        self._open, self._paused = True, False
        queue.consumers.append(self)
        queue.wake()

    # -- the subscription -----------------------------------------------------------------------
    @property
    def active(self) -> bool:
        """Whether it is delivered to at this moment."""
        return self._open and not self._paused

    async def pause(self) -> None:
        """Take no more deliveries."""
        self._paused = True

    async def resume(self) -> None:
        """Take deliveries again."""
        self._paused = False
        self._queue.wake()

    async def close(self) -> None:
        """Stop for good; what is not settled goes back to its queue."""
        self.end()

    def end(self) -> None:
        """What `close` does; for the transport, which ends all at once."""
        if not self._open:
            return
        self._open = False
        self._queue.consumers.remove(self)
        entries = list(self._unsettled.values())
        self._unsettled.clear()
        self._queue.take_back(entries, in_front=True)
        self._closed(self._queue)

    # -- deliveries -----------------------------------------------------------------------------
    @property
    def ready(self) -> bool:
        """Whether it takes one more."""
        return self.active and len(self._unsettled) < self._prefetch and self._may_take()

    def wake(self) -> None:
        """Ask again whether it takes more."""
        self._queue.wake()

    def deliver(self, entry: Entry) -> None:
        """Hand one over."""
        tag, message = next(self._tags), entry.message
        self._unsettled[tag] = entry
        delivery = Delivery(
            queue=self._queue.spec.name,
            exchange=message.exchange,
            key=message.key,
            body=message.body,
            message_id=message.message_id,
            headers=message.headers,
            expiration=message.expiration,
            count=entry.count,
            tag=tag,
            settle=self,
            kind=message.kind,
            correlation_id=message.correlation_id,
            death=entry.death,
        )
        try:
            self._on_delivery(delivery)
        except Exception:  # noqa: BLE001 - a defect of one consumer must not stop the queue for the others
            _log.exception("a consumer failed; its delivery goes back", queue=delivery.queue)
            delivery.release()

    # -- settling -------------------------------------------------------------------------------
    def ack(self, tag: int) -> None:
        """Done with."""
        self._take(tag)

    def reject(self, tag: int) -> None:
        """To the dead letters."""
        entry = self._take(tag)
        if entry is not None:
            self._queue.bury(entry)

    def release(self, tag: int) -> None:
        """Back into the queue, behind the others, so that one message cannot hold them up."""
        entry = self._take(tag)
        if entry is not None:
            self._queue.take_back([entry], in_front=False)

    def alive(self) -> bool:
        """Whether it still consumes; if not, the delivery went back to its queue."""
        return self._open

    def _take(self, tag: int) -> Entry | None:
        entry = self._unsettled.pop(tag, None)
        self._queue.wake()
        return entry


class Slots:
    """Runs deliveries as tasks, so many at a time: the ``on_delivery`` of ``work``.

    Args:
        run: runs one attempt and settles its delivery.
        healthy: whether new work may be started.
    """

    def __init__(self, run: Run, slots: int, healthy: Callable[[], bool]) -> None:
        self._run = run
        self._slots = slots
        self._healthy = healthy
        self._tasks: set[asyncio.Task[None]] = set()
        self.subscription: MemorySubscription | None = None

    def may_take(self) -> bool:
        """Whether a slot is free and new work may be started."""
        return len(self._tasks) < self._slots and self._healthy()

    def __call__(self, delivery: Delivery) -> None:
        """Start one."""
        task = asyncio.get_running_loop().create_task(self._one(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def _one(self, delivery: Delivery) -> None:
        if not delivery.alive:
            return
        try:
            await self._run(delivery)
        except Exception:  # noqa: BLE001 - a defect of one attempt; the pool goes on
            _log.exception("an attempt failed inside Toolyard; its delivery goes back", key=delivery.key)
            delivery.release()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if self.subscription is not None:
            self.subscription.wake()
