"""The composition root: a gateway as an ASGI app, of the parts that `assembly` makes and `lifespan` starts and stops.

`build` is called by this package's `__main__`, by `toolyard_embedded`, and by tests.
"""

from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from starlette.types import Receive, Scope, Send

from toolyard_gateway.api import (
    asyncapi,
    authorizations,
    calls,
    cancels,
    dead_letters,
    health,
    keys,
    live,
    log_levels,
    openapi,
    pools,
    problems,
    schedules,
    secrets,
    sockets,
    streams,
    timing,
    tools,
    traced,
    turns,
    webhooks,
)
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.assembly import Assembly, Given
from toolyard_gateway.lifespan import Lifespan, lifespan_of

#: The operations, in the order in which they are described.
GROUPS: Final = (
    *(calls, cancels, turns, streams, live, tools, schedules, authorizations),
    *(secrets, webhooks, pools, dead_letters, keys, log_levels, health),
)
#: FastAPI would export every request, and set up an SDK of its own, as soon as the variables name a collector.
_NO_SPANS_OF_ITS_OWN: Final[TelemetryConfig] = {
    "auto_configure": False,
    "tracing": False,
    "metrics": False,
    "logs": False,
}


def build(given: Given) -> FastAPI:
    """A gateway as an ASGI app."""
    assembly = Assembly(given)
    parts = assembly.parts
    return _app(parts, lifespan_of(parts, given.first_key, assembly.own_checker, own_transport=given.own_transport))


class _App(FastAPI):
    """The app with one short cut: making a call, the path that everything else is rare beside, is a bare route."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (route := traced.route_of(scope)) is not None:
            await traced.serve(
                self._make_call if route == calls.PATH else super().__call__, route, scope, receive, send
            )
        elif scope["type"] == "websocket" and scope["path"] != sockets.PATH:
            await sockets.refuse_elsewhere(scope, receive, send)
        else:
            await super().__call__(scope, receive, timing.timed(self.state.parts, scope, send))

    async def _make_call(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self
        await calls.serve_post_call(scope, receive, send)


def _app(parts: Parts, lifespan: Lifespan) -> FastAPI:
    app = _App(
        title="Toolyard",
        version=version("toolyard"),
        summary="Runs the tool calls of LLM applications.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_NO_SPANS_OF_ITS_OWN,
    )
    app.state.parts = parts
    problems.install(app)
    for group in (*GROUPS, sockets):
        # As they are: `include_router` would make each of them anew, for every gateway, when its first request comes.
        app.router.routes.extend(group.router.routes)
    openapi.install(app)
    asyncapi.install(app, app.version)
    return app
