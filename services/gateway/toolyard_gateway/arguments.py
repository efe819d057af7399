"""Which arguments a tool's schema knows, so that a name that is none of them is found when the tool is saved.

And the values of such names in the arguments of a call.
"""

from collections.abc import Iterator
from typing import Any, Final

from toolyard.contracts.tools import Schema
from toolyard.subschemas import applied_beside, applied_here

#: Stands for the value of a name that the arguments do not have.
ABSENT: Final = object()


def known_arguments(schema: Schema) -> frozenset[str] | None:
    """The names of all properties that the root may have; ``None`` where a pattern decides."""
    names: set[str] = set()
    for node in applied_here(schema):
        if node.get("patternProperties"):
            return None
        if isinstance(properties := node.get("properties"), dict):
            names |= properties.keys()
    return frozenset(names)


def is_property(schema: Schema, path: str) -> bool:
    """Whether a dotted path leads over ``properties`` alone to something that the schema names."""
    here: list[Any] = [schema]
    for name in path.split("."):
        here = [inner for node in _all_applied(here, schema) for inner in _property(node, name)]
    return bool(here)


def _all_applied(nodes: list[Any], root: Schema) -> Iterator[Schema]:
    """These schemas and what else applies to the same place."""
    seen: set[int] = set()
    stack = [node for node in nodes if isinstance(node, dict)]
    while stack:
        node = stack.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            stack += applied_beside(node, root)


def _property(node: Schema, name: str) -> list[Any]:
    properties = node.get("properties")
    return [properties[name]] if isinstance(properties, dict) and name in properties else []


def value_at(arguments: dict[str, Any], path: str) -> Any:
    """The value that a dotted path leads to, or `ABSENT`."""
    value: Any = arguments
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return ABSENT
        value = value[name]
    return value
