"""The command that checks the claim protocol: `python -m tests.model.claims [usual|large|weakened]`.

It prints, for each configuration, how many states there are and whether every property holds in all of them; or, for
each weakening, the shortest history that shows what it breaks.
"""

import sys
import time
from typing import Final

from tests.model.explore import explore
from tests.model.properties import PROPERTIES
from tests.model.state import Config
from tests.model.weakenings import WEAKENINGS

ONCE: Final = Config()
AGAIN: Final = Config(rerunnable=True)

#: What `make prove` explores.
USUAL: Final = {
    "not rerunnable, 1 attempt, 2 losses": ONCE._replace(max_attempts=1, cancel=False, time=False),
    "not rerunnable, 2 attempts, 1 loss, a cancel": ONCE._replace(faults=1, time=False),
    "not rerunnable, 2 attempts, 1 loss, a queue timeout": ONCE._replace(faults=1, cancel=False),
    "rerunnable, 1 attempt, 2 losses": AGAIN._replace(max_attempts=1, cancel=False, time=False),
    "rerunnable, 2 attempts, 1 loss, a cancel, a queue timeout": AGAIN._replace(faults=1),
}
#: What takes some minutes.
LARGE: Final = {
    "not rerunnable, 2 attempts, 2 losses": ONCE._replace(cancel=False, time=False),
    "not rerunnable, 2 attempts, 1 loss, a cancel, a queue timeout": ONCE._replace(faults=1),
    "not rerunnable, 1 attempt, 2 losses, a cancel": ONCE._replace(max_attempts=1, time=False),
    "not rerunnable, 1 attempt, 2 losses, a queue timeout": ONCE._replace(max_attempts=1, cancel=False),
    "not rerunnable, 1 attempt, 3 losses": ONCE._replace(max_attempts=1, faults=3, cancel=False, time=False),
    "rerunnable, 2 attempts, 2 losses": AGAIN._replace(cancel=False, time=False),
    "rerunnable, 1 attempt, 2 losses, a cancel, a queue timeout": AGAIN._replace(max_attempts=1),
    "rerunnable, 1 attempt, 3 losses": AGAIN._replace(max_attempts=1, faults=3, cancel=False, time=False),
}


def check(configurations: dict[str, Config]) -> int:
    """Explore them all; how many of them break a property."""
    broken = total = 0
    for name, config in configurations.items():
        before = time.monotonic()
        found = explore(config)
        total += found.states
        verdict = f"BREAKS {found.broken}: {PROPERTIES[found.broken]}" if found.broken else "all properties hold"
        _print(f"{name}: {found.states:,} states, {found.steps:,} steps, {time.monotonic() - before:.1f} s: {verdict}")
        for number, step in enumerate(found.history, 1):
            _print(f"  {number:3} {step}")
        broken += bool(found.broken)
    _print(f"{total:,} states")
    return broken


def check_weakenings() -> int:
    """Show what each weakening breaks; how many break nothing."""
    unnoticed = 0
    for name, weakening in WEAKENINGS.items():
        found = weakening.run(name)
        result = f"breaks {found.broken}: {PROPERTIES[found.broken]}" if found.broken else "IS NOT NOTICED"
        _print(f"\n{name} ({weakening.what}) {result}")
        for number, step in enumerate(found.history, 1):
            _print(f"  {number:3} {step}")
        unnoticed += not found.broken
    return unnoticed


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Run what the argument names; the exit status is 1 if a property is broken (or a weakening is not noticed)."""
    runs = {
        "usual": lambda: check(USUAL),
        "large": lambda: check(LARGE),
        "weakened": check_weakenings,
    }
    name = arguments[0] if arguments else "usual"
    if name not in runs or len(arguments) > 1:
        _print(f"what to explore: one of {', '.join(runs)}; not {' '.join(arguments)}")
        return 2
    return 1 if runs[name]() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
