"""A tool's schema as a provider takes it: what it takes is left as it is, what it does not is left out and told.

What the tool accepts, the adapted schema accepts; calls are checked against the tool's own. Called by the formats,
which know what their provider takes.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from toolyard.contracts.tools import Schema
from toolyard.subschemas import MANY, NAMED, ONE, resolve, subschemas

#: Keywords whose true and false every provider understands.
_BOOLEAN: Final = frozenset({"additionalProperties", "unevaluatedProperties", "unevaluatedItems"})
_SHOWN_OF_ANY: Final = ("title", "description")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a provider takes.

    Attributes:
        not_at_root: keywords that it refuses at the root.
        property_name: what the names of the root's properties must match.
        explicit: arrays must say their items and objects their properties, and no schema may be just true or false.
    """

    not_at_root: frozenset[str]
    property_name: re.Pattern[str] | None = None
    explicit: bool = False


class Adapted(NamedTuple):
    """A schema that the provider takes, and what had to be left out of it."""

    schema: Schema
    left_out: Schema


def adapt(schema: Schema, rules: Rules) -> Adapted:
    """The schema by these rules; its root is an object."""
    root = {keyword: value for keyword, value in schema.items() if keyword != "$schema"}
    left_out = {keyword: root.pop(keyword) for keyword in schema if keyword in rules.not_at_root}
    if left_out:
        _keep_what_follows(root, left_out, schema)
    if rules.property_name is not None:
        _leave_out_names(root, left_out, rules.property_name)
    if left_out:
        root = _keep_references(root, left_out)
    root = _rebuilt(root, _explicit) if rules.explicit else root
    root.setdefault("properties", {})
    return Adapted(root, left_out)


def _rebuilt(node: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """A schema with all schemas inside of it changed, and then itself."""
    new = dict(node)
    for keyword in ONE:
        if isinstance(inner := new.get(keyword), dict):
            new[keyword] = _rebuilt(inner, change)
    for keyword in MANY:
        if isinstance(found := new.get(keyword), list):
            new[keyword] = [_rebuilt(one, change) if isinstance(one, dict) else one for one in found]
    for keyword in NAMED:
        if isinstance(named := new.get(keyword), dict):
            pairs = named.items()
            new[keyword] = {name: _rebuilt(one, change) if isinstance(one, dict) else one for name, one in pairs}
    return change(new)


def _explicit(node: Schema) -> Schema:
    for keyword in ONE:
        if keyword not in _BOOLEAN and isinstance(node.get(keyword), bool):
            node[keyword] = _spelled(node[keyword])
    for keyword in MANY:
        if isinstance(found := node.get(keyword), list):
            node[keyword] = [_spelled(one) for one in found]
    for keyword in NAMED:
        if isinstance(named := node.get(keyword), dict):
            node[keyword] = {name: _spelled(one) for name, one in named.items()}
    types = types_of(node)
    if "array" in types:
        node.setdefault("items", {})
    if "object" in types:
        node.setdefault("properties", {})
    return node


def _spelled(schema: Any) -> Any:
    return schema if not isinstance(schema, bool) else {} if schema else {"not": {}}


def types_of(node: Schema) -> list[Any]:
    """The types that a schema names."""
    said = node.get("type", [])
    return said if isinstance(said, list) else [said]


# ---- names of properties ------------------------------------------------------------------------


def _leave_out_names(root: Schema, left_out: Schema, taken: re.Pattern[str]) -> None:
    properties = root.get("properties", {})
    others = {name: inner for name, inner in properties.items() if not taken.fullmatch(name)}
    if not others:
        return
    left_out["properties"] = others
    root["properties"] = {name: inner for name, inner in properties.items() if name not in others}
    required = root.pop("required", [])
    if kept := [name for name in required if name not in others]:
        root["required"] = kept
    if gone := [name for name in required if name in others]:
        left_out["required"] = gone
    for keyword in ("additionalProperties", "unevaluatedProperties"):
        if keyword in root:
            left_out[keyword] = root.pop(keyword)


# ---- what follows from the keywords that are left out -------------------------------------------


@dataclass(slots=True)
class _Said:
    """What a schema says of every object that it accepts: schemas of properties, and which of them must be there."""

    properties: dict[str, list[Any]] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)

    def also(self, other: "_Said") -> None:
        for name, inner in other.properties.items():
            self.properties.setdefault(name, []).extend(inner)
        self.required |= other.required


def _keep_what_follows(root: Schema, left_out: Schema, schema: Schema) -> None:
    """Names and duties of properties that only the left out keywords tell are shown at the root."""
    said = _said(left_out, schema, {})
    properties = dict(root.get("properties", {}))
    if root.get("additionalProperties") is not False:
        properties = {name: _all(inner) for name, inner in said.properties.items()} | properties
    root["properties"] = properties
    if required := [*root.get("required", []), *sorted(said.required - set(root.get("required", [])))]:
        root["required"] = required
    if "unevaluatedProperties" in root:
        left_out["unevaluatedProperties"] = root.pop("unevaluatedProperties")


def _said(node: Any, root: Schema, seen: dict[int, _Said]) -> _Said:
    if not isinstance(node, dict):
        return _Said()
    if id(node) in seen:
        return seen[id(node)]
    said = seen[id(node)] = _Said()  # what refers to itself says nothing more
    properties = node.get("properties", {})
    said.also(_Said({name: [inner] for name, inner in properties.items()}, set(node.get("required", ()))))
    for inner in (*node.get("allOf", ()), resolve(node.get("$ref"), root)):
        said.also(_said(inner, root, seen))
    for keyword in ("anyOf", "oneOf"):
        if branches := node.get(keyword):
            said.also(_either([_said(inner, root, seen) for inner in branches]))
    return said


def _either(branches: list[_Said]) -> _Said:
    names = dict.fromkeys(name for branch in branches for name in branch.properties)
    return _Said(
        {name: [_any([branch.properties.get(name) for branch in branches])] for name in names},
        set.intersection(*(branch.required for branch in branches)),
    )


def _any(variants: list[list[Any] | None]) -> Any:
    """What one of the branches says of a property; where one of them says nothing, nothing but its description."""
    known = [_all(variant) for variant in variants if variant is not None]
    if len(known) == len(variants):
        different = _different(known)
        return different[0] if len(different) == 1 else {"anyOf": different}
    described = known[0] if isinstance(known[0], dict) else {}
    return {keyword: described[keyword] for keyword in _SHOWN_OF_ANY if keyword in described}


def _all(schemas: list[Any]) -> Any:
    different = _different(schemas)
    return different[0] if len(different) == 1 else {"allOf": different}


def _different(schemas: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for one in schemas:
        if one not in found:
            found.append(one)
    return found


# ---- references into what is left out -----------------------------------------------------------


def _keep_references(root: Schema, left_out: Schema) -> Schema:
    """What is referred to stays in the document, below ``$defs``."""
    if not any(_dangles(node, root) for _, node in subschemas(root)):
        return root
    definitions = root.get("$defs", {})
    name = "left_out"
    while name in definitions:
        name += "_"
    whole = {**root, "$defs": {**definitions, name: left_out}}

    def moved(node: Schema) -> Schema:
        if _dangles(node, root):
            node["$ref"] = f"#/$defs/{name}/{node['$ref'].removeprefix('#/')}"
        return node

    return _rebuilt(whole, moved)


def _dangles(node: Schema, root: Schema) -> bool:
    return "$ref" in node and resolve(node["$ref"], root) is None
