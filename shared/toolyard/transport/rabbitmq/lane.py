"""How messages pass between a channel and us: `Lane`, and the one that keeps to pika's public interface.

The fast lane (`toolyard.transport.rabbitmq.fast`) does the same with less work per message; both are held to one set of
tests. Everything above a lane sees our own types only.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from pika import BasicProperties, spec
from pika.channel import Channel as PikaChannel
from pika.spec import Basic

from toolyard.transport.base import Header, Message
from toolyard.transport.rabbitmq import wire
from toolyard.transport.rabbitmq.headers import Headers


class Parcel(NamedTuple):
    """One delivery as the broker sent it. ``headers`` tells the broker's own from the publisher's."""

    tag: int
    redelivered: bool
    exchange: str
    key: str
    body: bytes
    headers: Headers
    message_id: str = ""
    kind: str = ""
    expiration: str = ""
    correlation_id: str = ""
    reply_to: str = ""
    user_id: str = ""


OnParcel = Callable[[Parcel], None]
#: Called with the delivery tag, whether all tags up to it are meant, and whether the broker refused.
OnConfirm = Callable[[int, bool, bool], None]
#: Called with the id of a message.
OnReturn = Callable[[str], None]


class Lane(Protocol):
    """What runs over one channel without waiting for an answer."""

    def publish(self, message: Message) -> None:
        """Write a message; one of `toolyard.transport.rabbitmq.errors.ENCODING_ERRORS` when that cannot be done."""

    def ack(self, tag: int, *, multiple: bool) -> None:
        """Acknowledge one delivery, or all up to this one."""

    def reject(self, tag: int, *, requeue: bool) -> None:
        """Give one delivery back, to its queue or to the dead letters."""

    def confirms(self, on_confirm: OnConfirm) -> Callable[..., None]:
        """The request that puts the channel into confirm mode, for `Channel.ask`."""

    def returns(self, on_return: OnReturn) -> None:
        """Have mandatory messages told that no queue takes; each is confirmed after that."""

    def consumer(self, on_parcel: OnParcel) -> Callable[..., None]:
        """The request that starts a consumer, for `Channel.ask`."""

    def cancel(self, consumer_tag: str, *, callback: Callable[[Any], None]) -> None:
        """The request that ends a consumer, for `Channel.ask`; what is still on its way is delivered."""


class PlainLane:
    """On pika's public interface."""

    def __init__(self, channel: PikaChannel) -> None:
        self._channel = channel

    def publish(self, message: Message) -> None:
        """See `Lane`."""
        self._channel.basic_publish(
            message.exchange, message.key, message.body, _Encoded(message), mandatory=message.mandatory
        )

    def ack(self, tag: int, *, multiple: bool) -> None:
        """See `Lane`."""
        self._channel.basic_ack(tag, multiple)

    def reject(self, tag: int, *, requeue: bool) -> None:
        """See `Lane`."""
        self._channel.basic_reject(tag, requeue)

    def confirms(self, on_confirm: OnConfirm) -> Callable[..., None]:
        """See `Lane`."""

        def confirmed(frame: Any) -> None:
            method = frame.method
            on_confirm(method.delivery_tag, method.multiple, isinstance(method, Basic.Nack))

        def request(*, callback: Callable[[Any], None]) -> None:
            self._channel.confirm_delivery(confirmed, callback=callback)

        return request

    def returns(self, on_return: OnReturn) -> None:
        """See `Lane`."""
        self._channel.add_on_return_callback(
            lambda _channel, _method, properties, _body: on_return(properties.message_id)
        )

    def consumer(self, on_parcel: OnParcel) -> Callable[..., None]:
        """See `Lane`."""

        def delivered(_channel: object, method: Any, properties: Any, body: bytes) -> None:
            on_parcel(_parcel(method, properties, body))

        def request(queue: str, *, callback: Callable[[Any], None], arguments: Mapping[str, Header]) -> None:
            self._channel.basic_consume(queue, delivered, arguments=dict(arguments), callback=callback)

        return request

    def cancel(self, consumer_tag: str, *, callback: Callable[[Any], None]) -> None:
        """See `Lane`.

        pika would send what is on its way back, which the broker counts as a failed delivery; it has no public word
        against that.
        """
        self._channel.basic_cancel(consumer_tag, callback)
        getattr(self._channel, "_cancelled", set()).discard(consumer_tag)


class _Encoded(BasicProperties):  # type: ignore[misc]  # pika's types are not known
    """The properties of a message, in our own bytes: pika cannot write a float."""

    def __init__(self, message: Message) -> None:
        super().__init__()
        self._flags, self._bytes = wire.encode_properties(message)

    def encode(self) -> list[bytes]:
        """Called by pika when it makes the header frame."""
        return [self._flags.to_bytes(2, "big"), self._bytes]


class _Received(BasicProperties):  # type: ignore[misc]  # pika's types are not known
    """The properties of a delivery, read by us too.

    pika reads a float as an integer, and fails, with the whole connection, at a timestamp beyond the year 9999.
    """

    read = wire.NO_PROPERTIES

    def decode(self, encoded: bytes, offset: int = 0) -> "_Received":
        """Called by pika for each header frame."""
        self.read = wire.decode_properties(encoded, offset)
        with contextlib.suppress(ValueError, OverflowError, OSError):
            super().decode(encoded, offset)
        return self


# What pika makes of header frames from now on: a class that does all that the one before did.
spec.props[BasicProperties.INDEX] = _Received


def _parcel(method: Any, properties: _Received, body: bytes) -> Parcel:
    table, *rest = properties.read
    exchange, key = _text(method.exchange), _text(method.routing_key)
    return Parcel(method.delivery_tag, bool(method.redelivered), exchange, key, body, Headers(table), *rest)


def _text(value: str | bytes) -> str:
    """What pika could not decode, it leaves as bytes."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
