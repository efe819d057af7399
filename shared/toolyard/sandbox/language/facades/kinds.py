"""Classes: dataclasses, enum, typing, types, abc."""

import abc
import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from toolyard.sandbox.language.classes import Type, check_fields, mark, may_inherit
from toolyard.sandbox.language.facades.facade import Facade, facade
from toolyard.sandbox.language.guards import make_writable, may_change
from toolyard.sandbox.language.methods import is_of_library, only_for
from toolyard.sandbox.language.names import MODULE, check_attribute, is_own, words

# ---- dataclasses --------------------------------------------------------------------------------

_OPTIONS: Final = frozenset(words("init repr eq order unsafe_hash frozen match_args kw_only slots"))


def dataclass(cls: type | None = None, /, **options: bool) -> type | Callable[[type], type]:
    """Python's own, for a tool's own classes."""
    if unknown := options.keys() - _OPTIONS:
        raise TypeError(f"dataclass has no option {', '.join(sorted(unknown))} here")
    if cls is None:
        return lambda decorated: _made(decorated, options)
    return _made(cls, options)


def _made(cls: object, options: dict[str, bool]) -> type:
    if not (isinstance(cls, type) and may_change(cls)):
        raise TypeError("dataclass decorates classes of your own")
    # Python makes source of them; of a field that was inherited, of the name that it has by now.
    names = {name for kind in cls.__mro__ for name in inspect.get_annotations(kind)}
    names |= {field.name for kind in cls.__mro__ for field in getattr(kind, "__dataclass_fields__", {}).values()}
    if not all(type(name) is str and name.isidentifier() for name in names):
        raise TypeError("the fields of a dataclass have names")
    for name in names:
        check_attribute(name)
    made = mark(dataclasses.dataclass(**options)(cls))
    check_fields(made)
    for name, method in list(vars(made).items()):
        if is_own(name) and is_of_library(method):
            setattr(made, name, only_for(made, method))
    return made


# ---- types ---------------------------------------------------------------------------------------


class SimpleNamespace(types.SimpleNamespace):
    """An object with the attributes that it is given, and none of Python's own.

    Library code asks objects how they are copied, or what they are made of, by names of Python's own, and believes what
    it finds on the object: with one of those a tool could say anything.
    """

    def __init__(self, **attributes: object) -> None:
        for name in attributes:
            check_attribute(name)
        super().__init__(**attributes)


make_writable(SimpleNamespace)


# ---- typing --------------------------------------------------------------------------------------


class NamedTuple:
    """`typing.NamedTuple`: what a class inherits from, and a call that makes one of fields that have harmless names."""

    __slots__ = ()

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return types.resolve_bases((typing.NamedTuple,))

    def __call__(self, name: str, fields: Iterable[tuple[str, object]] | None = None, /, **named: object) -> type:
        """Of a list of names and kinds."""
        listed = list(named.items()) if fields is None else [(field, kind) for field, kind in fields]
        for field, _ in listed:
            check_attribute(field)
        made = typing.NamedTuple(name, listed)  # type: ignore[misc]
        type.__setattr__(made, "__module__", MODULE)
        return mark(made)


class TypedDict:
    """`typing.TypedDict`, in the same way."""

    __slots__ = ()

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return types.resolve_bases((typing.TypedDict,))

    def __call__(self, name: str, fields: Mapping[str, object], /, *, total: bool = True) -> type:
        """Of a dict of names and kinds."""
        listed = dict(fields)
        for field in listed:
            check_attribute(field)
        return typing.TypedDict(name, listed, total=total)  # type: ignore[operator, no-any-return]


# ---- enum ---------------------------------------------------------------------------------------


class _EnumType(enum.EnumType):
    """Enumerations are written as classes: the call that makes one would take any names."""

    def __call__(cls, value: object, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        if args or kwargs:
            raise TypeError("write an enumeration as a class")
        return super().__call__(value)


class Enum(enum.Enum, metaclass=_EnumType):
    """`enum.Enum`."""


class IntEnum(enum.IntEnum, metaclass=_EnumType):
    """`enum.IntEnum`."""


class StrEnum(enum.StrEnum, metaclass=_EnumType):
    """`enum.StrEnum`."""


class Flag(enum.Flag, metaclass=_EnumType):
    """`enum.Flag`."""


class IntFlag(enum.IntFlag, metaclass=_EnumType):
    """`enum.IntFlag`."""


_ENUMS: Final = {kind.__name__: kind for kind in (Enum, IntEnum, StrEnum, Flag, IntFlag)}

# ---- the lists ----------------------------------------------------------------------------------

may_inherit(*_ENUMS.values(), abc.ABC, typing.Generic, typing.Protocol)
# What `class P(NamedTuple)` and `class D(TypedDict)` inherit from in truth.
may_inherit(*types.resolve_bases((typing.NamedTuple, typing.TypedDict)))

MODULES: Final[dict[str, Facade]] = {
    "dataclasses": facade(
        "dataclasses",
        dataclasses,
        "FrozenInstanceError InitVar KW_ONLY MISSING asdict astuple field fields is_dataclass replace",
        dataclass=dataclass,
    ),
    "enum": facade("enum", enum, "auto unique", **_ENUMS),
    "typing": facade(
        "typing",
        typing,
        "Annotated Any AnyStr Callable ClassVar Collection Counter DefaultDict Deque Dict Final FrozenSet Generator "
        "Generic Hashable Iterable Iterator List Literal Mapping MutableMapping MutableSequence Never "
        "NewType NoReturn NotRequired Optional Protocol Required Self Sequence Set Sized SupportsFloat SupportsInt "
        "Text Tuple TypeAlias TypeVar Union cast final",
        NamedTuple=NamedTuple(),
        TypedDict=TypedDict(),
        TYPE_CHECKING=False,
        Type=Type(),
    ),
    "types": facade("types", types, "MappingProxyType", SimpleNamespace=SimpleNamespace),
    "abc": facade("abc", abc, "ABC abstractmethod"),
}
