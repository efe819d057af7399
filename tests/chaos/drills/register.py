"""Where drills are entered: `DRILLS` in the order of their files, `SHORT` the short selection, `BEYOND` by name only.

`outcome_unknown` is explained wherever a worker that held a call that must not run twice was lost. Whatever else a call
may end with is named by the drill; nothing may be lost, doubled or told in two ways in any of them.
"""

from collections.abc import Callable
from typing import Final

from tests.chaos.drill import Act

UNKNOWN: Final = "outcome_unknown"
#: A small worker, where calls must wait in the queue.
SMALL: Final = {"TOOLYARD_CONCURRENCY": "8"}

DRILLS: Final[dict[str, Act]] = {}
#: The short selection: under two minutes in all.
SHORT: Final[list[str]] = []
#: Drills of what is not promised (yet): to be run by name.
BEYOND: Final[dict[str, Act]] = {}


def drilled(*, short: bool = False, beyond: bool = False) -> Callable[[Act], Act]:
    """Enter a drill; ``short``: also in the short selection; ``beyond``: only to be run by name."""

    def add(act: Act) -> Act:
        name = getattr(act, "__name__", "")
        (BEYOND if beyond else DRILLS)[name] = act
        if short and not beyond:
            SHORT.append(name)
        return act

    return add
