"""What a model is told of a call that did not succeed: what happened, and what it may do next. Pure."""

from collections.abc import Sequence
from typing import Any, Final

from toolyard.contracts.codec import encode_json
from toolyard.errors import FieldError, FieldsRefused, Refused, model_message
from toolyard_gateway import strict_json
from toolyard_gateway.llm.examples import example
from toolyard_gateway.registry import CompiledTool
from toolyard_gateway.schemas import argument_errors

#: Characters of an example, and of the schema where there is no example.
_EXAMPLE: Final = 600
#: Fields that are named, and characters of each: a model pays for its own names that come back.
_FIELDS: Final = 8
_NAME: Final = 200
#: Where a call that was accepted stands when the turn must be answered, and what may be done.
_STANDS: Final = {
    "running": "it was still running and may have taken effect. Do not call it again before you have checked.",
    "retrying": "it had failed and was to be tried again; it may have taken effect. Do not call it again before you "
    "have checked.",
    "scheduled": "the tool is paused, and the call was not started. Try later.",
}
_NOT_KNOWN: Final = "it is not known whether it was started. Do not call it again before you have checked."
NO_TEXT: Final = "The tool succeeded and gave no text."


def read_arguments(raw: Any) -> dict[str, Any]:
    """The arguments of a call: a JSON text of an object, or the object itself; nothing at all is none.

    Raises:
        FieldsRefused: they are something else.
    """
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return {}
    value = _decoded(raw) if isinstance(raw, str) else raw
    if not isinstance(value, dict):
        raise FieldsRefused((FieldError("arguments", "must be one JSON object: the arguments by their names"),))
    return value


def _decoded(text: str) -> Any:
    try:
        return strict_json.decode(text.encode())
    except Refused as refused:
        named = [FieldError(f"arguments.{path}", message) for path, message in refused.fields]
        whole = FieldError("arguments", refused.detail.replace("The body", "the text"))
        raise FieldsRefused(tuple(named) or (whole,)) from None


def of_refusal(refused: Refused, tool: CompiledTool | None = None) -> str:
    """Why a call was not accepted; with an example of the arguments where its tool is given."""
    if refused.extra.get("unconfirmed"):
        return f"The call was not confirmed: {_NOT_KNOWN}"
    told = [f"{_cut(path)}: {message}" if path else message for path, message in refused.fields[:_FIELDS]]
    text = model_message(refused.refusal, "; ".join(told) or refused.detail)
    return text if tool is None else f"{text.rstrip('.')}. {_shown(tool)}"


def _cut(path: str) -> str:
    return path if len(path) <= _NAME else f"{path[:_NAME]}…"


def is_of_arguments(refused: Refused) -> bool:
    """Whether the arguments were wrong."""
    return any(path == "arguments" or path.startswith("arguments.") for path, _ in refused.fields)


def _shown(tool: CompiledTool) -> str:
    """A small example; the beginning of the schema where none can be made."""
    schema = tool.spec.parameters
    value = example(schema)
    text = encode_json(value).decode()
    if len(text) <= _EXAMPLE and isinstance(value, dict) and not argument_errors(tool.validator, value, ""):
        return f"For example: {text}"
    text = encode_json(schema).decode()
    return f"Their schema: {text if len(text) <= _EXAMPLE else text[:_EXAMPLE] + '…'}"


def of_unknown_tool(name: str, near: Sequence[str]) -> str:
    """There is no such tool."""
    if not name:
        return "The call names no tool; name one of those that you were given."
    meant = f"Did you mean {' or '.join(near)}?" if near else "Call one of those that you were given."
    return model_message("tool_not_found", f"{name[:200]}. {meant}")


def of_unfinished(state: str, seconds: float | None) -> str:
    """It was accepted and had not ended when the turn had to be answered: after so long, or as the gateway stops."""
    when = "before Toolyard had to stop" if seconds is None else f"within {seconds:g} s"
    return f"The call did not end {when}: {_STANDS.get(state, _NOT_KNOWN)}"


def of_consent(url: str) -> str:
    """It waits for its user, who is told by the model."""
    return (
        f"{model_message('authorization_required', url)} Show the user this link. Once they have consented, the call "
        "goes on by itself; do not call it again."
    )


def of_unsent(seconds: float) -> str:
    """Nothing was sent when the turn had to be answered."""
    return f"The call could not be started within {seconds:g} s and had no effect. You may try again."


def of_unconfirmed(seconds: float) -> str:
    """It was being sent when the turn had to be answered."""
    return f"The call was not confirmed within {seconds:g} s: {_NOT_KNOWN}"
