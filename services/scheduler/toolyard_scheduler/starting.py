"""Asks a provider for a consent of a user before any call needs it: what is missing, and where the user gives it.

Called by `consents`, which knows the keys. Nothing that a provider says in words is passed on.
"""

from typing import Final

import httpx

from toolyard.consent import arcade, nango
from toolyard.contracts.calls import Authorization
from toolyard.contracts.tools import ArcadeBinding, HttpBinding, ToolSpec

_REFUSED: Final = {401: "permission_denied", 403: "permission_denied", 404: "not_found", 429: "rate_limited"}


class NotStarted(Exception):  # noqa: N818 - an answer
    """There is no link to be had; the message says why, without anything secret.

    Args:
        code: one of `toolyard.errors.CODES`.
        message: for people.
        retry_after: seconds until another try makes sense, where that is known.
    """

    def __init__(self, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


def integration_needed(spec: ToolSpec) -> str | None:
    """The integration of Nango that a call's own user has to connect; None where there is none."""
    match spec.binding:
        case HttpBinding(authentication=signs_in) if signs_in.type == "nango" and signs_in.connection is None:
            return signs_in.integration
        case _:
            return None


async def at_nango(client: nango.Nango, user: str, integration: str) -> Authorization | None:
    """Where the user connects; None where they have a connection that works.

    Raises:
        NotStarted: neither is known.
    """
    try:
        if await client.status(user, integration) == "connected":
            return None
        return await client.start(user, integration)
    except nango.NangoFailed as failed:
        raise NotStarted(failed.failure, f"Nango: {failed}", retry_after=failed.retry_after) from None


async def at_arcade(
    http: httpx.AsyncClient, url: str, api_key: str, user: str, binding: ArcadeBinding, now: float
) -> Authorization | None:
    """Where the user consents; None where they have.

    Raises:
        NotStarted: neither is known.
    """
    tool, version = binding.tool_name, binding.tool_version
    try:
        said = await arcade.authorize(http, url, api_key, tool=tool, version=version, user=user)
    except arcade.Refused as refused:
        code = _REFUSED.get(refused.status, "upstream_error")
        raise NotStarted(code, f"Arcade: {refused}", retry_after=refused.retry_after) from None
    except arcade.ArcadeFailed as failed:
        raise NotStarted("upstream_error", f"Arcade: {failed}") from None
    if said.status == "completed":
        return None
    if said.status == "failed":
        raise NotStarted("permission_denied", "Arcade did not let the user authorize this")
    if not said.id or not said.url:
        raise NotStarted("upstream_error", "the user must authorize this, and Arcade does not say where")
    scopes = binding.scopes if said.scopes is None else said.scopes
    return Authorization(
        authorization_id=said.id,
        provider=arcade.provider_of(said.provider_id or binding.provider),
        url=said.url,
        scopes=arcade.shown_scopes(scopes),
        expires_at=now + arcade.PATIENCE,
    )
