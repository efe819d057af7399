"""How classes come to be: made by a hook, of bases and with methods that are on the lists."""

import types
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from toolyard.sandbox.language.guards import may_change, type_of
from toolyard.sandbox.language.names import (
    GUARDED,
    INSPECTING,
    MARK,
    METHODS,
    TEMPORARY,
    inspecting,
    is_own,
    own_name,
    words,
)

#: What the compiler itself puts into the body of a class.
OF_THE_COMPILER: Final = frozenset(
    f"__{name}__"
    for name in words(
        "module qualname annotations classcell orig_bases doc classdict classdictcell annotate annotate_func "
        "static_attributes firstlineno conditional_annotations"
    )
)

#: What `typing` believes a class that says so of itself.
_BELIEVED: Final = frozenset({"_is_protocol", "_is_runtime_protocol"})

_BASES: Final[set[type]] = set()


def may_inherit(*kinds: type) -> None:
    """A tool's classes may inherit from these."""
    _BASES.update(kinds)


class Maker:
    """Makes a class, for the compiled `class` statement: with the metaclass that its bases ask for."""

    __slots__ = ()

    @staticmethod
    def __prepare__(name: str, bases: tuple[type, ...], /, **options: object) -> Mapping[str, object]:
        """The namespace that the body runs in."""
        for base in bases:
            _check_base(base)
        return types.prepare_class(name, bases, options)[1]

    def __call__(self, name: str, bases: tuple[type, ...], body: dict[str, object], /, **options: object) -> type:
        """The class, marked as one of the tool's."""
        for base in bases:
            _check_base(base)
        for own in list(body):
            _check_name(own, body)
        if "__exit__" in body:
            body["__exit__"] = without_trace(body["__exit__"])
        made: type = types.prepare_class(name, bases, options)[0](name, bases, body, **options)
        check_fields(mark(made))
        return made


def mark(made: type) -> type:
    """A class that a tool may change and inherit from."""
    type.__setattr__(made, MARK, True)
    return made


def _check_base(base: object) -> None:
    if not isinstance(base, type):
        raise TypeError("a class can only inherit from classes")
    if base not in _BASES and not may_change(base) and not issubclass(base, BaseException):
        raise TypeError(f"a class cannot inherit from {base.__name__} here")


def _check_name(name: str, body: dict[str, object]) -> None:
    if name.startswith(TEMPORARY):
        del body[name]
    elif is_own(name) and name not in METHODS and name not in OF_THE_COMPILER:
        raise TypeError(own_name(name))
    elif name in INSPECTING:
        raise TypeError(inspecting(name))
    elif name in _BELIEVED:
        raise TypeError(f"`{name}` is a name of typing's own: choose another name")


def without_trace(method: object) -> Callable[..., object]:
    """An `__exit__` that is given None for the traceback, which leads to frames.

    Raises:
        TypeError: no method that is written out: of others it is not known who calls them with what.
    """
    if not isinstance(method, types.FunctionType):
        raise TypeError("__exit__ is written as a method: def __exit__(self, kind, error, trace)")

    def exit_(*args: object, **named: object) -> object:
        return method(*(None if isinstance(value, types.TracebackType) else value for value in args), **named)

    exit_.__name__ = exit_.__qualname__ = "__exit__"
    return exit_


def check_fields(made: type) -> None:
    """Dataclasses read their fields by name, past every guard: so none may be an attribute that has one.

    Raises:
        TypeError: a field of this class, or of one that inherits from it, is guarded in a class of Python's own.
    """
    for kind in _family(made):
        for name in GUARDED.intersection(getattr(kind, "__dataclass_fields__", ())):
            if any(name in vars(base) for base in kind.__mro__ if not may_change(base)):
                raise TypeError(f"{kind.__name__} has `{name}` already: choose another name for the field")


def _family(made: type) -> Iterator[type]:
    yield made
    heirs: list[type] = type.__subclasses__(made)
    for heir in heirs:
        yield from _family(heir)


def parent(cls: type, owner: object) -> object:
    """`super()` inside a method.

    Raises:
        TypeError: not a class of the tool's own.
    """
    if not may_change(cls):
        raise TypeError("super() works only in classes of your own")
    return super(cls, owner)


class Type:
    """`type`, as far as tools have it: `type(x)`, `isinstance(x, type)`, `type[X]` in an annotation."""

    __slots__ = ()
    __name__: Final = "type"

    def __call__(self, *args: object) -> object:
        """Of one value."""
        if len(args) != 1:
            raise TypeError("type() takes one value: write a class statement to make a class")
        return type_of(args[0])

    def __instancecheck__(self, value: object) -> bool:
        return isinstance(value, type)

    def __subclasscheck__(self, value: object) -> bool:
        return False

    def __getitem__(self, kind: object) -> "Type":
        return self

    def __or__(self, other: object) -> "Type":
        return self

    __ror__ = __or__

    def __repr__(self) -> str:
        return "<class 'type'>"
