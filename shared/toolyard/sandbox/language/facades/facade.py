"""A facade: what a tool gets for a module. It lists names; it is not the module, and leads to no other."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Final, NoReturn

#: How alike two names are, of 1, so that one may be meant by the other.
NEAR: Final = 0.7


class Facade:
    """Named things that can be read and not changed.

    Its members stand in its own `__dict__`, so that reading them is as fast as for a module.

    Args:
        name: the module that it stands for.
        members: what can be read.
    """

    __slots__ = ("__dict__", "_facade_name")

    # Not `__init__`: a tool may call that again.
    def __new__(cls, name: str, members: Mapping[str, object]) -> "Facade":  # noqa: D102
        made = object.__new__(cls)
        object.__setattr__(made, "_facade_name", name)
        made.__dict__.update(members)
        return made

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(absent(self._facade_name, name, self.__dict__))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"the module {self._facade_name} cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"the module {self._facade_name} cannot be changed")

    def __copy__(self) -> "Facade":
        return self

    def __deepcopy__(self, memo: object) -> "Facade":
        return self

    def __repr__(self) -> str:
        return f"<module '{self._facade_name}'>"


def facade(name: str, source: object, listed: str, **own: object) -> Facade:
    """A facade of the listed names of a module, and of things of our own.

    Args:
        name: the module that it stands for.
        source: the module.
        listed: the names, separated by spaces.
        own: members that are not the module's.
    """
    return Facade(name, {member: getattr(source, member) for member in listed.split()} | own)


def members_of(module: Facade) -> dict[str, object]:
    """What a facade lists."""
    return dict(module.__dict__)


def absent(module: str, name: str, members: Collection[str]) -> str:
    """What to tell somebody who asked a module for what it does not have here."""
    near = get_close_matches(name, members, n=1, cutoff=NEAR)
    return f"`{module}` has no `{name}` here" + (f": did you mean `{near[0]}`?" if near else "")
