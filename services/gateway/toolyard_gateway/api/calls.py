"""Calls over HTTP: make one or many, read one or many. `POST /v1/calls` is the hot path and a bare route."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from starlette.types import Receive, Scope, Send

from toolyard.contracts.codec import encode_json
from toolyard.errors import FieldError, FieldsRefused, Refused, StoreError, TransportError
from toolyard.states import State
from toolyard.store.base import CallFilter
from toolyard_gateway import fields, strict_json
from toolyard_gateway.admission import Admission, Asked
from toolyard_gateway.api import body, headers, problems, traced
from toolyard_gateway.api.auth import Caller, Known, principal_of
from toolyard_gateway.api.models import BatchAnswer, BatchRequest, CallModel, CallOptions, CallPage, CallRequest
from toolyard_gateway.api.openapi import takes
from toolyard_gateway.api.parts import parts
from toolyard_gateway.api.presence import watched
from toolyard_gateway.pending import Answer, row_answer
from toolyard_gateway.principals import Principal

router = APIRouter(tags=["calls"])
JSON: Final = "application/json"
PATH: Final = "/v1/calls"
MAX_LIMIT: Final = 200
_ROUTE: Final = f"POST {PATH}"

Waiting = Callable[[Admission], Awaitable[Answer]]
Cursor = Annotated[str | None, Query(max_length=2_048, description="`next_cursor` of the piece before.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
ACCEPTED: Final[dict[int | str, dict[str, Any]]] = {
    202: {
        "model": CallModel,
        "description": "Accepted, and not ended yet.",
        "headers": {"Location": {"description": "Where to read it.", "schema": {"type": "string"}}},
    }
}


# ---- making calls -------------------------------------------------------------------------------


async def serve_post_call(scope: Scope, receive: Receive, send: Send) -> None:
    """`post_call` as a bare ASGI app, without the framework's layers around it."""
    request = Request(scope, receive, send)
    known = parts(request)
    began = known.clock.monotonic()
    try:
        response = await post_call(request)
    except Exception as error:  # noqa: BLE001 - the outermost frame of this path: every error becomes a problem
        response = await problems.answer(request, error)
    known.metrics.answered(_ROUTE, response.status_code, known.clock.monotonic() - began)
    await response(scope, receive, send)


async def post_call(request: Request) -> Response:
    """Make a call, and wait for its end."""
    known = parts(request)
    principal = await principal_of(known, request.headers)
    if request.scope["query_string"]:
        name = next(iter(request.query_params), "")
        raise FieldsRefused((FieldError(name[:64], fields.unknown_field(name, ())),))
    wait = headers.preferred_wait(request.headers)
    raw = await body.read_bytes(request)
    wanted = fields.read(CallRequest, strict_json.decode(raw))
    asked = _asked(wanted, principal, request, size=len(raw))
    async with watched(request, known, watch=wanted.cancel_on_disconnect) as outcome:
        admission = await known.door.admit(asked)
        known.metrics.accepted()
        answer = await outcome(admission, headers.DEFAULT_WAIT if wait is None else wait)
    return call_response(answer, wait)


@router.post(
    PATH,
    operation_id="make_call",
    summary="Make a call",
    response_model=CallModel,
    responses=ACCEPTED | problems.document(403, 404, 409, 413, 415),
    openapi_extra=takes(CallRequest, headers.PREFER, headers.IDEMPOTENCY_KEY),
)
async def _documented_post_call(request: Request, _: Caller) -> Response:
    """Make a call, and wait for its end.

    `200` with the call once it ended, whatever its state; `202` where it takes longer than was waited for.
    """
    return await post_call(request)


def _asked(wanted: CallRequest, principal: Principal, request: Request, *, size: int, suffix: str = "") -> Asked:
    key = wanted.idempotency_key if suffix else headers.idempotency_key(request.headers, wanted.idempotency_key)
    if suffix and key is None and (whole := headers.idempotency_key(request.headers)) is not None:
        key = f"{whole}/{suffix}"
    name, _, version = wanted.tool.partition("@")
    return Asked(
        principal=principal,
        tool=name,
        version=int(version) if version else None,
        size=size,
        key=key,
        traceparent=traced.context_of(request),
        **options(wanted),
    )


def options(wanted: CallOptions) -> dict[str, Any]:
    """What is said about a call whatever its tool, as fields of `Asked`."""
    return {
        "arguments": wanted.arguments,
        "user": wanted.user,
        "conversation": wanted.conversation,
        "context": wanted.context,
        "timeout": wanted.timeout,
        "queue_timeout": wanted.queue_timeout,
        "deadline": wanted.deadline,
        "not_before": None if wanted.not_before is None else fields.time_of("not_before", wanted.not_before),
    }


def call_response(answer: Answer, wait: float | None) -> Response:
    """A call as a response: 200 once it ended, else 202 and where to read it."""
    sent = {} if wait is None else {"Preference-Applied": f"wait={wait:g}"}
    if answer.terminal:
        return Response(answer.body, 200, sent, JSON)
    return Response(answer.body, 202, {**sent, "Location": f"/v1/calls/{answer.call_id}"}, JSON)


@router.post(
    "/v1/calls/batch",
    operation_id="make_calls",
    summary="Make many calls",
    response_model=BatchAnswer,
    responses=problems.document(403, 413, 415),
    openapi_extra=takes(BatchRequest, headers.PREFER, headers.BATCH_KEY),
)
async def post_batch(request: Request, principal: Caller, known: Known) -> Response:
    """Make up to 100 calls side by side; one that is refused never fails the others."""
    wait = headers.preferred_wait(request.headers)
    headers.idempotency_key(request.headers)
    raw = await body.read_bytes(request)
    wanted = fields.read(BatchRequest, strict_json.decode(raw))
    size = len(raw) // len(wanted.calls)
    seconds = headers.DEFAULT_WAIT if wait is None else wait
    watch = any(map(_goes_with_its_client, wanted.calls))
    async with watched(request, known, watch=watch) as outcome:

        async def made(number: int, value: Any) -> bytes:
            wait_for = outcome if _goes_with_its_client(value) else known.calls.outcome
            return await _one_of_many(
                value, number, principal, request, size, lambda admission: wait_for(admission, seconds)
            )

        answers = b",".join(await asyncio.gather(*(made(n, value) for n, value in enumerate(wanted.calls))))
    sent = {} if wait is None else {"Preference-Applied": f"wait={wait:g}"}
    return Response(b'{"calls":[' + answers + b"]}", 200, sent, JSON)


def _goes_with_its_client(value: Any) -> bool:
    return isinstance(value, dict) and value.get("cancel_on_disconnect") is True


async def _one_of_many(
    value: Any, number: int, principal: Principal, request: Request, size: int, wait_for: Waiting
) -> bytes:
    known = parts(request)
    try:
        asked = _asked(fields.read(CallRequest, value), principal, request, size=size, suffix=str(number))
        admission = await known.door.admit(asked)
        known.metrics.accepted()
        answer = await wait_for(admission)
    except (Refused, StoreError, TransportError) as error:
        refused = problems.refusal(error)
        known.metrics.refused(refused.refusal)
        return encode_json({"error": problems.problem(refused)})
    return answer.body


# ---- reading calls ------------------------------------------------------------------------------


@router.get(
    "/v1/calls",
    operation_id="list_calls",
    summary="List calls",
    response_model=CallPage,
    responses=problems.document(403),
)
async def list_calls(
    principal: Caller,
    known: Known,
    tool: Annotated[str | None, Query(max_length=64)] = None,
    state: Annotated[State | None, Query()] = None,
    conversation: Annotated[str | None, Query(max_length=255)] = None,
    user: Annotated[str | None, Query(max_length=255)] = None,
    since: Annotated[str | None, Query(max_length=64, description="A time (RFC 3339), inclusive.")] = None,
    until: Annotated[str | None, Query(max_length=64, description="A time (RFC 3339), exclusive.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """The org's calls, newest first."""
    principal.require("read_calls")
    wanted = CallFilter(tool, state, conversation, user, *_times(since, until))
    try:
        page = await known.calls.list(principal.org, wanted, cursor=cursor, limit=limit)
    except ValueError:
        raise bad_cursor() from None
    items = b",".join(row_answer(row).body for row in page.items)
    return Response(b'{"items":[' + items + b'],"next_cursor":' + encode_json(page.next_cursor) + b"}", media_type=JSON)


@router.get(
    "/v1/calls/{call_id}",
    operation_id="get_call",
    summary="Read a call",
    response_model=CallModel,
    responses=problems.document(403, 404, 409),
)
async def get_call(
    call_id: str,
    principal: Caller,
    known: Known,
    wait: Annotated[float, Query(ge=0, le=headers.MAX_WAIT, description="Seconds to wait for its end.")] = 0,
) -> Response:
    """One call, as it stands or once it ended."""
    principal.require("read_calls")
    answer = await known.calls.get(principal.org, call_id, wait)
    return Response(answer.body, 200, media_type=JSON)


def _times(since: str | None, until: str | None) -> tuple[float | None, float | None]:
    return (
        None if since is None else fields.time_of("since", since),
        None if until is None else fields.time_of("until", until),
    )


def bad_cursor() -> FieldsRefused:
    """The refusal of a cursor that is none of ours."""
    return FieldsRefused((FieldError("cursor", "is not a next_cursor of this list"),))
