"""How a request reaches its upstream: pooled connections that are opened to checked addresses only.

One aiohttp session. Called by the kinds that send requests; it knows requests and addresses, nothing of tools. Every
connection is opened to an address that the egress policy let through, and a request gets only a connection to the very
host that was checked.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError
from yarl import URL

from toolyard.errors import ToolyardError
from toolyard.security.egress import AllowList, EgressDenied, HostNotResolved, Reason, Target, check_answers, check_url
from toolyard.telemetry import spans, tracing

#: Seconds to open a connection, TLS included, whatever time the attempt has.
CONNECT_TIMEOUT: Final = 10.0
#: Seconds that an unused connection is kept: less than servers keep theirs (Node.js: 5), because a request on a
#: connection that is just being closed ends with an unknown effect.
_KEEP_ALIVE: Final = 4.0
#: Seconds that checked answers of the resolver are used for further connections.
_ANSWERS_KEPT: Final = 5
_LOOKUPS: Final = 32

#: A host's addresses. Replaced in tests.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class NotConnected(ToolyardError):  # noqa: N818
    """No connection could be opened: nothing was sent."""

    code = "upstream_error"


class Cut(ToolyardError):  # noqa: N818
    """The connection broke after the request was sent, or while the answer came."""

    code = "upstream_error"


@dataclass(frozen=True, slots=True)
class Errand:
    """A request, as the task that sends it sees it through.

    Attributes:
        target: what was checked; a connection to anything else is refused.
        headers: all but ``Host`` and those about the body's length.
        connected: called as soon as there is a connection, before anything is sent.
        rerunnable: whether the request may be sent a second time where a kept connection turns out to be closed.
    """

    method: str
    target: Target
    headers: Mapping[str, str]
    content: bytes | None
    connected: Callable[[], None]
    rerunnable: bool


class Response:
    """An answer whose body is still to be read.

    Attributes:
        status: its code.
        fields: names in lower case and values as they came, in order; every byte is a letter (Latin-1).
        headers: the value of each name; those of a name that came twice are joined by a comma (RFC 9110, 5.3).
    """

    def __init__(self, inner: aiohttp.ClientResponse) -> None:
        self._inner = inner
        self.status = inner.status
        self.fields = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in inner.raw_headers]
        self.headers: dict[str, str] = {}
        for name, value in self.fields:
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, and as it was sent: nothing is decompressed.

        Raises:
            Cut: the connection broke.
        """
        try:
            async for piece in self._inner.content.iter_any():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise Cut("the connection broke while the answer came") from error

    async def close(self) -> None:
        """Keep the connection for others if the body was read to its end, and end it if not."""
        self._inner.release()
        await self._inner.wait_for_close()


_errand: ContextVar[Errand] = ContextVar("errand")


class Connections:
    """The connections of one worker process.

    Args:
        allow: what the operator opened.
        resolve: a host's addresses; the system's resolver if not given.
    """

    def __init__(self, allow: AllowList, resolve: Resolve | None = None) -> None:
        self._lookups = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="lookup")
        self._resolver = resolver = _CheckingResolver(allow, resolve or self._system_resolve)
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=0,
                resolver=resolver,
                ttl_dns_cache=_ANSWERS_KEPT,
                keepalive_timeout=_KEEP_ALIVE,
                ssl=trusted(),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
            middlewares=(_send_once,),
        )

    async def send(self, errand: Errand) -> Response:
        """Send a request; the body of the answer is still to be read, and the answer to be closed.

        Raises:
            EgressDenied: the host leads to an address that is not open.
            NotConnected: nothing was sent.
            Cut: the connection broke after that.
        """
        headers = errand.headers
        span = spans.request(errand.method, errand.target.host, errand.target.port, headers.get("traceparent"))
        if span is None:
            return await self._send(errand, headers)
        try:
            response = await self._send(errand, {**headers, "traceparent": span.traceparent})
        except BaseException as error:
            span.end(tracing.code_of(error))
            raise
        spans.answered(span, response.status)
        return response

    async def _send(self, errand: Errand, headers: Mapping[str, str]) -> Response:
        token, url = _errand.set(errand), URL(errand.target.url, encoded=True)
        try:
            return Response(
                await self._session.request(
                    errand.method, url, headers=headers, data=errand.content or None, allow_redirects=False
                )
            )
        except (aiohttp.ClientError, OSError) as error:
            raise Cut("the connection broke before an answer came") from error
        finally:
            _errand.reset(token)

    async def check(self, target: Target) -> None:
        """Judge where a target leads now, without connecting to it: for requests that somebody else sends on for us.

        Raises:
            EgressDenied: to an address that is not open.
            HostNotResolved: nowhere.
        """
        if target.literal is not None:
            return  # was judged with the URL
        try:
            await self._resolver.resolve(target.host, target.port)
        except OSError:
            raise HostNotResolved from None

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def _system_resolve(self, host: str, port: int) -> Sequence[str]:
        """Look up in threads of our own: a name server that never answers holds up nobody else's."""
        look_up: Callable[[], Any] = lambda: socket.getaddrinfo(  # noqa: E731
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        infos = await asyncio.get_running_loop().run_in_executor(self._lookups, look_up)
        return [info[4][0] for info in infos]


@cache
def trusted() -> ssl.SSLContext:
    """Whose certificates are trusted: read once a process, because that takes as long as some hundred calls."""
    return httpx.create_ssl_context()


class _CheckingResolver(AbstractResolver):
    """Lets the session connect to nothing but what the policy pinned."""

    def __init__(self, allow: AllowList, resolve: Resolve) -> None:
        self._allow = allow
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        target = check_url(f"http://{host}:{port}/", allow=self._allow)
        pinned = check_answers(target, await self._resolve(host, port), allow=self._allow)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in pinned
        ]

    async def close(self) -> None:
        """Nothing is held."""


class _Handler(ResponseHandler):
    """One connection: it takes one answer to each request, and tells at once where the answer is no HTTP any more."""

    _answered = False

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be sent."""
        self._answered = False
        super().set_response_params(**params)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """An answer began. One that nobody asked for would be taken for that to the next request, whoever sends it."""
        if self._answered:
            self.force_close()
            if self.transport is not None:
                self.transport.close()
            return
        status = data[0].code
        self._answered = status >= 200 or status == 101
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """The session ends the connection at what it cannot read, but whoever reads the body would wait for ever."""
        payload = self._payload
        super().data_received(data)
        if payload is not None and not payload.is_eof() and isinstance(self.exception(), HttpProcessingError):
            payload.set_exception(aiohttp.ClientPayloadError("the body is not framed as HTTP is"))


class _Connector(aiohttp.TCPConnector):
    """Opens a connection to the checked host only, and tells the errand as soon as there is one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        handler: Callable[..., ResponseHandler] = _Handler
        self._factory = partial(handler, loop=asyncio.get_running_loop())

    async def connect(self, req: aiohttp.ClientRequest, traces: Any, timeout: Any) -> Any:  # noqa: ASYNC109 - aiohttp's
        errand = _errand.get()
        if (req.url.raw_host, req.url.port) != (errand.target.host, errand.target.port):
            raise EgressDenied(Reason.HOST)  # two parsers disagree about where this leads
        try:
            connection = await super().connect(req, traces, timeout)
        except (aiohttp.ClientError, OSError) as error:
            raise NotConnected(_why(error)) from error
        errand.connected()
        return connection


async def _send_once(
    request: aiohttp.ClientRequest,
    handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
) -> aiohttp.ClientResponse:
    """Keep the session from sending anew what may run only once."""
    try:
        response = await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if _errand.get().rerunnable:
            raise
        raise Cut("the connection broke before an answer came") from error
    if response.status == 101:  # nobody asked for it, and the session would neither reuse nor close the connection
        response.close()
        raise Cut("the upstream switched to another protocol")
    return response


def _why(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return str(HostNotResolved())
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return "could not connect: the upstream's TLS certificate or handshake is not valid"
        case TimeoutError():
            return f"could not connect within {CONNECT_TIMEOUT:g} s"
        case _:
            return "could not connect to the upstream"
