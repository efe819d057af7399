"""Tools as providers take them: names there and back, and schemas that lose nothing of what a tool takes."""

import copy
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.rig import Rig
from tests.unit.gateway.schema_shapes import SHAPES, Shape, closed

from toolyard.contracts.tools import Schema
from toolyard.provider_names import may_be_completed, provider_name, tool_name
from toolyard.subschemas import subschemas
from toolyard_gateway.llm.examples import example
from toolyard_gateway.llm.formats import FORMATS
from toolyard_gateway.schemas import argument_errors, check_schema, compile_schema

each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
each_format = pytest.mark.parametrize("form", FORMATS.values(), ids=list(FORMATS))
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_.\-]{0,63}", fullmatch=True).filter(lambda name: "__" not in name)
LIMITS = sorted({form.name_limit for form in FORMATS.values()})


def defined(form, schema: Schema, description: str = "Does it.") -> tuple[dict, Schema]:
    """A definition, without what is around it, and its schema."""
    made = form.define("it", description, schema)
    function = made.get("function", made)
    return function, function["parameters" if form.name == "openai" else "input_schema"]


def accepts(schema: Schema, value: object) -> bool:
    return not argument_errors(compile_schema(schema), value, "arguments")


# ---- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "limit", "name"),
    [
        ("weather", 64, "weather"),
        ("shop.get_price-2", 64, "shop__get_price-2"),
        ("a..b", 64, "a____b"),
        ("a" * 64, 64, "a" * 64),
        ("a." + "b" * 60, 64, "a__" + "b" * 60),
        ("a." + "b" * 62, 64, "a__" + "b" * 53 + "f1b12c0c"),
        ("a." + "b" * 62, 128, "a__" + "b" * 62),
        ("a._b", 64, "a___bdd1c251a"),
        ("a_.b", 64, "a___b34e8dac7"),
        ("a" + "." * 63, 128, "a" + "_" * 126),
    ],
)
def test_a_dot_becomes_two_underscores_and_what_is_too_long_or_ambiguous_ends_in_digits(tool, limit, name):
    assert provider_name(tool, limit) == name


@pytest.mark.parametrize("limit", LIMITS)
@given(tool=NAMES)
def test_a_name_is_one_that_providers_take_and_leads_back_to_its_tool(limit, tool):
    name = provider_name(tool, limit)

    assert re.fullmatch(rf"[a-zA-Z0-9_-]{{1,{limit}}}", name)
    assert tool_name(name, limit) == tool or may_be_completed(name, limit)


@pytest.mark.parametrize("limit", LIMITS)
@given(tools=st.sets(st.from_regex(r"a[._b]{1,7}", fullmatch=True).filter(lambda name: "__" not in name), min_size=2))
def test_two_tools_never_have_one_name(limit, tools):
    assert len({provider_name(tool, limit) for tool in tools}) == len(tools)


def test_names_that_are_cut_alike_differ_by_their_digits():
    tools = [f"a.{'b' * 61}{end}" for end in "xyz"]
    names = {provider_name(tool, 64) for tool in tools}

    assert len(names) == 3
    assert len({name[:56] for name in names}) == 1


# ---- schemas ------------------------------------------------------------------------------------


def test_there_are_thirty_shapes_and_more():
    assert len(SHAPES) >= 30
    assert not [name for name, shape in SHAPES.items() if check_schema(shape.schema, "parameters")]


@each_shape
def test_a_shape_is_what_it_says(shape: Shape):
    assert all(accepts(shape.schema, value) for value in shape.accepts)
    assert not any(accepts(shape.schema, value) for value in shape.refuses)


@each_format
@each_shape
def test_what_the_tool_accepts_its_definition_accepts(form, shape: Shape):
    before = copy.deepcopy(shape.schema)
    _, schema = defined(form, shape.schema)

    assert check_schema(schema, "parameters") == []
    assert all(accepts(schema, value) for value in shape.accepts)
    assert shape.schema == before


@each_format
@each_shape
def test_what_a_definition_cannot_say_it_tells(form, shape: Shape):
    """Where all of it can be said, what the tool refuses the definition refuses too."""
    function, schema = defined(form, shape.schema)
    _, _, rest = function["description"].partition("also says: ")

    assert bool(rest) == (form.name in shape.told)
    if rest:
        assert json.loads(rest)
    else:
        assert not any(accepts(schema, value) for value in shape.refuses)


@each_shape
def test_openai_gets_no_schema_that_it_refuses(shape: Shape):
    _, schema = defined(FORMATS["openai"], shape.schema)

    assert schema["type"] == "object"
    assert "properties" in schema
    assert not {"$ref", "allOf", "anyOf", "oneOf", "not", "enum", "const", "$schema"} & schema.keys()
    for _, node in subschemas(schema):
        types = node.get("type", [])
        assert "items" in node or "array" not in types
        assert not [one for one in node.get("properties", {}).values() if isinstance(one, bool)]


@each_shape
def test_anthropic_gets_no_schema_that_it_refuses(shape: Shape):
    made, schema = defined(FORMATS["anthropic"], shape.schema)

    assert schema["type"] == "object"
    assert not {"allOf", "anyOf", "oneOf"} & schema.keys()
    assert all(re.fullmatch("[a-zA-Z0-9_.-]{1,64}", name) for name in schema["properties"])
    assert "strict" not in made


@each_shape
def test_only_what_fits_strict_mode_is_strict(shape: Shape):
    function, schema = defined(FORMATS["openai"], shape.schema)

    assert function.get("strict", False) is shape.strict
    if shape.strict:
        assert schema["required"] == list(schema["properties"])
        assert schema == {keyword: value for keyword, value in shape.schema.items() if keyword != "$schema"}


@pytest.mark.parametrize(
    "change",
    [
        {"a": {"type": "string", "enum": [str(n) for n in range(501)]}},
        {"a": {"type": "string", "enum": ["x" * 16_000]}},
        {f"p{n}": {"type": "string"} for n in range(101)},
        {"a": {"type": "string", "enum": ["x", 1]}},
        {"a": {"type": "array", "items": {}}},
        {"a": {}},
        {"a": {"type": "object"}},
        {"a": {"$ref": "#/$defs/b", "description": "beside a reference"}},
    ],
    ids=[
        "501 values",
        "16,000 characters",
        "101 properties",
        "a value of another type",
        "items that are anything",
        "anything",
        "an open object",
        "a reference with company",
    ],
)
def test_what_strict_mode_would_refuse_is_not_strict(change):
    function, _ = defined(FORMATS["openai"], closed(**change) | {"$defs": {"b": {"type": "string"}}})

    assert "strict" not in function


def test_what_follows_from_the_root_is_shown_there():
    _, schema = defined(FORMATS["openai"], SHAPES["one_of_at_the_root"].schema)
    assert list(schema["properties"]) == ["kind", "to", "number"]
    assert schema["required"] == ["kind"]

    _, schema = defined(FORMATS["anthropic"], SHAPES["all_of_and_a_reference_at_the_root"].schema)
    assert schema["required"] == ["city"]
    assert schema["properties"]["page"] == {"type": "integer"}


def test_what_every_branch_says_of_a_property_is_shown():
    branches = [{"properties": {"kind": {"const": one}}, "required": ["kind"]} for one in "ab"]
    _, schema = defined(FORMATS["openai"], {"type": "object", "anyOf": branches})

    assert schema["properties"] == {"kind": {"anyOf": [{"const": "a"}, {"const": "b"}]}}


def test_a_long_description_is_cut_for_openai_and_whole_in_the_schema():
    text = "word " * 400
    function, schema = defined(FORMATS["openai"], closed(a={"type": "string"}), text)

    assert len(function["description"]) == 1_024
    assert function["description"].endswith("…")
    assert schema["description"] == text
    assert defined(FORMATS["anthropic"], closed(), text)[0]["description"] == text


# ---- examples -----------------------------------------------------------------------------------


@each_shape
def test_an_example_is_one_unless_the_schema_is_intricate(shape: Shape):
    value = example(shape.schema)

    assert isinstance(value, dict)
    assert accepts(shape.schema, value) or shape in (SHAPES["a_pattern_and_a_format"], SHAPES["a_condition"])


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ({"minimum": 3}, 3),
        ({"maximum": -3}, -3),
        ({"exclusiveMinimum": 3, "multipleOf": 4}, 8),
        ({"exclusiveMaximum": 0}, -1),
        ({"multipleOf": 0.5}, 0.5),
        ({"exclusiveMinimum": 1e308, "multipleOf": 1e308}, 1),
        ({"minimum": 10**400, "multipleOf": 0.5}, 1),
    ],
)
def test_an_example_keeps_to_the_bounds_of_a_number(number, value):
    assert example(closed(n={"type": "number"} | number)) == {"n": value}


def test_an_example_of_what_refers_to_itself_ends():
    wide = {f"p{n}": {"$ref": "#"} for n in range(30)}
    value = example({"type": "object", "properties": wide, "required": list(wide)})

    assert len(json.dumps(value)) < 10_000


def test_an_example_of_lists_in_lists_does_not_grow_with_their_product():
    items: Schema = {"type": "string"}
    for _ in range(3):
        items = {"type": "array", "items": items, "minItems": 100}

    assert len(json.dumps(example(closed(a=items)))) < 10_000


def test_an_example_repeats_no_large_value():
    large = {"const": "x" * 10_000}
    wide = {f"p{n}": {"$ref": "#/$defs/large"} for n in range(30)}
    value = example({"type": "object", "properties": wide, "required": list(wide), "$defs": {"large": large}})

    assert len(json.dumps(value)) < 30_000


# ---- the list -----------------------------------------------------------------------------------


async def test_the_list_has_all_enabled_tools_and_no_pages(rig: Rig):
    for number in range(7):
        await rig.tool(name=f"tool.{number}", toolkit="odd" if number % 2 else None)
    await rig.tool(name="off", enabled=False)

    for form, name_of in (("openai", lambda item: item["function"]["name"]), ("anthropic", lambda item: item["name"])):
        answer = await rig.client.get("/v1/tools", params={"format": form})
        assert answer.json()["next_cursor"] is None
        assert [name_of(item) for item in answer.json()["items"]] == [f"tool__{number}" for number in range(7)]
        odd = await rig.client.get("/v1/tools", params={"format": form, "toolkit": "odd"})
        assert [name_of(item) for item in odd.json()["items"]] == ["tool__1", "tool__3", "tool__5"]
        found = await rig.client.get("/v1/tools", params={"format": form, "q": "TOOL.6"})
        assert [name_of(item) for item in found.json()["items"]] == ["tool__6"]


async def test_more_tools_than_are_read_at_once_are_all_there(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("toolyard_gateway.llm.catalogue._PIECE", 2)
    for number in range(5):
        await rig.tool(name=f"tool{number}")

    assert len((await rig.client.get("/v1/tools?format=openai")).json()["items"]) == 5


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("format=openai&limit=5", "limit"),
        ("format=anthropic&cursor=x", "cursor"),
        ("format=gemini", "format"),
        ("format=mcp", "format"),
        ("format=", "format"),
    ],
)
async def test_what_a_formatted_list_does_not_take_is_refused(rig: Rig, query, field):
    refused = await rig.client.get(f"/v1/tools?{query}")

    assert refused.status_code == 422
    assert [error["path"] for error in refused.json()["errors"]] == [field]
    if field == "format":
        assert "'openai' or 'anthropic'" in refused.json()["detail"]


async def test_two_tools_of_one_name_at_the_provider_are_refused_by_both_names(rig: Rig):
    long = "a." + "b" * 62
    same = provider_name(long, 64).replace("__", ".")
    for name in (long, same):
        await rig.tool(name=name)

    refused = await rig.client.get("/v1/tools?format=openai")

    assert refused.status_code == 409
    assert long in refused.json()["detail"]
    assert same in refused.json()["detail"]
    assert (await rig.client.get("/v1/tools?format=anthropic")).status_code == 200


async def test_the_list_needs_a_role_that_reads_tools(rig: Rig):
    assert (await rig.client.get("/v1/tools?format=openai", headers=await rig.key("caller"))).status_code == 200
