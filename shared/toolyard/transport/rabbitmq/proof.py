"""Which connection and lane to use: the fast pair, if it proves itself on the pika that is installed, or the plain one.

Called by `RabbitTransport.open`. The proof runs the fast connection over a pair of sockets and compares what passes
with pika's own bytes; it costs a few milliseconds, once a process.
"""

# ruff: noqa: SLF001 - it looks at what `fast` builds on

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from pika import BasicProperties, URLParameters, frame, spec
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.base_connection import _StreamingProtocolShim

from toolyard.telemetry.logs import logger
from toolyard.transport.base import Message
from toolyard.transport.rabbitmq import wire
from toolyard.transport.rabbitmq.fast import FastConnection, FastLane, PlainTransport
from toolyard.transport.rabbitmq.lane import Lane, Parcel, PlainLane

Pair = tuple[type[AsyncioConnection], Callable[[Any], Lane]]
_WITHIN = 2.0
_GREETING = b"AMQP\x00\x00\x09\x01"
_HEADERS: dict[str, Any] = {"text": "ü" * 40, "number": 2**40, "small": -7, "yes": True, "no": False}
_SAMPLE = Message(
    *("exchange", "a.b", b"body" * 50, "id-1", _HEADERS),
    expiration="9",
    kind="kind",
    correlation_id="c",
    content_type="text/plain",
    mandatory=True,
)
_proved: dict[type[AsyncioConnection], bool] = {}


async def pair(*, fast: bool) -> Pair:
    """The connection class and what makes its lanes."""
    if fast and await usable():
        return FastConnection, FastLane
    return AsyncioConnection, PlainLane


async def usable() -> bool:
    """Whether the fast connection does what it should; tried once a process."""
    if FastConnection not in _proved:
        try:
            async with asyncio.timeout(_WITHIN):
                await _prove()
        except Exception as error:  # noqa: BLE001 - whatever another pika makes of it, the answer is no
            logger("transport").warning("the fast connection does not work with this pika", reason=repr(error))
            _proved[FastConnection] = False
        else:
            _proved[FastConnection] = True
    return _proved[FastConnection]


class Refuted(Exception):  # noqa: N818 - a finding
    """The fast connection does not do what pika does."""


async def _prove() -> None:
    ours, peer = socket.socketpair()
    loop = asyncio.get_running_loop()
    closed: asyncio.Future[None] = loop.create_future()
    connection = FastConnection(
        URLParameters("amqp://localhost"),
        on_open_error_callback=lambda *_: closed.set_result(None),
        custom_ioloop=loop,
        internal_connection_workflow=False,
    )
    ours.setblocking(False)
    peer.setblocking(False)
    try:
        protocol = _StreamingProtocolShim(connection)
        protocol.connection_made(PlainTransport(ours, protocol, connection._nbio))
        await _expect(peer, _GREETING)
        await _prove_writing(connection, peer)
        await _prove_reading(connection, peer)
        connection.close()
        await closed
    finally:
        ours.close()
        peer.close()


async def _prove_writing(connection: FastConnection, peer: socket.socket) -> None:
    method = wire.publish_method(1, _SAMPLE.exchange, _SAMPLE.key, _SAMPLE.mandatory)
    connection.write([method, *wire.content(1, _SAMPLE, 131072)])
    connection.write([wire.settle(1, wire.ACK, 7, 1), wire.settle(1, wire.REJECT, 8, 0)])
    connection._send_frame(frame.Heartbeat())
    sent = [
        frame.Method(1, spec.Basic.Publish(exchange=_SAMPLE.exchange, routing_key=_SAMPLE.key, mandatory=True)),
        *_content(),
        frame.Method(1, spec.Basic.Ack(7, multiple=True)),
        frame.Method(1, spec.Basic.Reject(8, requeue=False)),
        frame.Heartbeat(),
    ]
    await _expect(peer, b"".join(each.marshal() for each in sent))


async def _prove_reading(connection: FastConnection, peer: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    parcel: asyncio.Future[Parcel] = loop.create_future()
    confirm: asyncio.Future[tuple[int, bool, bool]] = loop.create_future()
    connection.on_parcel[1] = parcel.set_result
    connection.on_confirm[2] = lambda *args: confirm.set_result(args)
    deliver = frame.Method(1, spec.Basic.Deliver("tag", 5, True, _SAMPLE.exchange, _SAMPLE.key))
    frames = [frame.Heartbeat(), deliver, *_content(), frame.Method(2, spec.Basic.Nack(6, multiple=True))]
    data = b"".join(each.marshal() for each in frames)
    for start in range(0, len(data), 100):  # frames broken anywhere
        await loop.sock_sendall(peer, data[start : start + 100])
        await asyncio.sleep(0)
    got = await parcel
    want = (5, True, _SAMPLE.exchange, _SAMPLE.key, _SAMPLE.body, _HEADERS, "id-1", "kind", "9", "c", "", "")
    if tuple(got) != want or await confirm != (6, True, True):
        raise Refuted("a delivery or a confirm was not read as it was written")


def _content() -> list[Any]:
    properties = BasicProperties(
        content_type=_SAMPLE.content_type,
        headers=dict(_HEADERS),
        delivery_mode=2,
        correlation_id=_SAMPLE.correlation_id,
        expiration=_SAMPLE.expiration,
        message_id=_SAMPLE.message_id,
        type=_SAMPLE.kind,
    )
    return [frame.Header(1, len(_SAMPLE.body), properties), frame.Body(1, _SAMPLE.body)]


async def _expect(peer: socket.socket, data: bytes) -> None:
    loop = asyncio.get_running_loop()
    got = b""
    while len(got) < len(data):
        got += await loop.sock_recv(peer, len(data) - len(got))
    if got != data:
        raise Refuted("what was written is not what pika writes")
