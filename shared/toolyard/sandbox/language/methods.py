"""Methods that library code wrote in Python: called for objects of their class, and for no others.

Such a method takes any object as `self`. The `__init__` that is made for a dataclass writes attributes whose names the
tool chose: called for an object of the library's, it would be a way to change that past every guard.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from toolyard.sandbox.language.names import MARK


def is_of_library(method: object) -> bool:
    """Whether it is a function in Python that no tool wrote."""
    return type(method) is FunctionType and MARK not in method.__globals__


def only_for(kind: type, method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that refuses to be called for what is not of its class.

    Raises:
        TypeError: by what is returned, for such an object.
    """
    name = method.__name__

    # Not isinstance: what is an instance of a protocol or of an abstract class, a tool has a say in.
    def method_(self: object, /, *args: object, **named: object) -> object:
        if kind not in type(self).__mro__:
            raise TypeError(f"{name} is of a {kind.__name__}, and was called for a '{type(self).__name__}' object")
        return method(self, *args, **named)

    method_.__name__ = method_.__qualname__ = name
    return method_
