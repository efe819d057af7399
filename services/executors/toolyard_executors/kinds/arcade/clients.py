"""Clients of Arcade, one for each key, over connections that all of them share.

Called by `executor`. The retries of the SDK are off: it would run a tool twice. Where a client connects to is the
operator's choice (``TOOLYARD_ARCADE_URL``), never a tool's; redirects are not followed, nor are proxies of the
environment.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Final

import httpx
from arcadepy import AsyncArcade

from toolyard import __version__
from toolyard.telemetry import spans, tracing
from toolyard.telemetry.tracing import Span
from toolyard_executors.outbound.connection import trusted
from toolyard_executors.outbound.reading import AnswerTooLarge

#: Seconds to open a connection, TLS included.
CONNECT_TIMEOUT: Final = 3.0
#: Seconds that an unused connection is kept: less than servers keep theirs, because a request on a connection that is
#: just being closed ends with an unknown effect.
_KEEP_ALIVE: Final = 4.0
#: Bytes of one answer that are read: a value as large as is passed on, with what Arcade says beside it.
MAX_READ: Final = 4 * 1024 * 1024
#: Clients that are kept; what was not asked for longest goes first.
_KEPT: Final = 256


class Clients:
    """Gives clients of Arcade.

    Args:
        url: where it is.
        connections: that may be open.
    """

    def __init__(self, url: str, *, connections: int) -> None:
        self._url = url
        limits = httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=_KEEP_ALIVE
        )
        self._http = httpx.AsyncClient(
            transport=_Bounded(httpx.AsyncHTTPTransport(verify=trusted(), limits=limits, retries=0)), trust_env=False
        )
        self._clients: OrderedDict[str, AsyncArcade] = OrderedDict()

    def get(self, key: str) -> AsyncArcade:
        """The client that signs in with this key."""
        if (client := self._clients.get(key)) is None:
            client = self._clients[key] = AsyncArcade(
                api_key=key,
                base_url=self._url,
                max_retries=0,
                http_client=self._http,
                default_headers={"User-Agent": f"toolyard/{__version__}", "Accept-Encoding": "identity"},
            )
            if len(self._clients) > _KEPT:
                self._clients.popitem(last=False)
        self._clients.move_to_end(key)
        return client

    async def close(self) -> None:
        """Close all connections."""
        self._clients.clear()
        await self._http.aclose()


class _Bounded(httpx.AsyncBaseTransport):
    """A transport that reads no more of an answer than `MAX_READ`: the SDK itself reads whatever comes."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; reading its answer raises AnswerTooLarge where that goes on too long."""
        url = request.url
        span = spans.request(request.method, url.host, url.port or 443, request.headers.get("traceparent"))
        if span is None:
            response = await self._inner.handle_async_request(request)
        else:
            response = await self._recorded(request, span)
        response.stream = _Read(response.stream)  # type: ignore[arg-type]
        return response

    async def _recorded(self, request: httpx.Request, span: Span) -> httpx.Response:
        request.headers["traceparent"] = span.traceparent
        try:
            response = await self._inner.handle_async_request(request)
        except BaseException as error:
            span.end(tracing.code_of(error))
            raise
        spans.answered(span, response.status_code)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()


class _Read(httpx.AsyncByteStream):
    """The bytes of an answer, up to `MAX_READ`."""

    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._inner:
            size += len(piece)
            if size > MAX_READ:
                raise AnswerTooLarge(MAX_READ)
            yield piece

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._inner.aclose()
