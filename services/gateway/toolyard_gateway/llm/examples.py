"""A small example of what a schema accepts, to show a model that gave something else. Pure.

It may be wrong where a schema is intricate; whoever shows it checks it first.
"""

from typing import Any, Final

from toolyard.contracts.codec import encode_json
from toolyard.contracts.tools import Schema
from toolyard.subschemas import resolve
from toolyard_gateway.llm.adapting import types_of

#: Schemas that are looked at for one example, and levels of them.
_SCHEMAS: Final = 100
_LEVELS: Final = 12
#: Levels that are left when lists get no more items than they need.
_SHORT: Final = 7
#: Characters of a value out of the schema that count as much as a schema.
_CHARACTERS: Final = 100
_ELSE: Final = "text"
_BY_FORMAT: Final = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "name@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/path",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def example(schema: Schema) -> Any:
    """A value that a schema may accept, with no more properties than it needs, but with one."""
    return _Example(schema).value(schema, _LEVELS)


class _Example:
    """One example on its way: schemas that refer to themselves must not make it endless."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = _SCHEMAS

    def value(self, node: Any, levels: int) -> Any:
        self._left -= 1
        if not isinstance(node, dict) or levels == 0 or self._left < 0:
            return _ELSE
        if "const" in node:
            return self._given(node["const"])
        for keyword in ("examples", "enum"):
            if isinstance(node.get(keyword), list) and node[keyword]:
                return self._given(node[keyword][0])
        if "default" in node:
            return self._given(node["default"])
        return self._made(node, levels - 1)

    def _given(self, value: Any) -> Any:
        """A value of the schema itself; a large one leaves little for others."""
        self._left -= len(encode_json(value)) // _CHARACTERS
        return value

    def _made(self, node: Schema, levels: int) -> Any:
        value = self._by_type(node, levels)
        for inner in self._beside(node):
            other = self.value(inner, levels)
            value = value | other if isinstance(value, dict) and isinstance(other, dict) else other
        return value

    def _beside(self, node: Schema) -> list[Any]:
        """What else applies: references, all of all, and the first of any."""
        found = [resolve(node.get("$ref"), self._root), *node.get("allOf", ())]
        found += [node[keyword][0] for keyword in ("anyOf", "oneOf") if node.get(keyword)]
        return [inner for inner in found if isinstance(inner, dict)]

    def _by_type(self, node: Schema, levels: int) -> Any:
        kinds = types_of(node)
        kind = next((one for one in kinds if one != "null"), None)
        match kind:
            case "object":
                return self._object(node, levels)
            case "array":
                return self._array(node, levels)
            case "integer" | "number":
                return _number_or_one(node)
            case "boolean":
                return True
            case "string":
                return _string(node)
        if not kinds and ("properties" in node or "required" in node):
            return self._object(node, levels)
        return None if kinds else _ELSE

    def _object(self, node: Schema, levels: int) -> dict[str, Any]:
        properties = node.get("properties", {})
        names = node.get("required") or list(properties)[:1]
        return {name: self.value(properties.get(name, {}), levels) for name in names[:_SCHEMAS]}

    def _array(self, node: Schema, levels: int) -> list[Any]:
        first = [self.value(inner, levels) for inner in node.get("prefixItems", ())[:_SCHEMAS]]
        items = node.get("items", {})
        wanted = min(int(node.get("minItems", levels > _SHORT)), _SCHEMAS)
        if isinstance(items, dict) and len(first) < wanted:
            first += self._repeated(items, levels, wanted - len(first))
        return first[: int(node.get("maxItems", _SCHEMAS))]

    def _repeated(self, items: Schema, levels: int, number: int) -> list[Any]:
        """So many of them, or one where that is too much: lists in lists grow with the product of their lengths."""
        before = self._left
        one = self.value(items, levels)
        self._left -= (before - self._left) * (number - 1)
        return [one] * (number if self._left >= 0 else 1)


def _number_or_one(node: Schema) -> int | float:
    try:
        return _number(node)
    except (OverflowError, ValueError):  # bounds beyond what can be counted with
        return 1


def _number(node: Schema) -> int | float:
    step = node.get("multipleOf", 1)
    lowest: Any = node.get("minimum", node.get("exclusiveMinimum", step))
    number = lowest + (step if "exclusiveMinimum" in node and "minimum" not in node else 0)
    if number % step:
        number += step - number % step
    highest = node.get("maximum", node.get("exclusiveMaximum"))
    if highest is not None and number > highest:
        number = highest if "maximum" in node else highest - step
    return int(number) if number == int(number) else float(number)


def _string(node: Schema) -> str:
    text = _BY_FORMAT.get(node.get("format", ""), _ELSE)
    text += "x" * (min(int(node.get("minLength", 0)), _SCHEMAS) - len(text))
    return text[: int(node.get("maxLength", len(text)))]
