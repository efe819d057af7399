"""A guest whose tools have already left the language: their source is run as it is, behind the walls alone.

It speaks as `toolyard.sandbox.language.guest` does, and runs in locked children only. A tool of it sets `answer`, the
bytes of its answer, or `value` or `result`, which is answered as a value.
"""

import base64
import gc
import json
import os
import sys
from collections.abc import Callable


def preload() -> None:
    """Loads what attacks like to have at hand."""
    import ctypes
    import socket
    import subprocess

    LOADED.extend((ctypes, socket, subprocess))


LOADED: list[object] = []


def warm() -> None:
    """Nothing."""


def serve(operation: str, payload: bytes, ask: Callable[[bytes], bytes], tell: Callable[[bytes], None]) -> bytes:
    if operation == "check":
        source = json.loads(payload)["source"]
        return json.dumps({"problems": [], "code": base64.b64encode(source.encode()).decode()}).encode()
    end = 4 + int.from_bytes(payload[:4])
    names: dict[str, object] = {
        "ask": ask,
        "tell": tell,
        "os": os,
        "sys": sys,
        "gc": gc,
        "json": json,
        "base64": base64,
    }
    names["given"] = json.loads(payload[4:end])
    exec(payload[end:], names)
    answer = names.get("answer")
    if isinstance(answer, bytes):
        return answer
    value = json.dumps(names.get("value", names.get("result")), default=repr)
    return b'{"kind":"value","value":' + value.encode() + b',"prints":"","requests":0}'
