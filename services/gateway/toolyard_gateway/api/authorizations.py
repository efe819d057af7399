"""Authorizations over HTTP: what users are asked to consent to, and the webhooks that tell that they did."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from toolyard.clock import rfc3339
from toolyard.consent.nango_events import HEADER
from toolyard.contracts.codec import encode_json
from toolyard.contracts.views import authorization_view
from toolyard.errors import FieldError, FieldsRefused
from toolyard.store.authorizations import AuthorizationFilter, AuthorizationRow, AuthorizationStatus
from toolyard_gateway import fields, strict_json
from toolyard_gateway.api import body, problems
from toolyard_gateway.api.auth import Caller, Known
from toolyard_gateway.api.authorization_models import (
    AuthorizationPage,
    ConsentRequest,
    Heard,
    NangoWebhook,
    StartedAuthorization,
)
from toolyard_gateway.api.calls import JSON, Cursor, Limit, bad_cursor
from toolyard_gateway.api.openapi import takes
from toolyard_gateway.bindings import needs_user

router = APIRouter(tags=["authorizations"])

#: Bytes of a webhook.
_MAX_WEBHOOK: Final = 64 * 1024
_SIGNATURE: Final[dict[str, Any]] = {
    "name": HEADER,
    "in": "header",
    "description": "The HMAC-SHA256 of the body, in hex, under the secret `NANGO_WEBHOOK_KEY` of the org that the body "
    "is tagged with (`organization_id`), or under its `NANGO_SECRET_KEY` where it has no other.",
    "schema": {"type": "string"},
}


@router.get(
    "/v1/authorizations",
    operation_id="list_authorizations",
    summary="List authorizations",
    response_model=AuthorizationPage,
    responses=problems.document(403),
)
async def list_authorizations(
    principal: Caller,
    known: Known,
    user: Annotated[str | None, Query(max_length=255)] = None,
    status: Annotated[AuthorizationStatus | None, Query()] = None,
    provider: Annotated[str | None, Query(max_length=128, description="As in `nango/github`.")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """What the org's users were asked to consent to, newest first."""
    principal.require("read_calls")
    wanted = AuthorizationFilter(user, status, provider)
    listed = known.store.authorizations.list
    try:
        page = await known.store.ask(listed, principal.org, wanted, cursor=cursor, limit=limit)
    except ValueError:
        raise bad_cursor() from None
    now = known.clock.now()
    items = [_view(row, now) for row in page.items]
    return Response(encode_json({"items": items, "next_cursor": page.next_cursor}), media_type=JSON)


@router.post(
    "/v1/authorizations/start",
    operation_id="start_authorization",
    summary="Ask a user for a consent",
    response_model=StartedAuthorization,
    responses=problems.document(403, 404, 413, 415, 429, 502),
    openapi_extra=takes(ConsentRequest),
)
async def start_authorization(request: Request, principal: Caller, known: Known) -> Response:
    """Ask for what a tool needs of a user, before any call of it waits for that. It may be asked again."""
    principal.require("call")
    wanted = fields.read(ConsentRequest, strict_json.decode(await body.read_bytes(request)))
    spec = (await known.registry.runnable(principal.org, wanted.tool)).spec
    if not needs_user(spec):
        raise FieldsRefused((FieldError("tool", "acts for no user of its own: no consent is needed; just call it"),))
    found = await known.consents.start(principal.org, wanted.user, spec.name, spec.version)
    answer: dict[str, Any] = {"status": "completed", "tool": spec.name, "user": wanted.user}
    if found is not None:
        answer = answer | {"status": "pending", "authorization": authorization_view(found)}
    return Response(encode_json(answer), media_type=JSON)


@router.post(
    "/v1/authorizations/callback/nango",
    operation_id="hear_nango",
    summary="Take a webhook of Nango",
    response_model=Heard,
    responses=problems.document(413, 415, 429),
    openapi_extra=takes(NangoWebhook, _SIGNATURE),
)
async def hear_nango(request: Request, known: Known) -> Response:
    """Let the calls go on that wait for this user's consent. No key is needed: the body must be signed."""
    raw = await body.read_bytes(request, limit=_MAX_WEBHOOK)
    sender = "" if request.client is None else request.client.host
    result = await known.callbacks.take(raw, request.headers.get(HEADER), sender=sender)
    return Response(encode_json({"result": result}), media_type=JSON)


def _view(row: AuthorizationRow, now: float) -> dict[str, Any]:
    view = {
        "authorization_id": row.authorization_id,
        "provider": row.provider,
        "user": row.user,
        "tool": row.tool,
        "call_id": row.call_id or None,
        "status": row.status,
        "scopes": row.scopes,
        "created_at": rfc3339(row.created_at),
        "changed_at": rfc3339(row.changed_at),
        "expires_at": rfc3339(row.expires_at),
    }
    return view | {"url": row.url} if row.status == "pending" and now < row.expires_at else view
