"""API keys over HTTP, for admins. A secret is shown once, when its key is made."""

from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from toolyard.clock import rfc3339
from toolyard.contracts.codec import encode_json
from toolyard.errors import FieldError, FieldsRefused, Refused
from toolyard.store.base import KeyRow
from toolyard_gateway import fields, strict_json
from toolyard_gateway.api import body, headers, problems
from toolyard_gateway.api.auth import Caller, Known
from toolyard_gateway.api.calls import JSON, Cursor, Limit, bad_cursor
from toolyard_gateway.api.models import ORG, KeyPage, KeyRequest, NewKey
from toolyard_gateway.api.openapi import takes
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.principals import FIRST_ORG, Principal, key_row, new_key

router = APIRouter(tags=["keys"])
Org = Annotated[str | None, Query(pattern=ORG, description="Another org; only for an admin of the org `default`.")]


@router.post(
    "/v1/keys",
    operation_id="create_key",
    summary="Create an API key",
    status_code=201,
    response_model=NewKey,
    responses=problems.document(403, 409, 413, 415),
    openapi_extra=takes(KeyRequest, headers.IDEMPOTENCY_KEY),
)
async def create_key(request: Request, principal: Caller, known: Known) -> Response:
    """Make a key. Its text is in this answer and nowhere else."""
    principal.require("manage_keys")
    repeated = headers.idempotency_key(request.headers)
    raw = await body.read_bytes(request)
    before = known.replays.find(principal.org, "create_key", repeated, raw)
    if before is not None:
        return before
    wanted = fields.read(KeyRequest, strict_json.decode(raw))
    _check_broker_user(principal, wanted.broker_user)
    row, text = await _add(known, _org(principal, wanted.org), wanted, principal.org, repeated)
    answer = Response(encode_json(_view(row) | {"key": text}), 201, {"Cache-Control": "no-store"}, JSON)
    return known.replays.keep(principal.org, "create_key", repeated, raw, answer)


async def _add(known: Parts, org: str, wanted: KeyRequest, maker: str, repeated: str | None) -> tuple[KeyRow, str]:
    """Add a key; under an Idempotency-Key its id follows from that, so that two gateways make one key, not two."""
    key_id = None if repeated is None else sha256(f"{maker}\x1f{repeated}".encode()).hexdigest()[:20]
    if key_id is not None and await known.store.ask(known.store.keys.find, key_id) is not None:
        detail = (
            f"This Idempotency-Key already made the key {key_id}; its secret was shown then. Revoke it, make another."
        )
        raise Refused("conflict", detail, extra={"key_id": key_id})
    text, kept = new_key(key_id)
    roles, now = frozenset(wanted.roles), known.clock.now()
    row = key_row(kept, org=org, name=wanted.name, roles=roles, at=now, broker_user=wanted.broker_user)
    await known.store.ask(known.store.keys.add, row)
    return row, text


@router.get(
    "/v1/keys",
    operation_id="list_keys",
    summary="List API keys",
    response_model=KeyPage,
    responses=problems.document(403),
)
async def list_keys(
    principal: Caller, known: Known, org: Org = None, cursor: Cursor = None, limit: Limit = 50
) -> Response:
    """The org's keys, newest first, revoked ones included."""
    principal.require("manage_keys")
    keys = known.store.keys
    try:
        page = await known.store.ask(keys.list, _org(principal, org), cursor=cursor, limit=limit)
    except ValueError:
        raise bad_cursor() from None
    shown = {"items": [_view(row) for row in page.items], "next_cursor": page.next_cursor}
    return Response(encode_json(shown), 200, media_type=JSON)


@router.delete(
    "/v1/keys/{key_id}",
    operation_id="revoke_key",
    summary="Revoke an API key",
    status_code=204,
    responses=problems.document(403, 404, 409),
)
async def revoke_key(
    key_id: Annotated[str, Path(max_length=200)], principal: Caller, known: Known, org: Org = None
) -> Response:
    """Revoke a key; it stops working within five seconds everywhere."""
    principal.require("manage_keys")
    if key_id == principal.key_id:
        raise Refused("conflict", "A key cannot revoke itself; use another admin key.")
    where = _org(principal, org)
    if not await known.store.ask(known.store.keys.revoke, where, key_id, at=known.clock.now()):
        raise Refused("not_found", f"There is no key {key_id[:64]!r}.")
    known.authenticator.forget(key_id)
    return Response(status_code=204)


def _org(principal: Principal, wanted: str | None) -> str:
    if wanted is None or wanted == principal.org:
        return principal.org
    if principal.org != FIRST_ORG:
        text = f"only an admin of the org {FIRST_ORG!r} manages keys of other orgs; leave it out"
        raise FieldsRefused((FieldError("org", text),), code="permission_denied")
    return wanted


def _check_broker_user(principal: Principal, user: str | None) -> None:
    """Users of the broker belong to who runs it: an org could take what another one publishes for its own."""
    if user is not None and principal.org != FIRST_ORG:
        text = f"only an admin of the org {FIRST_ORG!r} says what users of the broker stand for; leave it out"
        raise FieldsRefused((FieldError("broker_user", text),), code="permission_denied")


def _view(row: KeyRow) -> dict[str, Any]:
    view: dict[str, Any] = {
        "key_id": row.key_id,
        "org": row.org,
        "name": row.name,
        "roles": sorted(row.roles),
        "created_at": rfc3339(row.created_at),
    }
    if row.broker_user is not None:
        view["broker_user"] = row.broker_user
    return view if row.revoked_at is None else view | {"revoked_at": rfc3339(row.revoked_at)}
