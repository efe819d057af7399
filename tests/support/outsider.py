"""Somebody outside who publishes to `toolyard.requests` with pika alone, as a service in any language would.

Used by the tests of the queue front; it imports nothing of the project.
"""

import json
import time
import uuid
from dataclasses import dataclass
from typing import Any, Self

import pika

REQUESTS = "toolyard.requests"
WITHIN = 60.0


@dataclass(frozen=True)
class Answered:
    """One answer as it came."""

    kind: str
    correlation_id: str
    content_type: str
    delivery_mode: int
    headers: dict[str, Any]
    body: Any

    @property
    def outcome(self) -> str:
        """The code of a problem, or the state of a call."""
        return str(self.body["code"] if self.kind == "problem" else self.body.get("state"))


class Outsider:
    """One connection with a queue of its own for answers.

    Args:
        url: of the broker, with the user as whom to sign in.
        key: an API key, where one is sent.
        user_id: sent for the broker to check.
    """

    def __init__(self, url: str, *, key: str | None = None, user_id: str | None = None) -> None:
        self._key, self._user_id = key, user_id
        parameters = pika.URLParameters(url)
        parameters.heartbeat = 600  # it is not served while a test looks elsewhere
        self._connection = pika.BlockingConnection(parameters)
        self.channel = self._connection.channel()
        self.channel.confirm_delivery()
        self.queue: str = self.channel.queue_declare("", exclusive=True).method.queue
        self.answers: list[Answered] = []
        self.channel.basic_consume(self.queue, self._take)

    def ask(
        self, body: Any, *, headers: dict[str, Any] | None = None, to: str | bytes | None = None, **said: Any
    ) -> str:
        """Publish a request, confirmed; gives its correlation id. ``to`` is another reply queue, or empty for none."""
        correlation_id: str = said.pop("correlation_id", str(uuid.uuid4()))
        signed = {} if self._key is None else {"authorization": f"Bearer {self._key}"}
        properties = pika.BasicProperties(
            headers=signed | (headers or {}),
            reply_to=(self.queue if to is None else to) or None,
            correlation_id=correlation_id or None,
            delivery_mode=2,
            user_id=self._user_id,
            **said,
        )
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.channel.basic_publish("", REQUESTS, raw, properties, mandatory=True)
        return correlation_id

    def take(self, number: int, *, within: float = WITHIN) -> list[Answered]:
        """The next answers, so many."""
        end = time.monotonic() + within
        while len(self.answers) < number and time.monotonic() < end:
            self._connection.process_data_events(time_limit=1)
        assert len(self.answers) >= number, f"{len(self.answers)} of {number} answers within {within:g} s"
        taken, self.answers = self.answers[:number], self.answers[number:]
        return taken

    def answer(self, body: Any, **said: Any) -> Answered:
        """Ask, and give the answer."""
        correlation_id = self.ask(body, **said)
        (answered,) = self.take(1)
        assert answered.correlation_id == correlation_id
        return answered

    def take_direct(self) -> None:
        """Take answers by the broker's own way to reply, too."""
        self.channel.basic_consume("amq.rabbitmq.reply-to", self._keep, auto_ack=True)

    def _take(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        self._keep(channel, method, properties, body)
        channel.basic_ack(method.delivery_tag)

    def _keep(self, _channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        self.answers.append(
            Answered(
                properties.type,
                properties.correlation_id or "",
                properties.content_type,
                properties.delivery_mode,
                properties.headers or {},
                json.loads(body),
            )
        )

    def close(self) -> None:
        """Leave; the queue goes with the connection."""
        if self._connection.is_open:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
