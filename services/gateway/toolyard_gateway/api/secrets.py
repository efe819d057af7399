"""Secrets over HTTP: set, listed by name, given another value, deleted. No answer, error or log line holds a value."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response

from toolyard.clock import rfc3339
from toolyard.contracts.codec import encode_json
from toolyard.errors import FieldError, FieldsRefused, Refused, SecretUnreadable
from toolyard.store.secrets import SecretRow
from toolyard.store.values import read_cursor, write_cursor
from toolyard.store.vault import Vault
from toolyard.telemetry.logs import logger
from toolyard_gateway import fields, strict_json
from toolyard_gateway.api import body, headers, problems
from toolyard_gateway.api.auth import Caller, Known
from toolyard_gateway.api.calls import JSON, Cursor, Limit, bad_cursor
from toolyard_gateway.api.openapi import takes
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.api.secret_models import (
    MAX_VALUE,
    NewSecret,
    ResealedModel,
    SecretModel,
    SecretPage,
    SecretValue,
    SecretVersions,
)
from toolyard_gateway.principals import FIRST_ORG, Principal

log = logger("secrets")

router = APIRouter(tags=["secrets"])
#: Bytes of a body: each byte of a value may be written as six.
_MAX_BODY: Final = 6 * MAX_VALUE + 4096
#: Secrets that one request seals anew.
_TOGETHER: Final = 50

Name = Annotated[str, Path(max_length=200, description="The secret's name.")]
#: What no name of a secret holds that a person gave: the others are not for these operations.
_RESERVED: Final = ":"
_ETAG: Final[dict[str, Any]] = {
    "headers": {"ETag": {"description": "The version, in quotes.", "schema": {"type": "string"}}},
}


@router.post(
    "/v1/secrets",
    operation_id="create_secret",
    summary="Keep a secret",
    status_code=201,
    response_model=SecretModel,
    responses={201: _ETAG, **problems.document(403, 409, 413, 415)},
    openapi_extra=takes(NewSecret, headers.IDEMPOTENCY_KEY),
)
async def create_secret(request: Request, principal: Caller, known: Known) -> Response:
    """Keep a secret of the org, for tools that name it. Its value is sealed, and shown to nobody any more."""
    principal.require("write_secrets")
    vault, key = _vault(known), headers.idempotency_key(request.headers)
    raw = await body.read_bytes(request, limit=_MAX_BODY)
    operation = f"create_secret {principal.key_id}"  # nobody else may try a value by repeating the request
    before = known.replays.find(principal.org, operation, key, raw)
    if before is not None:
        return before
    said = fields.read(NewSecret, strict_json.decode(raw))
    _check_size(said.value)
    row = await _create(known, vault, principal, said, repeated=key is not None)
    return known.replays.keep(principal.org, operation, key, raw, _response(row, 201))


async def _create(known: Parts, vault: Vault, principal: Principal, said: NewSecret, *, repeated: bool) -> SecretRow:
    """Add it; a request that may be a repeat, and finds there what its own key has set, gets that."""
    here = (principal.org, said.name, said.value)
    try:
        row = await known.store.ask(vault.create, *here, by=principal.key_id)
    except Refused as refused:
        there = await _before(known, vault, principal, said) if repeated and refused.refusal == "conflict" else None
        if there is None:
            raise
        return there
    _note("a secret was created", row)
    return row


async def _before(known: Parts, vault: Vault, principal: Principal, said: NewSecret) -> SecretRow | None:
    try:
        return await known.store.ask(vault.set_before, principal.org, said.name, said.value, by=principal.key_id)
    except SecretUnreadable as error:
        log.error("a secret cannot be opened", org=principal.org, name=said.name, reason=str(error))  # noqa: TRY400
        return None


@router.get(
    "/v1/secrets",
    operation_id="list_secrets",
    summary="List secrets",
    response_model=SecretPage,
    responses=problems.document(403),
)
async def list_secrets(principal: Caller, known: Known, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """The names of the org's secrets; never their values."""
    principal.require("read_secrets")
    try:
        page = await known.store.ask(known.store.secrets.list, principal.org, cursor=cursor, limit=limit)
    except ValueError:
        raise bad_cursor() from None
    return _json({"items": [_view(row) for row in page.items], "next_cursor": page.next_cursor})


@router.get(
    "/v1/secrets/{name}",
    operation_id="get_secret",
    summary="Read a secret's versions",
    response_model=SecretVersions,
    responses={200: _ETAG, **problems.document(403, 404)},
)
async def get_secret(name: Name, principal: Caller, known: Known, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """A secret's versions, newest first: who set it and when; never a value."""
    principal.require("read_secrets")
    _check_own(name)
    listed = known.store.secrets.versions
    try:
        (newest, *_) = (await known.store.ask(listed, principal.org, name, cursor=None, limit=1)).items or (None,)
        page = await known.store.ask(listed, principal.org, name, cursor=cursor, limit=limit)
    except ValueError:
        raise bad_cursor() from None
    if newest is None:
        raise _not_found(name)
    versions = [_version(row) for row in page.items]
    return _json(_view(newest) | {"versions": versions, "next_cursor": page.next_cursor}, etag=newest.version)


@router.put(
    "/v1/secrets/{name}",
    operation_id="replace_secret",
    summary="Give a secret another value",
    response_model=SecretModel,
    responses={200: _ETAG, **problems.document(403, 404, 409, 412, 413, 415)},
    openapi_extra=takes(SecretValue, headers.MAY_MATCH),
)
async def replace_secret(name: Name, request: Request, principal: Caller, known: Known) -> Response:
    """Give a secret another value: tools get it within a minute, and the value before is not kept."""
    principal.require("write_secrets")
    _check_own(name)
    vault, expected = _vault(known), headers.wanted_version(request.headers)
    value = strict_json.decode(await body.read_bytes(request, limit=_MAX_BODY))
    said = fields.read(SecretValue, value)
    _check_size(said.value)
    row = await known.store.ask(vault.replace, principal.org, name, said.value, by=principal.key_id, expected=expected)
    _note("a secret was given another value", row)
    return _response(row, 200)


@router.delete(
    "/v1/secrets/{name}",
    operation_id="delete_secret",
    summary="Delete a secret",
    status_code=204,
    responses=problems.document(403, 404, 412),
    openapi_extra={"parameters": [headers.MAY_MATCH]},
)
async def delete_secret(name: Name, request: Request, principal: Caller, known: Known) -> Response:
    """Delete a secret and its value: calls of tools that need it fail within a minute."""
    principal.require("write_secrets")
    _check_own(name)
    expected = headers.wanted_version(request.headers)
    await known.store.ask(known.store.secrets.delete, principal.org, name, expected=expected)
    log.info("a secret was deleted", org=principal.org, name=name, by=principal.key_id)
    return Response(status_code=204)


@router.post(
    "/v1/secrets/reseal",
    operation_id="reseal_secrets",
    summary="Seal secrets anew",
    response_model=ResealedModel,
    responses=problems.document(403),
)
async def reseal_secrets(request: Request, principal: Caller, known: Known, cursor: Cursor = None) -> Response:
    """Seal the next secrets with the first key that older keys have sealed; for an admin of `default`, of all orgs."""
    principal.require("reseal_secrets")
    await body.read_nothing(request)
    vault, org = _vault(known), None if principal.org == FIRST_ORG else principal.org
    try:
        after = None if cursor is None else read_cursor(cursor, tuple[str, str])
    except ValueError:
        raise bad_cursor() from None
    done = await known.store.ask(vault.reseal, org=org, after=after, limit=_TOGETHER)
    log.info("secrets were sealed anew", org=org or "all", count=done.count, by=principal.key_id)
    return _json(
        {
            "resealed": done.count,
            "unreadable": done.unreadable,
            "damaged": done.damaged,
            "next_cursor": None if done.after is None else write_cursor(*done.after),
        }
    )


def _vault(known: Parts) -> Vault:
    if known.vault is None:
        raise Refused("unavailable", "This gateway has no key to seal secrets with: set TOOLYARD_SECRETS_KEY.")
    return known.vault


def _check_own(name: str) -> None:
    if _RESERVED in name:
        raise _not_found(name)


def _not_found(name: str) -> Refused:
    return Refused("not_found", f"There is no secret {name[:64]!r}.")


def _check_size(value: str) -> None:
    """The model counts characters; what counts are bytes."""
    if len(value.encode()) > MAX_VALUE:
        raise FieldsRefused((FieldError("value", f"must have at most {MAX_VALUE:,} bytes in UTF-8"),))


def _note(what: str, row: SecretRow) -> None:
    log.info(what, org=row.org, name=row.name, version=row.version, by=row.created_by)


def _version(row: SecretRow) -> dict[str, Any]:
    return {"version": row.version, "created_at": rfc3339(row.created_at), "created_by": row.created_by}


def _view(row: SecretRow) -> dict[str, Any]:
    return {"name": row.name, **_version(row)}


def _json(value: Any, *, etag: int | None = None) -> Response:
    return Response(encode_json(value), 200, {} if etag is None else {"ETag": f'"{etag}"'}, JSON)


def _response(row: SecretRow, status: int) -> Response:
    sent = {"ETag": f'"{row.version}"'}
    if status == 201:
        sent["Location"] = f"/v1/secrets/{row.name}"
    return Response(encode_json(_view(row)), status, sent, JSON)
