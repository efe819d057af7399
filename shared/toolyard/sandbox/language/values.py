"""What a tool returns, as JSON: taken apart without running any code of the tool, and refused by name and place.

Subclasses are read by the methods of the class that JSON knows, so that their own cannot answer otherwise.
"""

from typing import Final

from toolyard.sandbox.language.redacting import NOTHING, Redactor

#: Levels of lists and dicts in each other.
MAX_DEPTH: Final = 100
#: Characters of a place.
_PATH: Final = 200

#: Bits of an integer: what Python turns into at most 4,300 digits, which is also what it reads back.
_MAX_BITS: Final = 14_283

JSON = None | bool | int | float | str | list["JSON"] | dict[str, "JSON"]

_INSTEAD: Final = {
    "datetime": "use .isoformat()",
    "date": "use .isoformat()",
    "time": "use .isoformat()",
    "timedelta": "use .total_seconds()",
    "Decimal": "use str(x) or float(x)",
    "Fraction": "use str(x) or float(x)",
    "UUID": "use str(x)",
    "bytes": "use .decode(), or base64",
    "bytearray": "use .decode(), or base64",
    "set": "use sorted(x)",
    "frozenset": "use sorted(x)",
    "generator": "use list(x)",
    "map": "use list(x)",
    "filter": "use list(x)",
    "zip": "use list(x)",
    "range": "use list(x)",
    "dict_keys": "use list(x)",
    "dict_values": "use list(x)",
    "dict_items": "use dict(x)",
    "deque": "use list(x)",
    "Response": "use .json() or .text",
    "complex": "use its .real and .imag",
}


class NotJSON(Exception):  # noqa: N818 - what it says is told, and nothing failed
    """The value cannot be an answer; the text says where and why.

    Args:
        path: to what in it.
        why: what follows its place in a sentence.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(path, why)
        self._path = path
        self._why = why

    def told(self, redactor: Redactor) -> str:
        """The text, of whose place nothing is cut before it is without what must not be told."""
        path = redactor.text(self._path)
        shown = path if len(path) <= _PATH else f"{path[:_PATH]}…"
        place = f"`{shown}` of the returned value" if path else "the returned value"
        return f"{place} {redactor.text(self._why)}"

    def __str__(self) -> str:
        return self.told(NOTHING)


class TooLarge(Exception):  # noqa: N818
    """The value is larger than an answer may be."""


def as_json(value: object, most: int) -> JSON:
    """A value made of nothing but what JSON has.

    Args:
        value: what a tool returned.
        most: bytes that it may take.

    Raises:
        NotJSON: something in it is no JSON.
        TooLarge: it would take more than that.
    """
    return _Reader(most).read(value, "", 0)


class _Reader:
    def __init__(self, most: int) -> None:
        self._room = most

    def read(self, value: object, path: str, depth: int) -> JSON:
        self._take(1)
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return self._text(str.__str__(value), path)
        if isinstance(value, int):
            return _whole(value, path)
        if isinstance(value, float):
            return _number(value, path)
        if depth == MAX_DEPTH:
            raise NotJSON(path, f"is nested more than {MAX_DEPTH} levels deep")
        if isinstance(value, list | tuple):
            every = list.__iter__(value) if isinstance(value, list) else tuple.__iter__(value)
            return [self.read(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(every)]
        if isinstance(value, dict):
            return self._members(value, path, depth)
        raise NotJSON(path, _refused(value))

    def _members(self, value: dict[object, object], path: str, depth: int) -> dict[str, JSON]:
        members: dict[str, JSON] = {}
        for key, item in dict.items(value):
            name = self._key(key, path)
            if name in members:
                raise NotJSON(path, f"has the key {name!r} twice")
            members[name] = self.read(item, f"{path}.{name}" if path else name, depth + 1)
        return members

    def _key(self, key: object, path: str) -> str:
        if isinstance(key, str):
            return self._text(str.__str__(key), path)
        if isinstance(key, int) and not isinstance(key, bool):
            return str(_whole(key, path))
        kind = type(key).__name__
        raise NotJSON(path, f"has a key of type {kind}; the keys of JSON are texts: use str(key)")

    def _text(self, text: str, path: str) -> str:
        try:
            self._take(len(text) if text.isascii() else len(text.encode()))
        except UnicodeEncodeError:
            why = "has half of a surrogate pair in its text: use text.encode(errors='replace').decode()"
            raise NotJSON(path, why) from None
        return text

    def _take(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise TooLarge


def _whole(value: int, path: str) -> int:
    plain = int.__int__(value)
    if plain.bit_length() > _MAX_BITS:
        raise NotJSON(path, "is a number with more than 4,300 digits: use hex(x), or less of it")
    return plain


def _number(value: float, path: str) -> float:
    plain = float.__float__(value)
    if plain != plain or plain in {float("inf"), float("-inf")}:
        raise NotJSON(path, f"is {plain}, which JSON does not have: use None")
    return plain


def _refused(value: object) -> str:
    kind = type(value)
    name = kind.__name__
    instead = _INSTEAD.get(name)
    if instead is None and hasattr(kind, "__dataclass_fields__"):
        instead = "use dataclasses.asdict(x)"
    if instead is None and any(base.__name__ == "Enum" for base in kind.__mro__):
        instead = "use .value"
    return f"is of type {name}, which is no JSON" + (f": {instead}" if instead else "")
