"""Arcade's catalogue: asked for page by page, and each of its tools as a definition of ours. Knows no gateway.

Used by `arcade_import`. The SDK of Arcade is not needed: what is read of the catalogue is a few fields.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import httpx
import msgspec
from msgspec import Struct

from toolyard import __version__
from toolyard.errors import ToolyardError

_PAGE: Final = 100
#: Pages of one catalogue: no more are believed.
_MOST_PAGES: Final = 200
_SECONDS: Final = 30.0
#: Characters of what Arcade says of a refusal.
_SAID: Final = 300
_TYPES: Final = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "json": "object",
    "array": "array",
}
#: Annotation -> how MCP, whose form of a tool is asked for, calls it.
_HINTS: Final = {
    "read_only": "readOnlyHint",
    "idempotent": "idempotentHint",
    "destructive": "destructiveHint",
    "open_world": "openWorldHint",
}


class CatalogueRefused(ToolyardError):  # noqa: N818 - a word of the field, not a fault of ours
    """Arcade does not show its catalogue."""

    code = "permission_denied"


class CatalogueUnavailable(ToolyardError):  # noqa: N818
    """Arcade does not answer, or not as it should."""

    code = "unavailable"


class Odd(Exception):  # noqa: N818 - of a tool
    """A tool of the catalogue that cannot be imported as it is; says why."""


# ---- what is read of it -------------------------------------------------------------------------


class _Value(Struct, frozen=True, kw_only=True):
    """The form of a value: `inner_…` speaks of the items of an array."""

    val_type: str
    inner_val_type: str | None = None
    enum: list[str] | None = None
    description: str | None = None
    nullable: bool | None = None
    properties: "dict[str, _Value] | None" = None
    required_keys: list[str] | None = None
    items: "_Value | None" = None
    inner_properties: "dict[str, _Value] | None" = None
    inner_required_keys: list[str] | None = None


class _Parameter(Struct, frozen=True, kw_only=True):
    name: str
    value_schema: _Value
    description: str | None = None
    required: bool | None = None


class _Input(Struct, frozen=True, kw_only=True):
    parameters: list[_Parameter] | None = None


class _Toolkit(Struct, frozen=True, kw_only=True):
    name: str
    version: str | None = None


class _OAuth2(Struct, frozen=True, kw_only=True):
    scopes: list[str] | None = None


class _Authorization(Struct, frozen=True, kw_only=True):
    """``id``: of a provider that the project has made itself."""

    provider_id: str | None = None
    id: str | None = None
    oauth2: _OAuth2 | None = None


class _Requirements(Struct, frozen=True, kw_only=True):
    authorization: _Authorization | None = None


class _Tool(Struct, frozen=True, kw_only=True):
    """``metadata`` and ``formatted_schema`` are looked into for annotations alone."""

    name: str
    toolkit: _Toolkit
    input: _Input
    description: str | None = None
    requirements: _Requirements | None = None
    metadata: Any = None
    formatted_schema: Any = None


class _Page(Struct, frozen=True, kw_only=True):
    items: list[msgspec.Raw]
    total_count: int | None = None


# ---- asking -------------------------------------------------------------------------------------


def tools(url: str, key: str, toolkit: str | None) -> Iterator[msgspec.Raw]:
    """Every tool of the catalogue, or of a toolkit, as it comes.

    Raises:
        CatalogueRefused: the key is not taken.
        CatalogueUnavailable: there is no answer, or none of Arcade.
    """
    headers = {"Authorization": key, "User-Agent": f"toolyard/{__version__}"}
    offset = 0
    with httpx.Client(base_url=url, headers=headers, timeout=_SECONDS, trust_env=False) as client:
        for _ in range(_MOST_PAGES):
            query: dict[str, str | int] = {"limit": _PAGE, "offset": offset, "include_format": "mcp"}
            page = _asked(client, query | ({} if toolkit is None else {"toolkit": toolkit}))
            yield from page.items
            offset += len(page.items)
            if not page.items or (page.total_count is not None and offset >= page.total_count):
                return
    raise CatalogueUnavailable(f"{url} has no end of tools; name a --toolkit")


def _asked(client: httpx.Client, query: Mapping[str, str | int]) -> _Page:
    where = client.base_url
    try:
        answer = client.get("/v1/tools", params=dict(query))
    except httpx.HTTPError as error:
        raise CatalogueUnavailable(f"Arcade does not answer at {where}: {type(error).__name__}") from None
    if answer.status_code in (401, 403):
        raise CatalogueRefused(f"Arcade at {where} does not take the key in ARCADE_API_KEY; give another one")
    if not answer.is_success:
        raise CatalogueUnavailable(f"Arcade at {where} answered {answer.status_code}{_said(answer)}")
    try:
        return msgspec.json.decode(answer.content, type=_Page)
    except msgspec.DecodeError:
        raise CatalogueUnavailable(f"{where} does not answer as Arcade does; see TOOLYARD_ARCADE_URL") from None


def _said(answer: httpx.Response) -> str:
    try:
        message = answer.json().get("message")
    except (ValueError, AttributeError):
        return ""
    return f": {message[:_SAID]}" if isinstance(message, str) and message else ""


# ---- a tool of ours -----------------------------------------------------------------------------


def name_of(raw: msgspec.Raw) -> str:
    """What a tool of the catalogue is called, as far as that can be read."""
    try:
        tool = msgspec.json.decode(raw, type=_Named)
    except msgspec.DecodeError:
        return "a tool without a name"
    return f"{tool.toolkit.name}.{tool.name}"


class _Named(Struct, frozen=True, kw_only=True):
    name: str
    toolkit: _Toolkit


def definition_of(raw: msgspec.Raw, *, prefix: str = "") -> dict[str, Any]:
    """The definition that a tool of the catalogue becomes, with what the catalogue says of it and nothing else.

    Args:
        raw: as it came.
        prefix: what its name begins with here.

    Raises:
        Odd: it cannot be read, or has a type of which nothing is known.
    """
    try:
        tool = msgspec.json.decode(raw, type=_Tool)
    except msgspec.DecodeError as error:
        raise Odd(f"its definition cannot be read: {error}") from None
    name = f"{tool.toolkit.name}.{tool.name}"
    definition: dict[str, Any] = {
        "name": f"{prefix}{name}",
        "description": (tool.description or "").strip() or f"{tool.name} of {tool.toolkit.name}.",
        "toolkit": tool.toolkit.name,
        "parameters": _parameters(tool.input.parameters or []),
        "binding": _binding(name, tool),
    }
    annotations = _annotations(tool)
    return definition | ({"annotations": annotations} if annotations else {})


def _binding(name: str, tool: _Tool) -> dict[str, Any]:
    binding: dict[str, Any] = {"type": "arcade", "tool_name": name}
    if tool.toolkit.version:
        binding["tool_version"] = tool.toolkit.version
    needed = None if tool.requirements is None else tool.requirements.authorization
    if needed is not None and (provider := needed.provider_id or needed.id):
        binding["provider"] = provider
        if needed.oauth2 is not None and needed.oauth2.scopes:
            binding["scopes"] = needed.oauth2.scopes
    return binding


def _annotations(tool: _Tool) -> dict[str, bool]:
    """What it says of its behaviour, of its own (``metadata.behavior``) or in MCP's form of it."""
    behavior = _at(tool.metadata, "behavior")
    hints = _at(tool.formatted_schema, "annotations")
    found = {name: behavior.get(name, hints.get(hint)) for name, hint in _HINTS.items()}
    return {name: value for name, value in found.items() if isinstance(value, bool)}


def _at(value: Any, name: str) -> dict[str, Any]:
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


# ---- JSON Schema --------------------------------------------------------------------------------


def _parameters(parameters: Sequence[_Parameter]) -> dict[str, Any]:
    properties = {one.name: _schema(one.value_schema, one.name, one.description) for one in parameters}
    required = [one.name for one in parameters if one.required]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return schema | ({"required": required} if required else {})


def _schema(value: _Value, where: str, description: str | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": _type(value.val_type, where)}
    if value.val_type == "array":
        schema |= _items(value, where)
    elif value.enum:
        schema["enum"] = list(value.enum)
    if value.val_type == "json":
        schema |= _fields(value.properties, value.required_keys, where)
    if value.nullable:
        schema["type"] = [schema["type"], "null"]
        schema |= {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    said = description or value.description
    return schema | ({"description": said} if said else {})


def _items(value: _Value, where: str) -> dict[str, Any]:
    """Of an array; its ``enum`` speaks of the items."""
    if value.items is not None:
        return {"items": _schema(value.items, f"{where}[]")}
    if value.inner_val_type is None:
        return {}
    inner: dict[str, Any] = {"type": _type(value.inner_val_type, f"{where}[]")}
    if value.inner_val_type == "json":
        inner |= _fields(value.inner_properties, value.inner_required_keys, f"{where}[]")
    return {"items": inner | ({"enum": list(value.enum)} if value.enum else {})}


def _fields(properties: Mapping[str, _Value] | None, required: Sequence[str] | None, where: str) -> dict[str, Any]:
    """Of an object; one of which nothing is said may have any."""
    if not properties:
        return {}
    schema = {"properties": {name: _schema(inner, f"{where}.{name}") for name, inner in properties.items()}}
    return schema | ({"required": list(required)} if required else {})


def _type(word: str, where: str) -> str:
    if (known := _TYPES.get(word)) is None:
        raise Odd(f"its parameter {where} is of the type {word[:64]!r}, of which nothing is known here")
    return known
