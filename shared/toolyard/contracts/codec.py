"""Bytes to structs and back, with versions and size limits. The only place that encodes a message.

Unknown fields are ignored, so that an older part reads what a newer one writes; an unknown kind is told apart from what
is broken, so that readers pass it over; an unknown major version is refused.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar, get_args

import msgspec

from toolyard.contracts.calls import VERSION, CallMessage
from toolyard.contracts.consents import ConsentAsked, ConsentTold
from toolyard.contracts.control import BreakerTold, Control, ControlMessage, Heartbeat, SecurityTold
from toolyard.contracts.events import CallEvent, Event, Progress
from toolyard.contracts.feed import FeedAsked, FeedPage
from toolyard.contracts.requests import Ticket
from toolyard.contracts.secrets import SecretsAsked, SecretsTold
from toolyard.contracts.tools import PinnedTool, ToolSpec
from toolyard.errors import ContractError, TooLarge, UnknownKind, UnknownVersion

#: Bytes. A request is at most 1 MiB and a definition 256 KiB; the rest is room for our own fields.
MAX_CALL_MESSAGE: Final = 2 * 1024 * 1024
#: Bytes. A result is at most 1 MiB of text and of JSON; escapes in it may double that.
MAX_EVENT: Final = 8 * 1024 * 1024
#: Bytes of a control message: names and ids only, but of all that is paused at once; ten thousands of tools may be.
MAX_CONTROL: Final = 4 * 1024 * 1024
#: Bytes of a page of the feed: it ends with the event that fills it, and each is as large as an event may be.
MAX_PAGE: Final = 2 * MAX_EVENT

#: Bytes of a question for secrets: it holds the message of a call in base64, and some names.
MAX_SECRETS_ASKED: Final = 2 * MAX_CALL_MESSAGE
#: Bytes of its answer: all secrets of one tool.
MAX_SECRETS_TOLD: Final = 8 * 1024 * 1024

#: Levels of nesting that are kept free for whoever shows a call later: JSON is written and read on the stack, which is
#: fuller there than where the message was read. The door takes far fewer levels than are left.
_ROOM: Final = 200
#: Bytes that cannot hold so many levels that they would have to be looked at: two for each.
_SHALLOW: Final = 1_500

T = TypeVar("T")

Kinds = frozenset[object]


def _kinds(union: object) -> Kinds:
    return frozenset(kind.__struct_config__.tag for kind in get_args(union))


#: The kinds that this build knows, of what comes in more than one.
_EVENTS: Final = _kinds(Event)
_CONTROLS: Final = _kinds(Control)
_ONE: Final[Kinds] = frozenset()

#: What msgspec raises for bytes that it cannot read: the latter two for text that is not UTF-8 and for deep nesting.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)

_encoder = msgspec.json.Encoder()


class _Head(msgspec.Struct):
    v: int = 0
    event: Any = None


_head: msgspec.json.Decoder[_Head | list[_Head]] = msgspec.json.Decoder(_Head | list[_Head])
_skipped = msgspec.json.Decoder(msgspec.Raw)
_call_message = msgspec.json.Decoder(CallMessage)
_event: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_events: msgspec.json.Decoder[list[Event]] = msgspec.json.Decoder(list[Event])
_progress = msgspec.json.Decoder(Progress)
_bodies: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_control: msgspec.json.Decoder[Control] = msgspec.json.Decoder(Control)
_heartbeat = msgspec.json.Decoder(Heartbeat)
_breaker = msgspec.json.Decoder(BreakerTold)
_security = msgspec.json.Decoder(SecurityTold)
_feed_asked = msgspec.json.Decoder(FeedAsked)
_feed_page = msgspec.json.Decoder(FeedPage)
_consent_asked = msgspec.json.Decoder(ConsentAsked)
_consent_told = msgspec.json.Decoder(ConsentTold)
_ticket = msgspec.json.Decoder(Ticket)
_secrets_asked = msgspec.json.Decoder(SecretsAsked)
_secrets_told = msgspec.json.Decoder(SecretsTold)
_pinned = msgspec.json.Decoder(PinnedTool)
_spec = msgspec.json.Decoder(ToolSpec)


Encoded = (
    CallMessage
    | CallEvent
    | ControlMessage
    | Heartbeat
    | BreakerTold
    | SecurityTold
    | FeedAsked
    | FeedPage
    | ConsentAsked
    | ConsentTold
    | Ticket
    | SecretsAsked
    | SecretsTold
    | PinnedTool
    | ToolSpec
)


def encode(message: Encoded) -> bytes:
    """The bytes of a message or definition: compact UTF-8 JSON."""
    return _encoder.encode(message)


def encode_json(value: Any) -> bytes:
    """The bytes of any JSON value: compact UTF-8."""
    return _encoder.encode(value)


def decode_call(body: bytes) -> CallMessage:
    """A pool message.

    Raises:
        TooLarge: over `MAX_CALL_MESSAGE`.
        UnknownVersion: of a major version that this build does not read.
        ContractError: not a pool message; says which field.
    """
    message = _decode(_call_message, body, MAX_CALL_MESSAGE)
    if len(body) > _SHALLOW and body.count(b"[") + body.count(b"{") > _ROOM:
        _check_depth(body)
    return message


def decode_event(body: bytes) -> Event:
    """A lifecycle event; raises as `decode_call` does, and `UnknownKind`."""
    return _decode(_event, body, MAX_EVENT, _EVENTS)


def decode_progress(body: bytes) -> Progress:
    """How far an attempt has come; raises as `decode_call` does."""
    return _decode(_progress, body, MAX_CONTROL)


def join_events(encoded: Sequence[bytes]) -> bytes:
    """Encoded events as the body of one message."""
    return b"[" + b",".join(encoded) + b"]"


def decode_events(body: bytes) -> Iterable[Event]:
    """Lifecycle events that travel together, in their order.

    One that cannot be read is not in the way of the others: they come first, and then its error is raised. Where there
    is none to come, that happens at once. Raises as `decode_event` does.
    """
    _check_size(body, MAX_EVENT)
    try:
        events = _events.decode(body)
    except _UNREADABLE:
        return _one_by_one(body)
    if events and all(event.v == VERSION for event in events):
        return events
    return _one_by_one(body)


def _one_by_one(body: bytes) -> Iterable[Event]:
    bodies = _read(_bodies, body, MAX_EVENT, "a row of events")
    if not bodies:
        raise ContractError("not a row of events: it is empty")
    events: list[Event] = []
    refused: list[tuple[int, ContractError]] = []
    for place, each in enumerate(bodies, start=1):
        try:
            events.append(decode_event(bytes(each)))
        except ContractError as error:
            refused.append((place, error))
    if not refused:  # nested too deep for reading them together
        return events
    place, first = next((each for each in refused if not isinstance(each[1], UnknownKind)), refused[0])
    more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
    told = type(first)(f"{first} (event {place} of {len(bodies)}{more})")
    if not events:
        raise told
    return _then_raise(events, told)


def _then_raise(events: list[Event], error: ContractError) -> Iterator[Event]:
    yield from events
    raise error


def decode_control(body: bytes) -> Control:
    """A control message; raises as `decode_event` does."""
    return _decode(_control, body, MAX_CONTROL, _CONTROLS)


def decode_heartbeat(body: bytes) -> Heartbeat:
    """A worker's heartbeat; raises as `decode_call` does."""
    return _decode(_heartbeat, body, MAX_CONTROL)


def decode_breaker(body: bytes) -> BreakerTold:
    """How a worker's breaker stands; raises as `decode_call` does."""
    return _decode(_breaker, body, MAX_CONTROL)


def decode_security(body: bytes) -> SecurityTold:
    """That a message is not believed; raises as `decode_call` does."""
    return _decode(_security, body, MAX_CONTROL)


def decode_feed_asked(body: bytes) -> FeedAsked:
    """A gateway's question for a page of the feed; raises as `decode_call` does."""
    return _decode(_feed_asked, body, MAX_CONTROL)


def decode_feed_page(body: bytes) -> FeedPage:
    """A page of the feed; raises as `decode_call` does."""
    return _decode(_feed_page, body, MAX_PAGE)


def decode_consent_asked(body: bytes) -> ConsentAsked:
    """A gateway's question for a consent; raises as `decode_call` does."""
    return _decode(_consent_asked, body, MAX_CONTROL)


def decode_consent_told(body: bytes) -> ConsentTold:
    """The answer to a gateway's question for a consent; raises as `decode_call` does."""
    return _decode(_consent_told, body, MAX_CONTROL)


def decode_ticket(body: bytes) -> Ticket:
    """What stands for a request that is not answered yet; raises as `decode_call` does."""
    return _decode(_ticket, body, MAX_CALL_MESSAGE)


def decode_secrets_asked(body: bytes) -> SecretsAsked:
    """A worker's question for secrets; raises as `decode_call` does."""
    return _decode(_secrets_asked, body, MAX_SECRETS_ASKED)


def decode_secrets_told(body: bytes) -> SecretsTold:
    """The answer to a worker's question for secrets; raises as `decode_call` does."""
    return _decode(_secrets_told, body, MAX_SECRETS_TOLD)


def decode_pinned(body: bytes) -> PinnedTool:
    """The binding that travels with a call, or what the store keeps of it."""
    try:
        return _pinned.decode(body)
    except _UNREADABLE as error:
        raise ContractError(f"not a tool binding: {error}") from None


def decode_spec(body: bytes | str) -> ToolSpec:
    """A stored tool definition."""
    try:
        return _spec.decode(body)
    except _UNREADABLE as error:
        raise ContractError(f"not a tool definition: {error}") from None


def _decode(decoder: "msgspec.json.Decoder[T]", body: bytes, limit: int, kinds: Kinds = _ONE) -> T:
    message = _read(decoder, body, limit, "a message of ours", kinds)
    _require_version(message.v)  # type: ignore[attr-defined]
    return message


def _read(decoder: "msgspec.json.Decoder[T]", body: bytes, limit: int, what: str, kinds: Kinds = _ONE) -> T:
    _check_size(body, limit)
    try:
        return decoder.decode(body)
    except _UNREADABLE as error:
        _check_head(body, kinds)
        raise ContractError(f"not {what}: {error}") from None


def _check_size(body: bytes, limit: int) -> None:
    if len(body) > limit:
        raise TooLarge(f"{len(body)} bytes; at most {limit} are read")


def _check_depth(body: bytes) -> None:
    try:
        _skipped.decode(b"[" * _ROOM + body + b"]" * _ROOM)
    except RecursionError:
        raise ContractError("not a message of ours: it is nested too deep") from None


def _require_version(version: int) -> None:
    if version != VERSION:
        raise UnknownVersion(f"version {version}; this build reads {VERSION}")


def _check_head(body: bytes, kinds: Kinds) -> None:
    """A future shape may not decode at all: look at its version and kind alone before calling it broken."""
    try:
        read = _head.decode(body)
    except _UNREADABLE:
        return
    for each in read if isinstance(read, list) else [read]:
        if each.v not in (0, VERSION):
            raise UnknownVersion(f"version {each.v}; this build reads {VERSION}") from None
    if isinstance(read, list) or not kinds or read.v != VERSION or not isinstance(read.event, str):
        return
    if read.event not in kinds:
        raise UnknownKind(f"a message {read.event[:64]!r}, which this build does not know") from None
