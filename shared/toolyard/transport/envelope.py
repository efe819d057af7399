"""Contract structs into signed messages, and deliveries back into verified structs.

The only place that signs and verifies; what fails here is quarantined by its reader. By whom a message may be signed
stands in `toolyard.transport.trust`. Headers are few, because each one costs the broker and every reader on the way
(docs/decisions/0004); followers get theirs at the feed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from toolyard import ids
from toolyard.contracts import codec
from toolyard.contracts.calls import CallMessage
from toolyard.contracts.consents import ConsentAsked, ConsentTold
from toolyard.contracts.control import BreakerTold, Control, Heartbeat, SecurityTold, control_name
from toolyard.contracts.events import CallEvent, Event, Progress, event_name
from toolyard.contracts.feed import FeedAsked, FeedPage
from toolyard.contracts.requests import Ticket
from toolyard.contracts.secrets import Held, SecretsAsked, SecretsTold
from toolyard.errors import BadSignature, UnknownKind
from toolyard.security.signing import CORE, HEADER, Keyring, key_id_of
from toolyard.transport import topology, trust
from toolyard.transport.base import Delivery, Header, Message, Record
from toolyard.transport.quarantine import wrapping
from toolyard.transport.replays import Remembered, replayed

#: Is told what was not believed, before the error is raised.
OnRefused = Callable[[Delivery | Record, BadSignature], None]

#: The AMQP ``type`` of a ticket, which tells it from what others publish.
TICKET: Final = "ticket"


class Envelope:
    """Seals and opens messages with one keyring.

    Args:
        keyring: with a core key it speaks for the core, and believes workers only what their pool may say; without
            one it speaks for its pool, and believes what is signed for that.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._on_refused: OnRefused | None = None

    def watch(self, on_refused: OnRefused) -> None:
        """Have somebody told of every message that is not believed."""
        self._on_refused = on_refused

    def unwatched(self) -> "Envelope":
        """The same, of which nobody is told anything: for reading again what was read before."""
        return Envelope(self._keyring)

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

    def progress(self, event: Progress) -> Message:
        """How far an attempt has come, for followers: no gateway hears it, and it is not in the log."""
        return self._seal(topology.EVENTS, _progress_key(event), codec.encode(event), {}, persistent=False)

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

    def breaker(self, told: BreakerTold) -> Message:
        """How a worker's breaker stands, for the other workers of its pool and the gateways; not in the log."""
        key = topology.breaker_key(told.pool, told.org, told.worker)
        return self._seal(topology.CONTROL, key, codec.encode(told), {}, persistent=False)

    def security(self, told: SecurityTold) -> Message:
        """That a message is not believed, for whoever follows what goes on; not in the log."""
        key = topology.security_key(told.pool, told.sender)
        return self._seal(topology.CONTROL, key, codec.encode(told), {}, persistent=False)

    def feed_asked(self, asked: FeedAsked) -> Message:
        """A gateway's question for a page of the feed, for the scheduler that leads; not in the log."""
        key = topology.feed_asked_key(asked.org, asked.gateway)
        return self._seal(topology.CONTROL, key, codec.encode(asked), {}, persistent=False)

    def feed_page(self, page: FeedPage, gateway: str) -> Message:
        """A page of the feed, for the gateway that asked; not in the log."""
        key = topology.feed_page_key(page.org, gateway)
        return self._seal(topology.CONTROL, key, codec.encode(page), {}, persistent=False)

    def consent_asked(self, asked: ConsentAsked) -> Message:
        """A gateway's question for a consent, for the scheduler that leads; not in the log."""
        key = topology.consent_asked_key(asked.org, asked.gateway)
        return self._seal(topology.CONTROL, key, codec.encode(asked), {}, persistent=False)

    def consent_told(self, told: ConsentTold, gateway: str) -> Message:
        """The answer, for the gateway that asked; not in the log."""
        key = topology.consent_told_key(told.org, gateway)
        return self._seal(topology.CONTROL, key, codec.encode(told), {}, persistent=False)

    def secrets_asked(self, asked: SecretsAsked) -> Message:
        """A worker's question for secrets, for any scheduler; not in the log."""
        key = topology.secrets_asked_key(asked.pool, asked.org, asked.worker, asked.tool)
        return self._seal(topology.CONTROL, key, codec.encode(asked), {}, persistent=False)

    def secrets_told(self, told: SecretsTold) -> Message:
        """Sealed secrets, for the worker that asked; not in the log."""
        key = topology.secrets_told_key(told.pool, told.org, told.worker)
        return self._seal(topology.CONTROL, key, codec.encode(told), {}, persistent=False)

    def ticket(self, ticket: Ticket) -> Message:
        """What stands for a request that is not answered yet; it comes back to the queue of requests."""
        sealed = self._seal("", topology.REQUESTS_WAITING, codec.encode(ticket), {})
        return replace(sealed, kind=TICKET, mandatory=True)

    def quarantined(self, delivery: Delivery | Record, reason: str, *, pool: str = "-") -> Message:
        """What did not verify or decode, as it came, with the reason and where it came from in its headers."""
        headers = wrapping(delivery, reason)
        return self._seal(topology.CONTROL, topology.quarantine_key(pool), delivery.body, headers)

    def signed_anew(self, record: Record) -> Mapping[str, Header]:
        """The headers of a record with a signature of ours: for an operator who vouches for it."""
        signature = self._sign(record.exchange, record.key, record.message_id, record.expiration, record.body)
        return {**record.headers, HEADER: signature}

    def _sign(self, exchange: str, key: str, message_id: str, expiration: str, body: bytes) -> str:
        ring = self._keyring
        also = trust.audience(exchange, key, ring.pools) if ring.core and ring.pools else ()
        return ring.sign(exchange, key, message_id, expiration, body, also=also)

    def _seal(
        self, exchange: str, key: str, body: bytes, headers: dict[str, Header], *, persistent: bool = True
    ) -> Message:
        message_id = ids.new_id()
        headers[HEADER] = self._sign(exchange, key, message_id, "", body)
        return Message(exchange, key, body, message_id, headers, persistent=persistent)

    # ---- opening ------------------------------------------------------------------------------
    def open_call(self, delivery: Delivery | Record) -> CallMessage:
        """The verified pool message; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        message = codec.decode_call(delivery.body)
        call = message.call
        event = "".join(delivery.key.split(".", 2)[1:2])
        if delivery.key != topology.call_key(event, call.pool, call.org, call.gateway, call.tool):
            raise self._moved(delivery, "the routing key is not the one of this call")
        return message

    def open_call_for(self, pool: str, delivery: Delivery, seen: Remembered) -> CallMessage:
        """The verified message of a call for this pool, which did not come before unless it is delivered again.

        Raises `ContractError` or one of its kind.
        """
        message = self.open_call(delivery)
        if message.call.pool != pool:
            raise self._moved(delivery, f"the call is for the pool {message.call.pool}")
        if delivery.count == 0 and not seen.first_time(delivery.message_id):
            raise self.refused(delivery, replayed())
        return message

    def open_dead_call(self, delivery: Delivery) -> CallMessage:
        """The verified pool message of a dead letter; raises `ContractError` or one of its kind."""
        return self.open_call(self._as_it_died(delivery))

    def open_events(self, delivery: Delivery | Record) -> Iterable[Event]:
        """The verified lifecycle events of a message, one or more; raises `ContractError` or one of its kind.

        Of those that travel together the ones that can be read come first: see `codec.decode_events`.
        """
        signer = self._verify(delivery)
        if delivery.key.startswith(topology.OUTCOMES):
            events = codec.decode_events(delivery.body)
        else:
            events = (codec.decode_event(delivery.body),)
        return events if signer == CORE or not self._keyring.core else self._said(signer, delivery, events)

    def _said(self, signer: str, delivery: Delivery | Record, events: Iterable[Event]) -> Iterable[Event]:
        """Those of these events that this pool may say, and then the error of the first that it may not."""
        refused: BadSignature | None = None
        for event in events:
            try:
                trust.check_event(signer, delivery.key, event)
            except BadSignature as error:
                refused = refused or error
            else:
                yield event
        if refused is not None:
            raise self.refused(delivery, refused)

    def open_newer(self, delivery: Delivery) -> UnknownKind:
        """The error of a message, verified, whose key says that it is of a kind that this build does not know.

        Raises `ContractError` or one of its kind where it is not even a message of ours.
        """
        self._verify(delivery)
        kind = ".".join(delivery.key.split(".")[:2])
        return UnknownKind(f"a message {kind[:64]!r}, which this build does not know")

    def open_progress(self, delivery: Delivery | Record) -> Progress:
        """How far an attempt has come, verified; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        event = codec.decode_progress(delivery.body)
        if delivery.key != _progress_key(event):
            raise self._moved(delivery, "the routing key is not the one of this event")
        return event

    def open_control(self, delivery: Delivery | Record) -> Control:
        """The verified control message; raises `ContractError` or one of its kind."""
        signer = self._verify(delivery)
        message = codec.decode_control(delivery.body)
        if signer != CORE and self._keyring.core:
            try:
                trust.check_control(signer, delivery.key, message)
            except BadSignature as error:
                raise self.refused(delivery, error) from None
        return message

    def open_heartbeat(self, delivery: Delivery) -> Heartbeat:
        """The verified heartbeat; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        heartbeat = codec.decode_heartbeat(delivery.body)
        if delivery.key != topology.heartbeat_key(heartbeat.pool):
            raise self._moved(delivery, "the routing key is not the one of this heartbeat")
        return heartbeat

    def open_breaker(self, delivery: Delivery) -> BreakerTold:
        """How a worker's breaker stands, verified; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        told = codec.decode_breaker(delivery.body)
        if delivery.key != topology.breaker_key(told.pool, told.org, told.worker):
            raise self._moved(delivery, "the routing key is not the one of this breaker")
        return told

    def open_security(self, delivery: Delivery) -> SecurityTold:
        """That a message is not believed, verified; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        told = codec.decode_security(delivery.body)
        if delivery.key != topology.security_key(told.pool, told.sender):
            raise self._moved(delivery, "the routing key is not the one of this security event")
        return told

    def open_feed_asked(self, delivery: Delivery) -> FeedAsked:
        """The verified question for a page of the feed; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        return codec.decode_feed_asked(delivery.body)

    def open_feed_page(self, delivery: Delivery) -> FeedPage:
        """The verified page of the feed; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        return codec.decode_feed_page(delivery.body)

    def open_consent_asked(self, delivery: Delivery) -> ConsentAsked:
        """The verified question for a consent; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        asked = codec.decode_consent_asked(delivery.body)
        if delivery.key != topology.consent_asked_key(asked.org, asked.gateway):
            raise self._moved(delivery, "the routing key is not the one of this question")
        return asked

    def open_consent_told(self, delivery: Delivery) -> ConsentTold:
        """The verified answer to it; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        return codec.decode_consent_told(delivery.body)

    def open_ticket(self, delivery: Delivery) -> Ticket:
        """The verified ticket that has come back; raises `ContractError` or one of its kind."""
        self._verify(self._as_it_died(delivery))
        return codec.decode_ticket(delivery.body)

    def open_secrets_asked(self, delivery: Delivery) -> SecretsAsked:
        """The verified question for secrets; raises `ContractError` or one of its kind."""
        self._verify(delivery)
        asked = codec.decode_secrets_asked(delivery.body)
        if delivery.key != topology.secrets_asked_key(asked.pool, asked.org, asked.worker, asked.tool):
            raise self._moved(delivery, "the routing key is not the one of this question")
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
            self._signer(record)
        except BadSignature:
            return False
        return True

    def _verify(self, delivery: Delivery | Record) -> str:
        """Whose word it is: a pool's name, or `CORE`."""
        try:
            _check_alive(delivery)
            signer = self._signer(delivery)
            if signer != CORE and self._keyring.core:
                trust.check_said(signer, delivery.exchange, delivery.key)
        except BadSignature as error:
            raise self.refused(delivery, error) from None
        return signer

    def _as_it_died(self, delivery: Delivery) -> Record:
        """A dead letter as it was before it died; raises `BadSignature` for what is none."""
        death = delivery.death
        if death is None:
            raise self._moved(delivery, "not a dead letter: nothing says where it was published")
        return Record(0, death.exchange, death.key, delivery.body, delivery.message_id, delivery.headers)

    def _moved(self, delivery: Delivery | Record, message: str) -> BadSignature:
        return self.refused(delivery, BadSignature(message, reason="moved"))

    def refused(self, delivery: Delivery | Record, error: BadSignature) -> BadSignature:
        """The error, once it was told that this is not believed; of readers that know a reason of their own."""
        error.key_id = error.key_id or key_id_of(delivery.headers.get(HEADER))
        if self._on_refused is not None:
            self._on_refused(delivery, error)
        return error

    def _signer(self, delivery: Delivery | Record) -> str:
        return self._keyring.verify(
            delivery.headers.get(HEADER),
            delivery.exchange,
            delivery.key,
            delivery.message_id,
            delivery.expiration,
            delivery.body,
        )


def _check_alive(delivery: Delivery | Record) -> None:
    """Where a queue sends what dies in it, the broker bounds no keys: who has a queue could play anything again."""
    if delivery.died:
        raise BadSignature("it comes out of a queue in which it died", reason="replayed")


def _progress_key(event: Progress) -> str:
    return topology.call_key("progress", event.pool, event.org, "-", event.tool)


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
