"""Webhooks over HTTP: where events are delivered, secrets that are shown once, tries, and what became of deliveries."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from toolyard import ids
from toolyard.contracts.codec import encode_json
from toolyard.errors import Refused
from toolyard.security.webhooks import new_secret
from toolyard.store.vault import Vault
from toolyard.store.webhooks import WebhookRow, not_found, secret_name
from toolyard.telemetry.logs import logger
from toolyard_gateway import fields, strict_json, webhooks
from toolyard_gateway.api import body, headers, problems
from toolyard_gateway.api.auth import Caller, Known
from toolyard_gateway.api.calls import JSON, Cursor, Limit, bad_cursor
from toolyard_gateway.api.openapi import takes
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.api.webhook_models import (
    DeliveryModel,
    DeliveryPage,
    NewWebhook,
    WebhookChange,
    WebhookModel,
    WebhookPage,
    WebhookWithSecret,
)
from toolyard_gateway.principals import Principal

log = logger("webhooks")
router = APIRouter(tags=["webhooks"])
Id = Annotated[str, Path(max_length=200, description="The webhook's id.")]


@router.post(
    "/v1/webhooks",
    operation_id="create_webhook",
    summary="Create a webhook",
    status_code=201,
    response_model=WebhookWithSecret,
    responses=problems.document(403, 409, 413, 415),
    openapi_extra=takes(NewWebhook, headers.IDEMPOTENCY_KEY),
)
async def create_webhook(request: Request, principal: Caller, known: Known) -> Response:
    """Have what happens to the org's calls delivered from now on. The secret is in this answer and nowhere else."""
    principal.require("manage_webhooks")
    vault, key = _vault(known), headers.idempotency_key(request.headers)
    raw = await body.read_bytes(request)
    operation = f"create_webhook {principal.key_id}"
    before = known.replays.find(principal.org, operation, key, raw)
    if before is not None:
        return before
    said = fields.read(NewWebhook, strict_json.decode(raw))
    webhooks.check(said, known.allow)
    row, secret = await _add(known, vault, principal, said, key)
    log.info("a webhook was created", org=row.org, webhook=row.webhook_id, by=principal.key_id)
    return known.replays.keep(principal.org, operation, key, raw, _with_secret(known, row, secret, 201))


async def _add(
    known: Parts, vault: Vault, principal: Principal, said: NewWebhook, key: str | None
) -> tuple[WebhookRow, str]:
    """Add it; under an Idempotency-Key its id follows from that, so that two gateways make one, not two."""
    webhook_id = ids.new_id() if key is None else ids.derived_id(principal.org, principal.key_id, "webhook", key)
    if await known.store.ask(known.store.webhooks.get, principal.org, webhook_id) is not None:
        detail = f"This Idempotency-Key already made the webhook {webhook_id}; its secret was shown then. Rotate it."
        raise Refused("conflict", detail, extra={"webhook_id": webhook_id})
    place, now = await known.live.now(principal.org), known.clock.now()
    row = webhooks.new_row(said, principal, webhook_id, place, now)
    secret = await _new_secret(known, vault, row, by=principal.key_id)
    try:
        await known.store.ask(known.store.webhooks.create, row)
    except Refused:
        await _forget(known, row, row.secret_id)
        raise
    return row, secret


@router.get(
    "/v1/webhooks",
    operation_id="list_webhooks",
    summary="List webhooks",
    response_model=WebhookPage,
    responses=problems.document(403),
)
async def list_webhooks(principal: Caller, known: Known, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """The org's webhooks, oldest first; never their secrets."""
    principal.require("manage_webhooks")
    try:
        page = await known.store.ask(known.store.webhooks.list, principal.org, cursor=cursor, limit=limit)
    except ValueError:
        raise bad_cursor() from None
    now = known.clock.now()
    return _json({"items": [webhooks.view(row, now) for row in page.items], "next_cursor": page.next_cursor})


@router.get(
    "/v1/webhooks/{webhook_id}",
    operation_id="get_webhook",
    summary="Read a webhook",
    response_model=WebhookModel,
    responses=problems.document(403, 404),
)
async def get_webhook(webhook_id: Id, principal: Caller, known: Known) -> Response:
    """A webhook, whether it fails, and why it was disabled."""
    return _json(webhooks.view(await _found(known, principal, webhook_id), known.clock.now()))


@router.patch(
    "/v1/webhooks/{webhook_id}",
    operation_id="change_webhook",
    summary="Change a webhook",
    response_model=WebhookModel,
    responses=problems.document(403, 404, 409, 413, 415),
    openapi_extra=takes(WebhookChange),
)
async def change_webhook(webhook_id: Id, request: Request, principal: Caller, known: Known) -> Response:
    """Change where it goes or what is delivered, disable or enable it; what is not given stays."""
    said = fields.read(WebhookChange, strict_json.decode(await body.read_bytes(request)))
    row = await _found(known, principal, webhook_id)
    webhooks.check(said, known.allow)
    changed = webhooks.changed_row(row, said, known.clock.now())
    changed = await known.store.ask(known.store.webhooks.change, changed)
    log.info("a webhook was changed", org=row.org, webhook=row.webhook_id, by=principal.key_id)
    return _json(webhooks.view(changed, known.clock.now()))


@router.delete(
    "/v1/webhooks/{webhook_id}",
    operation_id="delete_webhook",
    summary="Delete a webhook",
    status_code=204,
    responses=problems.document(403, 404),
)
async def delete_webhook(webhook_id: Id, principal: Caller, known: Known) -> Response:
    """Deliver nothing more; what waits to be tried again is dropped, and its secrets are forgotten."""
    row = await _found(known, principal, webhook_id)
    await known.store.ask(known.store.webhooks.delete, principal.org, webhook_id)
    await _forget(known, row, row.secret_id)
    await _forget(known, row, row.previous_secret_id)
    log.info("a webhook was deleted", org=row.org, webhook=row.webhook_id, by=principal.key_id)
    return Response(status_code=204)


@router.post(
    "/v1/webhooks/{webhook_id}/rotate",
    operation_id="rotate_webhook",
    summary="Give a webhook another secret",
    response_model=WebhookWithSecret,
    responses=problems.document(403, 404, 409),
)
async def rotate_webhook(webhook_id: Id, request: Request, principal: Caller, known: Known) -> Response:
    """Make another secret, shown here and nowhere else; the one before signs beside it for 24 hours."""
    row, vault = await _found(known, principal, webhook_id), _vault(known)
    await body.read_nothing(request)
    now = known.clock.now()
    wanted = replace(row, secret_id=ids.new_id(), previous_secret_id=row.secret_id, rotated_at=now, updated_at=now)
    secret = await _new_secret(known, vault, wanted, by=principal.key_id)
    try:
        changed = await known.store.ask(known.store.webhooks.change, wanted)
    except Refused:
        await _forget(known, wanted, wanted.secret_id)
        raise
    await _forget(known, row, row.previous_secret_id)
    log.info("a webhook was given another secret", org=row.org, webhook=row.webhook_id, by=principal.key_id)
    return _with_secret(known, changed, secret, 200)


@router.post(
    "/v1/webhooks/{webhook_id}/test",
    operation_id="test_webhook",
    summary="Try a webhook",
    status_code=202,
    response_model=DeliveryModel,
    responses=problems.document(403, 404, 409),
)
async def test_webhook(webhook_id: Id, request: Request, principal: Caller, known: Known) -> Response:
    """Have an event of the type `io.toolyard.webhook.test.v1` delivered as all others are; look at its deliveries."""
    row = await _found(known, principal, webhook_id)
    await body.read_nothing(request)
    if not row.enabled:
        raise Refused("conflict", "The webhook is disabled; enable it first.")
    delivery = webhooks.test_delivery(row, known.clock.now())
    await known.store.ask(known.store.webhooks.add, delivery)
    return _json(webhooks.delivery_view(delivery), 202)


@router.get(
    "/v1/webhooks/{webhook_id}/deliveries",
    operation_id="list_deliveries",
    summary="List deliveries",
    response_model=DeliveryPage,
    responses=problems.document(403, 404),
)
async def list_deliveries(
    webhook_id: Id, principal: Caller, known: Known, cursor: Cursor = None, limit: Limit = 50
) -> Response:
    """What was tried last, newest first: all that is tried again, and some of what is not."""
    row = await _found(known, principal, webhook_id)
    listed = known.store.webhooks.deliveries
    try:
        page = await known.store.ask(listed, row.webhook_id, cursor=cursor, limit=limit)
    except ValueError:
        raise bad_cursor() from None
    return _json({"items": [webhooks.delivery_view(each) for each in page.items], "next_cursor": page.next_cursor})


async def _found(known: Parts, principal: Principal, webhook_id: str) -> WebhookRow:
    principal.require("manage_webhooks")
    row = await known.store.ask(known.store.webhooks.get, principal.org, webhook_id)
    if row is None:
        raise not_found(webhook_id)
    return row


async def _new_secret(known: Parts, vault: Vault, row: WebhookRow, *, by: str) -> str:
    secret = new_secret()
    await known.store.ask(vault.create, row.org, secret_name(row.webhook_id, row.secret_id), secret, by=by)
    return secret


async def _forget(known: Parts, row: WebhookRow, secret_id: str | None) -> None:
    """Delete a secret, if there is one."""
    if secret_id is None:
        return
    try:
        await known.store.ask(known.store.secrets.delete, row.org, secret_name(row.webhook_id, secret_id))
    except Refused as refused:
        if refused.refusal != "not_found":
            raise


def _vault(known: Parts) -> Vault:
    if known.vault is None:
        detail = "This gateway has no key to seal the secrets of webhooks with: set TOOLYARD_SECRETS_KEY."
        raise Refused("unavailable", detail)
    return known.vault


def _json(value: Any, status: int = 200) -> Response:
    return Response(encode_json(value), status, media_type=JSON)


def _with_secret(known: Parts, row: WebhookRow, secret: str, status: int) -> Response:
    shown = webhooks.view(row, known.clock.now()) | {"secret": secret}
    return Response(encode_json(shown), status, {"Cache-Control": "no-store"}, JSON)
