"""A small HTTP service for the sample tools of `toolyard dev`, so that a first call needs no network.

A plain ASGI application, on a loopback port of its own. It knows nothing of Toolyard.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, unquote

_MAX_BODY: Final = 1 << 20
_MAX_PAUSE: Final = 120.0
_SKIES: Final = ("sunny", "partly cloudy", "cloudy", "light rain", "windy", "fog")
#: A city that this service does not know, to see a tool fail.
UNKNOWN_CITY: Final = "Atlantis"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def upstream(scope: Scope, receive: Receive, send: Send) -> None:
    """``GET /weather/{city}``, ``POST /notes``, ``GET /report?seconds=``; everything else is 404."""
    method, path = scope["method"], unquote(scope["path"])
    body = await body_of(receive)
    if method == "GET" and path.startswith("/weather/"):
        await _weather(send, path.removeprefix("/weather/"))
    elif method == "POST" and path == "/notes":
        await _note(send, dict(scope["headers"]), body)
    elif method == "GET" and path == "/report":
        await _report(receive, send, parse_qs(scope["query_string"].decode("latin-1")))
    else:
        await _answer(send, HTTPStatus.NOT_FOUND, {"error": f"there is nothing at {method} {path}"})


async def _weather(send: Send, city: str) -> None:
    """Made up, but always the same for a city."""
    if city.casefold() == UNKNOWN_CITY.casefold():
        await _answer(send, HTTPStatus.NOT_FOUND, {"error": f"there is no city called {city}"})
        return
    digest = hashlib.sha256(city.casefold().encode()).digest()
    weather = {"city": city, "temperature_c": digest[0] % 35 - 3, "sky": _SKIES[digest[1] % len(_SKIES)]}
    await _answer(send, HTTPStatus.OK, weather)


async def _note(send: Send, headers: dict[bytes, bytes], body: bytes) -> None:
    try:
        note = json.loads(body)
    except ValueError:
        note = None
    if not isinstance(note, dict):
        await _answer(send, HTTPStatus.BAD_REQUEST, {"error": "the body must be a JSON object"})
        return
    key = headers.get(b"idempotency-key", b"").decode("latin-1")
    created = {"id": hashlib.sha256(key.encode() or body).hexdigest()[:12], **note}
    await _answer(send, HTTPStatus.CREATED, created)


async def _report(receive: Receive, send: Send, query: dict[str, list[str]]) -> None:
    try:
        seconds = float(query.get("seconds", ["3"])[0])
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _MAX_PAUSE:
        error = {"error": f"seconds must be a number from 0 to {_MAX_PAUSE:g}"}
        await _answer(send, HTTPStatus.BAD_REQUEST, error)
        return
    if await _stays(receive, seconds):
        await _answer(send, HTTPStatus.OK, {"report": "all is well", "took_seconds": seconds})


async def _stays(receive: Receive, seconds: float) -> bool:
    """Whether the caller is still there after these seconds; false as soon as it is not."""
    try:
        async with asyncio.timeout(seconds):
            await receive()  # the body was read: what comes now is that the connection is gone
    except TimeoutError:
        return True
    return False


async def body_of(receive: Receive) -> bytes:
    """The body of a request, or the beginning of one that is too long."""
    body, more = b"", True
    while more and len(body) <= _MAX_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _answer(send: Send, status: HTTPStatus, value: dict[str, Any]) -> None:
    body = json.dumps(value, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
