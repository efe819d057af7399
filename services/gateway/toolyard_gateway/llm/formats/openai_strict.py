"""Whether OpenAI's strict mode takes a schema as it is: the subset of JSON Schema that its Structured Outputs document.

The limits of size are those of the oldest models and of the deployments elsewhere: a schema that is refused fails the
whole request, one that is not strict only lets the model err.
"""

import re
from typing import Any, Final

from toolyard.contracts.codec import encode_json
from toolyard.contracts.tools import Schema
from toolyard.subschemas import inner_schemas, resolve
from toolyard_gateway.llm.adapting import types_of

_ANY: Final = frozenset({"type", "title", "description", "enum", "const", "anyOf", "$ref", "$defs"})
_OF_TYPE: Final[dict[str, frozenset[str]]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "string": frozenset({"pattern", "format"}),
    "number": frozenset({"multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "integer": frozenset({"multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "boolean": frozenset(),
    "null": frozenset(),
}
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"},
)
_TARGET: Final = re.compile(r"#(/\$defs/[^/]+)?")
_LEVELS: Final = 5
_PROPERTIES: Final = 100
_ENUM: Final = 500
_CHARACTERS: Final = 15_000


def fits_strict(schema: Schema) -> bool:
    """Whether every part of a schema is of that subset; its root is an object."""
    nodes: list[Schema] = []
    if not _collected(schema, nodes, levels=1):
        return False
    small = (
        sum(len(node.get("properties", ())) for node in nodes) <= _PROPERTIES
        and sum(len(node.get("enum", ())) for node in nodes) <= _ENUM
        and sum(map(_characters, nodes)) <= _CHARACTERS
    )
    return small and "anyOf" not in schema and all(_fits(node, schema) for node in nodes)


def _collected(node: Schema, nodes: list[Schema], *, levels: int) -> bool:
    """Whether it is nested no deeper than it may be; all schemas inside of it are added."""
    nodes.append(node)
    for path, inner in inner_schemas(node):
        if path[0] not in _ANY and path[0] not in ("properties", "items"):
            return False
        deeper = levels + (path[0] in ("properties", "items"))
        if deeper > _LEVELS or not _collected(inner, nodes, levels=deeper):
            return False
    return True


def _characters(node: Schema) -> int:
    names = [*node.get("properties", ()), *node.get("$defs", ())]
    values = [*node.get("enum", ()), *([node["const"]] if "const" in node else [])]
    return sum(map(len, names)) + sum(len(encode_json(value)) for value in values)


def _fits(node: Schema, root: Schema) -> bool:
    if "$ref" in node:
        return len(node) == 1 and isinstance(node["$ref"], str) and _TARGET.fullmatch(node["$ref"]) is not None
    types = types_of(node)
    if not types:
        return "anyOf" in node and node.keys() <= _ANY - {"enum", "const"} and _fits_any(node["anyOf"], root)
    allowed = _ANY.union(*(_OF_TYPE.get(kind, frozenset()) for kind in types)) - {"anyOf"}
    return (
        node.keys() <= allowed
        and all(_has_type(value, types) for value in node.get("enum", ()))
        and ("const" not in node or _has_type(node["const"], types))
        and ("object" not in types or _fits_object(node))
        and ("array" not in types or isinstance(node.get("items"), dict))
        and node.get("format", "date") in _FORMATS
    )


def _fits_object(node: Schema) -> bool:
    properties = node.get("properties")
    return (
        isinstance(properties, dict)
        and all(isinstance(inner, dict) for inner in properties.values())
        and node.get("additionalProperties") is False
        and set(node.get("required", ())) == properties.keys()
    )


def _fits_any(variants: list[Any], root: Schema) -> bool:
    """Objects among the variants must not begin with the same name: it would not tell them apart."""
    found = [resolve(one["$ref"], root) if isinstance(one, dict) and "$ref" in one else one for one in variants]
    if not all(isinstance(one, dict) for one in found):
        return False
    first = [next(iter(one["properties"]), None) for one in found if one.get("properties")]
    return len(set(first)) == len(first)


def _has_type(value: Any, types: list[Any]) -> bool:
    match value:
        case None:
            return "null" in types
        case bool():
            return "boolean" in types
        case int():
            return "integer" in types or "number" in types
        case float():
            return "number" in types
        case str():
            return "string" in types
    return False
