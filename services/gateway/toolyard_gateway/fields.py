"""What pydantic found wrong, as the fields of a problem document: dotted paths, and texts that say what would be right.

Called wherever a model reads something from outside.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from toolyard import arcade_names, aws_names
from toolyard.clock import from_rfc3339
from toolyard.consent.nango_names import INTEGRATION
from toolyard.errors import FieldError, FieldsRefused
from toolyard_gateway.api.models import KEY, NAME, REFERENCE, TOOL
from toolyard_gateway.api.tool_models import MODULE

M = TypeVar("M", bound=BaseModel)

#: Fields of the public surface that this build does not act on yet. They are refused, never ignored.
NOT_YET: Final = frozenset(
    {
        "require_confirmation",
        "provider",
        "format",
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
#: Errors of a value that does not say which of several models it is of.
_UNTAGGED: Final = ("union_tag_not_found", "union_tag_invalid")
#: What patterns mean, for those who do not read them.
_MEANT: Final = {
    MODULE: "the name of a module, as in json or urllib.parse",
    REFERENCE: "letters, digits and '_', a letter first, 64 at most",
    KEY: "1 to 255 printable ASCII characters",
    NAME: "letters, digits, '_', '.' and '-', a letter first, 64 at most",
    TOOL: "a name, or name@version, as in weather@3",
    INTEGRATION: "letters, digits and any of ~:.@_-, 100 at most",
    aws_names.REGION: "the name of a region, as in eu-central-1",
    aws_names.FUNCTION: "the name of a function or its ARN, as in price-list or "
    "arn:aws:lambda:eu-central-1:123456789012:function:price-list",
    aws_names.QUALIFIER: "a version or an alias, as in 7, live or $LATEST",
    aws_names.ROLE: "the ARN of a role, as in arn:aws:iam::123456789012:role/price-list",
    arcade_names.TOOL: "the name of a toolkit and of its tool, as in Gmail.SendEmail",
    arcade_names.VERSION: "the version of a toolkit, as in 1.2.3",
    arcade_names.PROVIDER: "the name of a provider, as in google",
    arcade_names.SCOPE: "a scope as its provider names it: 1 to 128 printable ASCII characters without blanks",
    aws_names.EXTERNAL_ID: "2 to 1024 letters, digits and _ + = , . @ : / -",
}
#: Characters; a longer one is not shown beside its meaning.
_LONG_PATTERN: Final = 80
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
        raise FieldsRefused(field_errors(error.errors(include_url=False), model, root=root)) from None


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


def check_timeout(timeout: float, most: float) -> tuple[FieldError, ...]:
    """What is wrong with an attempt of so many seconds, where workers are set up for so many."""
    if timeout <= most:
        return ()
    text = f"of this call, or of its tool, is {timeout:g} s; here an attempt takes at most {most:g} s"
    return (FieldError("timeout", f"{text} (TOOLYARD_LONGEST_ATTEMPT)"),)


def check_user(user: str | None, *, needed: bool) -> tuple[FieldError, ...]:
    """What is wrong with a call of nobody, where the tool acts for somebody."""
    if not needed or (user is not None and user.strip()):
        return ()
    return (FieldError("user", "is needed: the tool acts with that user's own authorization; say on whose behalf"),)


def field_errors(
    errors: Iterable[Mapping[str, Any]], model: type[BaseModel] | None = None, *, root: str = ""
) -> tuple[FieldError, ...]:
    """The fields of these errors; the fields of ``model`` are those that a misspelt one may have meant."""
    return tuple(_field(error, model, root) for error in islice(errors, MAX_NAMED))


def _field(error: Mapping[str, Any], model: type[BaseModel] | None, root: str) -> FieldError:
    place = _place([str(step) for step in error["loc"]], model)
    path = ".".join([root, *place.path] if root else place.path)
    if error["type"] == "extra_forbidden":
        return FieldError(path, unknown_field(place.path[-1], place.names))
    if error["type"] in _UNTAGGED and place.field is not None:
        return FieldError(f"{path}.{place.field.discriminator}", _untagged(error, place.field))
    return FieldError(path, _right(error)[:300])


class _Place(NamedTuple):
    """Where something is wrong, as its author knows it.

    Attributes:
        names: of the fields that could stand there.
        field: that stands there, if it is one.
    """

    path: list[str]
    names: Sequence[str]
    field: FieldInfo | None


def _place(location: list[str], model: type[BaseModel] | None) -> _Place:
    """The place of an error: pydantic puts the tag of one of several models into it, which nobody has written."""
    path: list[str] = []
    field: FieldInfo | None = None
    names: Sequence[str] = ()
    steps = iter(location)
    for step in steps:
        path.append(step)
        fields = {} if model is None else {one.alias or name: one for name, one in model.model_fields.items()}
        names, field = list(fields), fields.get(step)
        tag = next(steps, None) if field is not None and field.discriminator is not None else None
        model = None if field is None else _models(field).get(tag)
    return _Place(path, names, field)


def _models(field: FieldInfo) -> dict[Any, type[BaseModel]]:
    """The models that a field may be of, by their tags; the only one by None."""
    choices = [field.annotation, *get_args(field.annotation)]
    models = [one for one in choices if isinstance(one, type) and issubclass(one, BaseModel)]
    if isinstance(field.discriminator, str):
        return {tag: one for one in models for tag in get_args(one.model_fields[field.discriminator].annotation)}
    return dict.fromkeys([None], models[0]) if len(models) == 1 else {}


def _untagged(error: Mapping[str, Any], field: FieldInfo) -> str:
    """What to say about a value that is of none of several models."""
    tags = [str(tag) for tag in _models(field)]
    said = error["input"].get(field.discriminator) if isinstance(error["input"], dict) else None
    if said is None:
        return f"is missing; write {' or '.join(tags)}"
    if not isinstance(said, str):
        return f"must be a text, not {_kind(said)}; write {' or '.join(tags)}"
    near = get_close_matches(said[:64], tags, n=1)
    return f"{said[:64]!r} is none; " + (f"did you mean {near[0]}?" if near else f"write {' or '.join(tags)}")


def _right(error: Mapping[str, Any]) -> str:
    """What would be right, in the words of JSON and not of Python."""
    kind = str(error["type"])
    if kind == "literal_error" and error["ctx"]["expected"] in _ONLY:
        return "is not acted on in this version; leave it out"
    text = _RIGHT.get(kind)
    if text is None:
        pattern = error.get("ctx", {}).get("pattern", "")
        meant = _MEANT.get(pattern)
        if meant and len(pattern) > _LONG_PATTERN:
            return f"must be {meant}"
        text = _SUBJECT.sub("must ", str(error["msg"])).replace("must match pattern", "must match the pattern")
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
