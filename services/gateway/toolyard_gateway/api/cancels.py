"""Cancelling over HTTP: one call, or those of a conversation. What is asked for is published; the ledger decides."""

from typing import Final

from fastapi import APIRouter, Request, Response

from toolyard.contracts.codec import encode_json
from toolyard.errors import StoreUnavailable
from toolyard.telemetry.logs import logger
from toolyard_gateway import fields, strict_json
from toolyard_gateway.api import body, headers, problems
from toolyard_gateway.api.auth import Caller, Known
from toolyard_gateway.api.calls import ACCEPTED, JSON, call_response
from toolyard_gateway.api.models import CallModel, Cancelled, CancelRequest
from toolyard_gateway.api.openapi import takes
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.pending import Answer

router = APIRouter(tags=["calls"])
log = logger("cancels")

#: Seconds that a cancel is waited for where nothing is said: a call that runs is given two to stop by itself.
DEFAULT_WAIT: Final = 2.0
#: Calls of one conversation that are counted.
MAX_COUNTED: Final = 10_000


@router.post(
    "/v1/calls/cancel",
    operation_id="cancel_calls",
    summary="Cancel a conversation",
    response_model=Cancelled,
    responses=problems.document(403, 413, 415),
    openapi_extra=takes(CancelRequest),
)
async def cancel_calls(request: Request, principal: Caller, known: Known) -> Response:
    """Ask all open calls of a conversation to stop; those that are made later are not concerned."""
    principal.require("cancel")
    wanted = fields.read(CancelRequest, strict_json.decode(await body.read_bytes(request)))
    open_ = await _open_calls(known, principal.org, wanted.conversation)
    await known.publisher.cancel_conversation(principal.org, wanted.conversation)
    return Response(encode_json({"cancelled": len(open_)}), 200, media_type=JSON)


async def _open_calls(known: Parts, org: str, conversation: str) -> set[str]:
    """Those that are known: by this gateway, and by the store unless it is away."""
    mine = known.correlator.open_ids(org, conversation)
    calls = known.store.calls
    try:
        return mine.union(await known.store.ask(calls.open_ids, org, conversation, limit=MAX_COUNTED))
    except StoreUnavailable as error:
        log.warning("a conversation is cancelled while the store is away", error=str(error))
        return mine


@router.post(
    "/v1/calls/{call_id}/cancel",
    operation_id="cancel_call",
    summary="Cancel a call",
    response_model=CallModel,
    responses=ACCEPTED | problems.document(403, 404, 409, 413, 415),
    openapi_extra={"parameters": [headers.CANCEL_PREFER]},
)
async def cancel_call(call_id: str, request: Request, principal: Caller, known: Known) -> Response:
    """Ask a call to stop: `200` once it ended, however it did; `202` if it has not yet. It may be asked again."""
    principal.require("cancel")
    wait = headers.preferred_wait(request.headers)
    await body.read_nothing(request)
    found = await known.calls.find(principal.org, call_id)
    if isinstance(found, Answer):
        return call_response(found, wait)
    await known.publisher.cancel_call(found.call)
    await known.correlator.wait(found, DEFAULT_WAIT if wait is None else wait)
    return call_response(await known.calls.as_it_stands(found), wait)
