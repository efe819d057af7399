"""What pydantic found wrong, as the fields of a problem document: dotted paths, and texts that say what would be right.

Called wherever a model reads something from outside.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from toolyard.clock import from_rfc3339
from toolyard.errors import FieldError, FieldsRefused
from toolyard_gateway.api.models import KEY, NAME, TOOL

M = TypeVar("M", bound=BaseModel)

#: Fields of the public surface that this build does not act on yet. They are refused, never ignored.
NOT_YET: Final = frozenset(
    {
        "require_confirmation",
        "provider",
        "format",
        "allowed_imports",
        "code",
    }
)
#: Fields that one answer names at most.
MAX_NAMED: Final = 20
#: Kinds of errors that pydantic words for Python programmers.
_RIGHT: Final = {
    "missing": "is missing; give it",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "list_type": "must be a list",
    "string_type": "must be a text",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number that is not so large",
    "float_parsing": "must be a number",
}
#: What patterns mean, for those who do not read them.
_MEANT: Final = {
    KEY: "1 to 255 printable ASCII characters",
    NAME: "letters, digits, '_', '.' and '-', a letter first, 64 at most",
    TOOL: "a name, or name@version, as in weather@3",
}
_SUBJECT: Final = re.compile(r"^(?:Input|String|List|Dictionary|Value) should ")
#: What a field takes alone that says nothing: its whole meaning is not acted on.
_ONLY: Final = ("False", "1")
_NAMES: Final = {
    dict: "an object",
    list: "a list",
    str: "a text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
}


def read(model: type[M], value: Any, *, root: str = "") -> M:
    """The value as this model.

    Raises:
        FieldsRefused: names every field that is wrong.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        names = [field.alias or name for name, field in model.model_fields.items()]
        raise FieldsRefused(field_errors(error.errors(include_url=False), names, root=root)) from None


def time_of(path: str, text: str) -> float:
    """The time of RFC 3339 that this text gives, in seconds since 1970.

    Raises:
        FieldsRefused: it is none.
    """
    try:
        return from_rfc3339(text)
    except ValueError as error:
        raise FieldsRefused((FieldError(path, str(error)),)) from None


def check_queue_timeout(queue_timeout: float | None, deadline: float | None) -> tuple[FieldError, ...]:
    """What is wrong with waiting for the start so long (seconds), where everything may take so long."""
    if queue_timeout is None or deadline is None or queue_timeout <= deadline:
        return ()
    text = f"is longer than the deadline, {deadline:g} s; make it shorter, or give a longer deadline"
    return (FieldError("queue_timeout", text),)


def field_errors(
    errors: Iterable[Mapping[str, Any]], names: Sequence[str] = (), *, root: str = ""
) -> tuple[FieldError, ...]:
    """The fields of these errors; ``names`` are those that a misspelt one may have meant."""
    return tuple(_field(error, names, root) for error in islice(errors, MAX_NAMED))


def _field(error: Mapping[str, Any], names: Sequence[str], root: str) -> FieldError:
    location = [str(step) for step in error["loc"]]
    path = ".".join([root, *location] if root else location)
    if error["type"] == "extra_forbidden":
        return FieldError(path, unknown_field(location[-1], names if len(location) == 1 else ()))
    return FieldError(path, _right(error)[:300])


def _right(error: Mapping[str, Any]) -> str:
    """What would be right, in the words of JSON and not of Python."""
    kind = str(error["type"])
    if kind == "literal_error" and error["ctx"]["expected"] in _ONLY:
        return "is not acted on in this version; leave it out"
    text = _RIGHT.get(kind)
    if text is None:
        text = _SUBJECT.sub("must ", str(error["msg"])).replace("must match pattern", "must match the pattern")
        meant = _MEANT.get(error.get("ctx", {}).get("pattern", ""))
        return f"{text}: {meant}" if meant else text
    if kind.endswith("_type") and error.get("input", _NAMES) is not _NAMES:
        text += f", not {_kind(error['input'])}"
    return text


def unknown_field(name: str, names: Sequence[str]) -> str:
    """What to say about a field that is none."""
    if name in NOT_YET:
        return "is not acted on by this build; leave it out"
    near = get_close_matches(name[:64], names, n=1)
    return "is not a field here" + (f"; did you mean {near[0]}?" if near else "; leave it out")


def _kind(value: Any) -> str:
    return "null" if value is None else _NAMES.get(type(value), "that")


def keep_name(value: Any, name: str, what: str) -> None:
    """A body that replaces something under a path has its name, or none and gets it.

    Raises:
        FieldsRefused: it says another name.
    """
    if isinstance(value, dict) and value.setdefault("name", name) != name:
        text = f"differs from the path, which says {name!r}; a {what} keeps its name"
        raise FieldsRefused((FieldError("name", text),))
