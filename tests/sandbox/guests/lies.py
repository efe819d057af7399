"""A guest that answers a run as none does: code that has left the language. It runs in locked children only."""

import json
from collections.abc import Callable

LIES = (
    b"",
    b'{"kind":"value","value":' + b"[" * 200_000,
    b'{"kind":"value","value":"\xed\xa0\x80","prints":"","requests":0}',
    b'{"problems":[],"code":"AAAA"}',
    b'{"kind":"error","code":"unavailable","message":"","line":null,"traceback":[],"retryable":true,"prints":"","requests":0}',
)


def preload() -> None:
    """Nothing."""


def warm() -> None:
    """Nothing."""


def serve(operation: str, payload: bytes, ask: Callable[[bytes], bytes], tell: object) -> bytes:
    length = int.from_bytes(payload[:4])
    return LIES[json.loads(payload[4 : 4 + length])["parameters"]["n"]]
