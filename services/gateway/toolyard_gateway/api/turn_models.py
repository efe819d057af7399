"""The shapes of a turn at the HTTP edge, and of tools as providers take them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from toolyard.states import State
from toolyard_gateway.api.models import Label, Strict

FormatName = Literal["openai", "anthropic"]


class TurnRequest(Strict):
    """The tool calls of one assistant message to run."""

    format: FormatName = Field(description="Whose message it is: Chat Completions or Messages.")
    message: Any = Field(
        description="The assistant message as the provider returned it: `choices[0].message`, or for `anthropic` the "
        "message or its content blocks.",
        examples=[
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
                ],
            }
        ],
        json_schema_extra={"anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]},
    )
    user: Label | None = Field(None, description="On whose behalf.")
    conversation: Label | None = None
    context: dict[str, Any] | None = Field(None, description="The application's own values; the model never sees them.")
    deadline: Annotated[float, Field(gt=0, le=300)] | None = Field(
        None,
        description="Seconds for the turn and for each of its calls; 300 where nobody says. It is answered by then.",
    )


class TurnCallModel(BaseModel):
    """What became of a tool call."""

    call_id: str | None = Field(description="null where nothing was accepted.")
    tool_call_id: str = Field(description="The provider's id of it.")
    tool: str = Field(description="The tool; where there is none of that name, the name as the model gave it.")
    state: State = Field(description="`rejected` where nothing was accepted; of an accepted call its state.")
    code: str | None = Field(description="Why it did not succeed; null where it did, or has not ended.")


class TurnAnswer(BaseModel):
    """What the model is told, and what became of each call."""

    messages: list[dict[str, Any]] = Field(
        description="To be appended as they are: exactly one result for each id, in order; empty without tool calls."
    )
    calls: list[TurnCallModel]


class FormattedTools(BaseModel):
    """The enabled tools as a provider takes them."""

    items: list[dict[str, Any]]
    next_cursor: None = Field(description="Always null: it is the whole list.")
