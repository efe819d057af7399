"""Messages of both providers as tables: which tool calls are read out of them, what is refused, what goes back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.errors import FieldsRefused
from toolyard_gateway.llm.formats import FORMATS
from toolyard_gateway.llm.formats.base import MAX_CALLS, ToolAnswer, ToolCall

OPENAI, ANTHROPIC = FORMATS["openai"], FORMATS["anthropic"]


def function(id_: Any, name: Any, arguments: Any, **more: Any) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}} | more


def chat(*calls: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)} | more


def use(id_: Any, name: Any, given: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id_, "name": name, "input": given} | more


def message(*blocks: Any, **more: Any) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "content": list(blocks)} | more


AS_OPENAI_DUMPS_IT = chat(
    function("call_1", "weather", '{"city": "Bern"}'),
    refusal=None,
    annotations=[],
    audio=None,
    function_call=None,
)
#: name -> message, the calls as (id, name, arguments)
OPENAI_READ: dict[str, tuple[Any, list[tuple[str, str, Any]]]] = {
    "as the SDK dumps it": (AS_OPENAI_DUMPS_IT, [("call_1", "weather", '{"city": "Bern"}')]),
    "with a text beside": (chat(function("1", "a", "{}"), content="Let me see."), [("1", "a", "{}")]),
    "with a content of parts": (
        chat(function("1", "a", "{}"), content=[{"type": "text", "text": "Hm."}]),
        [("1", "a", "{}")],
    ),
    "with what only some servers say": (
        chat(function("1", "a", "{}", index=0), reasoning_content="Hm.", provider="x"),
        [("1", "a", "{}")],
    ),
    "in order": (
        chat(function("2", "b", "{}"), function("1", "a", "{}"), function("3", "b", "{}")),
        [("2", "b", "{}"), ("1", "a", "{}"), ("3", "b", "{}")],
    ),
    "with arguments as an object": (chat(function("1", "a", {"x": 1})), [("1", "a", {"x": 1})]),
    "with empty arguments": (chat(function("1", "a", "")), [("1", "a", "")]),
    "without arguments": (chat({"id": "1", "type": "function", "function": {"name": "a"}}), [("1", "a", None)]),
    "without a type": (chat({"id": "1", "function": {"name": "a", "arguments": "{}"}}), [("1", "a", "{}")]),
    "without a role": ({"tool_calls": [function("1", "a", "{}")]}, [("1", "a", "{}")]),
    "without tool calls": ({"role": "assistant", "content": "Hello."}, []),
    "with tool calls that are null": ({"role": "assistant", "content": "Hello.", "tool_calls": None}, []),
    "with no tool call": (chat(content="Hello."), []),
    "with a refusal": ({"role": "assistant", "content": None, "refusal": "No."}, []),
}
#: name -> message, the text for the model
OPENAI_ANSWERED: dict[str, tuple[dict[str, Any], str]] = {
    "a custom tool": (
        {"id": "1", "type": "custom", "custom": {"name": "x", "input": "y"}},
        "calls of the type 'custom' are not run here; call a function with JSON arguments",
    ),
    "a type nobody knows": ({"id": "1", "type": "dance"}, "it does not say which function is called"),
    "a type that is no text": ({"id": "1", "type": 7}, "it does not say which function is called"),
    "no function": ({"id": "1", "type": "function"}, "it does not say which function is called"),
    "a function that is a text": ({"id": "1", "function": "weather"}, "it does not say which function is called"),
}
#: name -> message, the fields that are named
OPENAI_REFUSED: dict[str, tuple[Any, list[str]]] = {
    "a text": ("Hello.", ["message"]),
    "nothing": (None, ["message"]),
    "a list": ([AS_OPENAI_DUMPS_IT], ["message"]),
    "the whole answer": ({"choices": [{"message": AS_OPENAI_DUMPS_IT}]}, ["message"]),
    "a message of the user": ({"role": "user", "content": "Hello."}, ["message.role"]),
    "a message of a tool": ({"role": "tool", "tool_call_id": "1", "content": "x"}, ["message.role"]),
    "the form before tool calls": (
        chat(function_call={"name": "a", "arguments": "{}"}),
        ["message.function_call"],
    ),
    "tool calls that are no list": (chat() | {"tool_calls": {"0": {}}}, ["message.tool_calls"]),
    "a tool call that is a text": (chat("weather"), ["message.tool_calls.0"]),
    "an id that is missing": (
        chat(function("1", "a", "{}"), {"function": {"name": "a", "arguments": "{}"}}),
        ["message.tool_calls.1.id"],
    ),
    "ids that are none": (
        chat(function(None, "a", "{}"), function("", "a", "{}"), function(7, "a", "{}")),
        [f"message.tool_calls.{number}.id" for number in range(3)],
    ),
    "an id that stands twice": (
        chat(function("1", "a", "{}"), function("2", "a", "{}"), function("1", "b", "{}")),
        ["message.tool_calls.2.id"],
    ),
    "too many": (chat(*(function(str(n), "a", "{}") for n in range(MAX_CALLS + 1))), ["message.tool_calls"]),
}
THOUGHTS = [
    {"type": "thinking", "thinking": "Hm.", "signature": "x"},
    {"type": "redacted_thinking", "data": "x"},
    {"type": "text", "text": "Let me see.", "citations": None},
    {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}},
    {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []},
    {"type": "something_new"},
]
ANTHROPIC_READ: dict[str, tuple[Any, list[tuple[str, str, Any]]]] = {
    "as the SDK dumps it": (
        message(
            {"type": "text", "text": "Let me see.", "citations": None},
            use("toolu_1", "weather", {"city": "Bern"}, caller={"type": "direct"}, toolset_name=None),
            model="claude",
            stop_reason="tool_use",
            stop_sequence=None,
            usage={"input_tokens": 1, "output_tokens": 1},
        ),
        [("toolu_1", "weather", {"city": "Bern"})],
    ),
    "among other blocks": (message(*THOUGHTS, use("1", "a", {})), [("1", "a", {})]),
    "its content alone": ([*THOUGHTS, use("1", "a", {}), use("2", "a", {})], [("1", "a", {}), ("2", "a", {})]),
    "as a parameter": ({"role": "assistant", "content": [use("1", "a", {})]}, [("1", "a", {})]),
    "with the input as a text": (message(use("1", "a", '{"x": 1}')), [("1", "a", '{"x": 1}')]),
    "without input": (message({"type": "tool_use", "id": "1", "name": "a"}), [("1", "a", None)]),
    "without a name": (message(use("1", None, {})), [("1", "", {})]),
    "a text alone": ({"role": "assistant", "content": "Hello."}, []),
    "no tool call": (message(*THOUGHTS), []),
    "no blocks": ([], []),
}
ANTHROPIC_REFUSED: dict[str, tuple[Any, list[str]]] = {
    "a text": ("Hello.", ["message"]),
    "nothing": (None, ["message"]),
    "a message of the user": ({"role": "user", "content": "Hello."}, ["message.role"]),
    "no content": ({"role": "assistant"}, ["message.content"]),
    "content that is a number": ({"content": 7}, ["message.content"]),
    "a block that is a text": (message("Hello."), ["message.content.0"]),
    "a block of a list that is a text": (["Hello."], ["message.0"]),
    "an id that is missing": (message({"type": "tool_use", "name": "a", "input": {}}), ["message.content.0.id"]),
    "an id that stands twice": (
        [{"type": "text", "text": "x"}, use("1", "a", {}), use("1", "a", {})],
        ["message.2.id"],
    ),
    "too many": (message(*(use(str(n), "a", {}) for n in range(MAX_CALLS + 1))), ["message.content"]),
}


def both(ours: dict[str, Any], theirs: dict[str, Any]) -> Any:
    cases = [(OPENAI, *case) for case in ours.values()] + [(ANTHROPIC, *case) for case in theirs.values()]
    ids = [f"openai: {name}" for name in ours] + [f"anthropic: {name}" for name in theirs]
    return pytest.mark.parametrize(("form", "given", "expected"), cases, ids=ids)


@both(OPENAI_READ, ANTHROPIC_READ)
def test_tool_calls_are_read_in_order(form, given, expected):
    assert [(call.id, call.name, call.arguments) for call in form.read(given)] == expected


@pytest.mark.parametrize(("entry", "wrong"), OPENAI_ANSWERED.values(), ids=list(OPENAI_ANSWERED))
def test_what_cannot_be_run_is_left_to_the_model(entry, wrong):
    ok, other = OPENAI.read(chat(function("0", "a", "{}"), entry))

    assert ok.wrong == ""
    assert (other.id, other.wrong) == ("1", wrong)


@both(OPENAI_REFUSED, ANTHROPIC_REFUSED)
def test_what_nobody_could_answer_is_refused_by_its_field(form, given, expected):
    with pytest.raises(FieldsRefused) as refused:
        form.read(given)

    assert [path for path, _ in refused.value.fields] == expected


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["", "a", "tool_use", "function", "custom", "assistant"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "name", "input", "role"]), inner)
    ),
    max_leaves=12,
)
ENTRY = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("id", "type", "name", "input", "function", "custom", "toolset_name"), JSON)
)
MESSAGE = st.fixed_dictionaries(
    {},
    optional={name: st.lists(ENTRY | JSON, max_size=3) | JSON for name in ("role", "content", "tool_calls")},
)


@pytest.mark.parametrize("form", FORMATS.values(), ids=list(FORMATS))
@given(given_=MESSAGE | st.lists(ENTRY) | JSON)
def test_whatever_comes_is_read_or_refused_by_its_fields(form, given_):
    calls, wrong = [], []
    try:
        calls = form.read(given_)
    except FieldsRefused as refused:
        wrong = [path for path, _ in refused.fields]

    assert all(path.startswith("message") for path in wrong)
    assert all(isinstance(one.id, str) and one.id and isinstance(one.name, str) for one in calls)
    assert len({one.id for one in calls}) == len(calls)
    form.answer([ToolAnswer(one, "text", failed=False) for one in calls])


def test_as_many_calls_as_are_taken_are_read():
    assert len(OPENAI.read(chat(*(function(str(n), "a", "{}") for n in range(MAX_CALLS))))) == MAX_CALLS


def answers() -> list[ToolAnswer]:
    first, second = ToolCall("", "1", "a", {}), ToolCall("", "2", "b", {}, echo={"toolset_name": "memory"})
    return [ToolAnswer(first, "fine", failed=False), ToolAnswer(second, "not fine", failed=True)]


def test_openai_gets_a_message_for_each_call():
    assert OPENAI.answer(answers()) == [
        {"role": "tool", "tool_call_id": "1", "content": "fine"},
        {"role": "tool", "tool_call_id": "2", "content": "not fine"},
    ]


def test_anthropic_gets_one_message_with_a_block_for_each_call():
    blocks = [
        {"type": "tool_result", "tool_use_id": "1", "content": "fine", "is_error": False},
        {
            "type": "tool_result",
            "tool_use_id": "2",
            "content": "not fine",
            "is_error": True,
            "toolset_name": "memory",
        },
    ]
    assert ANTHROPIC.answer(answers()) == [{"role": "user", "content": blocks}]


def test_without_calls_there_is_nothing_to_append():
    assert OPENAI.answer([]) == ANTHROPIC.answer([]) == []


def test_a_family_of_tools_is_repeated_in_the_answer():
    (call,) = ANTHROPIC.read([use("1", "a", {}, toolset_name="memory")])

    assert call.echo == {"toolset_name": "memory"}
