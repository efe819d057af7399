"""What a model is told to do with its tools, as we say it and as providers do. Pure.

A choice is ``auto`` (as the model likes), ``none``, ``required`` (some tool) or the name of a tool.
"""

from collections.abc import Iterable
from typing import Any, Final

from toolyard.errors import FieldError, FieldsRefused
from toolyard.provider_names import LIMITS, may_be_completed, provider_name, tool_name

_FIELD: Final = "tool_choice"
#: Our words, and how Anthropic says them; OpenAI's are ours.
_ANTHROPIC: Final = {"auto": "auto", "none": "none", "required": "any"}
_MODES: Final = {theirs: ours for ours, theirs in _ANTHROPIC.items()}


def to_openai(choice: str) -> Any:
    """The value of ``tool_choice`` for Chat Completions."""
    if choice in _ANTHROPIC:
        return choice
    return {"type": "function", "function": {"name": provider_name(choice, LIMITS["openai"])}}


def to_anthropic(choice: str) -> Any:
    """The value of ``tool_choice`` for Messages."""
    if choice in _ANTHROPIC:
        return {"type": _ANTHROPIC[choice]}
    return {"type": "tool", "name": provider_name(choice, LIMITS["anthropic"])}


def from_openai(value: Any, tools: Iterable[str] = ()) -> str:
    """The choice that a request to Chat Completions makes; ``None`` is ``auto``.

    Args:
        value: its ``tool_choice``.
        tools: names of tools, of which some may have been cut for the provider: only these tell whose it was then.

    Raises:
        FieldsRefused: we have no such choice, or it is not known which tool is meant.
    """
    match value:
        case None:
            return "auto"
        case "auto" | "none" | "required":
            return str(value)
        case {"type": "function", "function": {"name": str(name)}}:
            return _tool(name, LIMITS["openai"], tools)
        case _:
            raise _wrong("must be auto, none, required, or a function by its name")


def from_anthropic(value: Any, tools: Iterable[str] = ()) -> str:
    """The choice that a request to Messages makes, as `from_openai` does.

    ``disable_parallel_tool_use``, which may stand in it too, is no part of the choice.
    """
    match value:
        case None:
            return "auto"
        case {"type": "tool", "name": str(name)}:
            return _tool(name, LIMITS["anthropic"], tools)
        case {"type": "auto" | "none" | "any" as mode}:
            return _MODES[mode]
        case _:
            raise _wrong("must be of the type auto, none, any, or tool with a name")


def _tool(name: str, limit: int, tools: Iterable[str]) -> str:
    """The tool that has this name at a provider."""
    found = {tool for tool in tools if provider_name(tool, limit) == name}
    if not found and not may_be_completed(name, limit) and (told := tool_name(name, limit)) is not None:
        found = {told}
    if len(found) != 1:
        said = f"stands for {' and '.join(sorted(found))}" if found else "is none of the tools that were given"
        raise _wrong(f"{name!r} {said}")
    (tool,) = found
    if tool in _ANTHROPIC:
        raise _wrong(f"names a tool {tool!r}, which is a word for something else here; rename the tool")
    return tool


def _wrong(text: str) -> FieldsRefused:
    return FieldsRefused((FieldError(_FIELD, text),))
