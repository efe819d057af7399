"""Tools over HTTP: create, read, change, delete, validate, try out. Every change is a new version."""

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response

from toolyard.contracts.codec import encode_json
from toolyard.contracts.tools import ToolSpec
from toolyard.errors import FieldError, FieldsRefused, Refused
from toolyard.store.base import Page
from toolyard_gateway import fields, strict_json
from toolyard_gateway.admission import Asked
from toolyard_gateway.api import body, headers, problems, traced
from toolyard_gateway.api.auth import Caller, Known
from toolyard_gateway.api.calls import ACCEPTED, JSON, Cursor, Limit, bad_cursor, call_response, options
from toolyard_gateway.api.models import CallModel, CallOptions
from toolyard_gateway.api.openapi import takes
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.api.pools import is_paused
from toolyard_gateway.api.presence import watched
from toolyard_gateway.api.tool_models import ToolDefinition, ToolModel, ToolPage, ValidTool
from toolyard_gateway.api.turn_models import FormatName, FormattedTools
from toolyard_gateway.definitions import MAX_DEFINITION, patched, read_definition, tool_view
from toolyard_gateway.llm.catalogue import Catalogue
from toolyard_gateway.llm.formats import FORMATS
from toolyard_gateway.unanswered import Unanswered, unanswered

router = APIRouter(tags=["tools"])

Name = Annotated[str, Path(max_length=200, description="The tool's name.")]
_VERSION: Final = re.compile("[1-9][0-9]{0,8}")
_NONE: Final = Unanswered(())
_ETAG: Final[dict[str, Any]] = {
    "headers": {"ETag": {"description": "The version, in quotes.", "schema": {"type": "string"}}},
}


@router.post(
    "/v1/tools",
    operation_id="create_tool",
    summary="Create a tool",
    status_code=201,
    response_model=ToolModel,
    responses={201: _ETAG, **problems.document(403, 409, 413, 415)},
    openapi_extra=takes(ToolDefinition, headers.IDEMPOTENCY_KEY),
)
async def create_tool(request: Request, principal: Caller, known: Known) -> Response:
    """Add a tool. A definition that could never work is refused, with the reason."""
    principal.require("write_tools")
    key = headers.idempotency_key(request.headers)
    raw = await body.read_bytes(request, limit=MAX_DEFINITION)
    before = known.replays.find(principal.org, "create_tool", key, raw)
    if before is not None:
        return before
    spec = await _read(known, principal.org, strict_json.decode(raw))
    saved = await _create(known, principal.org, spec, repeated=key is not None)
    await known.publisher.tool_changed(principal.org, saved.name, saved.version)
    return known.replays.keep(principal.org, "create_tool", key, raw, _tool_response(saved, 201))


async def _read(known: Parts, org: str, value: Any, *, replaces: str | None = None) -> ToolSpec:
    """The tool that a definition describes; its code is looked at last, once nothing else is wrong."""
    spec = read_definition(value, allow=known.allow)
    before = None if replaces is None else await known.registry.get(org, replaces)
    await known.code_check.check(org, spec, before)
    return spec


async def _create(known: Parts, org: str, spec: ToolSpec, *, repeated: bool) -> ToolSpec:
    """Add it; where the name is taken by the very same definition, a request that may be a repeat gets that one."""
    try:
        return await known.registry.create(org, spec)
    except Refused as refused:
        if refused.refusal != "conflict" or not repeated:
            raise
        there = await known.registry.get(org, spec.name)
        if tool_view(there) | {"version": 0} != tool_view(spec):
            raise
        return there


@router.post(
    "/v1/tools/validate",
    operation_id="validate_tool",
    summary="Check a definition",
    response_model=ValidTool,
    responses=problems.document(403, 413, 415),
    openapi_extra=takes(ToolDefinition),
)
async def validate_tool(request: Request, principal: Caller, known: Known) -> Response:
    """Whether a definition could be saved; nothing is kept."""
    principal.require("write_tools")
    raw = await body.read_bytes(request, limit=MAX_DEFINITION)
    spec = await _read(known, principal.org, strict_json.decode(raw))
    return _json({"valid": True, "tool": tool_view(spec)})


@router.get(
    "/v1/tools",
    operation_id="list_tools",
    summary="List tools",
    response_model=ToolPage | FormattedTools,
    responses=problems.document(403, 409),
)
async def list_tools(
    request: Request,
    principal: Caller,
    known: Known,
    q: Annotated[str | None, Query(max_length=200, description="Looked for in name, title and description.")] = None,
    toolkit: Annotated[str | None, Query(max_length=64)] = None,
    user: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=255,
            description="Only what this user may run now, as far as it is known: no disabled tools, and none that wait "
            "for their consent. A piece of the list may be shorter for that.",
        ),
    ] = None,
    form: Annotated[
        FormatName | None,
        Query(alias="format", description="All enabled tools, as this provider takes them; that list is not paged."),
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """The org's tools by name."""
    principal.require("read_tools")
    open_questions = _NONE if user is None else await unanswered(known.store, principal.org, user, known.clock.now())
    if form is not None:
        _refuse_pages(request)
        catalogue = Catalogue(known.registry, principal.org, FORMATS[form])
        items = await catalogue.definitions(q=q, toolkit=toolkit, may_run=open_questions.may_run)
        return _json({"items": items, "next_cursor": None})
    try:
        page = await known.registry.list(principal.org, q=q, toolkit=toolkit, cursor=cursor, limit=limit)
    except ValueError:
        raise bad_cursor() from None
    if user is not None:
        page = Page([spec for spec in page.items if open_questions.may_run(spec)], page.next_cursor)
    return await _page_response(page, known, principal.org)


@router.get(
    "/v1/tools/{name}",
    operation_id="get_tool",
    summary="Read a tool",
    response_model=ToolModel,
    responses={200: _ETAG, **problems.document(403, 404)},
)
async def get_tool(
    name: Name,
    principal: Caller,
    known: Known,
    version: Annotated[
        int | None, Query(ge=1, le=999_999_999, description="The current one, if none is named.")
    ] = None,
) -> Response:
    """A tool."""
    principal.require("read_tools")
    spec = await known.registry.get(principal.org, name, version)
    paused = is_paused(await known.store.ask(known.store.pauses.list, principal.org), "tool", name)
    return _tool_response(spec, 200, paused=paused)


@router.get(
    "/v1/tools/{name}/versions",
    operation_id="list_tool_versions",
    summary="List a tool's versions",
    response_model=ToolPage,
    responses=problems.document(403, 404),
)
async def list_versions(
    name: Name, principal: Caller, known: Known, cursor: Cursor = None, limit: Limit = 50
) -> Response:
    """All versions of a tool, newest first."""
    principal.require("read_tools")
    try:
        page = await known.registry.versions(principal.org, name, cursor=cursor, limit=limit)
    except ValueError:
        raise bad_cursor() from None
    return await _page_response(page, known, principal.org)


@router.put(
    "/v1/tools/{name}",
    operation_id="replace_tool",
    summary="Replace a tool",
    response_model=ToolModel,
    responses={200: _ETAG, **problems.document(403, 404, 412, 413, 415)},
    openapi_extra=takes(ToolDefinition, headers.IF_MATCH),
)
async def replace_tool(name: Name, request: Request, principal: Caller, known: Known) -> Response:
    """Add a version that replaces the current one."""
    principal.require("write_tools")
    value = strict_json.decode(await body.read_bytes(request, limit=MAX_DEFINITION))
    expected = headers.expected_version(request.headers)
    return await _replace(known, principal.org, name, value, expected)


@router.patch(
    "/v1/tools/{name}",
    operation_id="change_tool",
    summary="Change a tool",
    response_model=ToolModel,
    responses={200: _ETAG, **problems.document(403, 404, 412, 413, 415)},
    openapi_extra=headers.MERGE_PATCH,
)
async def change_tool(name: Name, request: Request, principal: Caller, known: Known) -> Response:
    """Add a version with some fields changed (JSON merge patch, RFC 7396)."""
    principal.require("write_tools")
    patch = strict_json.decode(await body.read_bytes(request, limit=MAX_DEFINITION))
    if not isinstance(patch, dict):
        raise FieldsRefused((FieldError("", "is not an object; send the fields to change"),))
    expected = headers.expected_version(request.headers)
    current = await known.registry.get(principal.org, name)
    return await _replace(known, principal.org, name, patched(current, patch), expected)


async def _replace(known: Parts, org: str, name: str, value: Any, expected: int) -> Response:
    fields.keep_name(value, name, "tool")
    spec = await _read(known, org, value, replaces=name)
    saved = await known.registry.replace(org, spec, expected=expected)
    await known.publisher.tool_changed(org, name, saved.version)
    return _tool_response(saved, 200)


@router.delete(
    "/v1/tools/{name}",
    operation_id="delete_tool",
    summary="Delete a tool",
    status_code=204,
    responses=problems.document(403, 404, 412),
    openapi_extra={"parameters": [headers.IF_MATCH]},
)
async def delete_tool(name: Name, request: Request, principal: Caller, known: Known) -> Response:
    """Remove a tool: no new call runs any of its versions. They stay readable by number, and its calls go on."""
    principal.require("write_tools")
    expected = headers.expected_version(request.headers)
    await known.registry.delete(principal.org, name, expected=expected)
    await known.publisher.tool_changed(principal.org, name, expected)
    return Response(status_code=204)


@router.post(
    "/v1/tools/{name}/test",
    operation_id="test_tool",
    summary="Try a tool out",
    response_model=CallModel,
    responses=ACCEPTED | problems.document(403, 404, 409, 413, 415),
    openapi_extra=takes(CallOptions, headers.PREFER, headers.IDEMPOTENCY_KEY),
)
async def test_tool(name: Name, request: Request, principal: Caller, known: Known) -> Response:
    """Try a tool out: a real call, marked `test`; works for a disabled tool too."""
    wait = headers.preferred_wait(request.headers)
    raw = await body.read_bytes(request)
    wanted = fields.read(CallOptions, strict_json.decode(raw))
    tool, version = _named(name)
    asked = Asked(
        principal=principal,
        tool=tool,
        version=version,
        size=len(raw),
        key=headers.idempotency_key(request.headers),
        traceparent=traced.context_of(request),
        test=True,
        **options(wanted),
    )
    async with watched(request, known, watch=wanted.cancel_on_disconnect) as outcome:
        answer = await outcome(await known.door.admit(asked), headers.DEFAULT_WAIT if wait is None else wait)
    return call_response(answer, wait)


def _named(name: str) -> tuple[str, int | None]:
    """Name and version of ``name@version``; without one it is the current version."""
    tool, at, version = name.partition("@")
    if at and not _VERSION.fullmatch(version):
        raise FieldsRefused((FieldError("name", "has no version behind the @; write a number, as in weather@3"),))
    return tool, int(version) if at else None


def _refuse_pages(request: Request) -> None:
    names = [name for name in ("cursor", "limit") if name in request.query_params]
    if names:
        text = "is not taken with format: that list is whole; leave it out"
        raise FieldsRefused(tuple(FieldError(name, text) for name in names))


def _tool_response(spec: ToolSpec, status: int, **more: bool) -> Response:
    sent = {"ETag": f'"{spec.version}"'}
    if status == 201:
        sent["Location"] = f"/v1/tools/{spec.name}"
    return Response(encode_json(tool_view(spec) | more), status, sent, JSON)


async def _page_response(page: Page[ToolSpec], known: Parts, org: str) -> Response:
    rows = await known.store.ask(known.store.pauses.list, org)
    items = [tool_view(spec) | {"paused": is_paused(rows, "tool", spec.name)} for spec in page.items]
    return _json({"items": items, "next_cursor": page.next_cursor})


def _json(value: Any) -> Response:
    return Response(encode_json(value), 200, media_type=JSON)
