"""W3C trace context: the ids that tie a caller's request, the messages and the upstream request together."""

import re
from typing import Final

from toolyard.ids import random_hex

_TRACEPARENT: Final = re.compile(r"^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")


def accept(header: str | None) -> str:
    """The caller's ``traceparent`` where it is valid, else a new one (sampled)."""
    if header and _TRACEPARENT.match(header):
        return header
    return f"00-{random_hex(32)}-{random_hex(16)}-01"


def child(traceparent: str | None) -> str:
    """The ``traceparent`` to hand on: the same trace where there is one, a span of our own."""
    version, trace, _, flags = accept(traceparent).split("-")
    return f"{version}-{trace}-{random_hex(16)}-{flags}"
