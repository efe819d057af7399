"""What the cases of `toolyard.testing.transport_suite` are made of: messages, an inbox, attempts, and ways to wait.

For that suite and for tests of one transport alone. It knows the seam and the topology.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from msgspec import Raw

from toolyard import ids
from toolyard.contracts import codec
from toolyard.contracts.calls import VERSION, Call, CallMessage, Result
from toolyard.contracts.control import Cancel
from toolyard.contracts.events import Succeeded, about, sequence
from toolyard.contracts.tools import HttpBinding, PinnedTool
from toolyard.transport import topology
from toolyard.transport.base import Delivery, LogReader, Message, Record, Subscription, Transport

T = TypeVar("T")

#: Seconds after which something that should happen is taken as missing.
WAIT = 60.0
POOL = "http"
QUEUE = topology.pool_queue(POOL)


def call_message(
    *, gateway: str = "g1", tool: str = "weather", body: bytes = b"{}", event: str = "accepted"
) -> Message:
    """A message for the pool's queue and the log."""
    key = topology.call_key(event, POOL, "default", gateway, tool)
    return Message(topology.CALLS, key, body, ids.new_id())


def event_message(event: str = "succeeded", *, gateway: str = "g1", body: bytes = b"{}") -> Message:
    """A lifecycle event for its gateway and, unless it is ``progress``, the log."""
    key = topology.call_key(event, POOL, "default", gateway, "weather")
    return Message(topology.EVENTS, key, body, ids.new_id())


def control_message(event: str = "cancel") -> Message:
    """A control message."""
    return Message(topology.CONTROL, topology.control_key(event, pool=POOL), b"{}", ids.new_id())


class Inbox:
    """Receives the deliveries of one queue, in order.

    Args:
        ack: settle each at once; else the case settles them.
    """

    def __init__(self, *, ack: bool = True) -> None:
        self.seen: list[Delivery] = []
        self._ack = ack
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()

    def __call__(self, delivery: Delivery) -> None:
        """Take a delivery; this is the transport's ``on_delivery``."""
        self.seen.append(delivery)
        if self._ack:
            delivery.ack()
        self._queue.put_nowait(delivery)

    async def next(self) -> Delivery:
        """The next delivery."""
        async with asyncio.timeout(WAIT):
            return await self._queue.get()

    async def take(self, count: int) -> list[Delivery]:
        """The next ``count`` deliveries."""
        return [await self.next() for _ in range(count)]


async def eventually(check: Callable[[], Awaitable[T]]) -> T:
    """Ask until the answer is true: for what the other side tells nobody."""
    async with asyncio.timeout(WAIT):
        while not (answer := await check()):  # noqa: ASYNC110 - nothing of ours tells when it changes
            await asyncio.sleep(0.01)
    return answer


async def publish(transport: Transport, *messages: Message) -> None:
    """Hand over all at once, in this order, and wait until all are durable."""
    async with asyncio.timeout(WAIT):
        await asyncio.gather(*[transport.publish(message) for message in messages])


async def read(reader: LogReader, count: int, *, limit: int = 100) -> list[Record]:
    """The next ``count`` records of the log, in as many batches as it takes."""
    records: list[Record] = []
    async with asyncio.timeout(WAIT):
        while len(records) < count:
            batch = await reader.batch(min(limit, count - len(records)))
            assert 1 <= len(batch) <= limit
            records += batch
    return records


async def backlog_is(transport: Transport, queue: str, count: int) -> None:
    """Wait until so many messages wait in a queue."""

    async def check() -> bool:
        return await transport.backlog(queue) == count

    await eventually(check)


class Attempts:
    """What ``work`` runs: attempts that wait until the case lets them end."""

    def __init__(self) -> None:
        self.running: list[Delivery] = []
        self.most = 0
        self._gates: dict[str, asyncio.Event] = {}
        self._changed = asyncio.Condition()

    async def __call__(self, delivery: Delivery) -> None:
        """Run one attempt; this is the transport's ``run``."""
        gate = self._gates[delivery.message_id] = asyncio.Event()
        async with self._changed:
            self.running.append(delivery)
            self.most = max(self.most, len(self.running))
            self._changed.notify_all()
        await gate.wait()
        async with self._changed:
            self.running.remove(delivery)
            self._changed.notify_all()
        delivery.ack()

    async def wait_for(self, count: int) -> None:
        """Wait until so many run."""
        async with asyncio.timeout(WAIT), self._changed:
            await self._changed.wait_for(lambda: len(self.running) == count)

    def end(self, delivery: Delivery) -> None:
        """Let one end."""
        self._gates[delivery.message_id].set()


async def listen(transport: Transport, gateway: str) -> Inbox:
    """Declare, bind and consume the queue of a gateway."""
    inbox = Inbox()
    await transport.own_queue(topology.reply_queue(gateway), topology.reply_bindings(gateway))
    await transport.consume(topology.reply_queue(gateway), inbox, prefetch=500)
    return inbox


async def is_active(subscription: Subscription) -> None:
    """Wait until a subscription is active."""

    async def check() -> bool:
        return subscription.active

    await eventually(check)


def monitor_messages() -> Sequence[Message]:
    """What the monitor channel carries, on either exchange."""
    key = f"monitor.heartbeat.{POOL}.-.-.w1"
    return [Message(exchange, key, b"{}", ids.new_id()) for exchange in (topology.EVENTS, topology.CONTROL)]


def signed_call() -> CallMessage:
    """A whole pool message, ready to be sealed."""
    tool = PinnedTool(binding=HttpBinding(method="GET", url="https://example.com/${arguments.city}"))
    call = Call(
        call_id=ids.new_id(),
        org="default",
        tool="weather.in.a.city",
        version=1,
        pool=POOL,
        gateway="g1",
        principal="k1",
        arguments={"city": "Zürich", "days": 3},
        body_hash="0" * 64,
        accepted_at=1_800_000_000.0,
        deadline=1_800_000_300.0,
        timeout=30.0,
    )
    return CallMessage(v=VERSION, call=call, tool=Raw(codec.encode(tool)), budget=300.0)


def succeeded(call: Call) -> Succeeded:
    """The outcome of such a call."""
    result = Result(content="sunny")
    return Succeeded(
        **about(call),
        attempt=1,
        sequence=sequence(1, 0),
        time=1_800_000_001.0,
        effect="done",
        finished_at=1_800_000_001.0,
        result=result,
    )


def cancel_of(call: Call) -> Cancel:
    """The request to cancel it."""
    return Cancel(v=VERSION, sender="g1", time=1_800_000_000.0, call_id=call.call_id, org=call.org)
