"""Arcade, as far as it is asked for consents: what a user is to consent to, where, and what became of it.

Called by the scheduler. Executors ask by Arcade's SDK, right before a run, and take from here what both show alike.
What Arcade answers beside that, a token above all, is read by nobody here.
"""

from collections.abc import Iterable
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from toolyard.contracts.calls import MOST_SCOPES

#: Providers of authorizations that are Arcade's: the word itself, or with Arcade's own name for who is asked.
_KIND: Final = "arcade"
#: Seconds that a user has; Arcade sets no end of its own.
PATIENCE: Final = 600.0
#: Bytes of an answer that are read.
_MAX_ANSWER: Final = 1 << 18
#: Characters of a word, of a scope and of a URL that can be shown.
WORD: Final = 128
_SCOPE: Final = 300
_URL: Final = 4_096

Status = Literal["not_started", "pending", "completed", "failed"]
S = TypeVar("S", bound=msgspec.Struct)


class ArcadeFailed(Exception):  # noqa: N818 - says that Arcade did
    """It is not known what became of it; the message holds nothing of the answer."""


class Refused(ArcadeFailed):
    """Arcade refused; ``status`` is that of its answer."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        super().__init__(f"it answered {status}")
        self.status = status
        self.retry_after = retry_after


class Told(msgspec.Struct, frozen=True):
    """What Arcade tells of an authorization."""

    status: Status
    user_id: str = ""


class Asked(msgspec.Struct, frozen=True):
    """How far a user's consent is. ``status``: ``not_started``, ``pending``, ``completed`` or ``failed``."""

    id: str = ""
    status: str = ""
    url: str | None = None
    provider_id: str | None = None
    scopes: tuple[str, ...] | None = None


# ---- what is shown ------------------------------------------------------------------------------


def is_arcades(provider: str) -> bool:
    """Whether an authorization of this provider is one of Arcade's."""
    return provider == _KIND or provider.startswith(f"{_KIND}/")


def provider_of(name: str | None) -> str:
    """Who asks for the consent, in an authorization."""
    return f"{_KIND}/{name}"[:WORD] if name else _KIND


def shown_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Those that an authorization can show."""
    return tuple(scope for scope in scopes if len(scope) <= _SCOPE)[:MOST_SCOPES]


def is_a_page(url: str) -> bool:
    """Whether a person may be sent there."""
    if len(url) > _URL or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


# ---- asking -------------------------------------------------------------------------------------


async def told(http: httpx.AsyncClient, base_url: str, api_key: str, authorization_id: str) -> Told:
    """What became of an authorization (REFERENCE: `GET /v1/auth/status`); Arcade answers at once.

    Args:
        http: from `toolyard.consent.nango.new_client`.
        base_url: the operator's setting.
        api_key: the org's own.
        authorization_id: from Arcade.

    Raises:
        ArcadeFailed: it does not say, or nobody of this key knows it.
    """
    answer = await _ask(http, "GET", base_url, "/v1/auth/status", api_key, params={"id": authorization_id})
    return _read(answer, Told)


async def authorize(
    http: httpx.AsyncClient, base_url: str, api_key: str, *, tool: str, version: str | None, user: str
) -> Asked:
    """How far this user's consent to a tool is (REFERENCE: `POST /v1/tools/authorize`); begins to ask where it is none.

    Raises:
        ArcadeFailed: it does not say, refuses, or leads somewhere that is no page.
    """
    body = {"tool_name": tool, "user_id": user} | ({} if version is None else {"tool_version": version})
    asked = _read(await _ask(http, "POST", base_url, "/v1/tools/authorize", api_key, json=body), Asked)
    if len(asked.id) > WORD or (asked.url is not None and not is_a_page(asked.url)):
        raise ArcadeFailed("it answered with a link that cannot be followed")
    return asked


async def _ask(http: httpx.AsyncClient, method: str, base_url: str, path: str, api_key: str, **options: Any) -> bytes:
    url = f"{base_url.rstrip('/')}{path}"
    headers = {"Authorization": api_key, "Accept-Encoding": "identity"}
    body = bytearray()
    try:
        async with http.stream(method, url, headers=headers, **options) as response:
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > _MAX_ANSWER:
                    raise ArcadeFailed(f"it answered with more than {_MAX_ANSWER} bytes")
    except (httpx.HTTPError, UnicodeEncodeError) as error:
        raise ArcadeFailed(f"it could not be asked ({type(error).__name__})") from None
    if not response.is_success:
        raise Refused(response.status_code, _seconds(response.headers.get("retry-after")))
    return bytes(body)


def _read(body: bytes, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ArcadeFailed("it answered with something that is none of its answers") from None


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isascii() and header.isdecimal() and len(header) < 6 else None
