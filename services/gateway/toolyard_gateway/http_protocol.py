"""HTTP/1.1 as uvicorn speaks it, with bounds on what comes before a request is known: nobody is signed in yet.

Used by `serving`. What cannot be parsed, is too long or too slow is answered with a problem document and cut off.
"""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from toolyard.contracts.codec import encode_json
from toolyard.errors import Refused
from toolyard_gateway.api.lasting import ABORT
from toolyard_gateway.api.problems import MEDIA_TYPE, problem

#: Bytes of a request line and its headers. Ours take a few hundred; proxies in front allow 8 to 32 KiB.
MAX_HEAD: Final = 64 * 1024
#: Seconds from the first byte of a request, or from the connection, until its headers are complete.
HEAD_WITHIN: Final = 10.0


class BoundedHttp(HttpToolsProtocol):
    """One connection."""

    _head_bytes = 0
    _head_ends: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the loop."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._head_ends is None and not self._answering:
            self._expect_head()
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_ends is not None and self._head_bytes > MAX_HEAD:
            self._cut_off(f"The headers of a request have at most {MAX_HEAD // 1024} KiB.")

    def on_message_begin(self) -> None:
        """Called by the parser: the app is given a way to drop the connection."""
        super().on_message_begin()
        self.scope[ABORT] = self.transport.abort  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._head_came()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Called where the parser gives up; its own words would be plain text."""
        self._cut_off(f"This is no HTTP/1.1 request: {msg}")

    @property
    def _answering(self) -> bool:
        cycle: RequestResponseCycle | None = getattr(self, "cycle", None)  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._head_ends = self.loop.call_later(HEAD_WITHIN, self._too_slow)

    def _head_came(self) -> None:
        if self._head_ends is not None:
            self._head_ends.cancel()
            self._head_ends = None

    def _too_slow(self) -> None:
        self._cut_off(f"The headers of the request did not arrive within {HEAD_WITHIN:g} s.")

    def _cut_off(self, detail: str) -> None:
        self._head_came()
        if self.transport.is_closing():
            return
        document: dict[str, Any] = problem(Refused("parse_error", detail))
        body = encode_json(document)
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()
