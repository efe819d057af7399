"""The suite of all transports, over a real RabbitMQ, on both of pika's ways: the fast connection and the plain one."""

from collections.abc import AsyncIterator

import pika
import pytest

pytest.register_assert_rewrite("toolyard.testing.transport_suite")

from toolyard.testing.transport_parts import WAIT  # noqa: E402
from toolyard.testing.transport_suite import Make, TransportSuite  # noqa: E402 - after the rewrite is asked for
from toolyard.transport.rabbitmq import RabbitTransport  # noqa: E402


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])
class TestRabbitTransport(TransportSuite):
    loses_queues = True

    @pytest.fixture
    async def make(self, amqp_url: str, fast: bool) -> AsyncIterator[Make]:
        transports: list[RabbitTransport] = []

        async def make(*, declare: bool = False) -> RabbitTransport:
            name = f"conformance {len(transports)}"
            transport = RabbitTransport(
                amqp_url, name=name, declare=declare, watch=("http",), publish_timeout=WAIT, fast=fast
            )
            transports.append(transport)
            await transport.open()
            return transport

        self.url = amqp_url
        await (await make(declare=True)).close()  # one that stayed would mend what the others should miss
        yield make
        for transport in transports:
            await transport.close()

    async def delete_queue(self, name: str) -> None:
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        connection.channel().queue_delete(name)
        connection.close()
