"""A guest whose check ends as its source says: for tests of what is told of that. It runs in locked children only."""

import base64
import json
import os
import time
from collections.abc import Callable


def preload() -> None:
    """Nothing."""


def warm() -> None:
    """Nothing."""


def serve(operation: str, payload: bytes, ask: Callable[[bytes], bytes], tell: object) -> bytes:
    match json.loads(payload)["source"]:
        case "sleep":
            time.sleep(60)
        case "memory":
            return bytes(1 << 30)
        case "large":
            return json.dumps({"problems": [], "code": base64.b64encode(bytes(9 << 20)).decode()}).encode()
        case "exit":
            os._exit(3)
        case "ask":
            ask(b"{}")
    return b'{"problems":[],"code":null}'
