"""A transport, a clock and a kind that a test holds in its hand."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from toolyard.contracts.calls import VERSION, CallMessage, Result
from toolyard.contracts.control import (
    Claim,
    ClaimRefused,
    Control,
    Granted,
    Paused,
    Pauses,
    PausesAsked,
    Released,
)
from toolyard.contracts.events import Ended, Event, Progress
from toolyard.contracts.tools import PinnedTool
from toolyard.errors import TransportError
from toolyard.security.signing import Keyring
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Health, Message, OnDelivery, Record, Run
from toolyard.transport.envelope import Envelope
from toolyard.transport.topology import EVENTS, PROGRESS
from toolyard_executors.context import Attempt
from toolyard_executors.executor import WELL, Finished, Standing

KEYRING = Keyring({"k": b"k" * 32})
ENVELOPE = Envelope(KEYRING)


class HandClock:
    """Both clocks, moved by hand.

    Attributes:
        time: moves both; ``wrong``: seconds by which the wall clock alone is wrong.
    """

    def __init__(self, now: float = 1_800_000_000.0, *, wrong: float = 0.0) -> None:
        self.time = now
        self.wrong = wrong

    def now(self) -> float:
        return self.time + self.wrong

    def monotonic(self) -> float:
        return self.time - 1_000_000_000


class Settled:
    """How a delivery was settled; its connection stands until `connected` is taken away."""

    def __init__(self) -> None:
        self.how: list[str] = []
        self.connected = True
        self.done = asyncio.Event()

    def _settle(self, how: str) -> None:
        self.how.append(how)
        self.done.set()

    def ack(self, tag: int) -> None:
        self._settle("ack")

    def reject(self, tag: int) -> None:
        self._settle("reject")

    def release(self, tag: int) -> None:
        self._settle("release")

    def alive(self) -> bool:
        return self.connected


class HandLedger:
    """A fake of the ledger: answers each claim as the test says. It has no memory and no time of its own.

    Attributes:
        answer: makes the answer to a claim; None leaves the claim without one.
        tell: is given the answers, a turn of the loop later.
        paused: what it says is paused; None leaves that question without an answer.
        now: its clock.
        echoes: whether it sends back when it was asked; an older one does not.
    """

    def __init__(self) -> None:
        self.answer: Callable[[Claim], Granted | ClaimRefused | None] = granted
        self.tell: Callable[[Control], object] = lambda answer: None
        self.paused: tuple[Paused, ...] | None = ()
        self.now: Callable[[], float] = time.time
        self.echoes = True
        self.claims: list[Claim] = []
        self.released: list[Released] = []
        self.asked = asyncio.Event()
        self.gave_back = asyncio.Event()

    def read(self, message: Control) -> None:
        answer: Control | None = None
        if isinstance(message, Claim):
            self.claims.append(message)
            self.asked.set()
            answer = self.answer(message)
        elif isinstance(message, Released):
            self.released.append(message)
            self.gave_back.set()
        elif isinstance(message, PausesAsked) and self.paused is not None:
            asked = message.time if self.echoes else None
            answer = Pauses(v=VERSION, sender="s", time=self.now(), paused=self.paused, asked=asked)
        if answer is not None:
            asyncio.get_running_loop().call_soon(self.tell, answer)


def granted(claim: Claim, *, alone: bool = False) -> Granted:
    """Yes."""
    return Granted(
        v=VERSION,
        sender="s",
        time=claim.time,
        claim_id=claim.claim_id,
        call_id=claim.call_id,
        attempt=claim.attempt,
        fence=7,
        lease=15.0,
        alone=alone,
    )


def refused(claim: Claim, reason: Any = "started") -> ClaimRefused:
    """No."""
    return ClaimRefused(
        v=VERSION,
        sender="s",
        time=claim.time,
        claim_id=claim.claim_id,
        call_id=claim.call_id,
        attempt=claim.attempt,
        reason=reason,
    )


class HandTransport:
    """Keeps what is published; `failures` are raised first, one a publish.

    What a worker says to the ledger goes to ``ledger`` and into ``controls``, with failures of its own.

    Attributes:
        held: while it is set to a future, publishes wait for that.
        heartbeats: the claims that each heartbeat named.
        breakers: what was told of breakers.
    """

    def __init__(self) -> None:
        self.published: list[Message] = []
        self.ledger = HandLedger()
        self.controls: list[Message] = []
        self.control_failures: list[TransportError] = []
        self.heartbeats: list[tuple[str, ...]] = []
        self.breakers: list[Message] = []
        self.failures: list[TransportError] = []
        self.held: asyncio.Future[None] | None = None
        self.told = asyncio.Event()
        self.refused = asyncio.Event()
        self.queues: dict[str, Sequence[tuple[str, str]]] = {}
        self.heard: OnDelivery | None = None
        self.run: Run | None = None
        self.subscriptions: list[HandSubscription] = []
        self.state = Health(connected=True)
        self.order: list[str] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    @property
    def health(self) -> Health:
        return self.state

    def publish(self, message: Message) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if message.key.startswith(("control.", "monitor.")):
            self._take_control(message, future)
            return future
        if self.failures:
            future.set_exception(self.failures.pop(0))
            self.refused.set()
            return future
        self.published.append(message)
        self.told.set()
        if self.held is not None:
            return self.held
        future.set_result(None)
        return future

    def _take_control(self, message: Message, future: "asyncio.Future[None]") -> None:
        if self.control_failures:
            future.set_exception(self.control_failures.pop(0))
            return
        future.set_result(None)
        delivery = a_delivery(message)
        if message.key.startswith(topology.BREAKERS):
            self.breakers.append(message)
        elif message.key.startswith("monitor."):
            self.heartbeats.append(ENVELOPE.open_heartbeat(delivery).claims)
        else:
            self.controls.append(message)
            self.ledger.read(ENVELOPE.open_control(delivery))

    async def consume(self, queue: str, on_delivery: OnDelivery, *, prefetch: int) -> "HandSubscription":
        self.heard = on_delivery
        return self._subscribed(f"consume {queue}")

    async def work(self, pool: str, run: Run, *, slots: int, paused: bool = False) -> "HandSubscription":
        self.run = run
        subscription = self._subscribed(f"work {pool} {slots}")
        subscription.active = not paused
        return subscription

    async def own_queue(self, name: str, bindings: Sequence[tuple[str, str]]) -> None:
        self.queues[name] = bindings
        self.order.append(f"declare {name}")

    async def read_log(self, offset: int | None) -> Any:
        raise NotImplementedError

    async def backlog(self, queue: str) -> int:
        return 0

    def _subscribed(self, what: str) -> "HandSubscription":
        self.order.append(what)
        self.subscriptions.append(HandSubscription(what))
        return self.subscriptions[-1]

    def events(self) -> list[Event]:
        """What was published as events, opened again."""
        return [
            event
            for message in self.published
            if message.exchange == EVENTS and not message.key.startswith(PROGRESS)
            for event in ENVELOPE.open_events(_record(message))
        ]

    def progress(self) -> list[Progress]:
        """What was published of the progress of attempts."""
        found = [message for message in self.published if message.key.startswith(PROGRESS)]
        return [ENVELOPE.open_progress(_record(message)) for message in found]

    def end(self) -> Ended:
        """The one outcome that was published."""
        [end] = [event for event in self.events() if isinstance(event, Ended)]
        return end


class HandSubscription:
    def __init__(self, what: str) -> None:
        self.what = what
        self.active = True
        self.closed = False
        self.resumed, self.paused = asyncio.Event(), asyncio.Event()

    async def pause(self) -> None:
        self.active = False
        self.paused.set()

    async def resume(self) -> None:
        self.active = True
        self.resumed.set()

    async def close(self) -> None:
        self.active, self.closed = False, True


class HandExecutor:
    """A kind whose attempts do what the test says."""

    pool = "http"

    def __init__(self, act: Callable[[Attempt], Awaitable[Finished]] | None = None) -> None:
        self.act = act or succeed
        self.attempts: list[Attempt] = []
        self.prepared = 0
        self.stands = WELL
        self.depends_on: str | None = None
        self.opened = self.closed = 0

    async def open(self) -> None:
        self.opened += 1

    async def close(self) -> None:
        self.closed += 1

    def standing(self) -> Standing:
        return self.stands

    def prepare(self, tool: PinnedTool) -> Any:
        self.prepared += 1
        return "a plan"

    def circuit(self, attempt: Attempt) -> str | None:
        return self.depends_on

    async def run(self, attempt: Attempt) -> Finished:
        self.attempts.append(attempt)
        return await self.act(attempt)


async def succeed(attempt: Attempt) -> Finished:
    return Finished("done", Result(content="fine"))


def a_delivery(message: CallMessage | Message, *, count: int = 0, tag: int = 1, queue: str = "") -> Delivery:
    """A message as it is delivered, not settled yet."""
    sealed = message if isinstance(message, Message) else ENVELOPE.call(message)
    return Delivery(
        queue=queue or topology.pool_queue("http"),
        exchange=sealed.exchange,
        key=sealed.key,
        body=sealed.body,
        message_id=sealed.message_id,
        headers=sealed.headers,
        expiration=sealed.expiration,
        count=count,
        tag=tag,
        settle=Settled(),
    )


def settled(delivery: Delivery) -> list[str]:
    """How it was settled so far."""
    assert isinstance(delivery.settle, Settled)
    return delivery.settle.how


def disconnect(delivery: Delivery) -> None:
    """Its connection is gone."""
    assert isinstance(delivery.settle, Settled)
    delivery.settle.connected = False


def _record(message: Message) -> Record:
    return Record(0, message.exchange, message.key, message.body, message.message_id, message.headers)
