"""Placeholders: found, refused and filled, as data; and that no value is ever read for placeholders."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.templates import (
    LEFT_OUT,
    MAX_DEPTH,
    ContextMissing,
    SecretMissing,
    Values,
    as_text,
    compile_template,
    fill,
    placeholders,
)

ARGUMENTS: dict[str, Any] = {
    "city": "Bern",
    "n": 3,
    "yes": True,
    "nothing": None,
    "list": [1, "two"],
    "tree": {"a": {"b": "deep"}},
    "evil": "${secrets.TOKEN} $$ ${call_id}",
    "größe": "XL",
}


def secret(name: str) -> str:
    if name != "TOKEN":
        raise SecretMissing(name)
    return "s3cret"


VALUES = Values(ARGUMENTS, {"tenant": "acme", "user": {"id": 7}}, secret, "call-1")


def filled(value, **options):
    return fill(compile_template(value, **options), VALUES)


@pytest.mark.parametrize(
    ("text", "scope", "path"),
    [
        ("${arguments.x}", "arguments", ("x",)),
        ("${arguments.a.b.0}", "arguments", ("a", "b", "0")),
        ("${arguments}", "arguments", ()),
        ("${parameters.x}", "arguments", ("x",)),
        ("${parameters}", "arguments", ()),
        ("${context.user.id}", "context", ("user", "id")),
        ("${secrets.TOKEN}", "secrets", ("TOKEN",)),
        ("${call_id}", "call_id", ()),
        ("${TOKEN}", "secrets", ("TOKEN",)),
        ("${tenant}", "context", ("tenant",)),
        ("${arguments.größe}", "arguments", ("größe",)),
        ("${arguments.x-y}", "arguments", ("x-y",)),
    ],
)
def test_a_placeholder_names_where_its_value_comes_from(text, scope, path):
    [found] = placeholders({"field": f"a {text}"}, secrets=["TOKEN"])
    assert (found.scope, found.path, found.text, found.where) == (scope, path, text, "field")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${", "no closing brace"),
        ("a ${arguments.x", "no closing brace"),
        ("${}", "not a placeholder"),
        ("${ }", "not a placeholder"),
        ("${arguments.}", "not a placeholder"),
        ("${.x}", "not a placeholder"),
        ("${arguments..x}", "not a placeholder"),
        ("${arguments x}", "not a placeholder"),
        ("${a:-b}", "not a placeholder"),
        ("${a[0]}", "not a placeholder"),
        ("${${x}}", "not a placeholder"),
        ("${context}", "needs a name"),
        ("${secrets}", "needs a name"),
        ("${secrets.A.B}", "a secret's name"),
        ("${secrets.a-b}", "a secret's name"),
        ("${argument.x}", "no scope 'argument'"),
        ("${call_id.x}", "no scope 'call_id'"),
    ],
)
def test_a_malformed_placeholder_is_refused_with_its_place(text, said):
    with pytest.raises(ValueError, match=r"^body\.list\.1\.x: ") as refused:
        placeholders({"list": ["fine", {"x": text}]}, where="body")
    assert said in str(refused.value)


def test_keys_hold_no_placeholders():
    with pytest.raises(ValueError, match="keys are not filled in"):
        placeholders({"a": {"${arguments.x}": 1}})


def test_a_tree_that_is_too_deep_is_refused():
    tree: object = "${call_id}"
    for _ in range(MAX_DEPTH + 1):
        tree = [tree]
    with pytest.raises(ValueError, match="nested deeper"):
        placeholders(tree)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${arguments.city}", "Bern"),
        ("${arguments.n}", 3),
        ("${arguments.yes}", True),
        ("${arguments.nothing}", None),
        ("${arguments.list}", [1, "two"]),
        ("${arguments.list.1}", "two"),
        ("${arguments.tree.a.b}", "deep"),
        ("${parameters}", ARGUMENTS),
        ("${context.user.id}", 7),
        ("${tenant}", "acme"),
        ("${call_id}", "call-1"),
        ("to ${arguments.city}!", "to Bern!"),
        ("${arguments.n}${arguments.yes}${arguments.nothing}", "3truenull"),
        ("l=${arguments.list} t=${arguments.tree}", 'l=[1,"two"] t={"a":{"b":"deep"}}'),
        ("Bearer ${secrets.TOKEN}", "Bearer s3cret"),
        ("$5.00, $name, $", "$5.00, $name, $"),
        ("$${arguments.city}", "${arguments.city}"),
        ("$$$${x}", "$${x}"),
        ("$$${arguments.n}", "$3"),
        ({"a": "${arguments.n}", "b": [True, "${arguments.city}"], "c": 1.5}, {"a": 3, "b": [True, "Bern"], "c": 1.5}),
        ({"$set": {"x": "$$y"}}, {"$set": {"x": "$y"}}),
    ],
)
def test_values_are_filled_in_with_their_types(template, expected):
    assert filled(template) == expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${arguments.none}", LEFT_OUT),
        ("x ${arguments.none}", LEFT_OUT),
        ("${arguments.list.9}", LEFT_OUT),
        ("${arguments.list.-1}", LEFT_OUT),
        ("${arguments.city.x}", LEFT_OUT),
        ({"a": "${arguments.none}", "b": "${arguments.n}"}, {"b": 3}),
        (["${arguments.none}", "${arguments.n}"], [3]),
        ({"a": {"b": "${arguments.none}"}}, {"a": {}}),
    ],
)
def test_an_absent_argument_leaves_its_field_out(template, expected):
    assert filled(template) == expected


def test_an_absent_key_of_the_context_ends_the_call():
    with pytest.raises(ContextMissing, match=r"context\.user\.name is missing"):
        filled("${context.user.name}")


def test_an_absent_secret_is_named():
    with pytest.raises(SecretMissing, match="'OTHER'"):
        filled({"a": "${secrets.OTHER}"})


@pytest.mark.parametrize("template", ["${arguments.evil}", "see ${arguments.evil}", {"a": ["${arguments.evil}"]}])
def test_a_value_is_never_read_for_placeholders(template):
    assert ARGUMENTS["evil"] in str(filled(template))


@given(st.text())
def test_any_text_is_either_refused_or_filled(text):
    try:
        template = compile_template(text)
    except ValueError:
        assert "${" in text
        return
    if "$" not in text:
        assert fill(template, VALUES) == text


@given(st.text(), st.text(alphabet="ab $"))
def test_a_value_arrives_as_it_is(value: str, around: str):
    arguments: dict[str, Any] = {"x": value}
    values = Values(arguments, {}, secret, "")
    literal = around.replace("$", "$$")
    assert fill(compile_template(f"{literal}${{arguments.x}}{literal}"), values) == f"{around}{value}{around}"


def test_text_of_other_values_is_json():
    values: list[Any] = ["a", 1, 1.5, None, {"a": []}]
    assert [as_text(value) for value in values] == ["a", "1", "1.5", "null", '{"a":[]}']
