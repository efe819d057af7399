"""A user's consent: what is asked of whom, as the call shows it while it waits. Pure; called by `executor`."""

from toolyard.consent import arcade
from toolyard.contracts.calls import Authorization, Call
from toolyard.contracts.tools import ArcadeBinding
from toolyard_executors.executor import Finished, failed, needs_consent
from toolyard_executors.kinds.arcade.answers import Authorized


def consent_of(said: Authorized, binding: ArcadeBinding, call: Call, now: float) -> Finished:
    """The end of an attempt whose user has not consented: what is to be waited for, or that it is in vain."""
    if said.status == "failed":
        return failed("permission_denied", f"{_provider(said, binding)} did not let the user authorize it", "none")
    asked = _authorization(said, binding, call, now)
    if asked is None:
        text = f"the user must authorize {binding.tool_name}, and Arcade does not say where"
        return failed("upstream_error", text, "none", retryable=True)
    return needs_consent(asked)


def _authorization(said: Authorized, binding: ArcadeBinding, call: Call, now: float) -> Authorization | None:
    """What a person is asked; None where it cannot be told, or must not: a URL that a browser would run, say."""
    if not said.id or len(said.id) > arcade.WORD or not said.url or not arcade.is_a_page(said.url):
        return None
    scopes = binding.scopes if said.scopes is None else said.scopes
    return Authorization(
        authorization_id=said.id,
        provider=_provider(said, binding),
        url=said.url,
        scopes=arcade.shown_scopes(scopes),
        expires_at=min(call.deadline, now + arcade.PATIENCE),
    )


def _provider(said: Authorized, binding: ArcadeBinding) -> str:
    return arcade.provider_of(said.provider_id or binding.provider)
