"""The form in which Lambda streams an answer (``application/vnd.amazon.eventstream``): frames with checksums."""

import json
import struct
import zlib
from typing import Any


def chunk(payload: bytes) -> bytes:
    """A piece of the answer."""
    return _event("PayloadChunk", "application/octet-stream", payload)


def complete(**said: Any) -> bytes:
    """The last event: what went wrong, and the end of the log."""
    return _event("InvokeComplete", "application/json", json.dumps(said).encode())


def failure(kind: str, message: str) -> bytes:
    """A stream that the service breaks off with an error."""
    headers = {":message-type": "exception", ":exception-type": kind, ":content-type": "application/json"}
    return _frame(headers, json.dumps({"message": message}).encode())


def _event(kind: str, content_type: str, payload: bytes) -> bytes:
    headers = {":message-type": "event", ":event-type": kind, ":content-type": content_type}
    return _frame(headers, payload)


def _frame(headers: dict[str, str], payload: bytes) -> bytes:
    head = b"".join(
        struct.pack(f"!B{len(name)}sBH{len(value)}s", len(name), name.encode(), 7, len(value), value.encode())
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", len(head) + len(payload) + 16, len(head))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + head + payload
    return message + struct.pack("!I", zlib.crc32(message))
