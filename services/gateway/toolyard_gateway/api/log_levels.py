"""Log levels over HTTP: more or fewer lines about an org or a tool for a while, in all processes."""

from typing import Any

from fastapi import APIRouter, Request, Response

from toolyard.clock import rfc3339
from toolyard.contracts.codec import encode_json
from toolyard.telemetry.levels import LEVELS
from toolyard_gateway import fields, strict_json
from toolyard_gateway.api import body, problems
from toolyard_gateway.api.auth import Caller, Known
from toolyard_gateway.api.calls import JSON
from toolyard_gateway.api.models import LogLevelModel, LogLevelPage, LogLevelRequest
from toolyard_gateway.api.openapi import takes

router = APIRouter(tags=["health"])
PATH = "/v1/log-levels"


@router.put(
    PATH,
    operation_id="set_log_level",
    summary="Set a log level",
    response_model=LogLevelModel,
    responses=problems.document(403, 404, 413, 415),
    openapi_extra=takes(LogLevelRequest),
)
async def set_log_level(request: Request, principal: Caller, known: Known) -> Response:
    """Log what is about the org, or one tool of it, from this level on, in all processes and for a while."""
    principal.require("set_log_levels")
    wanted = fields.read(LogLevelRequest, strict_json.decode(await body.read_bytes(request)))
    if wanted.tool is not None:
        await known.registry.get(principal.org, wanted.tool)
    await known.publisher.log_level(principal.org, wanted.tool or "", wanted.level, wanted.seconds)
    shown = _view(wanted.tool or "", wanted.level, known.clock.now() + wanted.seconds)
    return Response(encode_json(shown), 200, media_type=JSON)


@router.get(
    PATH,
    operation_id="list_log_levels",
    summary="List log levels",
    response_model=LogLevelPage,
    responses=problems.document(403),
)
async def list_log_levels(principal: Caller, known: Known) -> Response:
    """What was set for the org and is not over, as far as this gateway has heard of it."""
    principal.require("set_log_levels")
    now = known.clock.now()
    items = [_view(tool, level, now + seconds) for tool, level, seconds in LEVELS.of(principal.org)]
    return Response(encode_json({"items": items, "next_cursor": None}), 200, media_type=JSON)


def _view(tool: str, level: str, until: float) -> dict[str, Any]:
    view: dict[str, Any] = {"level": level, "until": rfc3339(until)}
    return {"tool": tool, **view} if tool else view
