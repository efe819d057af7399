"""Who asks over HTTP: `Authorization: Bearer <key>` becomes a principal. And: no query parameter is ignored."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers

from toolyard.errors import FieldError, FieldsRefused, Refused
from toolyard_gateway.api.parts import Parts, parts
from toolyard_gateway.fields import unknown_field
from toolyard_gateway.principals import Principal

_scheme = HTTPBearer(auto_error=False, description="An API key.", scheme_name="key")
_MAX_KEY = 512


async def principal_of(known: Parts, headers: Headers) -> Principal:
    """The principal of a request.

    Raises:
        Refused: ``unauthenticated``; says what is missing.
        StoreUnavailable: the store is away, and the key was not seen lately.
    """
    return await known.authenticator.authenticate(key_of(headers))


def key_of(headers: Headers) -> str:
    """The key that a request presents; raises `Refused` (unauthenticated) where there is none."""
    given = headers.get("authorization", "")
    scheme, _, key = given.partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key:
        raise Refused("unauthenticated", "Send an API key: the header Authorization: Bearer <key>.")
    if len(key) > _MAX_KEY:
        raise Refused("unauthenticated", "There is no such API key, or it was revoked.")
    return key


async def _principal(
    request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_scheme)]
) -> Principal:
    principal = await principal_of(parts(request), request.headers)
    _check_query(request)
    return principal


def _check_query(request: Request) -> None:
    """Refuse a query parameter that the operation does not know: it is never accepted and ignored."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        errors = (FieldError(name[:64], unknown_field(name, known)) for name in dict.fromkeys(unknown))
        raise FieldsRefused(tuple(errors))


Caller = Annotated[Principal, Depends(_principal)]
Known = Annotated[Parts, Depends(parts)]

__all__ = ["Caller", "Known", "key_of", "principal_of"]
