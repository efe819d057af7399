"""Walks every state that can be reached, breadth first, so that what it finds is shown by a shortest history.

Safety is checked at each state and step. For the end of every call it walks back from the states in which all is over,
over steps that are no losses and need no chance: whatever cannot come there is a history without an end.
"""

from array import array
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from tests.model.properties import PROPERTIES, broken_by, is_over
from tests.model.scheduler_rules import SCHEDULER_RULES
from tests.model.state import Config, State, first, tidy
from tests.model.worker_rules import WORKER_RULES
from tests.model.world import CHANCES, FAULTS, WORLD_RULES

Rule = Callable[[State, Config], Iterator[tuple[str, State]]]
STEADY: tuple[Rule, ...] = (*WORKER_RULES, *SCHEDULER_RULES, *WORLD_RULES)


class Found(NamedTuple):
    """What an exploration came to.

    Attributes:
        broken: the property that does not hold; empty if all do.
        history: the steps that lead there, the shortest there are.
        ends: every end that was reached.
    """

    states: int
    steps: int
    broken: str = ""
    history: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()


class _Walk:
    """The graph as far as it is known: states by number, and who came from where."""

    def __init__(self, start: State) -> None:
        self.states = [start]
        self.numbers = {start: 0}
        self.parents = array("l", [-1])
        self.sources = array("l")
        self.targets = array("l")

    def step(self, source: int, target: State) -> int:
        """Note a step, and say the number of where it leads; what is new is walked on from later."""
        number = self.numbers.get(target)
        if number is None:
            number = self.numbers[target] = len(self.states)
            self.states.append(target)
            self.parents.append(source)
        return number

    def path(self, number: int) -> list[State]:
        """The states from the first one to this one, as a shortest history has them."""
        states = []
        while number > 0:
            states.append(self.states[number])
            number = self.parents[number]
        return states[::-1]


def successors(s: State, c: Config) -> Iterator[tuple[bool, str, State]]:
    """Every step from here: whether it may be relied upon, its sentence, and where it leads."""
    for rule in STEADY:
        for label, after in rule(s, c):
            yield True, label, after
    for rule in CHANCES:
        for label, after in rule(s, c):
            yield False, label, after
    if s.faults:
        for rule in FAULTS:
            for label, after in rule(s, c):
                yield False, f"LOSS: {label}", after._replace(faults=s.faults - 1)


def explore(c: Config, properties: Collection[str] = PROPERTIES) -> Found:
    """Every reachable state of this configuration, or the first that breaks one of these properties."""
    walk, steps, number = _Walk(first(c)), 0, 0
    while number < len(walk.states):
        state = walk.states[number]
        for reliable, _, after in successors(state, c):
            steps += 1
            target = walk.step(number, tidy(after, c))
            broken = broken_by(state, after, c, properties)
            if broken:
                path = [*walk.path(number), walk.states[target]]
                return Found(len(walk.states), steps, broken, tuple(_retold(path, c)))
            if reliable and target != number:
                walk.sources.append(number)
                walk.targets.append(target)
        number += 1
    stuck = _first_without_end(walk) if "L1" in properties else None
    if stuck is not None:
        path = walk.path(stuck)
        history = (*_retold(path, c), *_in_words(walk.states[stuck]))
        return Found(len(walk.states), steps, "L1", history)
    ends = sorted({f"{state.ledger.end.state} ({state.ledger.end.effect})" for state in walk.states})
    return Found(len(walk.states), steps, ends=tuple(end for end in ends if end != " ()"))


def _retold(path: list[State], c: Config) -> Iterator[str]:
    """The sentences of a history; told anew from its beginning, so that each claim keeps its number."""
    state = first(c)
    for target in path:
        label, state = next((label, x) for _, label, x in successors(state, c) if tidy(x, c) == target)
        yield label


def _first_without_end(walk: _Walk) -> int | None:
    """The earliest state from which all is never over; found by walking back from those in which it is."""
    back: list[list[int]] = [[] for _ in walk.states]
    for source, target in zip(walk.sources, walk.targets, strict=True):
        back[target].append(source)
    ending = bytearray(map(is_over, walk.states))
    todo = [number for number, over in enumerate(ending) if over]
    while todo:
        for source in back[todo.pop()]:
            if not ending[source]:
                ending[source] = 1
                todo.append(source)
    missing = ending.find(0)
    return None if missing < 0 else missing


def _in_words(s: State) -> Iterator[str]:
    workers = [f"{worker.phase} (claim {worker.claim})" for worker in s.workers]
    yield f"from here on it never ends: {len(s.queue)} in the queue, workers {' and '.join(workers)}"
