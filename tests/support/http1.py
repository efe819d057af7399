"""HTTP/1.1 as the servers of the tests speak it: a request read, an answer sent. It knows nothing of what they mean."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass
class Request:
    """What a client sent. Header names are lower case; `abandoned` means the client left before its answer.

    `at` is when it came, on the monotonic clock; `held` while its answer is kept back. `target` is its path and query
    as they were sent.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    abandoned: bool = False
    held: bool = False
    target: str = ""
    at: float = field(default_factory=time.monotonic)


@dataclass
class Answer:
    """What goes back: a body of known length, or pieces as they come."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    pieces: AsyncIterator[bytes] | None = None


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    """The next request of a connection, its body included."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    pairs = (line.split(":", 1) for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    parts = urlsplit(target)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await _read_body(reader, headers)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Request(method, unquote(parts.path), query, headers, body, target=target)


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", 0)))
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readline()
    return body


async def send(writer: asyncio.StreamWriter, answer: Answer, *, head_only: bool = False) -> None:
    """Send an answer: with its length where that is known, else in chunks."""
    headers = dict(answer.headers)
    if "content-type" not in map(str.lower, headers):
        headers["Content-Type"] = "application/octet-stream"
    chunked = answer.pieces is not None and "Content-Length" not in headers
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
    elif answer.pieces is None:
        headers["Content-Length"] = str(len(answer.body))
    reason = HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else "Unknown"
    lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    if not head_only:
        writer.write(answer.body)
        async for piece in answer.pieces or _nothing():
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
        writer.write(b"0\r\n\r\n" if chunked else b"")
    await writer.drain()


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""
