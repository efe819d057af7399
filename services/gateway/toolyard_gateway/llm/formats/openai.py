"""OpenAI Chat Completions, and the many servers that speak it too."""

from collections.abc import Sequence
from typing import Any, Final

from toolyard.contracts.tools import Schema
from toolyard.provider_names import LIMITS
from toolyard_gateway.llm.adapting import Rules, adapt
from toolyard_gateway.llm.formats.base import (
    Format,
    ToolAnswer,
    ToolCall,
    and_more,
    check_role,
    checked,
    entries,
    text_of,
    wrong,
)
from toolyard_gateway.llm.formats.openai_strict import fits_strict

_RULES: Final = Rules(frozenset({"$ref", "allOf", "anyOf", "oneOf", "not", "enum", "const"}), explicit=True)
#: Characters of a function's description.
_DESCRIPTION: Final = 1_024


def read(message: Any) -> list[ToolCall]:
    """The tool calls of ``choices[0].message``; raises `FieldsRefused`."""
    if not isinstance(message, dict):
        raise wrong("message", "must be the assistant message: a JSON object, choices[0].message of the answer")
    if "choices" in message:
        raise wrong("message", "is the whole answer of the provider; give its choices[0].message")
    check_role(message)
    if message.get("function_call") is not None:
        raise wrong("message.function_call", "is the form before tool_calls; ask the model with tools, not functions")
    path = "message.tool_calls"
    calls = message.get("tool_calls")
    return checked([] if calls is None else [_call(*entry) for entry in entries(calls, path)], path)


def _call(place: str, entry: dict[str, Any]) -> ToolCall:
    kind = entry.get("type") or "function"
    said = entry.get(kind) if isinstance(kind, str) else None
    if not isinstance(said, dict):
        return ToolCall(place, text_of(entry.get("id")), "", None, "it does not say which function is called")
    name = text_of(said.get("name"))
    if kind != "function":
        text = f"calls of the type {kind[:40]!r} are not run here; call a function with JSON arguments"
        return ToolCall(place, text_of(entry.get("id")), name, None, text)
    return ToolCall(place, text_of(entry.get("id")), name, said.get("arguments"))


def answer(answers: Sequence[ToolAnswer]) -> list[dict[str, Any]]:
    """One message for each call."""
    return [{"role": "tool", "tool_call_id": one.call.id, "content": one.text} for one in answers]


def define(name: str, description: str, parameters: Schema) -> dict[str, Any]:
    """A function tool; strict where its schema allows that as it is."""
    schema, left_out = adapt(parameters, _RULES)
    told = and_more(description, left_out)
    function: dict[str, Any] = {"name": name, "description": told, "parameters": schema}
    if len(told) > _DESCRIPTION:
        function["description"] = told[: _DESCRIPTION - 1] + "…"
        schema["description"] = "\n\n".join(text for text in (told, schema.get("description")) if text)
    if not left_out and fits_strict(schema):
        schema.setdefault("required", [])
        function["strict"] = True
    return {"type": "function", "function": function}


OPENAI: Final = Format("openai", LIMITS["openai"], read, answer, define)
