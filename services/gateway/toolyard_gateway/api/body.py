"""Bodies: read no further than they may be long. `strict_json` and `fields` make sense of their bytes."""

import asyncio
from typing import Any, Final

from fastapi import Request

from toolyard.errors import FieldError, FieldsRefused, Refused
from toolyard_gateway.api.problems import WrongMediaType

MAX_BODY: Final = 1024 * 1024
#: Seconds that a body may take to arrive.
PATIENCE: Final = 30.0
_UTF_8: Final = ("utf-8", "utf8")
_PLAIN: Final = ("", "identity")


async def read_bytes(request: Request, *, limit: int = MAX_BODY) -> bytes:
    """The body.

    Raises:
        Refused: ``payload_too_large``, before more than ``limit`` is read; ``parse_error``: it is said to be no
            plain JSON, or did not arrive.
    """
    _check_type(request.headers.get("content-type"))
    _check_encoding(request.headers.get("content-encoding"))
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length[:20]) > limit:
        raise _too_large(limit)
    message = await request.receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        return _bounded(message.get("body", b""), limit)
    try:
        async with asyncio.timeout(PATIENCE):
            return await _rest(request, message, limit)
    except TimeoutError:
        raise Refused("parse_error", f"The body did not arrive within {PATIENCE:g} s.") from None


async def read_nothing(request: Request) -> None:
    """Refuse a body that says something, of an operation that has none: it is never accepted and ignored.

    Raises:
        FieldsRefused: there is one.
    """
    raw = await read_bytes(request)
    if raw.strip() not in (b"", b"{}"):
        raise FieldsRefused((FieldError("", "is not read here: this operation has no body; leave it out"),))


async def _rest(request: Request, message: Any, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        if message["type"] != "http.request":
            raise Refused("parse_error", "The body was cut off.")
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return b"".join(pieces)
        message = await request.receive()


def _bounded(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> Refused:
    return Refused("payload_too_large", f"The body is longer than {limit:,} bytes; send less.")


def _check_type(header: str | None) -> None:
    """A body without a type is taken for JSON."""
    if header is None or header == "application/json":
        return
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise WrongMediaType(f"The body is {kind[:100]!r}; send JSON with Content-Type: application/json.")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"')
        if name.strip() == "charset" and charset not in _UTF_8:
            raise WrongMediaType(f"The body is JSON in {charset[:100]!r}; send it in UTF-8, and leave charset out.")


def _check_encoding(header: str | None) -> None:
    if header is not None and header.strip().lower() not in _PLAIN:
        raise WrongMediaType(f"The body is encoded as {header[:100]!r}; send it plain, without Content-Encoding.")
