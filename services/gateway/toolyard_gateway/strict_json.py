"""JSON read strictly: what two readers could understand differently is refused, with the place where it stands.

Called by the HTTP edge for every body. It knows nothing of HTTP.
"""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from toolyard.errors import FieldError, FieldsRefused, Refused

#: Levels of objects and arrays in one body.
MAX_DEPTH: Final = 64
#: Objects and arrays, and commas between values, in one body: handling more would hold up everybody else.
MAX_CONTAINERS: Final = 20_000
MAX_COMMAS: Final = 50_000
#: Texts that one answer names at most.
MAX_NAMED: Final = 20
#: Digits of one number: no reader takes much more.
MAX_DIGITS: Final = 4_000
#: Bytes. In a longer body the place of a fault is not searched for: that would take longer than reading it.
MAX_SEARCHED: Final = 64 * 1024

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_ESCAPED_COLON: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u003[aA]")
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_HALF_A_PAIR: Final = re.compile("[\ud800-\udfff]")
_TOO_DEEP: Final = f"The body is nested deeper than {MAX_DEPTH} levels; make it flatter."


class _Twice(dict[str, Any]):
    """An object in which a key stands twice."""

    key: str


def decode(raw: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        Refused: ``parse_error`` where it is no JSON, a key stands twice, or it is nested too deeply;
            ``validation_failed`` where a text holds NUL or half a surrogate pair, which no database or model takes.
    """
    containers = raw.count(b"[") + raw.count(b"{")
    if containers > MAX_CONTAINERS or raw.count(b",") > MAX_COMMAS:
        _check_amount(raw)
    try:
        value = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _explained(raw, error) from None
    if containers > MAX_DEPTH:
        _check_depth(value)
    if _lost_a_pair(raw, value):
        raise _key_twice(raw)
    if b"\\u0000" in raw and _NUL.search(raw):
        raise _bad_texts(raw, value, lambda text: "\x00" in text, "holds the character NUL; remove it")
    return value


def _check_amount(raw: bytes) -> None:
    bare = _STRING.sub(b"", raw)
    if bare.count(b"[") + bare.count(b"{") > MAX_CONTAINERS:
        raise Refused("parse_error", f"The body holds more than {MAX_CONTAINERS:,} objects and arrays; send less.")
    if bare.count(b",") > MAX_COMMAS:
        raise Refused("parse_error", f"The body holds more than {MAX_COMMAS:,} values; send less.")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [item for node in level for item in _inner(node) if type(item) is dict or type(item) is list]
        if not level:
            return
    raise Refused("parse_error", _TOO_DEEP)


def _inner(node: Any) -> Any:
    return node.values() if type(node) is dict else node if type(node) is list else ()


# ---- keys that stand twice ----------------------------------------------------------------------


def _lost_a_pair(raw: bytes, value: Any) -> bool:
    """Whether decoding may have lost a pair: each has one colon, and a colon in a text comes out as it went in."""
    colons = raw.count(b":")
    if colons < 2:
        return False
    if b"\\u003" in raw:
        colons += len(_ESCAPED_COLON.findall(raw))
    return _encoder.encode(value).count(b":") != colons


def _key_twice(raw: bytes) -> Refused:
    if len(raw) > MAX_SEARCHED:
        return Refused("parse_error", "A key stands twice in one object; keep one of them.")
    found = next(_twice(json.loads(raw, object_pairs_hook=_object), ()))
    where, message = ".".join(found), "stands twice in one object; keep one of them"
    return Refused("parse_error", f"{where}: {message}", fields=(FieldError(where, message),))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    counts = Counter(key for key, _ in pairs)
    marked = _Twice(made)
    marked.key = next(key for key, count in counts.items() if count > 1)
    return marked


def _twice(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, _Twice):
        yield (*path, value.key)
    for key, item in _items(value):
        yield from _twice(item, (*path, key))


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from ((str(number), item) for number, item in enumerate(value))


# ---- what is no JSON ----------------------------------------------------------------------------


def _explained(raw: bytes, error: Exception) -> Refused:
    if isinstance(error, RecursionError):
        return Refused("parse_error", _TOO_DEEP)
    try:
        value = json.loads(_text(raw), parse_constant=_no_constant, parse_int=_integer)
    except RecursionError:
        return Refused("parse_error", _TOO_DEEP)
    except json.JSONDecodeError as fault:
        where = f"line {fault.lineno}, column {fault.colno}"
        return Refused("parse_error", f"The body is not JSON: {fault.msg} at {where}.")
    except ValueError as fault:
        return Refused("parse_error", f"The body is not JSON: {fault}.")
    if re.search(rb"\\u[dD][89a-fA-F]", raw):
        return _bad_texts(raw, value, _HALF_A_PAIR.search, "holds half a surrogate pair; send the whole character")
    return Refused("parse_error", "The body is not JSON: a number is out of range.")


def _text(raw: bytes) -> str:
    if not raw:
        raise ValueError("it is empty; send an object")
    if raw.startswith(b"\xef\xbb\xbf"):
        raise ValueError("it begins with a byte order mark; send it without")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number of JSON; send null or leave the field out")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has more than {MAX_DIGITS:,} digits; send a shorter one, or a text")
    return int(digits)


def _bad_texts(raw: bytes, value: Any, wrong: Callable[[str], object], message: str) -> Refused:
    if len(raw) > MAX_SEARCHED:
        return Refused("validation_failed", f"A text {message}.")
    paths = itertools.islice(_texts(value, wrong, ()), MAX_NAMED)
    return FieldsRefused(tuple(FieldError(".".join(path), message) for path in paths))


def _texts(value: Any, wrong: Callable[[str], object], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, str):
        if wrong(value):
            yield path
        return
    for key, item in _items(value):
        if wrong(key):
            yield (*path, ascii(key)[1:-1])
        yield from _texts(item, wrong, (*path, ascii(key)[1:-1] if wrong(key) else key))
