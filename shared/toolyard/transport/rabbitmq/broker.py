"""Workers as dramatiq sees them: a broker whose consumer is our own, on our loop, and actors that run on it as tasks.

dramatiq is the frame (broker, actor, middleware, worker and its threads for actors that block); the deliveries come
from `toolyard.transport.rabbitmq.consumer`. Calls are published by gateways, so nothing is ever enqueued here.
"""

import asyncio
import queue
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import dramatiq
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Middleware, SkipMessage

from toolyard.clock import SYSTEM
from toolyard.errors import ToolyardError
from toolyard.telemetry.logs import logger
from toolyard.transport import topology
from toolyard.transport.base import Delivery, OnDelivery, Run
from toolyard.transport.rabbitmq.consumer import Consumer

#: Milliseconds after which dramatiq's threads look whether they should stop.
LOOK_EVERY = 1000

MakeConsumer = Callable[[str, OnDelivery, int], Consumer]


class DeliveryMessage(dramatiq.broker.MessageProxy):
    """A delivery as dramatiq's middleware sees it. The message itself is made only when somebody reads it."""

    def __init__(self, delivery: Delivery, actor_name: str) -> None:
        self.failed = False
        self._exception = None
        self._made: dramatiq.Message[Any] | None = None
        self._actor_name = actor_name
        self.delivery = delivery

    @property
    def _message(self) -> "dramatiq.Message[Any]":  # type: ignore[override]
        if self._made is None:
            delivery = self.delivery
            self._made = dramatiq.Message(
                queue_name=delivery.queue,
                actor_name=self._actor_name,
                args=(delivery,),
                kwargs={},
                options={"delivery_count": delivery.count, "headers": delivery.headers},
                message_id=delivery.message_id,
                message_timestamp=int(SYSTEM.now() * 1000),
            )
        return self._made


class LoopActor(dramatiq.Actor[Any, Any]):
    """An actor whose coroutine function runs as a task on our loop, where dramatiq would give it a thread."""

    def __init__(self, run: Run, *, broker: "WorkBroker", pool: str, queue_name: str) -> None:
        self.run = run
        super().__init__(run, broker=broker, actor_name=pool, queue_name=queue_name, priority=0, options={})


class DropLost(Middleware):
    """Drops what must not start any more: the broker delivers it again, perhaps it has done so already."""

    def before_process_message(self, broker: dramatiq.Broker, message: Any) -> None:
        """Called right before an attempt starts."""
        if not message.delivery.alive:
            raise SkipMessage("the connection that the delivery came on is gone")


class Defects(Middleware):
    """Tells of attempts that end with an exception, which is always a defect, and has their deliveries released."""

    def after_process_message(
        self, broker: dramatiq.Broker, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        """Called right after an attempt has ended."""
        if exception is not None:
            message_id = message.delivery.message_id
            logger("worker").error("an attempt ended with a defect", message_id=message_id, exc_info=exception)
            message.fail()


class WorkBroker(dramatiq.Broker):
    """Feeds the actors of one pool.

    Args:
        may_start: whether attempts may be started now; if not, deliveries wait for `go_on`.
    """

    subscription: Consumer

    def __init__(self, *, may_start: Callable[[], bool]) -> None:
        super().__init__(middleware=[DropLost(), Defects()])
        self.loop = asyncio.get_running_loop()
        self.subscribed: asyncio.Future[None] = self.loop.create_future()
        self._may_start = may_start
        self._consumer: WorkConsumer | None = None
        self._held: deque[Delivery] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- on our loop ----------------------------------------------------------------------------
    def take(self, delivery: Delivery) -> None:
        """A delivery: it starts now, or when the broker lets us publish again."""
        if self._held or not self._may_start():
            self._held.append(delivery)
        else:
            self._start(delivery)

    def go_on(self) -> None:
        """Start what waited."""
        while self._held and self._may_start():
            self._start(self._held.popleft())

    def forget(self) -> None:
        """Start nothing any more: what waits goes back with its channel."""
        self._held.clear()
        if self._consumer is not None:
            self._consumer.stop()

    def _start(self, delivery: Delivery) -> None:
        actor = self.actors[self._actor_name]
        message = DeliveryMessage(delivery, actor.actor_name)
        if isinstance(actor, LoopActor):
            task = self.loop.create_task(self._process(actor, message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif self._consumer is not None:
            self._consumer.inbox.put(message)

    async def _process(self, actor: LoopActor, message: DeliveryMessage) -> None:
        """What dramatiq's worker thread does with a message, as a task."""
        try:
            self.emit_before("process_message", message)
            await actor.run(message.delivery)
            self.emit_after("process_message", message, result=None)
        except SkipMessage:
            self.emit_after("skip_message", message)
        except Exception as error:  # noqa: BLE001 - a defect in an attempt must not cost the worker
            self.emit_after("process_message", message, exception=error)
            message.delivery.release()

    # ---- dramatiq's side ------------------------------------------------------------------------
    def declare_queue(self, queue_name: str) -> None:
        """Take note of a queue; the topology declares it."""
        self.emit_before("declare_queue", queue_name)
        self.queues[queue_name] = None
        self.emit_after("declare_queue", queue_name)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = LOOK_EVERY) -> "WorkConsumer":
        """Called on dramatiq's consumer thread; the prefetch is the slots, set where we subscribe."""
        self._consumer = WorkConsumer(self, timeout / 1000)
        future = asyncio.run_coroutine_threadsafe(self._subscribe_and_tell(), self.loop)
        try:
            future.result()
        except ToolyardError as error:
            raise ConnectionClosed(error) from error  # type: ignore[no-untyped-call]
        return self._consumer

    async def _subscribe_and_tell(self) -> None:
        try:
            await self.subscription.start()
        except ToolyardError as error:
            if not self.subscribed.done():
                self.subscribed.set_exception(error)
            raise
        if not self.subscribed.done():
            self.subscribed.set_result(None)

    def unsubscribe(self) -> None:
        """Called on dramatiq's threads when the worker stops."""
        asyncio.run_coroutine_threadsafe(self.subscription.close(), self.loop).result()

    def enqueue(self, message: "dramatiq.Message[Any]", *, delay: int | None = None) -> "dramatiq.Message[Any]":
        """Refused: there is no way past a gateway."""
        raise NotImplementedError(
            f"calls are published by a gateway, not enqueued: {message.actor_name} was to go to {message.queue_name}"
        )

    @property
    def _actor_name(self) -> str:
        return next(iter(self.actors))


class WorkConsumer(dramatiq.broker.Consumer):
    """What dramatiq's consumer thread iterates: only messages for actors that block come this way."""

    def __init__(self, broker: WorkBroker, timeout: float) -> None:
        self._broker, self._timeout = broker, timeout
        self.inbox: queue.SimpleQueue[DeliveryMessage | None] = queue.SimpleQueue()

    def stop(self) -> None:
        """Look more often whether to stop, beginning now."""
        self._timeout = 0.01
        self.inbox.put(None)

    def __next__(self) -> DeliveryMessage | None:
        try:
            return self.inbox.get(timeout=self._timeout)
        except queue.Empty:
            return None

    def ack(self, message: Any) -> None:
        """An actor that blocks has ended."""
        self._broker.loop.call_soon_threadsafe(message.delivery.ack)

    def nack(self, message: Any) -> None:
        """An actor that blocks has ended with a defect."""
        self._broker.loop.call_soon_threadsafe(message.delivery.release)

    def requeue(self, messages: Iterable[Any]) -> None:
        """Nothing to do: what is not settled goes back when the channel closes."""

    def close(self) -> None:
        """The worker stops."""
        self._broker.unsubscribe()


class Work:
    """The dramatiq worker of one pool. Keeps `toolyard.transport.base.Subscription`."""

    def __init__(self, broker: WorkBroker, subscription: Consumer, queue_name: str, *, slots: int) -> None:
        self._broker, self._subscription = broker, subscription
        self._closed = False
        blocking = any(not isinstance(actor, LoopActor) for actor in broker.actors.values())
        self._worker = dramatiq.Worker(
            broker, queues={queue_name}, worker_timeout=LOOK_EVERY, worker_threads=slots if blocking else 0
        )
        self._worker.queue_prefetch = slots

    async def start(self) -> None:
        """Begin to work; raises what subscribing raises."""
        self._worker.start()
        try:
            await self._broker.subscribed
        except ToolyardError:
            await self.close()
            raise

    def go_on(self) -> None:
        """The broker lets us publish again."""
        self._broker.go_on()

    @property
    def active(self) -> bool:
        """See `toolyard.transport.base.Subscription`."""
        return self._subscription.active

    async def pause(self) -> None:
        """See `toolyard.transport.base.Subscription`."""
        await self._subscription.pause()

    async def resume(self) -> None:
        """See `toolyard.transport.base.Subscription`."""
        await self._subscription.resume()

    async def close(self) -> None:
        """See `toolyard.transport.base.Subscription`."""
        if not self._closed:
            self._closed = True
            self._broker.forget()
            await asyncio.to_thread(self._worker.stop, 2 * LOOK_EVERY)
            await self._subscription.close()


def work_on(pool: str, run: Run, *, slots: int, may_start: Callable[[], bool], make_consumer: MakeConsumer) -> Work:
    """The worker of a pool, not started yet: a broker of its own, one actor, and one consumer of the pool's queue."""
    queue_name = topology.pool_queue(pool)
    broker = WorkBroker(may_start=may_start)
    LoopActor(run, broker=broker, pool=pool, queue_name=queue_name)
    broker.subscription = make_consumer(queue_name, broker.take, slots)
    return Work(broker, broker.subscription, queue_name, slots=slots)
