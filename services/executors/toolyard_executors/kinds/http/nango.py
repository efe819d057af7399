"""How an http tool signs in through Nango: whose connection, its token right before the request, or Nango's proxy.

Used by the http executor. It neither sends a tool's request nor knows what one looks like, and nothing of an argument
decides whose connection is used: that is the call's user, or what the tool and the application name.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any, Final

import httpx

from toolyard.clock import Clock
from toolyard.consent.nango import SECRET, Connection, ConnectionGone, Credentials, Nango, NangoFailed, new_client
from toolyard.contracts.calls import Authorization
from toolyard.contracts.tools import Authentication
from toolyard.security.egress import AllowList, Target, check_url, parse_url
from toolyard.templates import Unfillable, Values, as_text, fill
from toolyard_executors.context import Attempt
from toolyard_executors.kinds.http.once import Once
from toolyard_executors.outbound.connection import Connections

#: Seconds that a connection and its token are used again, and how long before its end a token is not any more.
KEPT: Final = 30.0
MARGIN: Final = 30.0
#: Connections that are remembered.
_MOST_KEPT: Final = 4096
#: Answers that may mean that the connection, and not the request, is at fault; through the proxy also what Nango says
#: where it cannot get the credentials.
_DOUBTED: Final = {"token": frozenset({401}), "proxy": frozenset({400, 401, 424})}
#: Seconds at most, and which part of an attempt's time, that Nango is asked about an answer that was refused.
_PATIENCE: Final = 5.0
_PART: Final = 0.5
#: The longest id of a connection that Nango takes.
_MAX_ID: Final = 255


class NeedsConsent(Exception):  # noqa: N818 - it moves the attempt to its end, and is no fault
    """The user must authorize first."""

    def __init__(self, authorization: Authorization) -> None:
        super().__init__(authorization.authorization_id)
        self.authorization = authorization


@dataclass(frozen=True, slots=True)
class _Key:
    """Whose connection, of what, in which environment."""

    org: str
    api_key: str = field(repr=False)
    user: str | None
    integration: str
    named: str | None
    mode: str


@dataclass(frozen=True, slots=True)
class Access:
    """How one attempt signs in.

    Attributes:
        credentials: None where Nango's proxy signs in.
        refreshed: whether the token was just refreshed because the one before was refused.
    """

    key: _Key
    connection: Connection
    credentials: Credentials | None
    until: float
    refreshed: bool = False

    @property
    def authorization(self) -> str | None:
        """What the request says who it is from; None where Nango's proxy says that."""
        return None if self.credentials is None else self.credentials.authorization


class NangoAccess:
    """Connections of users, found and remembered for a short time.

    Args:
        base_url: the operator's setting; what it names is open, private or not, to requests of its proxy alone.
    """

    def __init__(self, base_url: str, clock: Clock) -> None:
        self.base_url = base_url.rstrip("/")
        self._clock = clock
        self._allow = AllowList(frozenset({(parse_url(base_url).host, parse_url(base_url).port)}))
        self._client: httpx.AsyncClient | None = None
        self._proxy: Connections | None = None
        self._kept: OrderedDict[_Key, Access] = OrderedDict()
        self._once = Once()

    async def close(self) -> None:
        """Forget everything, and let go of the connections."""
        self._kept.clear()
        await self._once.close()
        if self._client is not None:
            await self._client.aclose()
        if self._proxy is not None:
            await self._proxy.close()
        self._client = self._proxy = None

    def proxy(self, url: str) -> tuple[Target, Connections]:
        """Where a request to the proxy leads, and the connections that lead there and nowhere else."""
        if self._proxy is None:
            self._proxy = Connections(self._allow)
        return check_url(url, allow=self._allow), self._proxy

    async def access(self, attempt: Attempt, values: Values) -> Access:
        """How this attempt signs in; what must be told to nobody is known to its redactor from here on.

        Raises:
            NeedsConsent: the user has no connection that works.
            NangoFailed: it is not known.
            Unfillable: the call has no user, or not what the tool names its connection by.
        """
        key = _key(attempt, values)
        access = self._remembered(key) if attempt.number == 1 else None
        if access is None:
            try:
                access = await self._look(key)
            except ConnectionGone as gone:
                await self._ask_user(key, gone)
                raise
        return _noted(attempt, access)

    async def refused(self, attempt: Attempt, access: Access, status: int, said: Any) -> bool:
        """An answer may mean that the connection is at fault: whether another attempt would sign in otherwise.

        Args:
            attempt: that was answered.
            access: how it signed in.
            status: of the answer.
            said: its JSON value.

        Raises:
            NeedsConsent: the connection does not work any more.
            NangoFailed: the user cannot be asked.
        """
        if not _doubted(access.key.mode, status, said):
            return False
        try:
            async with asyncio.timeout(min(_PATIENCE, attempt.remaining * _PART)):
                return await self._judged(attempt, access)
        except TimeoutError:
            return True  # what was answered stands; what Nango makes of it, the next attempt may know

    async def _judged(self, attempt: Attempt, access: Access) -> bool:
        try:
            if access.credentials is None:
                await self._check(access)
                return False
            return await self._renewed(attempt, access)
        except ConnectionGone as gone:
            self._kept.pop(access.key, None)
            await self._ask_user(access.key, gone)
            return False
        except NangoFailed as failed:
            return failed.retryable

    # ---- finding ------------------------------------------------------------------------------
    def _remembered(self, key: _Key) -> Access | None:
        access = self._kept.get(key)
        return access if access is not None and self._clock.monotonic() < access.until else None

    async def _look(self, key: _Key, refused: Access | None = None) -> Access:
        """Ask Nango, once for all that wait for the same."""
        which = (key, refused.connection.connection_id if refused is not None else "")
        return await self._once.do(which, lambda: self._find(key, refused))

    async def _find(self, key: _Key, refused: Access | None) -> Access:
        """The connection and its credentials; if it is still the one that was refused, refreshed."""
        nango, before = self._nango(key), self._kept.get(key)
        connection = await self._connection(nango, key)
        if not connection.working:
            raise ConnectionGone("the credentials of the connection do not work any more", "permission_denied")
        fresh = refused is not None and refused.connection.connection_id == connection.connection_id
        credentials = await nango.credentials(connection, fresh=fresh) if key.mode == "token" else None
        access = Access(key, connection, credentials, self._until(credentials), refreshed=fresh)
        if before is not None and before.refreshed and before.authorization == access.authorization:
            access = replace(access, refreshed=True)
        self._keep(access)
        return access

    def _keep(self, access: Access) -> None:
        """Remember it, and forget those whose time is over."""
        self._kept[access.key] = access
        self._kept.move_to_end(access.key)
        now = self._clock.monotonic()
        while (oldest := next(iter(self._kept.values()))) is not access:
            if oldest.until > now and len(self._kept) <= _MOST_KEPT:
                break
            del self._kept[oldest.key]

    async def _renewed(self, attempt: Attempt, refused: Access) -> bool:
        """Whether there is another token than the one that was refused; it is refreshed for that once."""
        now = self._kept.get(refused.key)
        if refused.refreshed:
            return False
        if now is None or now.authorization == refused.authorization:
            now = await self._look(refused.key, refused)
        return _noted(attempt, now, "next ").authorization != refused.authorization

    async def _check(self, access: Access) -> None:
        self._kept.pop(access.key, None)
        nango = self._nango(access.key)
        state = await nango.state(await self._connection(nango, access.key))
        if state != "connected":
            raise ConnectionGone(f"the connection does not work any more ({state})", "permission_denied")

    async def _connection(self, nango: Nango, key: _Key) -> Connection:
        if key.named is None:
            connection = await nango.connection_of(key.user or "", key.integration)
        else:
            connection = await nango.connection_by_id(key.named, key.integration)
            if connection is not None and not _may_use(connection, key):
                connection = None  # the same words as for none: whose it is, is nobody else's business
        if connection is None:
            raise ConnectionGone(f"Nango has no such connection of {key.integration!r}", "not_found")
        return connection

    async def _ask_user(self, key: _Key, gone: ConnectionGone) -> None:
        """Whose own connection it is, may make a new one; who uses one by its name cannot."""
        user = key.user
        if key.named is None and user is not None:
            start = self._once.do((key, "start"), lambda: self._nango(key).start(user, key.integration))
            raise NeedsConsent(await start) from gone

    def _nango(self, key: _Key) -> Nango:
        if self._client is None:
            self._client = new_client()
        return Nango(self._client, org=key.org, api_key=key.api_key, base_url=self.base_url)

    def _until(self, credentials: Credentials | None) -> float:
        lasts = KEPT
        if credentials is not None and credentials.expires_at is not None:
            lasts = min(lasts, credentials.expires_at - MARGIN - self._clock.now())
        return self._clock.monotonic() + lasts


def _key(attempt: Attempt, values: Values) -> _Key:
    call, template = attempt.call, attempt.plan
    auth: Authentication = template.authentication
    named = None if template.connection is None else as_text(fill(template.connection, values))
    if named is None and call.user is None:
        raise Unfillable("user is missing, and the tool signs in with the connection of the call's user")
    if named is not None and not 0 < len(named) <= _MAX_ID:
        raise Unfillable(
            f"authentication.connection: {len(named)} characters; the id of a connection has 1 to {_MAX_ID}"
        )
    return _Key(call.org, attempt.secret(SECRET), call.user, auth.integration or "", named, auth.mode or "token")


def _doubted(mode: str, status: int, said: Any) -> bool:
    if status not in _DOUBTED[mode]:
        return False
    own = said.get("error") if isinstance(said, dict) else None
    return status != 400 or (isinstance(own, dict) and "code" in own)  # a 400 of Nango's own says so like that


def _may_use(connection: Connection, key: _Key) -> bool:
    """A connection that says whose it is, is theirs alone; one that does not, belongs to the whole org."""
    return connection.user in {None, key.user} and connection.org in {None, key.org}


def _noted(attempt: Attempt, access: Access, which: str = "") -> Access:
    """Have the attempt's redactor know the parts of these credentials, beside those that it knows under other names."""
    if access.credentials is not None:
        for part, value in access.credentials.secrets.items():
            attempt.part_of_secret(SECRET, f"{which}{part}", value)
    return access
