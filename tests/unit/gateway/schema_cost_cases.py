"""Schemas that would hold up a gateway, as data: refused when saved, or with arguments that make them slow."""

from typing import Any

DOUBLING = {f"d{n}": {"allOf": [{"$ref": f"#/%24defs/d{n - 1}"}] * 2} for n in range(1, 41)}
CHAIN = {
    f"d{n}": {"properties": {"x": {"allOf": [{"$ref": f"#/$defs/d{n}"}, {"$ref": f"#/$defs/d{n + 1}"}]}}}
    for n in range(40)
}


def schema(**more: Any) -> dict[str, Any]:
    return {"type": "object"} | more


def tree(reference: str, **more: Any) -> dict[str, Any]:
    return {"properties": {"x": {"allOf": [{"$ref": reference}, {"$ref": reference}]}}} | more


def items(each: dict[str, Any]) -> dict[str, Any]:
    return schema(properties={"a": {"items": each}})


#: name -> schema, the path that is named below ``parameters``
HARMFUL: dict[str, tuple[dict[str, Any], str]] = {
    "doubling through escaped references": (
        schema(properties={"a": {"$ref": "#/%24defs/d40"}}, **{"$defs": DOUBLING | {"d0": {"type": "string"}}}),
        "",
    ),
    "a dynamic reference": (
        schema(**{"$dynamicAnchor": "n"}, properties={"x": {"allOf": [{"$dynamicRef": "#n"}] * 2}}),
        ".$dynamicAnchor",
    ),
    "a recursive reference": (schema(properties={"a": {"$recursiveRef": "#"}}), ".properties.a.$recursiveRef"),
    "two references back below a property": (schema(**tree("#")), ""),
    "the same from a definition": (schema(**tree("#/$defs/b"), **{"$defs": {"b": tree("#/$defs/b")}}), ""),
    "the same with an escaped name": (schema(**tree("#/%24defs/b"), **{"$defs": {"b": tree("#/%24defs/b")}}), ""),
    "recursions one after another": (schema(**{"$ref": "#/$defs/d0", "$defs": CHAIN | {"d40": {}}}), ""),
    "a reference by anchor": (
        schema(properties={"x": {"$ref": "#b"}}, **{"$defs": {"b": {"$anchor": "b"}}}),
        ".properties.x.$ref",
    ),
    "a reference into examples": (
        schema(properties={"a": {"$ref": "#/examples/0"}}, examples=[{"$ref": "#/examples/0"}]),
        ".properties.a.$ref",
    ),
    "a reference to an object of schemas": (
        schema(properties={"a": {"$ref": "#/properties"}}),
        ".properties.a.$ref",
    ),
    "a reference with an escaped slash": (
        schema(properties={"a": {"$ref": "#/$defs%2Fb"}}, **{"$defs": {"b": {}}}),
        ".properties.a.$ref",
    ),
    "a reference to itself": (schema(**{"$ref": "#"}), ""),
    "dependencies": (schema(dependencies={"a": {"$ref": "#"}}), ".dependencies"),
}

MANY = list(range(90_000))
TEXTS = ["abcdefg"] * 90_000
KEYS = {f"k{n}": 1 for n in range(60_000)}
FORMATS = ("email", "uri", "date-time", "regex", "idn-hostname", "uri-template", "json-pointer", "hostname")

#: name -> schema, arguments that are too many for it
TOO_MUCH: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an enum of objects": (items({"enum": [{"v": n} for n in range(18_000)]}), {"a": TEXTS}),
    "an enum of texts": (items({"enum": [f"v{n}" for n in range(20_000)]}), {"a": TEXTS}),
    "constants": (items({"anyOf": [{"const": n} for n in range(5_000)]}), {"a": TEXTS}),
    "patterns of items": (items({"allOf": [{"pattern": f"[a-z]+x{n}"} for n in range(400)]}), {"a": TEXTS}),
    "patterns of one text": (
        schema(properties={"a": {"allOf": [{"pattern": f"[a-z]+x{n}"} for n in range(400)]}}),
        {"a": "ab" * 500_000},
    ),
    "patterns of keys": (schema(patternProperties={f"a+x{n}": True for n in range(600)}), KEYS),
    "formats": (items({"allOf": [{"format": name} for name in FORMATS]}), {"a": TEXTS}),
    "contains": (schema(properties={"a": {"allOf": [{"contains": {"const": n}} for n in range(5_000)]}}), {"a": MANY}),
    "names of properties": (schema(propertyNames={"anyOf": [{"const": str(n)} for n in range(5_000)]}), KEYS),
    "multiples": (items({"multipleOf": 1e-300}), {"a": [1e300] * 90_000}),
    "multiples of long numbers": (items({"multipleOf": 10**300 + 1}), {"a": [10**4_000] * 200}),
}

RECORD = {f"p{n}": {"type": "string", "maxLength": 20} for n in range(300)}
NODE = {
    "properties": {"left": {"$ref": "#/$defs/n"}, "right": {"$ref": "#/$defs/n"}},
    "additionalProperties": {"$ref": "#/$defs/n"},
}

#: name -> schema and arguments that go together
ORDINARY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "hundreds of properties": (schema(properties=RECORD, required=list(RECORD)), dict.fromkeys(RECORD, "x")),
    "thousands of records": (
        items({"type": "object", "properties": RECORD, "required": ["p1"]}),
        {"a": [{"p1": "x", "p2": "y", "p3": "z"}] * 3_000},
    ),
    "thousands of items of an enum": (items({"enum": [f"v{n}" for n in range(250)]}), {"a": ["v249"] * 10_000}),
    "thousands of dates": (items({"format": "date-time"}), {"a": ["2020-01-01T00:00:00Z"] * 10_000}),
    "a tree": (schema(**{"$ref": "#/$defs/n", "$defs": {"n": NODE}}), {"left": {"right": {"other": {}}}}),
    "an escaped reference": (
        schema(properties={"a": {"$ref": "#/%24defs/b~1c"}}, **{"$defs": {"b/c": {"type": "string"}}}),
        {"a": "x"},
    ),
    "many unknown keys": (schema(properties={"city": {"type": "string"}}), KEYS),
}
