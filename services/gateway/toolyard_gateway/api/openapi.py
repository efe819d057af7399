"""`/openapi.json`: what FastAPI knows of the operations, completed by the bodies, which are read outside of it."""

import re
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from toolyard_gateway.api import authorization_models, models, schedule_models, secret_models, tool_models, turn_models

_REFERENCE: Final = "#/components/schemas/{model}"
#: Models that no response mentions, or that are mentioned by name.
_BODIES: Final[tuple[type[BaseModel], ...]] = (
    models.CallRequest,
    models.BatchRequest,
    models.CancelRequest,
    models.CallOptions,
    tool_models.ToolDefinition,
    models.KeyRequest,
    schedule_models.ScheduleDefinition,
    secret_models.NewSecret,
    secret_models.SecretValue,
    authorization_models.NangoWebhook,
    authorization_models.ConsentRequest,
    turn_models.TurnRequest,
    models.Problem,
)
_METHODS: Final = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}


def takes(model: type[BaseModel], *parameters: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    """What an operation reads itself: a body of this model, and headers."""
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}, "parameters": list(parameters)}


def install(app: FastAPI) -> None:
    """Let the app describe itself so."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]  # the documented way to extend it


def _describe(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, summary=app.summary
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    _, definitions = models_json_schema([(model, "validation") for model in _BODIES], ref_template=_REFERENCE)
    schemas.update(definitions["$defs"])
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return document


def methods_at(app: FastAPI, path: str) -> list[str]:
    """The methods that the operations at this path have; a path without parameters goes before one with some."""
    documented = app.openapi()["paths"]
    for template in sorted(documented, key=lambda one: "{" in one):
        if re.fullmatch(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template)), path):
            return sorted(name.upper() for name in documented[template] if name in _METHODS)
    return []
