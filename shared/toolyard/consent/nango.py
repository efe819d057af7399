"""Nango, as one org uses it: which connection is a user's, its credentials, and where the user makes one.

Called by executors right before a request, and by whoever wants to know whether a consent was given meanwhile. A
connection is a user's by its tags: ``end_user_id`` is the user of a call, ``organization_id`` the org. What Nango
answers is not believed beyond that: a connection of anybody else is as good as none.
"""

import base64
import re
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from toolyard.consent.nango_events import AuthEvent, OtherEvent, WebhookRefused, verify
from toolyard.consent.nango_names import DEFAULT_URL, SECRET, authorization_id, integration_of, provider_of
from toolyard.consent.nango_words import (
    ConnectionGone,
    Connections,
    Full,
    Listed,
    NangoFailed,
    Secrets,
    Started,
    refusal,
)
from toolyard.contracts.bounds import LAST_SECOND
from toolyard.contracts.calls import Authorization

__all__ = [
    "DEFAULT_URL",
    "SECRET",
    "AuthEvent",
    "Connection",
    "ConnectionGone",
    "Credentials",
    "Nango",
    "NangoFailed",
    "OtherEvent",
    "WebhookRefused",
    "authorization_id",
    "integration_of",
    "new_client",
    "provider_of",
    "verify",
]

#: Seconds for each step of a request, whatever time its caller has.
_TIMEOUT: Final = 10.0
#: Bytes of an answer.
_MAX_ANSWER: Final = 1 << 20
#: Characters of a tag's value, which a user's name becomes.
_MAX_TAG: Final = 255
#: Characters of a link that a user is given.
_MAX_LINK: Final = 4_096
#: What may stand in a header: an id of Nango's, and a token; anything else is none of either.
_ID: Final = re.compile(r"[\x20-\x7e]{1,255}")
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")

Status = Literal["connected", "broken", "absent"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection of an integration, without its credentials.

    Attributes:
        user: whose it is, and ``org``; None where it does not say.
        working: whether Nango has noted no failure of its credentials.
    """

    connection_id: str
    integration: str
    user: str | None
    org: str | None
    working: bool


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request is signed in with.

    Attributes:
        authorization: the value of that header.
        secrets: each of its parts that must be told to nobody, by name.
        expires_at: a time; None where it does not expire.
    """

    authorization: str = field(repr=False)
    secrets: dict[str, str] = field(repr=False)
    expires_at: float | None


def new_client() -> httpx.AsyncClient:
    """An HTTP client for `Nango`: it goes where the operator's setting says, and nowhere else."""
    return httpx.AsyncClient(verify=_tls(), timeout=_TIMEOUT, trust_env=False, follow_redirects=False)


@cache
def _tls() -> ssl.SSLContext:
    """Read once: that takes a tenth of a second."""
    return httpx.create_ssl_context()


class Nango:
    """The environment of one org at Nango.

    Args:
        http: from `new_client`; shared by all orgs.
        org: whose calls are served.
        api_key: the org's own, the value of its secret `SECRET`.
        base_url: the operator's setting.
    """

    def __init__(self, http: httpx.AsyncClient, *, org: str, api_key: str, base_url: str = DEFAULT_URL) -> None:
        self._http = http
        self._org = org
        self._api_key = api_key
        self._base_url = base_url.rstrip("/")

    async def connection_of(self, user: str, integration: str) -> Connection | None:
        """The connection of a user: of several the newest that works, else the newest.

        Raises:
            NangoFailed: it is not known.
        """
        if len(user) > _MAX_TAG:
            raise NangoFailed(f"the user has {len(user)} characters; Nango takes {_MAX_TAG}", "validation_failed")
        tags = {"tags[end_user_id]": user, "tags[organization_id]": self._org}
        listed = await self._listed(integration, tags)
        own = [one for one in listed if one.owner() == (user, self._org)]
        return _connection(max(own, key=lambda one: (_working(one), one.created))) if own else None

    async def connection_by_id(self, connection_id: str, integration: str) -> Connection | None:
        """A connection by its id; whose it is, the caller has to look at.

        Raises:
            NangoFailed: it is not known.
        """
        listed = await self._listed(integration, {"connectionId": connection_id})
        found = [one for one in listed if one.connection_id == connection_id]
        return _connection(found[0]) if found else None

    async def credentials(self, connection: Connection, *, fresh: bool = False) -> Credentials:
        """The credentials of a connection; Nango refreshes what has expired, and ``fresh`` what has not, too.

        Raises:
            ConnectionGone: it is gone, or its credentials cannot be refreshed: its user must be asked again.
            NangoFailed: they cannot be had.
        """
        full = await self._full(connection, fresh=fresh)
        return _credentials(full.credentials)

    async def status(self, user: str, integration: str) -> Status:
        """Whether a user has a connection of this integration that works now, as Nango sees it after a look at it.

        Raises:
            NangoFailed: it is not known.
        """
        connection = await self.connection_of(user, integration)
        return "absent" if connection is None else await self.state(connection)

    async def state(self, connection: Connection) -> Status:
        """Whether this connection works; raises as `status` does."""
        if not connection.working:
            return "broken"
        try:
            await self._full(connection, fresh=False)
        except ConnectionGone as gone:
            return "absent" if gone.failure == "not_found" else "broken"
        return "connected"

    async def start(self, user: str, integration: str) -> Authorization:
        """A new link by which this user makes a connection of this integration.

        Raises:
            NangoFailed: there is none.
        """
        tags = {"end_user_id": user, "organization_id": self._org}
        asked = {"tags": tags, "allowed_integrations": [integration]}
        answer = await self._ask("POST", "/connect/sessions", integration, json=asked)
        session = _read(answer, Started).data
        return Authorization(
            authorization_id=authorization_id(self._org, user, integration),
            provider=provider_of(integration),
            url=_link(session.connect_link),
            scopes=(),
            expires_at=_time(session.expires_at),
        )

    # ---- asking -------------------------------------------------------------------------------
    async def _listed(self, integration: str, params: dict[str, str]) -> list[Listed]:
        answer = await self._ask("GET", "/connections", integration, params={**params, "integrationId": integration})
        listed = _read(answer, Connections).connections
        return [one for one in listed if one.provider_config_key == integration and _ID.fullmatch(one.connection_id)]

    async def _full(self, connection: Connection, *, fresh: bool) -> Full:
        params = {"provider_config_key": connection.integration} | ({"force_refresh": "true"} if fresh else {})
        path = f"/connections/{quote(connection.connection_id, safe='')}"
        full = _read(await self._ask("GET", path, connection.integration, of_one=True, params=params), Full)
        same = (full.connection_id, full.provider_config_key) == (connection.connection_id, connection.integration)
        if not same or full.owner() != (connection.user, connection.org):
            raise NangoFailed("Nango answered with another connection than was asked for")
        return full

    async def _ask(self, method: str, path: str, integration: str, *, of_one: bool = False, **options: Any) -> bytes:
        headers = {"Authorization": f"Bearer {self._api_key}", "Accept-Encoding": "identity"}
        url = f"{self._base_url}{path}"
        try:
            async with self._http.stream(method, url, headers=headers, **options) as response:
                body = await _body(response)
        except (httpx.HTTPError, UnicodeEncodeError) as error:
            raise NangoFailed(_why(error), retryable=isinstance(error, httpx.HTTPError)) from None
        if not response.is_success:
            raise refusal(response.status_code, body, response.headers, integration, of_one=of_one)
        return body


async def _body(response: httpx.Response) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise NangoFailed("Nango answered in a content encoding that was not asked for")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > _MAX_ANSWER:
            raise NangoFailed(f"Nango answered with more than {_MAX_ANSWER} bytes")
    return bytes(body)


def _why(error: Exception) -> str:
    match error:
        case UnicodeEncodeError():
            return "the secret NANGO_SECRET_KEY holds a character that a header cannot hold"
        case httpx.LocalProtocolError():
            return "the request cannot be sent; does the secret NANGO_SECRET_KEY hold a line break?"
        case httpx.TimeoutException():
            return f"Nango did not answer within {_TIMEOUT:g} s"
        case httpx.ConnectError():
            return "Nango could not be reached"
        case _:
            return "the connection to Nango broke"


# ---- reading ------------------------------------------------------------------------------------


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NangoFailed("Nango answered with something that is none of its answers") from None


def _connection(listed: Listed) -> Connection:
    user, org = listed.owner()
    return Connection(listed.connection_id, listed.provider_config_key, user, org, _working(listed))


def _working(listed: Listed) -> bool:
    return not any(noted.type == "auth" for noted in listed.errors)


def _credentials(said: Secrets) -> Credentials:
    expires_at = None if said.expires_at is None else _time(said.expires_at)
    if said.type == "BASIC" and said.username is not None:
        both = f"{said.username}:{said.password or ''}"
        encoded = base64.b64encode(both.encode(errors="replace")).decode()
        return Credentials(f"Basic {encoded}", {"login": both, "password": said.password or ""}, expires_at)
    token = said.access_token or said.token or said.api_key
    if not token:
        text = f"the connection has no token that a request could carry (type {said.type[:32]!r}): may the org's key "
        text += "read credentials? For this type of authentication use mode proxy"
        raise NangoFailed(text, "permission_denied")
    if not _PRINTABLE.fullmatch(token):
        raise NangoFailed("the connection's token holds a character that a header cannot hold")
    return Credentials(f"Bearer {token}", {"token": token}, expires_at)


def _time(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("of no zone")  # noqa: TRY301 - one end for all that is none
        return min(max(moment.timestamp(), 0.0), LAST_SECOND)
    except (ValueError, OverflowError):
        raise NangoFailed("Nango answered with a time that is none") from None


def _link(url: str) -> str:
    """A link that a person may be given."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"https", "http"} and bool(parts.hostname)
    except ValueError:
        good = False
    if not good or len(url) > _MAX_LINK or not _PRINTABLE.fullmatch(url):
        raise NangoFailed("Nango answered with a link that cannot be followed")
    return url
