"""How a delivery reaches its receiver: one connection to a checked address, no redirects, capped and timed.

It knows URLs, headers and bytes, nothing of events. The policy is `toolyard.security.egress`, as for tools.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx

from toolyard.clock import Clock
from toolyard.security.egress import AllowList, EgressDenied, HostNotResolved, Target
from toolyard.security.redaction import Redactor
from toolyard.security.webhooks import check_addresses, check_destination
from toolyard_scheduler.webhooks.judging import Answered, seconds_of

#: Seconds that an attempt takes at most, from looking the host up to the end of the answer that is read.
TIMEOUT: Final = 15.0
#: Bytes of an answer that are looked at, where it is no success, and characters that are told of it.
_READ: Final = 2_048
_TOLD: Final = 200
_LOOKUPS: Final = 8
#: Characters that steer a terminal, or end a line.
_UNPRINTABLE: Final = dict.fromkeys((*range(32), *range(127, 160)), " ")

#: A host's addresses. Replaced in tests.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class Sender:
    """Sends deliveries.

    Args:
        allow: what the operator opened.
        resolve: a host's addresses; the system's resolver if not given.
        timeout: seconds of an attempt.
    """

    def __init__(
        self, allow: AllowList, clock: Clock, resolve: Resolve | None = None, *, timeout: float = TIMEOUT
    ) -> None:
        self._allow = allow
        self._clock = clock
        self._resolve = resolve or self._system_resolve
        self._timeout = timeout
        self._lookups = ThreadPoolExecutor(_LOOKUPS, thread_name_prefix="webhook-lookup")
        self._http: httpx.AsyncHTTPTransport | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.aclose()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def send(self, url: str, headers: Mapping[str, str], body: bytes, *, secrets: Sequence[str]) -> Answered:
        """Send it once; ``secrets`` are taken out of what is told of the answer."""
        try:
            async with asyncio.timeout(self._timeout):
                target = check_destination(url, allow=self._allow)
                pinned = check_addresses(target, await self._addresses(target), allow=self._allow)
                return await self._send(target, pinned[0], headers, body, secrets)
        except EgressDenied:
            return Answered(error="egress_denied: the destination is not open to webhooks")
        except HostNotResolved:
            return Answered(error="the host has no address")
        except TimeoutError:
            return Answered(error=f"no answer within {self._timeout:g} s")
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return Answered(error="could not connect, or the TLS certificate is not valid")
        except httpx.HTTPError:
            return Answered(error="the connection broke before an answer came")

    async def _send(
        self, target: Target, address: str, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]
    ) -> Answered:
        shown = f"[{address}]" if ":" in address else address
        named = {} if target.literal is not None else {"sni_hostname": target.host}
        request = httpx.Request(
            "POST",
            f"{target.scheme}://{shown}:{target.port}{target.path_and_query}",
            headers={**headers, "Host": target.authority, "Accept-Encoding": "identity"},
            content=body,
            extensions={"timeout": httpx.Timeout(self._timeout).as_dict(), **named},
        )
        response = await self._transport.handle_async_request(request)
        try:
            if response.is_success:
                return Answered(status=response.status_code)
            return await self._refused(response, secrets)
        finally:
            await response.aclose()

    async def _refused(self, response: httpx.Response, secrets: Sequence[str]) -> Answered:
        status = response.status_code
        why = f"answered {status}" + (": redirects are not followed" if response.is_redirect else "")
        text = await _beginning(response)
        told = Redactor({f"secret{n}": secret for n, secret in enumerate(secrets)}).text(text)[:_TOLD].strip()
        if told and not response.is_redirect:
            why += f": {told}"
        return Answered(status=status, error=why, retry_after=seconds_of(response.headers, self._clock.now()))

    @property
    def _transport(self) -> httpx.AsyncHTTPTransport:
        """Opened with the first delivery; keeps no connection: the next one may be for another name at its address."""
        if self._http is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
            self._http = httpx.AsyncHTTPTransport(limits=limits, trust_env=False, retries=0)
        return self._http

    async def _addresses(self, target: Target) -> Sequence[str]:
        if target.literal is not None:
            return ()
        try:
            return await self._resolve(target.host, target.port)
        except OSError:
            raise HostNotResolved from None

    async def _system_resolve(self, host: str, port: int) -> Sequence[str]:
        """Look up in threads of our own: a name server that never answers holds up nobody else's."""
        look_up: Callable[[], Any] = lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # noqa: E731
        infos = await asyncio.get_running_loop().run_in_executor(self._lookups, look_up)
        return [info[4][0] for info in infos]


async def _beginning(response: httpx.Response) -> str:
    """The first characters of an answer, as far as they can be had."""
    body = bytearray()
    try:
        async for piece in response.aiter_raw():
            body += piece
            if len(body) >= _READ:
                break
    except httpx.HTTPError:
        return _printable(body)  # the status is known; its text is a courtesy
    return _printable(body)


def _printable(body: bytearray) -> str:
    return bytes(body[:_READ]).decode("utf-8", "replace").translate(_UNPRINTABLE)
