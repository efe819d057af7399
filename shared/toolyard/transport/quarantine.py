"""How a message is put away: its body as it is, and in headers all else that is needed to publish it once more.

`envelope.quarantined` wraps, the scheduler's quarantine unwraps. A wrapped message says nothing that is believed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from toolyard.transport.base import Delivery, Header, Record

#: Bytes of the original headers beyond which they are left out: a message's headers travel in one frame.
_MAX_HEADERS: Final = 64 * 1024
_REASON, _EXCHANGE, _KEY = "toolyard-reason", "toolyard-exchange", "toolyard-key"
_MESSAGE_ID, _ORIGINAL = "toolyard-message-id", "toolyard-original"
#: What names the header of a request from outside that holds a key, and how a key begins in one that is misnamed: both
#: go nowhere.
_KEY_HEADER: Final = "authorization"
_KEY_VALUES: Final = ("bearer ", "ty_")


class _Original(msgspec.Struct, frozen=True, omit_defaults=True):
    headers: dict[str, str | int | float | bool] = {}
    expiration: str = ""
    kind: str = ""


_original = msgspec.json.Decoder(_Original)


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """What is known of a message that was put away.

    Attributes:
        complete: all of it is there but, perhaps, its body.
    """

    reason: str
    exchange: str
    key: str
    message_id: str
    headers: Mapping[str, Header]
    expiration: str
    kind: str
    complete: bool


def wrapping(delivery: Delivery | Record, reason: str) -> dict[str, Header]:
    """The headers with which a message is put away; a dead letter is put away as it was before it died."""
    death = delivery.death if isinstance(delivery, Delivery) else None
    headers: dict[str, Header] = {
        _REASON: reason[:500],
        _EXCHANGE: delivery.exchange if death is None else death.exchange,
        _KEY: delivery.key if death is None else death.key,
        _MESSAGE_ID: delivery.message_id,
    }
    kind = delivery.kind if isinstance(delivery, Delivery) else ""
    given = {name: value for name, value in delivery.headers.items() if not _holds_key(name, value)}
    original = msgspec.json.encode(_Original(given, delivery.expiration, kind))
    if len(original) <= _MAX_HEADERS:
        headers[_ORIGINAL] = original.decode("utf-8", "replace")
    return headers


def _holds_key(name: str, value: Header) -> bool:
    named = _KEY_HEADER in name.lower()
    return named or (isinstance(value, str) and value.strip().lower().startswith(_KEY_VALUES))


def unwrapped(delivery: Delivery) -> Unwrapped:
    """The message that a delivery of the quarantine wraps; one that wraps nothing is told of itself."""
    given = delivery.headers
    if _REASON not in given:
        reason = "it was put into the quarantine by somebody who is none of ours"
        return Unwrapped(
            reason,
            delivery.exchange,
            delivery.key,
            delivery.message_id,
            dict(given),
            delivery.expiration,
            delivery.kind,
            complete=True,
        )
    original = _read(given.get(_ORIGINAL))
    found = original or _Original()
    return Unwrapped(
        str(given[_REASON]),
        str(given.get(_EXCHANGE, "")),
        str(given.get(_KEY, "")),
        str(given.get(_MESSAGE_ID, "")),
        found.headers,
        found.expiration,
        found.kind,
        complete=original is not None,
    )


def _read(text: object) -> _Original | None:
    if not isinstance(text, str):
        return None
    try:
        return _original.decode(text.encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return None
