"""Schemas of thirty shapes and more, as data: what each accepts and refuses, and what providers must make of it."""

from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """A tool's schema.

    Attributes:
        accepts: arguments that the tool takes.
        refuses: arguments that it does not.
        strict: whether OpenAI's strict mode takes it as it is.
        told: formats whose schema cannot say all of it.
    """

    schema: Schema
    accepts: tuple[Any, ...]
    refuses: tuple[Any, ...] = ()
    strict: bool = False
    told: tuple[str, ...] = ()


BOTH = ("openai", "anthropic")
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}


def closed(**properties: Any) -> Schema:
    """An object of exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def opened(**more: Any) -> Schema:
    """An object of which only this is said."""
    return {"type": "object", **more}


def nested(levels: int) -> Schema:
    """Objects in objects."""
    schema = TEXT
    for _ in range(levels):
        schema = closed(inner=schema)
    return schema


SHAPES: dict[str, Shape] = {
    "nothing": Shape(opened(), ({}, {"a": 1})),
    "no_arguments": Shape(closed(), ({},), ({"a": 1},), strict=True),
    "one_text": Shape(closed(city=TEXT), ({"city": "Bern"},), ({}, {"city": 7}), strict=True),
    "an_optional_text": Shape(
        closed(city=TEXT) | {"properties": {"city": TEXT, "unit": TEXT}}, ({"city": "Bern"},), ({"unit": "C"},)
    ),
    "open_object": Shape(opened(properties={"a": TEXT}, required=["a"]), ({"a": "x", "b": 1},), ({},)),
    "every_scalar": Shape(
        closed(a=TEXT, b=NUMBER, c={"type": "integer"}, d={"type": "boolean"}, e={"type": "null"}),
        ({"a": "x", "b": 1.5, "c": 2, "d": True, "e": None},),
        ({"a": "x", "b": 1.5, "c": 2.5, "d": True, "e": None},),
        strict=True,
    ),
    "numbers_with_bounds": Shape(
        closed(n={"type": "integer", "minimum": 10, "exclusiveMaximum": 20, "multipleOf": 5}),
        ({"n": 15},),
        ({"n": 12}, {"n": 20}),
        strict=True,
    ),
    "a_pattern_and_a_format": Shape(
        closed(sku={"type": "string", "pattern": "^[A-Z]{3}$"}, at={"type": "string", "format": "date-time"}),
        ({"sku": "ABC", "at": "2026-01-31T12:00:00Z"},),
        ({"sku": "abc", "at": "2026-01-31T12:00:00Z"},),
        strict=True,
    ),
    "a_format_that_strict_does_not_know": Shape(
        closed(url={"type": "string", "format": "uri"}), ({"url": "https://example.com/"},), ({"url": "no url"},)
    ),
    "lengths": Shape(closed(code={"type": "string", "minLength": 6, "maxLength": 8}), ({"code": "abcdef"},), ({},)),
    "an_enum": Shape(
        closed(unit={"type": "string", "enum": ["C", "F"]}), ({"unit": "F"},), ({"unit": "K"},), strict=True
    ),
    "an_enum_without_type": Shape(closed(unit={"enum": ["C", 1, None]}), ({"unit": None},), ({"unit": "K"},)),
    "a_const": Shape(closed(kind={"type": "string", "const": "a"}), ({"kind": "a"},), ({"kind": "b"},), strict=True),
    "nullable": Shape(
        closed(note={"type": ["string", "null"]}), ({"note": None}, {"note": "x"}), ({"note": 1},), strict=True
    ),
    "a_list": Shape(
        closed(tags={"type": "array", "items": TEXT, "minItems": 1, "maxItems": 3}),
        ({"tags": ["a"]},),
        ({"tags": []},),
        strict=True,
    ),
    "a_list_of_anything": Shape(closed(rows={"type": "array"}), ({"rows": [1, "a", None]},), ({"rows": 1},)),
    "a_tuple": Shape(
        closed(at={"type": "array", "prefixItems": [NUMBER, NUMBER], "minItems": 2}), ({"at": [1, 2]},), ({"at": [1]},)
    ),
    "unique_items": Shape(
        closed(ids={"type": "array", "items": TEXT, "uniqueItems": True}), ({"ids": ["a"]},), ({"ids": ["a", "a"]},)
    ),
    "objects_in_a_list": Shape(
        closed(lines={"type": "array", "items": closed(sku=TEXT, n={"type": "integer"})}),
        ({"lines": [{"sku": "a", "n": 1}]},),
        ({"lines": [{"sku": "a"}]},),
        strict=True,
    ),
    "nested_as_deep_as_strict_goes": Shape(
        nested(4), ({"inner": {"inner": {"inner": {"inner": "x"}}}},), ({"inner": {}},), strict=True
    ),
    "nested_deeper": Shape(
        nested(6), ({"inner": {"inner": {"inner": {"inner": {"inner": {"inner": "x"}}}}}},), ({"inner": {}},)
    ),
    "a_map": Shape(
        closed(labels=opened(additionalProperties=TEXT)), ({"labels": {"a": "b"}},), ({"labels": {"a": 1}},)
    ),
    "names_by_pattern": Shape(
        opened(patternProperties={"^x-": TEXT}, additionalProperties=False), ({"x-a": "b"}, {}), ({"y": "b"},)
    ),
    "definitions": Shape(
        closed(start={"$ref": "#/$defs/point"}, end={"$ref": "#/$defs/point"})
        | {"$defs": {"point": closed(x=NUMBER, y=NUMBER)}},
        ({"start": {"x": 1, "y": 2}, "end": {"x": 3, "y": 4}},),
        ({"start": {"x": 1}, "end": {"x": 3, "y": 4}},),
        strict=True,
    ),
    "a_tree": Shape(
        closed(root={"$ref": "#/$defs/node"})
        | {"$defs": {"node": closed(name=TEXT, children={"type": "array", "items": {"$ref": "#/$defs/node"}})}},
        ({"root": {"name": "a", "children": [{"name": "b", "children": []}]}},),
        ({"root": {"name": "a", "children": [{}]}},),
        strict=True,
    ),
    "one_of_two_things": Shape(
        closed(target={"anyOf": [closed(email=TEXT), closed(phone=TEXT), {"type": "null"}]}),
        ({"target": {"email": "a@b.ch"}}, {"target": None}),
        ({"target": {"fax": "1"}},),
        strict=True,
    ),
    "variants_that_begin_alike": Shape(
        closed(
            shape={
                "anyOf": [closed(kind={"type": "string", "const": one}, size=NUMBER) for one in ("circle", "square")]
            }
        ),
        ({"shape": {"kind": "circle", "size": 1}},),
        ({"shape": {"kind": "line", "size": 1}},),
    ),
    "one_of_at_the_root": Shape(
        opened(
            properties={"kind": TEXT},
            oneOf=[
                {"properties": {"kind": {"const": "mail"}, "to": TEXT}, "required": ["kind", "to"]},
                {"properties": {"kind": {"const": "sms"}, "number": TEXT}, "required": ["kind", "number"]},
            ],
        ),
        ({"kind": "mail", "to": "ada"}, {"kind": "sms", "number": "1", "to": 7}),
        ({"kind": "mail"}, {"to": "ada"}),
        told=BOTH,
    ),
    "all_of_and_a_reference_at_the_root": Shape(
        opened(
            allOf=[
                opened(properties={"city": TEXT}, required=["city"]),
                opened(properties={"back": {"$ref": "#/allOf/0/properties/city"}}),
            ],
            **{"$ref": "#/$defs/paged", "$defs": {"paged": {"properties": {"page": {"type": "integer"}}}}},
        ),
        ({"city": "Bern", "back": "Rome", "page": 2},),
        ({"city": "Bern", "page": "two"}, {"page": 2}),
        told=BOTH,
    ),
    "names_that_are_no_words": Shape(
        closed(**{"$filter": TEXT, "größe": NUMBER, "top": {"type": "integer"}, "x" * 65: {"type": "boolean"}})
        | {"required": ["$filter", "top"]},
        ({"$filter": "a eq 1", "top": 3}, {"$filter": "a", "top": 1, "größe": 2, "x" * 65: True}),
        ({"top": 3}, {"$filter": 1, "top": 3}),
        told=("anthropic",),
    ),
    "not_this_at_the_root": Shape(
        opened(**{"properties": {"a": TEXT, "b": TEXT}, "not": {"required": ["a", "b"]}}),
        ({"a": "x"}, {}),
        ({"a": "x", "b": "y"},),
        told=("openai",),
    ),
    "a_condition": Shape(
        opened(
            **{
                "properties": {"pay": {"enum": ["card", "bill"]}, "card": TEXT},
                "if": {"properties": {"pay": {"const": "card"}}},
                "then": {"required": ["card"]},
            }
        ),
        ({"pay": "bill"}, {"pay": "card", "card": "1"}),
        ({"pay": "card"},),
    ),
    "schemas_that_are_just_true_or_false": Shape(
        opened(properties={"any": True, "none": False, "list": {"type": "array", "items": True}}),
        ({"any": [1], "list": ["a"]},),
        ({"none": 1},),
    ),
    "described_and_with_a_default": Shape(
        closed(n={"type": "integer", "description": "How many.", "default": 3, "title": "N"}),
        ({"n": 1},),
        ({"n": "a"},),
    ),
    "said_in_its_dialect": Shape(
        closed(a=TEXT) | {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A", "description": "B"},
        ({"a": "x"},),
        ({},),
        strict=True,
    ),
}
