"""The server spans of requests that may make calls, and the context that their calls go on with.

The app wraps these requests in `serve`; the operations read `context_of`. Other requests have no spans: nobody would
read them.
"""

from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from toolyard.telemetry import spans, tracing

_CONTEXT: Final = "toolyard.traceparent"
_REFUSAL: Final = "toolyard.refusal"
_ROUTES: Final = {path: path for path in ("/v1/calls", "/v1/calls/batch", "/v1/turns")}
_TOOLS: Final = "/v1/tools/"
_TEST: Final = "/test"


def route_of(scope: Scope) -> str | None:
    """The route of a request that may make calls; None for any other."""
    if scope["method"] != "POST":
        return None
    path: str = scope["path"]
    if path.startswith(_TOOLS) and path.endswith(_TEST):
        return "/v1/tools/{name}/test"
    return _ROUTES.get(path)


async def serve(app: ASGIApp, route: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request inside its span, where its trace is recorded."""
    context, span = spans.serve("POST", route, _given(scope))
    scope[_CONTEXT] = context
    tracing.current.set(context)
    if span is None:
        await app(scope, receive, send)
        return
    status = 0

    async def watched(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        await send(message)

    try:
        await app(scope, receive, watched)
    finally:
        spans.served(span, status, scope.get(_REFUSAL, ""))


def note_refusal(request: HTTPConnection, code: str) -> None:
    """The request is answered with a problem of this code."""
    request.scope[_REFUSAL] = code


def context_of(request: HTTPConnection) -> str:
    """The ``traceparent`` that calls of this request go on with."""
    found: str | None = request.scope.get(_CONTEXT)
    return tracing.accept(request.headers.get("traceparent")) if found is None else found


def _given(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"traceparent":
            return str(value, "latin-1")
    return None
