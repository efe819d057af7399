"""The body of an http tool's request: JSON, a form or a text, compiled once and filled for each call. Pure.

Called by `toolyard.http_template`. The definition's own Content-Type decides which of the three it is.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any, Final, Literal
from urllib.parse import quote

from toolyard.contracts.codec import encode_json
from toolyard.templates import (
    Constant,
    Fields,
    LeftOut,
    Template,
    Text,
    Unfillable,
    Values,
    as_text,
    compile_template,
    fill,
    fill_text,
)

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"


def percent(text: str) -> str:
    """A text as a name or a value in a query or a form."""
    return quote(text, safe="")


def entries(name: str, value: Any) -> Iterator[str]:
    """The entries of a query or a form for one value: none for null, one an item for a list, else one."""
    if isinstance(value, LeftOut) or value is None:
        return
    for item in value if isinstance(value, list) else [value]:
        if item is not None:
            yield f"{name}={percent(as_text(item))}"


@dataclass(frozen=True, slots=True)
class Body:
    """A compiled body.

    Attributes:
        media_type: the whole Content-Type.
        encode: how values are written into a text.
    """

    kind: Literal["json", "form", "text"]
    template: Template
    media_type: str
    encode: Callable[[str], str] = str

    def fill(self, values: Values) -> bytes | None:
        """The bytes; None where the body is one absent argument.

        Raises:
            Unfillable: something is missing, or a form is not made of an object.
        """
        if self.kind == "text":
            return self._text(values)
        value = fill(self.template, values)
        if isinstance(value, LeftOut):
            return None
        if self.kind == "json":
            return encode_json(value)
        if not isinstance(value, dict):
            raise Unfillable("body: a form needs an object")
        return "&".join(entry for name, item in value.items() for entry in entries(percent(name), item)).encode()

    def _text(self, values: Values) -> bytes | None:
        if not isinstance(self.template, Text):
            return str(fill(self.template, values)).encode()
        text = fill_text(self.template, values, self.encode)
        return None if isinstance(text, LeftOut) else text.encode()


def compile_body(body: Any, media_type: str | None, *, secrets: Collection[str] = ()) -> Body | None:
    """The body of a definition.

    Raises:
        ValueError: it could never be sent like that; says what would be right.
    """
    if body is None:
        return None
    template = compile_template(body, secrets=secrets, where="body")
    base = (media_type or JSON).partition(";")[0].strip().lower()
    if base == JSON or base.endswith("+json"):
        return Body("json", template, media_type or JSON)
    if base.startswith("multipart/"):
        raise ValueError("headers.Content-Type: multipart is not in this build; use JSON or a form")
    if base == FORM and _may_be_object(template):
        return Body("form", template, media_type or FORM)
    if not isinstance(body, str):
        raise ValueError(f"body: of type {base} it must be a text; for an object use {JSON} or {FORM}")  # noqa: TRY004
    return Body("text", template, media_type or "", _encoder(base))


def _may_be_object(template: Template) -> bool:
    whole = isinstance(template, Text) and len(template.parts) == 1
    return (
        whole or isinstance(template, Fields) or (isinstance(template, Constant) and isinstance(template.value, dict))
    )


def _encoder(base: str) -> Callable[[str], str]:
    if base == FORM:
        return percent
    return escape if base.endswith(("/xml", "+xml", "/html")) else str
