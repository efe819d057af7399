"""Which tools a user may run now, as far as it is known without asking anybody: not those that wait for their consent.

Called by the list of tools. Only questions that Toolyard has put are known here. Whether a consent stands is known to
its provider alone, and each call asks there; so a tool that was never asked for is taken for one that may be run.
"""

from collections.abc import Iterable
from typing import Final

from toolyard.consent.nango_names import provider_of
from toolyard.contracts.tools import ArcadeBinding, HttpBinding, ToolSpec
from toolyard.store.authorizations import AuthorizationFilter, AuthorizationRow
from toolyard_gateway.stores import StoreAccess

#: Open questions of one user that are looked at, the newest ones.
MOST: Final = 200


class Unanswered:
    """What a user is asked to consent to at the moment."""

    def __init__(self, rows: Iterable[AuthorizationRow]) -> None:
        asked = list(rows)
        self._tools = {row.tool for row in asked}
        self._providers = {row.provider for row in asked}
        self._scopes = {(row.provider, frozenset(row.scopes)) for row in asked}

    def may_run(self, spec: ToolSpec) -> bool:
        """Whether nothing is known that would keep a call of this user from being run."""
        return spec.enabled and spec.name not in self._tools and not self._awaited(spec)

    def _awaited(self, spec: ToolSpec) -> bool:
        """Whether another tool asks for the very same: a connection at Nango, or these scopes at Arcade."""
        match spec.binding:
            case HttpBinding(authentication=signs_in) if signs_in.type == "nango" and signs_in.connection is None:
                return provider_of(signs_in.integration or "") in self._providers
            case ArcadeBinding(provider=str(provider), scopes=scopes):
                return (f"arcade/{provider}", frozenset(scopes)) in self._scopes
            case _:
                return False


async def unanswered(store: StoreAccess, org: str, user: str, now: float) -> Unanswered:
    """What this user is asked; raises `StoreUnavailable` while the store is away."""
    pending = AuthorizationFilter(user=user, status="pending")
    page = await store.ask(store.authorizations.list, org, pending, cursor=None, limit=MOST)
    return Unanswered(row for row in page.items if now < row.expires_at)
