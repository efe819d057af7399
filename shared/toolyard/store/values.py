"""Values on their way into text columns and back: cleaned text, JSON text, and opaque cursors.

Used by all parts of the store. No row and no statement is known here.
"""

import base64
import binascii
from typing import Any, Final, TypeVar

import msgspec

from toolyard.contracts.codec import encode_json

T = TypeVar("T")

#: A time and the longest id, whatever its letters, fit into it.
_MAX_CURSOR: Final = 1_000
_PRINTED: Final = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """Text without what no database takes: NUL is replaced, and so are lone surrogates."""
    if text.isascii():
        return text.replace("\x00", _PRINTED) if "\x00" in text else text
    return text.replace("\x00", _PRINTED).encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def json_text(value: Any) -> str:
    """The JSON text of a struct or value; bytes in it that are no UTF-8 are replaced."""
    return encode_json(value).decode("utf-8", "replace")


def write_cursor(*place: str | float) -> str:
    """An opaque word for a place in a list."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def read_cursor(cursor: str, kind: type[T]) -> T:
    """The place that a cursor names; ``kind`` is the tuple it was made of.

    Raises:
        ValueError: none of ours.
    """
    if len(cursor) > _MAX_CURSOR:
        raise ValueError("not a cursor of ours: too long")
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=kind)
    except (UnicodeError, binascii.Error, msgspec.DecodeError):
        raise ValueError("not a cursor of ours; take the next_cursor of the page before") from None
