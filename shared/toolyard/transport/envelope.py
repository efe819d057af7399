"""Contract structs into signed messages, and deliveries back into verified structs.

The only place that signs and verifies; what fails here is quarantined by its reader. Headers are few, because each one
costs the broker and every reader on the way (docs/decisions/0004); followers get theirs at the feed.
"""

from collections.abc import Iterable, Mapping, Sequence

from toolyard import ids
from toolyard.contracts import codec
from toolyard.contracts.calls import CallMessage
from toolyard.contracts.control import Control, Heartbeat, control_name
from toolyard.contracts.events import CallEvent, Event, event_name
from toolyard.contracts.feed import FeedAsked, FeedPage
from toolyard.contracts.secrets import Held, SecretsAsked, SecretsTold
from toolyard.errors import BadSignature
from toolyard.security.signing import HEADER, Keyring
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Header, Message, Record
from toolyard.transport.quarantine import wrapping


class Envelope:
    """Seals and opens messages with one keyring."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    # ---- sealing ------------------------------------------------------------------------------
    def call(self, message: CallMessage, *, event: str = "accepted") -> Message:
        """A call for its pool's queue and the log; it is the ``accepted`` event too."""
        call = message.call
        key = topology.call_key(event, call.pool, call.org, call.gateway, call.tool)
        return self._seal(topology.CALLS, key, codec.encode(message), _trace(call.traceparent))

    def event(self, event: CallEvent, encoded: bytes | None = None) -> Message:
        """A lifecycle event, for its gateway and the log; ``encoded`` where its bytes are there already."""
        key = topology.call_key(event_name(event), event.pool, event.org, event.gateway, event.tool)
        body = codec.encode(event) if encoded is None else encoded
        return self._seal(topology.EVENTS, key, body, _trace(event.traceparent))

    def outcomes(self, pool: str, gateway: str, encoded: Sequence[bytes]) -> Message:
        """Outcomes of a pool's calls for one gateway, and the log, in one message (docs/decisions/0007)."""
        return self._seal(topology.EVENTS, topology.outcomes_key(pool, gateway), codec.join_events(encoded), {})

    def control(self, message: Control, **key: str) -> Message:
        """A control message; ``key`` are the words of `toolyard.transport.topology.control_key`."""
        routing = topology.control_key(control_name(message), **key)
        return self._seal(topology.CONTROL, routing, codec.encode(message), {})

    def heartbeat(self, heartbeat: Heartbeat) -> Message:
        """A worker's sign of life, for the schedulers; not in the log."""
        key = topology.heartbeat_key(heartbeat.pool)
        return self._seal(topology.CONTROL, key, codec.encode(heartbeat), {}, persistent=False)

    def feed_asked(self, asked: FeedAsked) -> Message:
        """A gateway's question for a page of the feed, for the scheduler that leads; not in the log."""
        key = topology.feed_asked_key(asked.org, asked.gateway)
        return self._seal(topology.CONTROL, key, codec.encode(asked), {}, persistent=False)

    def feed_page(self, page: FeedPage, gateway: str) -> Message:
        """A page of the feed, for the gateway that asked; not in the log."""
        key = topology.feed_page_key(page.org, gateway)
        return self._seal(topology.CONTROL, key, codec.encode(page), {}, persistent=False)

    def secrets_asked(self, asked: SecretsAsked) -> Message:
        """A worker's question for secrets, for any scheduler; not in the log."""
        key = topology.secrets_asked_key(asked.pool, asked.org, asked.worker, asked.tool)
        return self._seal(topology.CONTROL, key, codec.encode(asked), {}, persistent=False)

    def secrets_told(self, told: SecretsTold) -> Message:
        """Sealed secrets, for the worker that asked; not in the log."""
        key = topology.secrets_told_key(told.pool, told.org, told.worker)
        return self._seal(topology.CONTROL, key, codec.encode(told), {}, persistent=False)

    def quarantined(self, delivery: Delivery | Record, reason: str, *, pool: str = "-") -> Message:
        """What did not verify or decode, as it came, with the reason and where it came from in its headers."""
        headers = wrapping(delivery, reason)
        return self._seal(topology.CONTROL, topology.quarantine_key(pool), delivery.body, headers)

    def signed_anew(self, record: Record) -> Mapping[str, Header]:
        """The headers of a record with a signature of ours: for an operator who vouches for it."""
        signature = self._keyring.sign(record.exchange, record.key, record.message_id, record.expiration, record.body)
        return {**record.headers, HEADER: signature}

    def _seal(
        self, exchange: str, key: str, body: bytes, headers: dict[str, Header], *, persistent: bool = True
    ) -> Message:
        message_id = ids.new_id()
        headers[HEADER] = self._keyring.sign(exchange, key, message_id, "", body)
        return Message(exchange, key, body, message_id, headers, persistent=persistent)

    # ---- opening ------------------------------------------------------------------------------
    def open_call(self, delivery: Delivery | Record) -> CallMessage:
        """The verified pool message; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        message = codec.decode_call(delivery.body)
        call = message.call
        event = "".join(delivery.key.split(".", 2)[1:2])
        if delivery.key != topology.call_key(event, call.pool, call.org, call.gateway, call.tool):
            raise BadSignature("the routing key is not the one of this call")
        return message

    def open_dead_call(self, delivery: Delivery) -> CallMessage:
        """The verified pool message of a dead letter; raises `ContractError` or one of its kind."""
        death = delivery.death
        if death is None:
            raise BadSignature("not a dead letter: nothing says where it was published")
        origin = Record(0, death.exchange, death.key, delivery.body, delivery.message_id, delivery.headers)
        return self.open_call(origin)

    def open_events(self, delivery: Delivery | Record) -> Iterable[Event]:
        """The verified lifecycle events of a message, one or more; raises `ContractError` or one of its kind.

        Of those that travel together the ones that can be read come first: see `codec.decode_events`.
        """
        self._verify(delivery)
        if delivery.key.startswith(topology.OUTCOMES):
            return codec.decode_events(delivery.body)
        return (codec.decode_event(delivery.body),)

    def open_control(self, delivery: Delivery | Record) -> Control:
        """The verified control message; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        return codec.decode_control(delivery.body)

    def open_heartbeat(self, delivery: Delivery) -> Heartbeat:
        """The verified heartbeat; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        return codec.decode_heartbeat(delivery.body)

    def open_feed_asked(self, delivery: Delivery) -> FeedAsked:
        """The verified question for a page of the feed; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        return codec.decode_feed_asked(delivery.body)

    def open_feed_page(self, delivery: Delivery) -> FeedPage:
        """The verified page of the feed; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        return codec.decode_feed_page(delivery.body)

    def open_secrets_asked(self, delivery: Delivery) -> SecretsAsked:
        """The verified question for secrets; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        asked = codec.decode_secrets_asked(delivery.body)
        if delivery.key != topology.secrets_asked_key(asked.pool, asked.org, asked.worker, asked.tool):
            raise BadSignature("the routing key is not the one of this question")
        return asked

    def open_secrets_told(self, delivery: Delivery) -> SecretsTold:
        """The verified answer with sealed secrets; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        return codec.decode_secrets_told(delivery.body)

    def open_held(self, held: Held) -> CallMessage:
        """The verified pool message that somebody holds; raises `ContractError` or one of its kind."""
        headers = {HEADER: held.signature}
        return self.open_call(Record(0, topology.CALLS, held.key, held.body, held.message_id, headers, held.expiration))

    def verifies(self, record: Record) -> bool:
        """Whether it was signed with one of our keys."""
        try:
            self._verify(record)
        except BadSignature:
            return False
        return True

    def _verify(self, delivery: Delivery | Record) -> None:
        self._keyring.verify(
            delivery.headers.get(HEADER),
            delivery.exchange,
            delivery.key,
            delivery.message_id,
            delivery.expiration,
            delivery.body,
        )


def held(delivery: Delivery) -> Held:
    """What shows that somebody holds this delivery of a call."""
    return Held(
        key=delivery.key,
        message_id=delivery.message_id,
        signature=str(delivery.headers.get(HEADER, "")),
        body=delivery.body,
        expiration=delivery.expiration,
    )


def _trace(traceparent: str | None) -> dict[str, Header]:
    return {"traceparent": traceparent} if traceparent else {}
