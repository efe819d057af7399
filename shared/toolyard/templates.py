"""Placeholders in tool definitions: found, checked and filled. Pure; knows nothing of HTTP or of what is sent.

The gateway calls `compile_template` and `placeholders` to refuse a definition that cannot work; executors compile a
definition once and fill it for each call.

Written ``${scope.path}``: ``arguments`` (also ``parameters``), ``context``, ``secrets``, ``call_id``; a bare
``${name}`` is a secret if the tool lists it, else a key of the context. ``$$`` is one ``$``; a ``$`` before anything
else is itself. Keys of objects are never filled, and what is filled in is never read again for placeholders.

What is missing: a string that needs an absent argument is left out, with its field, item, header or query entry. An
absent key of the context or an absent secret ends the call.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

from toolyard.contracts.codec import encode_json
from toolyard.errors import ToolyardError
from toolyard.security.secrets import NAME as SECRET_NAME

Scope = Literal["arguments", "context", "secrets", "call_id"]

#: Levels of objects and lists in one definition.
MAX_DEPTH: Final = 64

_TOKEN: Final = re.compile(r"\$\$|\$\{([^}]*)(\}?)")
_PATH: Final = re.compile(r"[\w@-]+(?:\.[\w@-]+)*")
_SCOPES: Final[dict[str, Scope]] = {
    "arguments": "arguments",
    "parameters": "arguments",
    "context": "context",
    "secrets": "secrets",
}
_FORM: Final = "write ${arguments.name}, ${context.name}, ${secrets.NAME} or ${call_id}; a plain ${ is written $${"


class LeftOut(Enum):
    """The one value that stands for: nothing is to be sent here."""

    LEFT_OUT = "left out"


LEFT_OUT: Final = LeftOut.LEFT_OUT


class Unfillable(ToolyardError):  # noqa: N818 - a word of the field, not a fault of ours
    """A call whose values cannot be filled in where the tool wants them; nothing was sent."""

    code = "validation_failed"


class ContextMissing(Unfillable):
    """The application did not give a key of the context that the tool needs."""

    code = "context_required"


class SecretMissing(Unfillable):
    """A secret that the tool refers to has no value, wherever values come from. The message holds its name."""

    code = "tool_error"

    def __init__(self, name: str) -> None:
        super().__init__(f"the secret {name!r} that the tool refers to has no value in this org")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One placeholder.

    Attributes:
        scope: where its value comes from.
        path: the keys that lead to it; empty for all arguments and for ``call_id``.
        text: as written.
        where: the dotted path of the string that it stands in.
    """

    scope: Scope
    path: tuple[str, ...]
    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Values:
    """What one call has to fill in.

    Attributes:
        secret: the value of a secret; raises `SecretMissing`.
    """

    arguments: Mapping[str, Any]
    context: Mapping[str, Any]
    secret: Callable[[str], str]
    call_id: str


@dataclass(frozen=True, slots=True)
class Text:
    """A string with at least one placeholder, taken apart."""

    parts: tuple[str | Placeholder, ...]


@dataclass(frozen=True, slots=True)
class Constant:
    """A part of a definition without placeholders, as it is sent."""

    value: Any


@dataclass(frozen=True, slots=True)
class Fields:
    """An object with a placeholder somewhere in it."""

    items: tuple[tuple[str, "Template"], ...]


@dataclass(frozen=True, slots=True)
class Items:
    """A list with a placeholder somewhere in it."""

    items: tuple["Template", ...]


Template = Constant | Text | Fields | Items


# ---- reading ------------------------------------------------------------------------------------


def compile_template(value: Any, *, secrets: Collection[str] = (), where: str = "") -> Template:
    """A JSON value, taken apart once so that filling it is quick.

    Args:
        value: any JSON value of a definition.
        secrets: the names that the tool lists; decides what a bare ``${name}`` is.
        where: the dotted path of the value, for messages.

    Raises:
        ValueError: a malformed placeholder; says where it stands and what would be right.
    """
    return _compile(value, frozenset(secrets), where, MAX_DEPTH)


def placeholders(value: Any, *, secrets: Collection[str] = (), where: str = "") -> list[Placeholder]:
    """All placeholders of a JSON value, in its order; raises as `compile_template` does."""
    return found_in(compile_template(value, secrets=secrets, where=where))


def found_in(template: Template) -> list[Placeholder]:
    """All placeholders of what was compiled, in order."""
    match template:
        case Text(parts):
            return [part for part in parts if isinstance(part, Placeholder)]
        case Fields(items):
            return [found for _, item in items for found in found_in(item)]
        case Items(elements):
            return [found for item in elements for found in found_in(item)]
        case Constant():
            return []


def _compile(value: Any, secrets: frozenset[str], where: str, depth: int) -> Template:
    if depth == 0:
        raise ValueError(f"{where}: nested deeper than {MAX_DEPTH} levels; make it flatter")
    if isinstance(value, str):
        return _text(value, secrets, where)
    if isinstance(value, dict):
        fields = tuple((key, _field(key, item, secrets, where, depth)) for key, item in value.items())
        if all(isinstance(item, Constant) for _, item in fields):
            return Constant({key: item.value for key, item in fields if isinstance(item, Constant)})
        return Fields(fields)
    if isinstance(value, list | tuple):
        items = tuple(
            _compile(item, secrets, _below(where, str(number)), depth - 1) for number, item in enumerate(value)
        )
        if all(isinstance(item, Constant) for item in items):
            return Constant([item.value for item in items if isinstance(item, Constant)])
        return Items(items)
    return Constant(value)


def _field(key: Any, value: Any, secrets: frozenset[str], where: str, depth: int) -> Template:
    if not isinstance(key, str):
        raise ValueError(f"{_at(where)}the key {key!r} is not a text")  # noqa: TRY004 - one kind of error for callers
    if "${" in key:
        raise ValueError(f"{_at(_below(where, key))}keys are not filled in; put placeholders into values only")
    return _compile(value, secrets, _below(where, key), depth - 1)


def _text(text: str, secrets: frozenset[str], where: str) -> Text | Constant:
    parts: list[str | Placeholder] = []
    end = 0
    for token in _TOKEN.finditer(text):
        parts.append(text[end : token.start()])
        escaped = token[0] == "$$"
        parts.append("$" if escaped else _placeholder(token[0], token[1], bool(token[2]), secrets, where))
        end = token.end()
    parts.append(text[end:])
    if not any(isinstance(part, Placeholder) for part in parts):
        return Constant("".join(str(part) for part in parts))
    return Text(tuple(part for part in parts if part != ""))


def _placeholder(text: str, inner: str, closed: bool, secrets: frozenset[str], where: str) -> Placeholder:
    shown = text if len(text) <= 80 else f"{text[:80]}…"
    if not closed:
        raise ValueError(f"{_at(where)}{shown!r} has no closing brace; {_FORM}")
    if not _PATH.fullmatch(inner):
        raise ValueError(f"{_at(where)}{shown!r} is not a placeholder; {_FORM}")
    head, *rest = inner.split(".")
    if head == "call_id" and not rest:
        return Placeholder("call_id", (), text, where)
    scope = _SCOPES.get(head)
    if scope is None:
        return _bare(text, head, rest, secrets, where)
    if not rest and scope != "arguments":
        raise ValueError(f"{_at(where)}{shown!r} needs a name, as in ${{{head}.name}}")
    if scope == "secrets" and (len(rest) > 1 or not SECRET_NAME.match(rest[0])):
        raise ValueError(f"{_at(where)}{shown!r}: a secret's name has letters, digits and _ only")
    return Placeholder(scope, tuple(rest), text, where)


def _bare(text: str, name: str, rest: list[str], secrets: frozenset[str], where: str) -> Placeholder:
    if rest:
        raise ValueError(f"{_at(where)}{text!r}: there is no scope {name!r}; {_FORM}")
    return Placeholder("secrets" if name in secrets else "context", (name,), text, where)


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _at(where: str) -> str:
    return f"{where}: " if where else ""


# ---- filling ------------------------------------------------------------------------------------


def fill(template: Template, values: Values) -> Any:
    """The JSON value with this call's values in it, or `LEFT_OUT`.

    A string that is one placeholder becomes its value, whatever its type; inside a longer text, strings stand as they
    are and everything else as JSON.

    Raises:
        Unfillable: a key of the context or a secret is missing.
    """
    match template:
        case Constant(value):
            return value
        case Text((Placeholder() as placeholder,)):
            return look_up(placeholder, values)
        case Text():
            return fill_text(template, values)
        case Fields(items):
            filled = ((key, fill(item, values)) for key, item in items)
            return {key: value for key, value in filled if value is not LEFT_OUT}
        case Items(elements):
            return [value for item in elements if (value := fill(item, values)) is not LEFT_OUT]


def fill_text(template: Text, values: Values, encode: Callable[[str], str] = str) -> str | LeftOut:
    """The text with each value written into it, every one encoded by ``encode``; the tool's own words are not."""
    written: list[str] = []
    for part in template.parts:
        if isinstance(part, str):
            written.append(part)
            continue
        value = look_up(part, values)
        if isinstance(value, LeftOut):
            return LEFT_OUT
        written.append(encode(as_text(value)))
    return "".join(written)


def look_up(placeholder: Placeholder, values: Values) -> Any | LeftOut:
    """The value of a placeholder; `LEFT_OUT` for an absent argument.

    Raises:
        ContextMissing: the context has no such key.
        SecretMissing: there is no such secret.
    """
    match placeholder.scope:
        case "arguments":
            return follow(values.arguments, placeholder.path)
        case "call_id":
            return values.call_id
        case "secrets":
            return values.secret(placeholder.path[0])
        case "context":
            found = follow(values.context, placeholder.path)
            if found is LEFT_OUT:
                raise ContextMissing(f"context.{'.'.join(placeholder.path)} is missing")
            return found


def as_text(value: Any) -> str:
    """A value inside a text: a string as it is, everything else as JSON."""
    return value if isinstance(value, str) else encode_json(value).decode()


def follow(value: Any, path: tuple[str, ...]) -> Any | LeftOut:
    """What stands at a path in a JSON value, or `LEFT_OUT`; a step into a list is its number."""
    for step in path:
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and step.isascii() and int(step) < len(value):
            value = value[int(step)]
        else:
            return LEFT_OUT
    return value
