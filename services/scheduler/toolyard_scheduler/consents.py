"""Whom the scheduler asks what became of a consent: the provider of each, with the key of its org.

Put together by the process; used by the duty of the same name. What is asked here is only when to look again: an
attempt that follows looks for itself before it does anything.
"""

from typing import Literal

import httpx

from toolyard.consent import arcade, nango
from toolyard.contracts.calls import Authorization
from toolyard.contracts.tools import ARCADE_KEY, ArcadeBinding, ToolSpec
from toolyard.errors import SecretUnreadable
from toolyard.security.secrets import SecretProvider
from toolyard.store.authorizations import PendingAuthorization
from toolyard.store.crossing import Crossing
from toolyard_scheduler import starting

#: ``pending`` where the user has not decided, or nobody knows.
Status = Literal["pending", "completed", "failed"]


class NotKnown(Exception):  # noqa: N818 - an answer
    """The provider does not tell now; the message says why, without anything secret."""


class Consents:
    """Asks Arcade and Nango.

    Args:
        secrets: where the keys of orgs are; asked on a thread of ``crossing``.
        arcade_url: where Arcade is, by the operator's setting; ``nango_url``: where Nango is.
    """

    def __init__(self, secrets: SecretProvider, crossing: Crossing, *, arcade_url: str, nango_url: str) -> None:
        self._secrets = secrets
        self._crossing = crossing
        self._arcade_url = arcade_url
        self._nango_url = nango_url
        self._http: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def status(self, asked: PendingAuthorization) -> Status:
        """What became of it.

        Raises:
            NotKnown: the provider does not say, or there is no key to ask it with.
            StoreUnavailable: the database that holds the key is away.
        """
        if arcade.is_arcades(asked.provider):
            return await self._arcades(asked)
        integration = nango.integration_of(asked.provider)
        if integration is None:
            raise NotKnown(f"{asked.provider} is no provider that this build asks")
        return await self._nangos(asked, integration)

    async def start(self, org: str, user: str, spec: ToolSpec, now: float) -> Authorization | None:
        """Ask for what this user has to consent to before this tool can be run for them; None where nothing is missing.

        Of a tool with a fallback what its first way needs comes first.

        Raises:
            NotStarted: there is no link to be had.
            StoreUnavailable: the database that holds the key is away.
        """
        for way in spec.ways:
            if (missing := await self._start(org, user, way, now)) is not None:
                return missing
        return None

    async def _start(self, org: str, user: str, spec: ToolSpec, now: float) -> Authorization | None:
        try:
            if isinstance(spec.binding, ArcadeBinding):
                key = await self._key(org, ARCADE_KEY)
                return await starting.at_arcade(self._client(), self._arcade_url, key, user, spec.binding, now)
            integration = starting.integration_needed(spec)
            if integration is None:
                return None
            key = await self._key(org, nango.SECRET)
        except NotKnown as missing:
            raise starting.NotStarted("tool_error", str(missing)) from None
        client = nango.Nango(self._client(), org=org, api_key=key, base_url=self._nango_url)
        return await starting.at_nango(client, user, integration)

    async def _arcades(self, asked: PendingAuthorization) -> Status:
        key = await self._key(asked.org, ARCADE_KEY)
        try:
            told = await arcade.told(self._client(), self._arcade_url, key, asked.authorization_id)
        except arcade.ArcadeFailed as failed:
            raise NotKnown(f"Arcade: {failed}") from None
        if told.user_id and told.user_id != asked.user:
            raise NotKnown("Arcade: it speaks of another user")
        return told.status if told.status in ("completed", "failed") else "pending"

    async def _nangos(self, asked: PendingAuthorization, integration: str) -> Status:
        key = await self._key(asked.org, nango.SECRET)
        client = nango.Nango(self._client(), org=asked.org, api_key=key, base_url=self._nango_url)
        try:
            status = await client.status(asked.user, integration)
        except nango.NangoFailed as failed:
            raise NotKnown(f"Nango: {failed}") from None
        return "completed" if status == "connected" else "pending"

    async def _key(self, org: str, name: str) -> str:
        try:
            value = await self._crossing.run(self._secrets.get, org, name)
        except SecretUnreadable as error:
            raise NotKnown(str(error)) from None
        if value is None:
            raise NotKnown(f"the scheduler finds no secret {name} of this org; set it: toolyard secrets set {name}")
        return value

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            self._http = nango.new_client()
        return self._http
