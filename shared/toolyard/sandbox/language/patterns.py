"""How the class patterns of a `match` are matched: each attribute of a subject is read by the guard, and none in C.

`matching` writes each case that has one as a description, made of nested tuples, and a call of `match`. What it does is
what Python does, read by read; only names that no tool may read are as if the subject did not have them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from toolyard.sandbox.language.guards import read

VALUE: Final = "value"
IS: Final = "is"
ANY: Final = "any"
AS: Final = "as"
OR: Final = "or"
STAR: Final = "star"
SEQUENCE: Final = "sequence"
MAPPING: Final = "mapping"
CLASS: Final = "class"

#: Bits of `type.__flags__`: classes that a pattern takes for a sequence, for a mapping, and those whose only position
#: is the subject itself.
_IS_SEQUENCE: Final = 1 << 5
_IS_MAPPING: Final = 1 << 6
_IS_ITSELF: Final = 1 << 22

_NOTHING: Final = object()

#: A kind of pattern, and what belongs to it.
Pattern = tuple[Any, ...]
Names = dict[str, object]


def match(subject: object, pattern: Pattern) -> Names | None:
    """What a subject gives the names of a pattern; None if it does not match.

    Raises:
        TypeError: the pattern fits no subject at all, as Python says it.
    """
    names: Names = {}
    return names if _matches(subject, pattern, names) else None


def _matches(subject: object, pattern: Pattern, names: Names) -> bool:
    return _KINDS[pattern[0]](subject, names, *pattern[1:])


def _value(subject: object, names: Names, value: object) -> bool:
    return bool(subject == value)


def _is(subject: object, names: Names, value: object) -> bool:
    return subject is value


def _any(subject: object, names: Names) -> bool:
    return True


def _as(subject: object, names: Names, inner: Pattern | None, name: str) -> bool:
    if inner is not None and not _matches(subject, inner, names):
        return False
    names[name] = subject
    return True


def _or(subject: object, names: Names, each: tuple[Pattern, ...]) -> bool:
    return any(_matches(subject, one, names) for one in each)


def _sequence(subject: object, names: Names, each: tuple[Pattern, ...]) -> bool:
    if not type(subject).__flags__ & _IS_SEQUENCE:
        return False
    star = next((index for index, one in enumerate(each) if one[0] == STAR), None)
    size = len(cast("Sequence[object]", subject))
    if size != len(each) if star is None else size < len(each) - 1:
        return False
    items = list(cast("Sequence[object]", subject))
    if star is not None:
        after = len(items) - (len(each) - star - 1)
        if (kept := each[star][1]) is not None:
            names[kept] = items[star:after]
        items[star:after] = []
        each = each[:star] + each[star + 1 :]
    return all(_matches(item, one, names) for item, one in zip(items, each, strict=True))


def _mapping(
    subject: object, names: Names, keys: tuple[object, ...], each: tuple[Pattern, ...], rest: str | None
) -> bool:
    if not type(subject).__flags__ & _IS_MAPPING or len(cast("Mapping[object, object]", subject)) < len(keys):
        return False
    if len(set(keys)) < len(keys):
        raise ValueError("mapping pattern checks duplicate key")
    get = cast("Callable[..., object]", read(subject, "get"))
    for key, one in zip(keys, each, strict=True):
        value = get(key, _NOTHING)
        if value is _NOTHING or not _matches(value, one, names):
            return False
    if rest is not None:
        left = dict(cast("Mapping[object, object]", subject))
        for key in keys:
            del left[key]
        names[rest] = left
    return True


def _class(
    subject: object,
    names: Names,
    kind: type,
    positions: tuple[Pattern, ...],
    attributes: tuple[str, ...],
    each: tuple[Pattern, ...],
) -> bool:
    if not issubclass(type(kind), type):
        raise TypeError("called match pattern must be a class")
    if not isinstance(subject, kind):
        return False
    read_by = _positions(kind, len(positions))
    if read_by is None:
        return _matches(subject, positions[0], names) and _attributes(subject, names, attributes, each)
    every = (*read_by, *attributes)
    for index, name in enumerate(every):
        if name in every[:index]:
            raise TypeError(f"{kind.__name__}() got multiple sub-patterns for attribute {name!r}")
    return _attributes(subject, names, every, positions + each)


def _positions(kind: type, wanted: int) -> tuple[str, ...] | None:
    """The attributes that positions stand for; None where the one position is the subject itself."""
    if not wanted:
        return ()
    known = getattr(kind, "__match_args__", None)
    itself = known is None and bool(kind.__flags__ & _IS_ITSELF)
    if known is not None and (type(known) is not tuple or any(type(name) is not str for name in known)):
        raise TypeError(f"{kind.__name__}.__match_args__ must be a tuple of texts")
    most = 1 if itself else len(known or ())
    if most < wanted:
        plural = "" if most == 1 else "s"
        raise TypeError(f"{kind.__name__}() accepts {most} positional sub-pattern{plural} ({wanted} given)")
    return None if itself else (known or ())[:wanted]


def _attributes(subject: object, names: Names, attributes: tuple[str, ...], each: tuple[Pattern, ...]) -> bool:
    values = []
    for name in attributes:
        try:
            values.append(read(subject, name))
        except AttributeError:
            return False
    return all(_matches(value, one, names) for value, one in zip(values, each, strict=True))


_KINDS: Final[dict[str, Callable[..., bool]]] = {
    VALUE: _value,
    IS: _is,
    ANY: _any,
    AS: _as,
    OR: _or,
    SEQUENCE: _sequence,
    MAPPING: _mapping,
    CLASS: _class,
}
