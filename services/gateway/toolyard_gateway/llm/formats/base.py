"""What a provider's format is: it reads tool calls out of an assistant message, and writes answers and definitions.

The modules beside this one hold one provider each; nothing else knows a provider.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from toolyard.contracts.codec import encode_json
from toolyard.contracts.tools import Schema
from toolyard.errors import FieldError, FieldsRefused

#: Tool calls of one message.
MAX_CALLS: Final = 128


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call as the model made it.

    Attributes:
        place: where it stands in the request.
        id: the provider's id of it; unique in its message.
        name: the tool's name at the provider.
        arguments: a JSON text, or a value.
        wrong: why it cannot be run, told to the model; empty where it can.
        echo: what its answer must repeat.
    """

    place: str
    id: str
    name: str
    arguments: Any
    wrong: str = ""
    echo: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What the model is told about its call."""

    call: ToolCall
    text: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Format:
    """A provider's format.

    Attributes:
        name_limit: characters that the name of a tool may have.
        read: the tool calls of an assistant message; raises `FieldsRefused` where it is none.
        answer: the messages that give these answers, to be appended as they are.
        define: a tool, by its name at the provider, its description and its schema.
    """

    name: str
    name_limit: int
    read: Callable[[Any], list[ToolCall]]
    answer: Callable[[Sequence[ToolAnswer]], list[dict[str, Any]]]
    define: Callable[[str, str, Schema], dict[str, Any]]


def wrong(path: str, message: str) -> FieldsRefused:
    """The refusal of a field."""
    return FieldsRefused((FieldError(path, message),))


def check_role(message: dict[str, Any]) -> None:
    """Refuse a message that says it is somebody else's."""
    if message.get("role") not in (None, "assistant"):
        raise wrong("message.role", 'must be "assistant": give the message with the tool calls, not another')


def entries(value: Any, path: str) -> list[tuple[str, dict[str, Any]]]:
    """The objects of a list, each with its place; raises `FieldsRefused` where it is another thing."""
    if not isinstance(value, list):
        raise wrong(path, "must be a list")
    found = [(f"{path}.{number}", entry) for number, entry in enumerate(value)]
    for place, entry in found:
        if not isinstance(entry, dict):
            raise wrong(place, "must be a JSON object")
    return found


def checked(calls: list[ToolCall], path: str) -> list[ToolCall]:
    """The same calls, once each can be answered for itself; raises `FieldsRefused` where it cannot."""
    if len(calls) > MAX_CALLS:
        raise wrong(path, f"holds {len(calls)} tool calls; at most {MAX_CALLS} are taken in one turn")
    places: dict[str, str] = {}
    errors: list[FieldError] = []
    for call in calls:
        where = f"{call.place}.id"
        if not call.id:
            errors.append(FieldError(where, "is missing; the answer names the call by it"))
        elif (first := places.setdefault(call.id, call.place)) != call.place:
            errors.append(FieldError(where, f"is that of {first} too; two calls with one id cannot both be answered"))
    if errors:
        raise FieldsRefused(tuple(errors[:20]))
    return calls


def text_of(value: Any) -> str:
    """A text; empty where it is another thing."""
    return value if isinstance(value, str) else ""


def and_more(description: str, left_out: Schema) -> str:
    """A description that also tells what had to be left out of the schema."""
    if not left_out:
        return description
    return f"{description}\n\nThe JSON Schema of the arguments also says: {encode_json(left_out).decode()}"
