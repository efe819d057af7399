"""The modules that a tool can import, each as a facade: the one list, from which the page of the documentation is made.

One file a group. `datetime` and its kin are the same for every call; `os`, `requests` and `logging` are made for each.
"""

from collections.abc import Callable, Mapping
from typing import Final

from toolyard.sandbox.language.facades import data, dates, functions, kinds, mathematics, texts
from toolyard.sandbox.language.facades.facade import Facade, members_of
from toolyard.sandbox.language.facades.system import logging_facade, os_facade
from toolyard.sandbox.language.facades.web import Asking, requests_facades
from toolyard.sandbox.language.guards import give_out
from toolyard.sandbox.language.printing import Printer

_STANDING: Final[dict[str, Facade]] = {
    **dates.MODULES,
    **mathematics.MODULES,
    **texts.MODULES,
    **data.MODULES,
    **functions.MODULES,
    **kinds.MODULES,
}

for _module in _STANDING.values():
    give_out(*(_kind for _kind in members_of(_module).values() if type(_kind) is type))


class Modules:
    """The modules of one call; its own ones are made when they are first imported.

    Args:
        environment: what `os` tells.
        asking: what `requests` asks.
        printer: what `logging` prints to.
    """

    def __init__(self, environment: Mapping[str, str], asking: Asking, printer: Printer) -> None:
        self._made: dict[str, Facade] = {}
        self._makers: dict[str, Callable[[], dict[str, Facade]]] = {
            "os": lambda: {"os": os_facade(environment)},
            "logging": lambda: {"logging": logging_facade(printer)},
            "requests": lambda: requests_facades(asking),
        }

    def get(self, name: str) -> Facade | None:
        """A module by its name."""
        if name in _STANDING:
            return _STANDING[name]
        if (make := self._makers.pop(name.partition(".")[0], None)) is not None:
            self._made |= make()
        return self._made.get(name)

    def every(self) -> dict[str, Facade]:
        """All of them."""
        for name in tuple(self._makers):
            self.get(name)
        return _STANDING | self._made


def _nobody(question: bytes) -> bytes:
    raise NotImplementedError


#: Names of modules and of what they have, for looking at a source; nothing in it can be called.
CATALOGUE: Final[dict[str, dict[str, object]]] = {
    name: members_of(module) for name, module in sorted(Modules({}, Asking(_nobody, 0, 0), Printer(0)).every().items())
}
