"""What a schema costs to apply, found before it is applied: pure measures of schemas, and of values.

Called by the gateway for arguments, and by executors for answers. One unit of cost is a few nanoseconds of the
validator's time.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, NamedTuple

from toolyard.contracts.tools import Schema
from toolyard.subschemas import Place, applied_below, applied_beside

#: Schemas that apply to one place, all places together, and places looked at again: more are not even counted.
MAX_STEPS: Final = 50_000
MAX_ROUNDS: Final = 500_000
#: Units for one value at most: a schema that needs more would refuse nearly all values.
MAX_WEIGHT: Final = 500_000
#: Levels of a value.
_LEVELS: Final = 64
#: Characters of a text, or bytes of a number, that cost as much as one more value.
_PART: Final = 32

_NODE: Final = 20
_PATTERN: Final = 10
_FORMAT: Final = 50
_WHOLE_MULTIPLE: Final = 200
_MULTIPLE: Final = 4_000
_UNIQUE: Final = 20
_ANY_KEY: Final = ("key", "*")
_ANY_ITEM: Final = ("item", "*")


class TooCostly(Exception):  # noqa: N818 - says what is wrong with a schema
    """A schema that could take forever; its text says why."""


class Size(NamedTuple):
    """A pair of numbers: for objects and arrays, and for all other values and the keys of objects."""

    containers: float
    scalars: float

    def times(self, other: "Size") -> float:
        """Units of applying a schema of this weight to a value of that size."""
        return self.containers * other.containers + self.scalars * other.scalars


@dataclass(slots=True)
class _Entry:
    """All that applies to a value where one schema is applied: its own cost, and what it leads to, by place."""

    containers: float = 0
    scalars: float = 0
    unevaluated: int = 0
    patterns: int = 0
    below: defaultdict[Place, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))


# ---- schemas ------------------------------------------------------------------------------------


def weight(schema: Schema) -> Size:
    """The units that one value below the schema's may cost at most.

    Raises:
        TooCostly: it has no end, or costs too much.
    """
    nodes, beside = _graph(schema)
    entries = _entries(schema, nodes, beside)
    return Size(
        _worst({key: entry.containers for key, entry in entries.items()}, entries, 0),
        _worst({key: entry.scalars for key, entry in entries.items()}, entries, _PATTERN),
    )


def _graph(schema: Schema) -> tuple[dict[int, Schema], dict[int, list[int]]]:
    """All schemas that are ever applied, and which apply beside each; nothing may apply beside itself."""
    nodes: dict[int, Schema] = {}
    beside: dict[int, list[int]] = {}
    stack = [schema]
    while stack:
        node = stack.pop()
        if id(node) not in nodes:
            nodes[id(node)] = node
            here = applied_beside(node, schema)
            beside[id(node)] = [id(inner) for inner in here]
            stack += [*here, *(inner for _, inner, _ in applied_below(node))]
    try:
        TopologicalSorter(beside).prepare()
    except CycleError:
        raise TooCostly("refers to itself for the same place, which has no end; refer to it below a property") from None
    return nodes, beside


def _entries(schema: Schema, nodes: dict[int, Schema], beside: dict[int, list[int]]) -> dict[int, _Entry]:
    entries: dict[int, _Entry] = {}
    waiting, steps = [id(schema)], 0
    below = {
        key: [(place, id(inner), excepted) for place, inner, excepted in applied_below(node)]
        for key, node in nodes.items()
    }
    costs = {key: _cost(node) for key, node in nodes.items()}
    while waiting:
        key = waiting.pop()
        if key in entries:
            continue
        entry = entries[key] = _Entry()
        stack = [key]
        while stack:
            here = stack.pop()
            stack += beside[here]
            _add(entry, nodes[here], costs[here], below[here])
            steps += 1 + len(below[here])
            if steps > MAX_STEPS:
                raise TooCostly(
                    f"has more than {MAX_STEPS:,} subschemas once its references are followed; make it smaller"
                )
        waiting += {target for targets in entry.below.values() for target in targets}
    return entries


def _add(entry: _Entry, node: Schema, cost: Size, below: list[tuple[Place, int, list[Place]]]) -> None:
    entry.containers += cost.containers
    entry.scalars += cost.scalars
    entry.patterns += len(node.get("patternProperties", ()))
    entry.unevaluated += ("unevaluatedProperties" in node) + ("unevaluatedItems" in node)
    for place, target, excepted in below:
        entry.below[place][target] += 1
        for other in excepted:
            entry.below[other][target] -= 1


def _worst(costs: dict[int, float], entries: dict[int, _Entry], pattern: int) -> float:
    """The most that any one value costs: what applies to a place is the sum of all that leads there, level by level."""
    worst, rounds = dict(costs), 0
    for _ in range(_LEVELS):
        changed = False
        for key, entry in entries.items():
            extra = entry.patterns * pattern + entry.unevaluated * entry.containers * 2
            found = max(costs[key], extra + _below(entry, worst))
            rounds += 1 + sum(map(len, entry.below.values()))
            if found > MAX_WEIGHT or rounds > MAX_ROUNDS:
                raise TooCostly(
                    "applies too many subschemas to one value once its references are followed; make it smaller"
                )
            changed = changed or found > worst[key]
            worst[key] = max(found, worst[key])
        if not changed:
            break
    return max(worst.values())


def _below(entry: _Entry, worst: dict[int, float]) -> float:
    sums = {place: sum(count * worst[target] for target, count in to.items()) for place, to in entry.below.items()}
    anywhere = {"key": sums.pop(_ANY_KEY, 0.0), "item": sums.pop(_ANY_ITEM, 0.0)}
    return max([*anywhere.values(), *(anywhere[kind] + total for (kind, _), total in sums.items())])


def _cost(node: Schema) -> Size:
    """Units of a schema itself, without those inside of it."""
    both = _NODE + sum(_members(node[keyword]) for keyword in ("enum", "const") if keyword in node)
    containers = sum(len(node.get(keyword, ())) for keyword in ("properties", "required", "dependentSchemas"))
    containers += sum(1 + len(names) for names in node.get("dependentRequired", {}).values())
    containers += _UNIQUE * ("uniqueItems" in node)
    scalars = _PATTERN * ("pattern" in node) + _FORMAT * ("format" in node)
    if "multipleOf" in node:
        scalars += _WHOLE_MULTIPLE if isinstance(node["multipleOf"], int) else _MULTIPLE
    return Size(both + containers, both + scalars)


def _members(value: Any) -> int:
    within = size(value)
    return int(_NODE * within.containers + within.scalars)


# ---- values -------------------------------------------------------------------------------------


def size(value: Any) -> Size:
    """How much there is to apply schemas to: long texts and numbers count as several."""
    containers = scalars = 0
    stack = [(value,)]
    while stack:
        for one in stack.pop():
            if type(one) is dict:
                containers += 1
                scalars += len(one) + sum(map(len, one)) // _PART
                stack.append(one.values())  # type: ignore[arg-type]
            elif type(one) is list:
                containers += 1
                stack.append(one)  # type: ignore[arg-type]
            else:
                scalars += 1 + _long(one)
    return Size(containers, scalars)


def _long(value: Any) -> int:
    if type(value) is str:
        return len(value) // _PART
    return value.bit_length() // (8 * _PART) * _PART if type(value) is int and value.bit_length() > 64 else 0
