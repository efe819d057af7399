"""A pika connection with less work per message, and the lane that uses it. On pika's private methods, and nowhere else.

What one turn of the loop writes leaves in one send; reading is one large receive a turn, cut into frames by offset;
deliveries and confirms pass pika's frame objects and callback registry by. Handshake, heartbeats, channels and every
other method stay pika's. `toolyard.transport.rabbitmq.proof` tries it on the pika that is installed before it is used.
"""

# ruff: noqa: SLF001 - see above

import asyncio
from collections.abc import Callable
from typing import Any

from pika import frame
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.utils import io_services_utils
from pika.channel import Channel as PikaChannel
from pika.exceptions import InvalidFrameError

from toolyard.transport.base import Message
from toolyard.transport.rabbitmq import wire
from toolyard.transport.rabbitmq.headers import Headers
from toolyard.transport.rabbitmq.lane import OnConfirm, OnParcel, Parcel, PlainLane

PlainTransport = io_services_utils._AsyncPlaintextTransport
_RECEIVE = 128 * 1024
_MORE_THAN_A_SOCKET_HOLDS = 64 * 1024 * 1024
_METHODS_KEPT = 4096
_HEAD = 7
_PROTOCOL_HEADER = ord("A")


class FastConnection(AsyncioConnection):  # type: ignore[misc]  # pika's types are not known
    """See the module. ``on_parcel`` and ``on_confirm`` hold what channels, by their numbers, asked for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.on_parcel: dict[int, OnParcel] = {}
        self.on_confirm: dict[int, OnConfirm] = {}
        #: Deliveries of which not all frames have come: method, properties, size of the body, its pieces.
        self._parts: dict[int, list[Any]] = {}
        self._outbox: list[bytes] = []
        self._frame_buffer = b""
        self._send_soon = asyncio.get_running_loop().call_soon
        super().__init__(*args, **options)

    def forget(self, channel: int) -> None:
        """A channel has closed; its number may come again."""
        for kept in (self.on_parcel, self.on_confirm, self._parts):
            kept.pop(channel, None)

    # ---- writing --------------------------------------------------------------------------------
    def write(self, frames: list[bytes]) -> None:
        """Send these with whatever else this turn of the loop has to send."""
        if not self._outbox:
            self._send_soon(self._send)
        self._outbox += frames

    def _output_marshaled_frames(self, marshaled_frames: list[bytes]) -> None:
        self.frames_sent += len(marshaled_frames)
        self.write(marshaled_frames)

    def _send(self) -> None:
        data = b"".join(self._outbox)
        self._outbox.clear()
        transport = self._transport
        if transport is None:
            return
        self.bytes_sent += len(data)
        if type(transport) is PlainTransport and not transport.get_write_buffer_size():
            data = data[_sent(transport._sock, data) :]
        if data:
            transport.write(data)

    # ---- reading --------------------------------------------------------------------------------
    def _proto_connection_made(self, transport: Any) -> None:
        transport._MAX_RECV_BYTES = _RECEIVE
        if type(transport) is PlainTransport:  # TLS holds bytes of its own, which no poll of the socket would tell
            # Receive until nothing is left or an error comes: uvloop watches a socket no longer once it was reset, so a
            # reset that stands behind data would not be seen before the heartbeats are missed.
            transport._MAX_CONSUME_BYTES = _MORE_THAN_A_SOCKET_HOLDS
        super()._proto_connection_made(transport)

    def _on_data_available(self, data_in: bytes) -> None:
        self.bytes_received += len(data_in)
        buffer = self._frame_buffer + data_in if self._frame_buffer else data_in
        self._frame_buffer = buffer[self._cut(buffer) :]

    def _cut(self, buffer: bytes) -> int:
        """Dispatch the whole frames of the buffer; returns how many bytes they had."""
        place, end = 0, len(buffer)
        head, parts = wire.FRAME.unpack_from, self._parts
        while end - place >= wire.OVERHEAD:
            kind, channel, size = head(buffer, place)
            start = place + _HEAD
            stop = start + size + 1 if kind != _PROTOCOL_HEADER else place + wire.OVERHEAD
            if stop > end:
                break
            if kind == wire.BODY and channel in parts:
                self._body(channel, buffer, start, stop)
            elif kind == wire.HEADER and channel in parts:
                self._header(channel, buffer, start)
            elif kind != wire.METHOD or not self._method(channel, buffer, start):
                self._by_pika(buffer[place:stop])
            place = stop
        return place

    def _method(self, channel: int, buffer: bytes, start: int) -> bool:
        """A delivery or a confirm that somebody asked us for; every other method is pika's."""
        method = wire.U32.unpack_from(buffer, start)[0]
        if method == wire.DELIVER and channel in self.on_parcel:
            self._parts[channel] = [wire.decode_deliver(buffer, start)]
            return True
        if method in (wire.ACK, wire.NACK) and channel in self.on_confirm:
            tag, flags = wire.TAG.unpack_from(buffer, start + 4)
            self.frames_received += 1
            self.on_confirm[channel](tag, bool(flags & 1), method == wire.NACK)
            return True
        return False

    def _header(self, channel: int, buffer: bytes, start: int) -> None:
        size = wire.U64.unpack_from(buffer, start + 4)[0]
        self._parts[channel] += (wire.decode_properties(buffer, start + 12), size)
        if size == 0:
            self._parcel(channel, b"")

    def _body(self, channel: int, buffer: bytes, start: int, stop: int) -> None:
        if buffer[stop - 1] != wire.END_BYTE:
            raise InvalidFrameError("Invalid FRAME_END marker")
        parts = self._parts[channel]
        size = parts[2]
        if stop - 1 - start == size:
            self._parcel(channel, buffer[start : stop - 1])
            return
        parts.append(buffer[start : stop - 1])
        if sum(map(len, parts[3:])) >= size:
            self._parcel(channel, b"".join(parts[3:]))

    def _parcel(self, channel: int, body: bytes) -> None:
        (tag, redelivered, exchange, key), properties = self._parts.pop(channel)[:2]
        self.frames_received += 3
        self.on_parcel[channel](Parcel(tag, redelivered, exchange, key, body, Headers(properties[0]), *properties[1:]))

    def _by_pika(self, data: bytes) -> None:
        _, value = frame.decode_frame(data)
        if value is None:
            raise InvalidFrameError("not a frame")
        self._process_frame(value)


def _sent(sock: Any, data: bytes) -> int:
    try:
        return int(sock.send(data))
    except OSError:  # full, or broken: pika's own writer waits for room, or tells what is wrong
        return 0


class FastLane(PlainLane):
    """On a `FastConnection`: what is asked for goes through pika, what merely passes does not."""

    def __init__(self, channel: PikaChannel) -> None:
        super().__init__(channel)
        connection: FastConnection = channel.connection
        self._connection = connection
        self._number: int = channel.channel_number
        self._frame_max: int = connection.params.frame_max
        self._methods: dict[tuple[str, str, bool], bytes] = {}
        channel.add_on_close_callback(lambda *_: connection.forget(self._number))

    def publish(self, message: Message) -> None:
        """See `Lane`."""
        route = (message.exchange, message.key, message.mandatory)
        method = self._methods.get(route)
        if method is None:
            if len(self._methods) >= _METHODS_KEPT:
                self._methods.clear()
            method = self._methods[route] = wire.publish_method(self._number, *route)
        self._connection.write([method, *wire.content(self._number, message, self._frame_max)])

    def ack(self, tag: int, *, multiple: bool) -> None:
        """See `Lane`."""
        self._connection.write([wire.settle(self._number, wire.ACK, tag, multiple)])

    def reject(self, tag: int, *, requeue: bool) -> None:
        """See `Lane`."""
        self._connection.write([wire.settle(self._number, wire.REJECT, tag, requeue)])

    def confirms(self, on_confirm: OnConfirm) -> Callable[..., None]:
        """See `Lane`."""
        self._connection.on_confirm[self._number] = on_confirm
        return super().confirms(on_confirm)

    def consumer(self, on_parcel: OnParcel) -> Callable[..., None]:
        """See `Lane`."""
        self._connection.on_parcel[self._number] = on_parcel
        return super().consumer(on_parcel)

    def cancel(self, consumer_tag: str, *, callback: Callable[[Any], None]) -> None:
        """See `Lane`: what is on its way does not pass pika."""
        self._channel.basic_cancel(consumer_tag, callback)
