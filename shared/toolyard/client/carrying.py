"""Between our requests and httpx: the one place where the one becomes the other, and httpx's errors become ours.

Shared by both shells; it sends nothing itself.
"""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import httpx

from toolyard.client import values
from toolyard.client.answers import read
from toolyard.client.errors import Unexpected, Unreachable
from toolyard.client.requests import Request
from toolyard.client.where import default_key, default_url, is_loopback
from toolyard.errors import FieldError, FieldsRefused

#: Seconds that an ordinary answer may take.
TIMEOUT: Final = 10.0
#: Seconds of silence after which an event stream is taken for broken; gateways send a comment more often.
SILENCE: Final = 60.0
#: Seconds for which what failed is asked again, where nobody says otherwise: a gateway is back before that.
RETRY_FOR: Final = 30.0
_KEY: Final = re.compile(r"[!-~]+")
_WITH_USER: Final = re.compile(r"(?:[^/?#]*//)?[^/?#]*@")
#: As many calls wait at once as the program makes; connections are kept for those that come often.
_LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30.0)


def options(url: str | None, key: str | None) -> dict[str, Any]:
    """What an httpx client for this gateway is made with.

    Raises:
        FieldsRefused: ``url`` or ``key`` is none.
    """
    address = (default_url() if url is None else url).rstrip("/")
    if _WITH_USER.match(address):  # it would go before the key, and errors show the address
        raise _wrong("url", "has a user or a password in it; leave them out: the key is given apart")
    try:
        parsed = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise _wrong("url", f"{address!r} is no URL: {error}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise _wrong("url", f"{address!r} is no URL like http://127.0.0.1:8080")
    chosen = default_key(address) if key is None else key
    if chosen and not _KEY.fullmatch(chosen):
        raise _wrong("key", "a key is made of visible ASCII characters")
    headers = {"Authorization": f"Bearer {chosen}"} if chosen else {}
    # A proxy of the environment is never on the way to this very machine, and without TLS nobody need be trusted: to
    # read whom one trusts takes longer than a call.
    near = is_loopback(address)
    verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if near and parsed.scheme == "http" else True
    return {"base_url": address, "headers": headers, "trust_env": not near, "verify": verify, "limits": _LIMITS}


def built(http: httpx.Client | httpx.AsyncClient, request: Request, timeout: float, silence: float) -> httpx.Request:
    """A request as httpx sends it.

    Args:
        http: by which it is sent.
        request: what is asked.
        timeout: seconds for the connection and for what is sent.
        silence: seconds without a byte of the answer.
    """
    headers, content = dict(request.headers), None
    if request.body is not None:
        headers["Content-Type"], content = "application/json", values.body(request.body)
    return http.build_request(
        request.method,
        request.path,
        params=request.query or None,
        headers=headers,
        content=content,
        timeout=httpx.Timeout(timeout, read=silence, pool=None),
    )


@contextmanager
def errors_told(url: str, patience: float) -> Iterator[None]:
    """Raises `Unreachable` for whatever befalls a connection."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout):
        raise Unreachable(f"Nothing answers at {url}.", how="refused") from None
    except httpx.TimeoutException:
        raise Unreachable(f"No answer from {url} within {patience:g} s.", how="silent") from None
    except httpx.HTTPError as error:
        raise Unreachable(f"The connection to {url} failed: {error}") from None


def is_stream(response: httpx.Response) -> bool:
    """Whether an event stream came."""
    kind: str = response.headers.get("content-type", "")
    return kind.startswith("text/event-stream")


def no_stream(response: httpx.Response) -> NoReturn:
    """Refuse what came in the place of an event stream, once its body was read.

    Raises:
        Refused: the gateway's problem document.
        Unexpected: it is another thing.
    """
    read(response.status_code, response.headers, response.content)
    raise Unexpected("no event stream came where one was asked for")


def _wrong(field: str, text: str) -> FieldsRefused:
    return FieldsRefused((FieldError(field, text),))
