"""How long requests take until their answer begins, by route: measured around the app, whatever answers."""

from typing import Any, Final

from starlette.types import Message, Scope, Send

from toolyard_gateway.api.parts import Parts

#: The route of what was asked for and is not there.
NOWHERE: Final = "none"


def timed(known: Parts, scope: Scope, send: Send) -> Send:
    """``send`` that also notes the time from now until the answer begins."""
    began = known.clock.monotonic()

    async def noted(message: Message) -> None:
        if message["type"] == "http.response.start":
            known.metrics.answered(route_of(scope), message["status"], known.clock.monotonic() - began)
        await send(message)

    return noted


def route_of(scope: Scope) -> str:
    """The operation that a request was for, as it is described: few, whatever is asked for."""
    route: Any = scope.get("route")
    if route is None or scope["method"] not in (getattr(route, "methods", None) or ()):
        return NOWHERE
    return f"{scope['method']} {route.path}"
