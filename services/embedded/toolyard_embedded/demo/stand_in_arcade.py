"""A stand-in for Arcade on this machine, for the tour: of its engine what one call needs, one tool, a user's consent.

It is not Arcade: it knows one tool, believes every key, and forgets everything. What is real is the way there (the SDK
of Arcade sends the requests, as it would to Arcade) and that nothing runs before somebody has opened the link.
"""

import json
import os
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

from toolyard.contracts.tools import ARCADE_KEY, ArcadeBinding, ToolSpec
from toolyard_embedded.upstream import Receive, Scope, Send, body_of

#: The tool of the tour, and what it is asked, for whom.
TOOL: Final = "free_hours"
ARGUMENTS: Final = {"day": "Monday"}
USER: Final = "ada"
FREE: Final = ["10:00", "14:30"]
_NAME: Final = "Calendar.FreeHours"
_PROVIDER: Final = "calendar"
_SCOPES: Final = ("calendar.read",)
_CONSENT: Final = "consent-of-ada"


def tool() -> ToolSpec:
    """The tool of the tour."""
    day = {"type": "string", "minLength": 1, "description": "A day of the week."}
    return ToolSpec(
        name=TOOL,
        version=1,
        description="The hours at which the user is free. A tool of Arcade.",
        parameters={"type": "object", "properties": {"day": day}, "required": ["day"], "additionalProperties": False},
        binding=ArcadeBinding(tool_name=_NAME, provider=_PROVIDER, scopes=_SCOPES),
    )


def stand_in_for_arcade() -> None:
    """Let this process sign in there, whatever its user has set for the real one."""
    os.environ[f"TOOLYARD_SECRET_{ARCADE_KEY}"] = "stand-in-for-a-key"


class StandIn:
    """An ASGI application: asks for consent, gives its status, and runs the tool of whoever has consented.

    Args:
        address: where it is reached.
    """

    def __init__(self, address: str) -> None:
        self._link = f"{address}/consent/{_CONSENT}"
        self._consented = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = await body_of(receive)
        match scope["method"], scope["path"]:
            case "POST", "/v1/tools/authorize":
                await _answer(send, self._status())
            case "GET", "/v1/auth/status" if parse_qs(scope["query_string"].decode()).get("id") == [_CONSENT]:
                await _answer(send, self._status())
            case "GET", path if self._link.endswith(path):
                self._consented = True
                await _answer(send, {"consented": True})
            case "POST", "/v1/tools/execute" if self._consented:
                await _answer(send, _ran(json.loads(body)))
            case "POST", "/v1/tools/execute":
                await _answer(send, {"name": "forbidden", "message": "no consent"}, HTTPStatus.FORBIDDEN)
            case _:
                said = {"name": "not_found", "message": "the stand-in for Arcade has one tool alone"}
                await _answer(send, said, HTTPStatus.NOT_FOUND)

    def _status(self) -> dict[str, Any]:
        told = {"id": _CONSENT, "provider_id": _PROVIDER, "scopes": _SCOPES, "user_id": USER}
        if self._consented:
            return told | {"status": "completed"}
        return told | {"status": "pending", "url": self._link}


def _ran(asked: dict[str, Any]) -> dict[str, Any]:
    """The tool: what it answers, in the form of Arcade."""
    value = {"user": asked["user_id"], "day": asked["input"]["day"], "free": FREE}
    return {"id": "te_1", "execution_id": "te_1", "success": True, "status": "success", "output": {"value": value}}


async def _answer(send: Send, said: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
    body = json.dumps(said).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
