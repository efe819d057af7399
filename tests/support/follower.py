"""Somebody outside who follows the feed at the broker: with bare pika, a queue, and the official CloudEvents SDK."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import pika
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.amqp import AMQPMessage, from_amqp
from cloudevents.core.formats.json import JSONFormat

FEED = "toolyard.feed"
#: Seconds after which what should come is taken as missing.
WITHIN = 60.0


class Seen(NamedTuple):
    """A message as it came."""

    key: str
    properties: Any
    body: bytes

    @property
    def event(self) -> BaseCloudEvent:
        """What the official SDK reads in it."""
        properties = {"content-type": self.properties.content_type}
        return from_amqp(AMQPMessage(properties, self.properties.headers, self.body), JSONFormat())

    @property
    def word(self) -> tuple[str, str]:
        """The call, and what happened to it."""
        event = self.event
        return str(event.get_subject()), event.get_type().split(".")[3]


class Follower:
    """A connection and a queue that is bound to some keys."""

    def __init__(
        self,
        url: str,
        *keys: str,
        queue: str = "follow.default.test",
        arguments: Mapping[str, Any] | None = None,
        passive: bool = False,
    ) -> None:
        self.queue = queue
        self._known: set[str] = set()
        self.connection = pika.BlockingConnection(pika.URLParameters(url))
        self.channel = self.connection.channel()
        self.channel.queue_declare(queue, passive=passive, durable=True, arguments=dict(arguments or {}))
        for key in keys:
            self.channel.queue_bind(queue, FEED, key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def take(self, count: int, **options: Any) -> list[Seen]:
        """The next ``count`` events, without repeats of those before; blocks."""
        seen: list[Seen] = []
        ends = time.monotonic() + WITHIN
        self.channel.basic_qos(prefetch_count=count)
        for method, properties, body in self.channel.consume(self.queue, inactivity_timeout=0.5, **options):
            if method is not None:
                self.channel.basic_ack(method.delivery_tag)
                if properties.message_id not in self._known:
                    self._known.add(properties.message_id)
                    seen.append(Seen(method.routing_key, properties, body))
            if len(seen) == count:
                break
            assert time.monotonic() < ends, f"{len(seen)} of {count} messages came"
        self.channel.cancel()
        return seen
