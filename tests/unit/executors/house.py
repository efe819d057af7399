"""A runtime with all that stands around it, for the tests of what it does with claims, places and copies."""

import asyncio
from collections.abc import Callable
from typing import Any

from tests.support.waiting import async_wait_until
from tests.unit.executors.fakes import ENVELOPE, HandClock, HandExecutor, HandTransport, a_delivery, succeed
from tests.unit.executors.making import a_call, a_message, a_tool

from toolyard.contracts.calls import Call
from toolyard.contracts.events import Ended
from toolyard.transport.base import Delivery
from toolyard_executors.cancellation import Cancellations
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished
from toolyard_executors.pauses import Pauses
from toolyard_executors.runtime import Runtime


class House:
    """A runtime that has known for a minute what is paused, and the fake ledger that answers it."""

    def __init__(self, *, concurrency: int = 3) -> None:
        self.clock = HandClock()
        self.transport = HandTransport()
        self.executor = HandExecutor()
        self.cancellations = Cancellations()
        self.pauses = Pauses()
        self.pauses.learn((), now=self.clock.time - 60)
        self.began, self.go_on = asyncio.Event(), asyncio.Event()
        self.most = self.inside = 0
        self.runtime = Runtime(
            executor=self.executor,
            transport=self.transport,
            envelope=ENVELOPE,
            get_secret=lambda org, name: None,
            cancellations=self.cancellations,
            pauses=self.pauses,
            clock=self.clock,
            worker_id="w1",
            concurrency=concurrency,
        )
        self.claims = self.runtime.claims
        self.ledger = self.transport.ledger
        self.ledger.tell = self.claims.answered  # type: ignore[assignment]

    def delivery(self, call: Call | None = None, *, count: int = 0, **message: Any) -> Delivery:
        return a_delivery(a_message(call or a_call(now=self.clock.time), a_tool(), **message), count=count)

    def read(self, call_id: str = "", **options: Any) -> Delivery:
        """The delivery of a call that may run twice."""
        names = {"call_id": call_id} if call_id else {}
        return self.delivery(a_call(now=self.clock.time, rerunnable=True, **names), **options)

    def begin(self, delivery: Delivery) -> "asyncio.Task[None]":
        return asyncio.create_task(self.runtime.run(delivery))

    async def slowly(self, attempt: Attempt) -> Finished:
        """Runs until the test lets it go on."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.began.set()
        await self.go_on.wait()
        self.inside -= 1
        return await succeed(attempt)

    def ends(self) -> list[Ended]:
        return [event for event in self.transport.events() if isinstance(event, Ended)]


async def turns(count: int = 10) -> None:
    """Let everything that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(done: Callable[[], Any]) -> None:
    """Wait until something is so."""

    async def look() -> Any:
        return done()

    await async_wait_until(look, within=60, what="what the test waits for", every=0.001)
