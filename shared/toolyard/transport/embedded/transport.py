"""`EmbeddedTransport`: everything a broker does for Toolyard, in one process. Built by its composition root alone.

The log's records go to the journal first, in grouped transactions; once durable they are routed to queues in memory.
"""

import asyncio
import dataclasses
from collections.abc import Sequence

from toolyard.errors import StoreError, Unavailable
from toolyard.transport import topology
from toolyard.transport.base import Death, Health, Message, OnDelivery, Run
from toolyard.transport.embedded.journal import Journal
from toolyard.transport.embedded.log import JournalReader, Log
from toolyard.transport.embedded.queues import Entry, MemoryQueue, MemorySubscription, Slots

#: Routing keys whose queues are remembered; keys carry tool names, of which there may be many.
_ROUTES_KEPT = 10_000
_CLOSE_WITHIN = 1.0
_EXCHANGES = frozenset(topology.EXCHANGES)
_LOG_BINDINGS = next(queue.bindings for queue in topology.QUEUES if queue.name == topology.LOG)


@dataclasses.dataclass(frozen=True, slots=True)
class _Route:
    queues: tuple[MemoryQueue, ...]
    logged: bool


class EmbeddedTransport:
    """One object, shared by all parts of the process. What waits in its queues dies with it; the journal does not.

    Args:
        journal: keeps the log.
        publish_timeout: seconds within which every publish is answered.
    """

    def __init__(self, journal: Journal, *, publish_timeout: float = 2.0) -> None:
        self._journal = journal
        self._publish_timeout = publish_timeout
        self._log: Log | None = None
        self._closed = False
        self._queues: dict[str, MemoryQueue] = {}
        self._routes: dict[tuple[str, str], _Route] = {}
        self._expiries: dict[str, asyncio.TimerHandle] = {}

    # -- its life -------------------------------------------------------------------------------
    async def open(self) -> None:
        """Make the shared queues and look where the journal ends; nothing more the second time.

        Raises:
            Unavailable: the journal cannot be read.
        """
        if self._log is not None:
            return
        log = Log(self._journal, route=self._deliver, recovered=self._wake, timeout=self._publish_timeout)
        try:
            await log.open()
        except (StoreError, OSError) as error:
            await log.close(within=0)
            raise Unavailable(f"the journal cannot be read: {error}") from error
        for spec in topology.QUEUES:
            if spec.name != topology.LOG:
                self._queues[spec.name] = MemoryQueue(spec, self._bury)
        self._log = log

    async def close(self) -> None:
        """Commit what was handed over, as far as that goes within a second, then deliver nothing more."""
        if self._log is None or self._closed:
            return
        self._closed = True
        await self._log.close(within=_CLOSE_WITHIN)
        for timer in self._expiries.values():
            timer.cancel()
        for queue in self._queues.values():
            for consumer in list(queue.consumers):
                consumer.end()

    @property
    def health(self) -> Health:
        """What can be done now; a failing journal is a broker that is away."""
        if self._log is None or self._closed:
            return Health(connected=False, reason="the transport is not open")
        return Health(connected=not self._log.failing, reason=self._log.problem)

    # -- publishing -----------------------------------------------------------------------------
    def publish(self, message: Message) -> "asyncio.Future[None]":
        """Hand over a message; the future ends once it is durable and in its queues. Never raises by itself."""
        if self._log is None or self._closed:
            return _refused("the transport is not open")
        if message.exchange not in _EXCHANGES:
            return _refused(f"there is no exchange {message.exchange!r}")
        route = self._route(message.exchange, message.key)
        for queue in route.queues:
            if queue.full:
                return _refused(f"the queue {queue.spec.name} is full")
        if route.logged or not self._log.idle:
            return self._log.append(message, logged=route.logged)
        self._deliver(message)
        return _done()

    def redeliver(self, message: Message, count: int) -> None:
        """Put a message into its queues as one delivered ``count`` times before; the log has it already."""
        for queue in self._route(message.exchange, message.key).queues:
            queue.put(Entry(message, count))

    def _deliver(self, message: Message) -> None:
        for queue in self._route(message.exchange, message.key).queues:
            queue.put(Entry(message))

    def _route(self, exchange: str, key: str) -> _Route:
        route = self._routes.get((exchange, key))
        if route is None:
            if len(self._routes) >= _ROUTES_KEPT:
                self._routes.clear()
            taken = [queue for queue in self._queues.values() if _takes(queue.spec.bindings, exchange, key)]
            route = _Route(tuple(taken), _takes(_LOG_BINDINGS, exchange, key))
            self._routes[exchange, key] = route
        return route

    def _bury(self, queue: MemoryQueue, entry: Entry, reason: str) -> None:
        """Move what died to where its queue sends the dead; a queue that names no place drops them."""
        target = queue.spec.arguments.get("x-dead-letter-routing-key")
        if target is None:
            return
        message = entry.message
        death = Death(reason, queue.spec.name, message.exchange, message.key)
        dead = dataclasses.replace(message, exchange="", key=str(target), expiration="")
        self._queues[str(target)].put(Entry(dead, death=death))

    # -- consuming ------------------------------------------------------------------------------
    async def consume(self, queue: str, on_delivery: OnDelivery, *, prefetch: int) -> MemorySubscription:
        """Consume a queue with at most ``prefetch`` unsettled deliveries.

        Raises:
            Unavailable: there is no such queue.
        """
        return MemorySubscription(self._consumed(queue), on_delivery, prefetch, closed=self._left)

    async def work(self, pool: str, run: Run, *, slots: int, paused: bool = False) -> MemorySubscription:
        """Run the calls of a pool, at most ``slots`` at a time; none is started while the journal fails."""
        queue = self._consumed(topology.pool_queue(pool))
        starter = Slots(run, slots, lambda: self.health.ok)
        subscription = MemorySubscription(queue, starter, slots, may_take=starter.may_take, closed=self._left)
        starter.subscription = subscription
        if paused:
            await subscription.pause()
        return subscription

    async def own_queue(self, name: str, bindings: Sequence[tuple[str, str]]) -> None:
        """Make a queue and bind it; without a consumer it is gone after a minute."""
        kept = self._queues.get(name)
        bound = (*kept.spec.bindings, *bindings) if kept else tuple(bindings)
        spec = topology.Queue(name, {"x-expires": topology.OWN_QUEUE_EXPIRES * 1000}, bound)
        if kept is None:
            self._queues[name] = MemoryQueue(spec, self._bury)
            self._left(self._queues[name])
        else:
            kept.spec = spec
        self._routes.clear()

    def _consumed(self, name: str) -> MemoryQueue:
        queue = self._queues.get(name)
        if queue is None or self._closed:
            raise Unavailable(f"there is no queue {name}")
        timer = self._expiries.pop(name, None)
        if timer is not None:
            timer.cancel()
        return queue

    def _left(self, queue: MemoryQueue) -> None:
        """Start the clock of an own queue that nobody consumes."""
        expires = queue.spec.arguments.get("x-expires")
        if expires is None or queue.consumers or self._closed:
            return
        loop = asyncio.get_running_loop()
        self._expiries[queue.spec.name] = loop.call_later(int(expires) / 1000, self._expire, queue.spec.name)

    def _expire(self, name: str) -> None:
        self._expiries.pop(name, None)
        self._queues.pop(name, None)
        self._routes.clear()

    def _wake(self) -> None:
        for queue in self._queues.values():
            queue.wake()

    # -- looking --------------------------------------------------------------------------------
    async def read_log(self, offset: int | None) -> JournalReader:
        """Read the log from this offset on (inclusive), or from its first record.

        Raises:
            Unavailable: the transport is not open.
        """
        if self._log is None or self._closed:
            raise Unavailable("the transport is not open")
        return JournalReader(self._log, 0 if offset is None else offset)

    async def backlog(self, queue: str) -> int:
        """How many messages wait in a queue (0 where it is missing)."""
        return len(self.waiting(queue))

    def waiting(self, queue: str) -> Sequence[tuple[Message, int]]:
        """What waits in a queue, and how often each was delivered before: for a process that ends in good order."""
        kept = self._queues.get(queue)
        return [(entry.message, entry.count) for entry in kept.waiting] if kept else []


def _takes(bindings: Sequence[tuple[str, str]], exchange: str, key: str) -> bool:
    return any(source == exchange and topology.matches(pattern, key) for source, pattern in bindings)


def _done() -> "asyncio.Future[None]":
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


def _refused(reason: str) -> "asyncio.Future[None]":
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(Unavailable(reason))
    return future
