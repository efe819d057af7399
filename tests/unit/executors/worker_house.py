"""A worker with all that stands around it, for the tests of what it hears, tells and judges by."""

import asyncio
from typing import Any

from tests.unit.executors.fakes import ENVELOPE, HandExecutor, HandTransport, a_delivery
from tests.unit.executors.making import a_call, a_message, a_tool

from toolyard.contracts.control import Control
from toolyard.security.secrets import EnvironmentSecrets
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Message
from toolyard_executors.clock import WorkerClock
from toolyard_executors.worker import Worker

QUEUE = topology.worker_queue("http", "w1")


class House:
    """A worker over a transport in the test's hand."""

    def __init__(self, clock: WorkerClock | None = None) -> None:
        self.transport = HandTransport()
        self.executor = HandExecutor()
        self.worker = Worker(
            transport=self.transport,
            envelope=ENVELOPE,
            executors=[self.executor],
            secrets=EnvironmentSecrets({"TOOLYARD_SECRET_A": "value of a"}),
            worker_id="w1",
            clock=clock,
            concurrency=7,
        )
        self.transport.ledger.tell = self.control

    async def start(self) -> None:
        """Start, and wait until calls are taken."""
        await self.worker.start()
        await self.transport.subscriptions[1].resumed.wait()

    def hear(self, message: Message) -> Delivery:
        delivery = a_delivery(message, queue=QUEUE)
        assert self.transport.heard is not None
        self.transport.heard(delivery)
        return delivery

    def control(self, message: Control) -> Delivery:
        return self.hear(ENVELOPE.control(message))

    def start_call(self, **call: Any) -> "tuple[Delivery, asyncio.Task[None]]":
        assert self.transport.run is not None
        delivery = a_delivery(a_message(a_call(**call), a_tool()))
        return delivery, asyncio.create_task(self.transport.run(delivery))  # type: ignore[arg-type]
