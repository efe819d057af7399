"""What somebody published, as what the door and the turns take: who asks, under which key, and for what.

The body is read as that of the HTTP operations is, by the same models. Nothing here waits for a call.
"""

from dataclasses import dataclass
from typing import Final

from msgspec import Raw
from starlette.datastructures import Headers

from toolyard import ids
from toolyard.contracts.requests import TurnTicket
from toolyard.errors import FieldError, FieldsRefused, Refused
from toolyard.telemetry import tracing
from toolyard.transport.base import Delivery
from toolyard_gateway import fields, strict_json
from toolyard_gateway.admission import MAX_REQUEST, Asked
from toolyard_gateway.amqp.addresses import LOST
from toolyard_gateway.api import headers as given
from toolyard_gateway.api.auth import key_of
from toolyard_gateway.api.calls import options
from toolyard_gateway.api.models import CallRequest
from toolyard_gateway.api.turn_models import TurnRequest
from toolyard_gateway.authentication import Authenticator
from toolyard_gateway.llm.formats import FORMATS
from toolyard_gateway.principals import Principal
from toolyard_gateway.turns import TurnAsked

KINDS: Final = ("call", "turn")
#: Headers that mean something here; all others are the sender's own.
_MEANT: Final = ("authorization", "idempotency-key", "prefer")
#: The one that is read where it can be, and else begins a new trace, as over HTTP.
_CONTEXT: Final = "traceparent"
#: Begins what makes a message that is delivered again the same request: no key that anybody gives begins so.
_MARK: Final = "\x1e"
_NO_UTF8: Final = "holds bytes that are no UTF-8; send a text, such as a UUID in its usual spelling"
_NO_CONNECTION: Final = "asks for the end of a connection, which a message has not; leave it out, and cancel the call"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that is wanted, and for how long it is waited for before it is told as it stands; None: to its end."""

    asked: Asked
    wait: float | None


def kind_of(delivery: Delivery) -> str:
    """What is asked for.

    Raises:
        FieldsRefused: a ``type`` that is none of ours.
    """
    kind = delivery.kind or "call"
    if kind not in KINDS:
        raise FieldsRefused((FieldError("type", f"is {kind[:64]!r}; send call or turn, or leave it out: call"),))
    return kind


def check_texts(delivery: Delivery) -> None:
    """What makes two messages one, and what goes back with the answer, has to be known to the letter.

    Raises:
        FieldsRefused: a property holds bytes that are no text: others would look like it.
    """
    given = {"correlation_id": delivery.correlation_id, "message_id": delivery.message_id}
    wrong = tuple(FieldError(name, _NO_UTF8) for name, value in given.items() if LOST in value)
    if wrong:
        raise FieldsRefused(wrong)


def correlation_of(delivery: Delivery) -> str:
    """What goes back with the answer; nothing, where it was no text."""
    return "" if LOST in delivery.correlation_id else delivery.correlation_id


def headers_of(delivery: Delivery) -> Headers:
    """The headers that mean something here, by their names in small letters.

    Raises:
        FieldsRefused: one of them is no text.
    """
    found = [(name.strip().lower(), value) for name, value in delivery.headers.items()]
    meant = [(name, value) for name, value in found if name in _MEANT]
    dropped = [name for name in (each.strip().lower() for each in delivery.dropped()) if name in _MEANT]
    no_texts = [*dropped, *(name for name, value in meant if not _is_text(value))]
    wrong = tuple(FieldError(name, "is no text; send the header as one, not as bytes") for name in no_texts)
    if wrong:
        raise FieldsRefused(wrong)
    meant += [(name, value) for name, value in found if name == _CONTEXT and _is_text(value)]
    return Headers(raw=[(name.encode(), str(value).encode()) for name, value in meant])


def traceparent_of(delivery: Delivery) -> str | None:
    """What the header of that name says, if it is a text."""
    found = (value for name, value in delivery.headers.items() if name.strip().lower() == _CONTEXT)
    value = next(found, None)
    return value if isinstance(value, str) else None


def _is_text(value: object) -> bool:
    return isinstance(value, str)


async def principal_of(authenticator: Authenticator, headers: Headers, user_id: str) -> Principal:
    """Who asks: by the key of the header, by the user that the broker has checked, or by both if they agree.

    Raises:
        Refused: ``unauthenticated``; says what is missing.
        StoreUnavailable: the store is away, and who asks was not seen lately.
    """
    bound = await authenticator.of_broker_user(user_id) if user_id else None
    if "authorization" not in headers:
        if bound is None:
            what = (
                "Send an API key in the header authorization: Bearer <key>, or the user_id of a broker user that a key"
            )
            raise Refused("unauthenticated", f"{what} was made for.")
        return bound
    principal = await authenticator.authenticate(key_of(headers))
    if bound is not None and bound.key_id != principal.key_id:
        what = "The message's user_id stands for another API key than the one in its header authorization"
        raise Refused("unauthenticated", f"{what}; send one of them, or the same key.")
    return principal


def call_of(delivery: Delivery, headers: Headers, principal: Principal) -> Wanted:
    """The call that is asked for.

    Raises:
        Refused: it is not one; says which field.
    """
    wait = given.preferred_wait(headers)
    wanted = fields.read(CallRequest, _json(delivery))
    if wanted.cancel_on_disconnect:
        raise FieldsRefused((FieldError("cancel_on_disconnect", _NO_CONNECTION),))
    name, _, version = wanted.tool.partition("@")
    asked = Asked(
        principal=principal,
        tool=name,
        version=int(version) if version else None,
        size=len(delivery.body),
        key=given.idempotency_key(headers, wanted.idempotency_key),
        delivery=_repeat(delivery, principal),
        traceparent=tracing.current.get() or headers.get("traceparent"),
        **options(wanted),
    )
    return Wanted(asked, wait)


def turn_of(delivery: Delivery, headers: Headers, principal: Principal) -> TurnAsked:
    """The turn that is asked for; raises as `call_of` does."""
    if "prefer" in headers:
        raise FieldsRefused(
            (FieldError("prefer", "is not read for a turn, which is told by its deadline; leave it out"),)
        )
    raw = _bounded(delivery.body)
    key, delivered = given.idempotency_key(headers), _repeat(delivery, principal) or f"{_MARK}{ids.new_id()}"
    return _turn(raw, principal, key, delivered, tracing.current.get() or tracing.accept(headers.get("traceparent")))


def turn_again(ticket: TurnTicket, org: str, left: float) -> TurnAsked:
    """The turn of a ticket, with so many seconds left; raises as `call_of` does."""
    principal = Principal(ticket.key_id, org, frozenset(ticket.roles))  # type: ignore[arg-type]  # written by `ticket_of`
    return _turn(bytes(ticket.request), principal, ticket.key, ticket.delivery, ticket.traceparent, left)


def ticket_of(asked: TurnAsked, request: bytes, until: float) -> TurnTicket:
    """What is needed to take a turn again."""
    return TurnTicket(
        key_id=asked.principal.key_id,
        roles=tuple(sorted(asked.principal.roles)),
        request=Raw(request),
        until=until,
        key=asked.key,
        delivery=asked.delivery,
        traceparent=asked.traceparent,
    )


def _turn(
    raw: bytes,
    principal: Principal,
    key: str | None,
    delivery: str | None,
    traceparent: str | None,
    left: float | None = None,
) -> TurnAsked:
    wanted = fields.read(TurnRequest, strict_json.decode(raw))
    form = FORMATS[wanted.format]
    return TurnAsked(
        principal=principal,
        form=form,
        calls=form.read(wanted.message),
        size=len(raw),
        user=wanted.user,
        conversation=wanted.conversation,
        context=wanted.context,
        deadline=wanted.deadline,
        left=left,
        key=key,
        delivery=delivery,
        traceparent=traceparent,
    )


def _json(delivery: Delivery) -> object:
    return strict_json.decode(_bounded(delivery.body))


def _bounded(body: bytes) -> bytes:
    if len(body) > MAX_REQUEST:
        raise Refused("payload_too_large", f"The body is longer than {MAX_REQUEST:,} bytes; send less.")
    return body


def _repeat(delivery: Delivery, principal: Principal) -> str | None:
    """What makes a message that is delivered again the same request; None: nothing does."""
    if delivery.message_id:
        words: tuple[str, ...] = ("message", principal.key_id, delivery.message_id)
    elif delivery.reply_to and delivery.correlation_id:
        words = ("reply", principal.key_id, delivery.reply_to, delivery.correlation_id)
    else:
        return None
    return _MARK + "\x1f".join(words)
