"""Anthropic Messages.

Definitions are never ``strict``: all strict tools of a request share one limit there, so that one more tool fails all.
"""

import re
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

_RULES: Final = Rules(frozenset({"$ref", "allOf", "anyOf", "oneOf"}), re.compile("[a-zA-Z0-9_.-]{1,64}"))


def read(message: Any) -> list[ToolCall]:
    """The ``tool_use`` blocks of a message, or of its ``content``; raises `FieldsRefused`.

    Blocks of other types are passed over: texts, thoughts, and tools that the provider itself runs.
    """
    path, blocks = "message", message
    if isinstance(message, dict):
        check_role(message)
        path, blocks = "message.content", message.get("content")
    if isinstance(message, dict) and isinstance(blocks, str):
        return []
    if not isinstance(blocks, list):
        raise wrong(path, "must be the assistant message or its list of content blocks")
    uses = [(place, block) for place, block in entries(blocks, path) if block.get("type") == "tool_use"]
    return checked([_call(place, block) for place, block in uses], path)


def _call(place: str, block: dict[str, Any]) -> ToolCall:
    family = block.get("toolset_name")
    echo = {} if family is None else {"toolset_name": family}
    return ToolCall(place, text_of(block.get("id")), text_of(block.get("name")), block.get("input"), echo=echo)


def answer(answers: Sequence[ToolAnswer]) -> list[dict[str, Any]]:
    """One message with a block for each call."""
    blocks = [
        {
            "type": "tool_result",
            "tool_use_id": one.call.id,
            "content": one.text,
            "is_error": one.failed,
            **one.call.echo,
        }
        for one in answers
    ]
    return [{"role": "user", "content": blocks}] if blocks else []


def define(name: str, description: str, parameters: Schema) -> dict[str, Any]:
    """A client tool."""
    schema, left_out = adapt(parameters, _RULES)
    told = and_more(description, left_out)
    return {"name": name, "description": told, "input_schema": schema}


ANTHROPIC: Final = Format("anthropic", LIMITS["anthropic"], read, answer, define)
