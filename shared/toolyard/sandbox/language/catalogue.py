"""What tools can use, as text for the documentation: made of the same lists that the tools get it from."""

from collections.abc import Iterator

from toolyard.sandbox.language.facades import CATALOGUE
from toolyard.sandbox.language.facades.facade import Facade
from toolyard.sandbox.language.names import METHODS, MISSING
from toolyard.sandbox.language.vocabulary import KNOWN


def modules() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every module with its members; a module inside another stands by itself."""
    for module, members in CATALOGUE.items():
        inner = {name for name, value in members.items() if isinstance(value, Facade)}
        if listed := tuple(sorted(members.keys() - inner)):
            yield module, listed


def built_ins() -> tuple[str, ...]:
    """The names that are there without an import; not the exceptions, which are all there."""
    return tuple(sorted(name for name in KNOWN if name[0].islower()))


def missing() -> Iterator[tuple[str, str]]:
    """The built-ins that are not there, and what to do instead."""
    yield from sorted(MISSING.items())


def methods() -> tuple[str, ...]:
    """Python's own methods that a class may define."""
    return tuple(sorted(METHODS))
