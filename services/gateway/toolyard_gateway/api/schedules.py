"""Recurring schedules over HTTP: what is called again and again, and when."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response

from toolyard.contracts.codec import encode_json
from toolyard.contracts.schedules import ScheduleSpec
from toolyard.errors import Refused
from toolyard.store.schedules import ScheduleRow
from toolyard_gateway import fields, scheduling, strict_json
from toolyard_gateway.api import body, headers, problems
from toolyard_gateway.api.auth import Caller, Known
from toolyard_gateway.api.calls import JSON, Cursor, Limit, bad_cursor
from toolyard_gateway.api.openapi import takes
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.api.schedule_models import ScheduleDefinition, ScheduleModel, SchedulePage
from toolyard_gateway.principals import Principal

router = APIRouter(tags=["schedules"])
#: Bytes of one definition: the scheduler has some hundred of them in hand at a time.
MAX_DEFINITION: Final = 64 * 1024
#: Tries to pause or resume a schedule that is changed by others in the same moment.
_TRIES: Final = 5

Name = Annotated[str, Path(max_length=200, description="The schedule's name.")]
_ETAG: Final[dict[str, Any]] = {
    "headers": {"ETag": {"description": "The version, in quotes.", "schema": {"type": "string"}}},
}


@router.post(
    "/v1/schedules",
    operation_id="create_schedule",
    summary="Create a schedule",
    status_code=201,
    response_model=ScheduleModel,
    responses={201: _ETAG, **problems.document(403, 404, 409, 413, 415)},
    openapi_extra=takes(ScheduleDefinition, headers.IDEMPOTENCY_KEY),
)
async def create_schedule(request: Request, principal: Caller, known: Known) -> Response:
    """Call a tool again and again, by a cron expression in a time zone or by an interval."""
    principal.require("call")
    key = headers.idempotency_key(request.headers)
    raw = await body.read_bytes(request, limit=MAX_DEFINITION)
    before = known.replays.find(principal.org, "create_schedule", key, raw)
    if before is not None:
        return before
    said = fields.read(ScheduleDefinition, strict_json.decode(raw))
    spec = await _checked(known, principal, scheduling.read_spec(said, known.clock.now()))
    row = scheduling.new_row(spec, principal, known.clock.now(), paused=bool(said.paused))
    row = await _create(known, principal, row, repeated=key is not None)
    return known.replays.keep(principal.org, "create_schedule", key, raw, _response(row, 201))


async def _create(known: Parts, principal: Principal, row: ScheduleRow, *, repeated: bool) -> ScheduleRow:
    """Add it; a request that may be a repeat, and finds its own schedule there, gets that one."""
    try:
        await known.store.ask(known.store.schedules.create, row)
    except Refused as refused:
        there = await known.store.ask(known.store.schedules.get, row.org, row.spec.name) if repeated else None
        if refused.refusal != "conflict" or there is None or not scheduling.same_request(there, row.spec, principal):
            raise
        return there
    return row


@router.get(
    "/v1/schedules",
    operation_id="list_schedules",
    summary="List schedules",
    response_model=SchedulePage,
    responses=problems.document(403),
)
async def list_schedules(principal: Caller, known: Known, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """The org's schedules by name."""
    principal.require("read_calls")
    try:
        page = await known.store.ask(known.store.schedules.list, principal.org, cursor=cursor, limit=limit)
    except ValueError:
        raise bad_cursor() from None
    shown = [scheduling.view(row, runs=False) for row in page.items]
    return Response(encode_json({"items": shown, "next_cursor": page.next_cursor}), 200, media_type=JSON)


@router.get(
    "/v1/schedules/{name}",
    operation_id="get_schedule",
    summary="Read a schedule",
    response_model=ScheduleModel,
    responses={200: _ETAG, **problems.document(403, 404)},
)
async def get_schedule(name: Name, principal: Caller, known: Known) -> Response:
    """A schedule, its next runs and its last one."""
    principal.require("read_calls")
    return _response(await _found(known, principal, name), 200)


@router.put(
    "/v1/schedules/{name}",
    operation_id="replace_schedule",
    summary="Replace a schedule",
    response_model=ScheduleModel,
    responses={200: _ETAG, **problems.document(403, 404, 412, 413, 415)},
    openapi_extra=takes(ScheduleDefinition, headers.IF_MATCH),
)
async def replace_schedule(name: Name, request: Request, principal: Caller, known: Known) -> Response:
    """Change a schedule. Runs that were due before are not made up for."""
    principal.require("call")
    value = strict_json.decode(await body.read_bytes(request, limit=MAX_DEFINITION))
    expected = headers.expected_version(request.headers)
    fields.keep_name(value, name, "schedule")
    said = fields.read(ScheduleDefinition, value)
    row = await _found(known, principal, name)
    spec = await _checked(known, principal, scheduling.read_spec(said, known.clock.now(), row.spec))
    paused = row.paused if said.paused is None else said.paused
    changed = scheduling.changed_row(row, known.clock.now(), spec=spec, paused=paused)
    await known.store.ask(known.store.schedules.replace, changed, expected=expected)
    return _response(changed, 200)


@router.delete(
    "/v1/schedules/{name}",
    operation_id="delete_schedule",
    summary="Delete a schedule",
    status_code=204,
    responses=problems.document(403, 404, 412),
    openapi_extra={"parameters": [headers.IF_MATCH]},
)
async def delete_schedule(name: Name, request: Request, principal: Caller, known: Known) -> Response:
    """Remove a schedule; calls that it made go on."""
    principal.require("stop_schedules")
    expected = headers.expected_version(request.headers)
    await known.store.ask(known.store.schedules.delete, principal.org, name, expected=expected)
    return Response(status_code=204)


@router.post(
    "/v1/schedules/{name}/pause",
    operation_id="pause_schedule",
    summary="Pause a schedule",
    response_model=ScheduleModel,
    responses={200: _ETAG, **problems.document(403, 404, 409)},
)
async def pause_schedule(name: Name, principal: Caller, known: Known) -> Response:
    """Start no more runs, until it is resumed; what runs goes on."""
    return _response(await _paused(known, principal, name, paused=True), 200)


@router.post(
    "/v1/schedules/{name}/resume",
    operation_id="resume_schedule",
    summary="Resume a schedule",
    response_model=ScheduleModel,
    responses={200: _ETAG, **problems.document(403, 404, 409)},
)
async def resume_schedule(name: Name, principal: Caller, known: Known) -> Response:
    """Go on with the next run; what was due during the pause is not made up for."""
    return _response(await _paused(known, principal, name, paused=False), 200)


async def _paused(known: Parts, principal: Principal, name: str, *, paused: bool) -> ScheduleRow:
    principal.require("stop_schedules")
    for _ in range(_TRIES):
        row = await _found(known, principal, name)
        if row.paused == paused:
            return row
        changed = scheduling.changed_row(row, known.clock.now(), paused=paused)
        try:
            await known.store.ask(known.store.schedules.replace, changed, expected=row.version)
        except Refused as refused:
            if refused.refusal != "precondition_failed":
                raise
        else:
            return changed
    raise Refused("conflict", f"The schedule {name[:64]!r} is being changed by others; try again.")


async def _checked(known: Parts, principal: Principal, spec: ScheduleSpec) -> ScheduleSpec:
    """Look at tool, arguments and context as the door does."""
    return scheduling.check_call(spec, await known.registry.runnable(principal.org, spec.tool, spec.version))


async def _found(known: Parts, principal: Principal, name: str) -> ScheduleRow:
    row = await known.store.ask(known.store.schedules.get, principal.org, name)
    if row is None:
        raise scheduling.not_found(name)
    return row


def _response(row: ScheduleRow, status: int) -> Response:
    sent = {"ETag": f'"{row.version}"'}
    if status == 201:
        sent["Location"] = f"/v1/schedules/{row.spec.name}"
    return Response(encode_json(scheduling.view(row)), status, sent, JSON)
