"""A choice goes to each provider and comes back the same."""

from typing import Any

import pytest

from toolyard.client import tool_choice
from toolyard.errors import FieldsRefused

LONG = "toolkit." + "n" * 60 + "x"


@pytest.mark.parametrize("choice", ["auto", "none", "required", "weather", "mail.send", "a._b", LONG[:64]])
def test_a_choice_comes_back_the_same(choice: str):
    tools = ["weather", "mail.send", "a._b", "a_.b", LONG[:64]]
    assert tool_choice.from_openai(tool_choice.to_openai(choice), tools) == choice
    assert tool_choice.from_anthropic(tool_choice.to_anthropic(choice), tools) == choice


@pytest.mark.parametrize("choice", ["auto", "none", "required", "weather", "mail.send"])
def test_what_the_name_itself_tells_needs_no_list_of_tools(choice: str):
    assert tool_choice.from_openai(tool_choice.to_openai(choice)) == choice
    assert tool_choice.from_anthropic(tool_choice.to_anthropic(choice)) == choice


@pytest.mark.parametrize(
    ("choice", "openai", "anthropic"),
    [
        ("auto", "auto", {"type": "auto"}),
        ("none", "none", {"type": "none"}),
        ("required", "required", {"type": "any"}),
        (
            "mail.send",
            {"type": "function", "function": {"name": "mail__send"}},
            {"type": "tool", "name": "mail__send"},
        ),
    ],
)
def test_each_provider_says_it_its_way(choice: str, openai: Any, anthropic: Any):
    assert (tool_choice.to_openai(choice), tool_choice.to_anthropic(choice)) == (openai, anthropic)


def test_nothing_said_is_auto():
    assert tool_choice.from_openai(None) == tool_choice.from_anthropic(None) == "auto"


def test_what_else_the_choice_of_anthropic_says_is_passed_over():
    assert tool_choice.from_anthropic({"type": "any", "disable_parallel_tool_use": True}) == "required"


@pytest.mark.parametrize("value", ["any", {"type": "allowed_tools"}, {"type": "custom", "custom": {"name": "x"}}, 7])
def test_what_we_have_no_word_for_is_refused(value: Any):
    with pytest.raises(FieldsRefused, match="tool_choice"):
        tool_choice.from_openai(value)
    with pytest.raises(FieldsRefused, match="tool_choice"):
        tool_choice.from_anthropic(value)


@pytest.mark.parametrize("name", ["n" * 56 + "0123abcd", "a___b"])
def test_a_name_that_was_cut_says_nothing_without_its_tool(name: str):
    with pytest.raises(FieldsRefused, match="none of the tools"):
        tool_choice.from_openai({"type": "function", "function": {"name": name}}, ["weather"])


def test_a_tool_that_is_called_like_a_choice_is_not_taken_for_it():
    with pytest.raises(FieldsRefused, match="rename"):
        tool_choice.from_anthropic({"type": "tool", "name": "none"})
