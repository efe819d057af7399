"""What compiled code calls at each attribute that it reads and at each place that it writes.

A name is looked at before it is followed; and what comes back is looked at, too, because it is the thing, and not the
way to it, that must not be handed out: `str.format` is reached from texts, from the class, and from `super()`.
"""

import operator
from abc import ABCMeta
from collections.abc import Callable
from types import (
    BuiltinMethodType,
    CodeType,
    FrameType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
    TracebackType,
)
from typing import Final, ForwardRef

from toolyard.sandbox.language import formatting
from toolyard.sandbox.language.methods import is_of_library, only_for
from toolyard.sandbox.language.names import FORMATS, HIDDEN, INSPECTING, MARK, METHODS, inspecting, is_own, own_name

#: Names that are looked at twice; the rest is read as it is.
_SPECIAL: Final = INSPECTING | {"evaluate", "obj", "mro", "register"}

#: Named tuples have these, and authors use them.
_NAMED_TUPLE: Final = frozenset({"_asdict", "_replace", "_fields", "_make", "_field_defaults"})


# ---- reading ------------------------------------------------------------------------------------


def read(owner: object, name: str) -> object:
    """The attribute of an object.

    Raises:
        AttributeError: it has none of that name, or none that a tool may have.
    """
    if name in _SPECIAL or name[:1] == "_":
        return _read_special(owner, name)
    value = getattr(owner, name)
    return _judged(value) if type(value) in _JUDGED else value


def _read_special(owner: object, name: str) -> object:
    if name == "__class__":
        return type_of(owner)
    if name == "__name__":
        return _name_of(owner)
    if name in METHODS:
        return _read_method(owner, name)
    if name in _SPECIAL and _is_harmless(owner, name):
        return _judged(getattr(owner, name))
    if name == "register":
        raise AttributeError("register of an abstract class is not available: inherit from the class")
    if name in _SPECIAL:
        raise AttributeError(inspecting(name))
    if is_own(name):
        raise AttributeError(own_name(name))
    return _read_private(owner, name)


def _read_method(owner: object, name: str) -> object:
    value = _judged(getattr(owner, name))
    if not is_of_library(value):
        return value
    if isinstance(kind := owner.__self_class__ if type(owner) is super else owner, type):  # type: ignore[attr-defined]
        return only_for(kind, value)  # type: ignore[arg-type]
    raise AttributeError(own_name(name))  # a cache of a class has a copy of its names


def _is_harmless(owner: object, name: str) -> bool:
    if isinstance(owner, ForwardRef) or hasattr(owner, "__origin__"):  # an alias of typing reads it for another
        return False
    if name == "obj":  # of an error it is what failed
        return not (isinstance(owner, AttributeError) or type(owner) is super)
    if name == "register":
        # Of an abstract class it makes anything an instance of it; names that come by an alias are the same method.
        method = getattr(owner, name)
        return not (isinstance(method, MethodType) and method.__func__ is ABCMeta.register)
    return name == "evaluate" or (name == "mro" and may_change(owner) and _is_of_tool(owner, name))


def _name_of(owner: object) -> str:
    name = type.__dict__["__name__"].__get__(owner) if isinstance(owner, type) else getattr(owner, "__name__", None)
    if type(name) is not str:
        raise AttributeError(f"'{type(owner).__name__}' object has no attribute '__name__'")
    return name


def _read_private(owner: object, name: str) -> object:
    """`_name`: a tool's own, and what named tuples have; never the private parts of a library."""
    if name not in HIDDEN and _is_of_tool(owner, name):
        return _judged(getattr(owner, name))
    if name in _NAMED_TUPLE and (isinstance(owner, tuple) or (isinstance(owner, type) and issubclass(owner, tuple))):
        return _judged(getattr(owner, name))
    whose = f"type object '{_name_of(owner)}'" if isinstance(owner, type) else f"'{type(owner).__name__}' object"
    raise AttributeError(f"{whose} has no attribute '{name}'")


def _is_of_tool(owner: object, name: str) -> bool:
    """Whether a class that the tool made has this attribute, or an object that the tool may change."""
    if isinstance(owner, type):
        kinds = owner.__mro__
    elif type(owner) is super:
        kinds = owner.__self_class__.__mro__  # type: ignore[attr-defined]
    else:
        if name in getattr(owner, "__dict__", ()) and (may_change(owner) or _is_namespace(owner)):
            return True
        kinds = type(owner).__mro__
    return any(MARK in vars(kind) and name in vars(kind) for kind in kinds)


def _judged(value: object) -> object:
    """What a tool gets for what an attribute gave."""
    kind = type(value)
    if kind is BuiltinMethodType:
        return _judged_method(value)
    if kind is MethodDescriptorType:
        return _OF_STR.get(value, value)
    if kind in _DESCRIPTORS and not may_change(value.__objclass__):  # type: ignore[attr-defined]
        # In a class of the tool's it would read the same thing by another name.
        raise AttributeError(f"a tool cannot have a {kind.__name__}")
    if kind in _NEVER or (kind is type and issubclass(value, type)):  # type: ignore[arg-type]
        raise AttributeError(f"a tool cannot have a {kind.__name__}")
    return value


def _judged_method(value: object) -> object:
    text = value.__self__  # type: ignore[attr-defined]
    name = value.__name__  # type: ignore[attr-defined]
    if name in FORMATS and isinstance(text, str):
        return formatting.Format(text) if name == "format" else formatting.FormatMap(text)
    return value


_OF_STR: Final[dict[object, object]] = {
    str.__dict__["format"]: formatting.format_of,
    str.__dict__["format_map"]: formatting.format_map_of,
}
_NEVER: Final = frozenset({ModuleType, FrameType, CodeType, ForwardRef, TracebackType})
_DESCRIPTORS: Final = frozenset({MemberDescriptorType, GetSetDescriptorType})
_JUDGED: Final = _NEVER | _DESCRIPTORS | {BuiltinMethodType, MethodDescriptorType, type}


# ---- writing ------------------------------------------------------------------------------------


def write(owner: object) -> object:
    """The object itself, if a tool may change it.

    Raises:
        TypeError: it may not: only what tools make themselves can be changed, and the usual containers.
    """
    if type(owner) in _WRITABLE or may_change(owner):
        return owner
    kind = type(owner).__name__
    raise TypeError(f"a '{kind}' object cannot be changed: change objects of your own, lists and dicts")


def may_change(owner: object) -> bool:
    """Whether it is of a class, is a class or is a function that a tool wrote, or an exception."""
    if isinstance(owner, type):
        return getattr(owner, MARK, False) is True
    if isinstance(owner, FunctionType):
        return MARK in owner.__globals__
    return getattr(type(owner), MARK, False) is True or isinstance(owner, BaseException)


_WRITABLE: Final[set[type]] = {dict, list, bytearray}


def _is_namespace(owner: object) -> bool:
    return isinstance(owner, SimpleNamespace)


def make_writable(*kinds: type) -> None:
    """Objects of exactly these classes may be changed by tools, too."""
    _WRITABLE.update(kinds)


def operate(sign: str, before: object, by: object) -> object:
    """`before += by` for an attribute."""
    return _OPERATORS[sign](before, by)


_OPERATORS: Final[dict[str, Callable[[object, object], object]]] = {
    "Add": operator.iadd,
    "Sub": operator.isub,
    "Mult": operator.imul,
    "MatMult": operator.imatmul,
    "Div": operator.itruediv,
    "FloorDiv": operator.ifloordiv,
    "Mod": operator.imod,
    "Pow": operator.ipow,
    "LShift": operator.ilshift,
    "RShift": operator.irshift,
    "BitAnd": operator.iand,
    "BitXor": operator.ixor,
    "BitOr": operator.ior,
}


# ---- the built-ins that read and write ----------------------------------------------------------


def _named(name: object) -> str:
    # A subclass of str could answer the questions about a name otherwise than the attribute's name is.
    if type(name) is not str:
        raise TypeError("the name of an attribute must be a string")
    return name


def get_attribute(owner: object, name: str, /, *default: object) -> object:
    """`getattr`."""
    try:
        return read(owner, _named(name))
    except AttributeError:
        if default:
            return default[0]
        raise


def has_attribute(owner: object, name: str, /) -> bool:
    """`hasattr`."""
    try:
        read(owner, _named(name))
    except AttributeError:
        return False
    return True


def set_attribute(owner: object, name: str, value: object, /) -> None:
    """`setattr`."""
    setattr(write(owner), _writable_name(name), value)


def delete_attribute(owner: object, name: str, /) -> None:
    """`delattr`."""
    delattr(write(owner), _writable_name(name))


def _writable_name(name: object) -> str:
    checked = _named(name)
    if is_own(checked) or checked in INSPECTING:
        raise AttributeError(own_name(checked))
    return checked


def attributes_of(owner: object, /) -> dict[str, object]:
    """`vars`: a copy, and of a tool's own objects only."""
    if isinstance(owner, type) or not (may_change(owner) or _is_namespace(owner)):
        raise TypeError("vars() works on objects of classes of your own")
    return {name: value for name, value in vars(owner).items() if not is_own(name)}


# ---- classes ------------------------------------------------------------------------------------


class Opaque:
    """Stands for a class that is not given out: it has a name and is equal to itself."""

    __slots__ = ("__name__",)

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __repr__(self) -> str:
        return f"<class '{self.__name__}'>"


_OPAQUE: Final[dict[type, Opaque]] = {}
_GIVEN: Final[set[type]] = {type(None), type(...), type(NotImplemented)}


def give_out(*kinds: type) -> None:
    """`type(x)` may answer with these classes."""
    _GIVEN.update(kinds)


def type_of(value: object) -> object:
    """The class of a value, where a tool may have it.

    Raises:
        TypeError: the value is a class itself: the class of classes makes classes without asking anybody.
    """
    kind = type(value)
    if issubclass(kind, type):
        raise TypeError("the type of a class is not available: compare the classes themselves")
    if kind in _GIVEN or getattr(kind, MARK, False) is True or issubclass(kind, BaseException):
        return kind
    if kind not in _OPAQUE:
        _OPAQUE[kind] = Opaque(kind.__name__)
    return _OPAQUE[kind]
