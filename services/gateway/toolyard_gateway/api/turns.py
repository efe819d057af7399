"""Turns over HTTP: the assistant message goes in, and the messages that the model needs next come out."""

from fastapi import APIRouter, Request, Response

from toolyard.contracts.codec import encode_json
from toolyard_gateway import fields, strict_json
from toolyard_gateway.api import body, headers, problems, traced
from toolyard_gateway.api.auth import Caller, Known
from toolyard_gateway.api.openapi import takes
from toolyard_gateway.api.turn_models import TurnAnswer, TurnRequest
from toolyard_gateway.llm.formats import FORMATS
from toolyard_gateway.turns import TurnAsked

router = APIRouter(tags=["turns"])

_KEY = headers.IDEMPOTENCY_KEY | {
    "description": "Each call gets the key `<key>/<tool_call_id>`. The same key and body gets the same messages.",
}


@router.post(
    "/v1/turns",
    operation_id="take_turn",
    summary="Run the tool calls of a message",
    response_model=TurnAnswer,
    responses=problems.document(413, 415),
    openapi_extra=takes(TurnRequest, _KEY),
)
async def post_turn(request: Request, principal: Caller, known: Known) -> Response:
    """Run the tool calls of an assistant message, and answer with the messages to append.

    They run side by side. Whatever becomes of a call, its id gets a message that the model can act on: also an unknown
    tool, arguments that are not valid, and a call that is refused, fails, or still runs at the deadline.
    """
    key = headers.idempotency_key(request.headers)
    raw = await body.read_bytes(request)
    wanted = fields.read(TurnRequest, strict_json.decode(raw))
    form = FORMATS[wanted.format]
    asked = TurnAsked(
        principal=principal,
        form=form,
        calls=form.read(wanted.message),
        size=len(raw),
        user=wanted.user,
        conversation=wanted.conversation,
        context=wanted.context,
        deadline=wanted.deadline,
        key=key,
        traceparent=traced.context_of(request),
    )
    return Response(encode_json(await known.turns.take(asked)), 200, media_type="application/json")
