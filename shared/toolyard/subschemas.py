"""Where schemas stand inside of a schema, which of them apply to which place of a value, and what references lead to.

Called by `schema_cost`, and by the gateway; it knows nothing of costs.
"""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

from toolyard.contracts.tools import Schema

#: Levels of schemas inside of schemas.
MAX_DEPTH: Final = 32

#: Where schemas stand inside of a schema: one, a list of them, or an object of them.
ONE: Final = (
    "items",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
)
MANY: Final = ("allOf", "anyOf", "oneOf", "prefixItems")
NAMED: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")

#: Keywords whose schemas apply to the same place of the value as the schema that they stand in.
_BESIDE_ONE: Final = ("not", "if", "then", "else")
_BESIDE_MANY: Final = ("allOf", "anyOf", "oneOf")
_ANY: Final = "*"

Path = tuple[str, ...]
#: A place below a value: ("key", name), ("item", number), with ``*`` for any.
Place = tuple[str, str]


def subschemas(schema: Schema, path: Path = ()) -> Iterator[tuple[Path, Schema]]:
    """A schema and all schemas inside of it, each with its path; too deep ones end with the first of them."""
    yield path, schema
    if len(path) > 2 * MAX_DEPTH:
        return
    for step, inner in inner_schemas(schema):
        yield from subschemas(inner, (*path, *step))


def inner_schemas(schema: Schema) -> Iterator[tuple[Path, Schema]]:
    """The schemas directly inside of a schema, each with the steps that lead to it."""
    for keyword in ONE:
        if isinstance(inner := schema.get(keyword), dict):
            yield (keyword,), inner
    for keyword in MANY:
        if isinstance(found := schema.get(keyword), list):
            yield from (((keyword, str(n)), inner) for n, inner in enumerate(found) if isinstance(inner, dict))
    for keyword in NAMED:
        for name, inner in _objects(schema.get(keyword)):
            yield (keyword, name), inner


# ---- what applies where -------------------------------------------------------------------------


def applied_here(schema: Schema) -> Iterator[Schema]:
    """A schema and all others that may apply to the same place: its branches, conditions and references."""
    seen: set[int] = set()
    stack = [schema]
    while stack:
        here = stack.pop()
        if id(here) not in seen:
            seen.add(id(here))
            yield here
            stack += applied_beside(here, schema)


def applied_beside(node: Schema, root: Schema) -> list[Schema]:
    """What else applies to the same place: branches, conditions, and what is referred to."""
    found = [node.get(keyword) for keyword in _BESIDE_ONE]
    for keyword in _BESIDE_MANY:
        branches = node.get(keyword)
        found += branches if isinstance(branches, list) else []
    found += [inner for _, inner in _objects(node.get("dependentSchemas"))]
    found.append(resolve(node.get("$ref"), root))
    return [inner for inner in found if isinstance(inner, dict)]


def applied_below(node: Schema) -> Iterator[tuple[Place, Schema, list[Place]]]:
    """What applies to the places below a value: place, schema, and the places that are excepted."""
    properties = node.get("properties")
    named = [("key", name) for name in properties] if isinstance(properties, dict) else []
    for name, inner in _objects(properties):
        yield ("key", name), inner, []
    for _, inner in _objects(node.get("patternProperties")):
        yield ("key", _ANY), inner, []
    prefix = node.get("prefixItems")
    numbered = [("item", str(n)) for n in range(len(prefix))] if isinstance(prefix, list) else []
    for place, inner in zip(numbered, prefix or (), strict=False):
        if isinstance(inner, dict):
            yield place, inner, []
    for keyword, kind, excepted in (
        ("additionalProperties", "key", named),
        ("unevaluatedProperties", "key", named),
        ("propertyNames", "key", []),
        ("items", "item", numbered),
        ("unevaluatedItems", "item", numbered),
        ("contains", "item", []),
    ):
        if isinstance(other := node.get(keyword), dict):
            yield (kind, _ANY), other, excepted


def _objects(value: Any) -> Iterator[tuple[str, Schema]]:
    if isinstance(value, dict):
        yield from ((name, inner) for name, inner in value.items() if isinstance(inner, dict))


# ---- references ---------------------------------------------------------------------------------


def resolve(reference: Any, root: Schema) -> Any:
    """What a local reference leads to; ``None`` where that is nothing, or named by an anchor."""
    if not isinstance(reference, str) or not reference.startswith("#") or "%2f" in reference.lower():
        return None
    fragment = unquote(reference[1:])
    if fragment.startswith("/"):
        return _pointed(fragment[1:], root)
    return None if fragment else root


def _pointed(pointer: str, root: Schema) -> Any:
    node: Any = root
    for step in pointer.split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            node = node.get(key) if isinstance(node, dict) else None
    return node
