"""Errors as problem documents (RFC 9457): the one place where an error gets a status, and the handlers that do so."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from toolyard.contracts.codec import encode_json
from toolyard.errors import CODES, FieldsRefused, Refused, StoreError, TransportError
from toolyard.store.base import NotStorable
from toolyard.telemetry.logs import logger
from toolyard_gateway.api import traced
from toolyard_gateway.api.models import Problem
from toolyard_gateway.api.openapi import methods_at
from toolyard_gateway.fields import field_errors

log = logger("api")

MEDIA_TYPE: Final = "application/problem+json"
#: Statuses of the framework -> the code that is nearest.
_FRAMEWORK: Final = {400: "parse_error", 404: "not_found", 405: "not_found", 413: "payload_too_large"}


class WrongMediaType(Refused):
    """A body that is said to be no plain JSON: the status is 415, the code the nearest that there is."""

    def __init__(self, detail: str) -> None:
        super().__init__("parse_error", detail)


def problem(refused: Refused) -> dict[str, Any]:
    """The document of a refusal."""
    code = CODES[refused.refusal]
    document: dict[str, Any] = {
        **refused.extra,
        "type": f"urn:toolyard:problem:{refused.refusal}",
        "title": code.title,
        "status": code.status,
        "detail": refused.detail,
        "code": refused.refusal,
    }
    if refused.fields:
        document["errors"] = [{"path": path, "message": message} for path, message in refused.fields]
    return document


def refusal(error: Exception) -> Refused:
    """Any error as what a caller may be told; what is a defect of ours says nothing."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, RequestValidationError):
        return FieldsRefused(field_errors([{**one, "loc": one["loc"][1:] or one["loc"]} for one in error.errors()]))
    if isinstance(error, NotStorable):
        return Refused("validation_failed", "The request holds a value that the database cannot keep.")
    if isinstance(error, StoreError | TransportError):
        return Refused("unavailable", "A service that is needed for this is away; try again.", retry_after=1)
    return Refused("internal", "Something went wrong on our side.")


def respond(refused: Refused, *, status: int | None = None, headers: Mapping[str, str] | None = None) -> Response:
    """The response of a refusal."""
    document = problem(refused)
    if status is not None:
        document["status"] = status
    sent = dict(headers or {})
    if document["status"] == 401:
        sent["WWW-Authenticate"] = 'Bearer realm="toolyard"'
    if refused.retry_after is not None or document["status"] in (429, 503):
        sent["Retry-After"] = str(max(1, round(refused.retry_after or 1)))
    if document["status"] == 413:
        sent["Connection"] = "close"  # what was not read is not waited for
    return Response(encode_json(document), document["status"], sent, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every error of this app with a problem document."""
    app.add_exception_handler(HTTPException, _on_http)
    for kind in (Refused, RequestValidationError, StoreError, TransportError):
        app.add_exception_handler(kind, _on_known)
    app.add_exception_handler(Exception, _on_defect)


async def answer(request: Request, error: Exception) -> Response:
    """The response to any error, where no framework is around to choose the handler."""
    if isinstance(error, Refused | StoreError | TransportError):
        return await _on_known(request, error)
    return await _on_defect(request, error)


async def _on_known(request: Request, error: Exception) -> Response:
    refused = refusal(error)
    traced.note_refusal(request, refused.refusal)
    request.app.state.parts.metrics.refused(refused.refusal)
    return respond(refused, status=415 if isinstance(refused, WrongMediaType) else None)


async def _on_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    code = _FRAMEWORK.get(error.status_code, "internal" if error.status_code >= 500 else "validation_failed")
    headers = dict(error.headers or {})
    if error.status_code == 404:
        detail = f"There is nothing at {request.url.path[:200]}."
    elif error.status_code == 405:
        headers["Allow"] = ", ".join(methods_at(request.app, request.url.path))
        detail = f"{request.method[:20]} is not a method of {request.url.path[:200]}; it has {headers['Allow']}."
    else:
        detail = str(error.detail)
    request.app.state.parts.metrics.refused(code)
    return respond(Refused(code, detail), status=error.status_code, headers=headers)


async def _on_defect(request: Request, error: Exception) -> Response:
    log.error("a request failed", method=request.method, path=request.url.path, error=type(error).__name__)
    return await _on_known(request, error)


def document(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of an operation for OpenAPI; 400, 401, 422, 500 and 503 belong to every one."""
    return {
        status: {
            "description": ", ".join(f"`{code}`" for code, entry in CODES.items() if entry.status == status)
            or HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}},
        }
        for status in sorted({400, 401, 422, 500, 503, *statuses})
    }
