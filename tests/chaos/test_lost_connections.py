"""How soon the transport notices that its connection is gone, where the proxy breaks it in an ugly way."""

import asyncio
import time

import pytest
import uvloop
from tests.chaos.proxy import AmqpProxy
from tests.support.rabbit import RabbitNode

from toolyard import ids
from toolyard.transport.base import Message
from toolyard.transport.rabbitmq import RabbitTransport

#: Without heartbeats, which would notice it too.
SILENT = "?heartbeat=0"
NOTICED_WITHIN = 60.0


def _message() -> Message:
    return Message("toolyard.events", "call.progress.http.org.gateway.tool", b"x" * 500, ids.new_id())


async def _publish_until_confirmed(transport: RabbitTransport) -> None:
    while True:
        try:
            return await transport.publish(_message())
        except Exception:  # noqa: BLE001 - refused as long as the loss is not noticed or not mended, for whatever reason
            await asyncio.sleep(0.02)


async def _reset_behind_a_confirm(proxy: AmqpProxy, *, fast: bool) -> None:
    transport = RabbitTransport(proxy.url() + SILENT, name="a drill", declare=True, watch=("http",), fast=fast)
    await transport.open()
    try:
        sent = transport.publish(_message())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251 - the loop is busy: the confirm arrives meanwhile, and the reset behind it
        proxy.cut_all()
        await asyncio.gather(sent, return_exceptions=True)
        async with asyncio.timeout(NOTICED_WITHIN):
            await _publish_until_confirmed(transport)
    finally:
        await transport.close()


@pytest.mark.parametrize("fast", [True, False])
def test_a_reset_that_stands_behind_data_is_noticed_before_the_heartbeats_are_missed(
    private_broker: RabbitNode, fast: bool
) -> None:
    with AmqpProxy(private_broker.port) as proxy:
        uvloop.run(_reset_behind_a_confirm(proxy, fast=fast))
