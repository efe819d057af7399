"""What must hold: of each state, of each step, and of where everything leads."""

from collections.abc import Callable, Collection
from typing import Final

from tests.model.state import Config, State

#: The properties, each in one sentence.
PROPERTIES: Final = {
    "S1": "a tool that is not rerunnable never starts twice, unless the first start is known to have had no effect",
    "S2": "there is one grant for a call and attempt",
    "S3": "a call has one end, it never changes, and the caller is told that one",
    "S4": "effect none is never promised for a call that may have had an effect",
    "S5": "outcome_unknown needs a reason: a worker with a claim died, fell silent or was late",
    "S6": "no attempt starts although its call has ended and its worker could know",
    "S7": "a rerunnable call starts at most once more than it has attempts",
    "L1": "once nothing more is lost, every call ends, and nothing of it stays in a queue or a worker",
}


def broken_by(before: State, after: State, c: Config, properties: Collection[str]) -> str:
    """The first of these properties that this step breaks; empty if none."""
    return next((name for name in properties if name in _BROKEN and _BROKEN[name](before, after, c)), "")


def _two_ends(before: State, after: State, c: Config) -> bool:
    end, told = after.ledger.end, after.gateway.told
    changed = before.ledger.end.state and before.ledger.end != end
    return bool(changed or (end.state and told.state and end != told))


def _none_promised(before: State, after: State, c: Config) -> bool:
    return bool(after.touched) and "none" in (after.ledger.end.effect, after.gateway.told.effect)


def _unknown_without_reason(before: State, after: State, c: Config) -> bool:
    return after.ledger.end.state == "failed: outcome_unknown" and not after.excused


_BROKEN: Final[dict[str, Callable[[State, State, Config], bool]]] = {
    "S1": lambda before, after, c: not c.rerunnable and after.touched > 1,
    "S2": lambda before, after, c: after.ledger.granted > 1,
    "S3": _two_ends,
    "S4": _none_promised,
    "S5": _unknown_without_reason,
    "S6": lambda before, after, c: after.in_vain,
    "S7": lambda before, after, c: after.starts > c.max_attempts + 1,
}


def is_over(s: State) -> bool:
    """What every history must be able to come to: ended (the gateway can look it up), and nothing left over."""
    return bool(s.ledger.end.state) and not s.queue and all(worker.phase == "idle" for worker in s.workers)
