"""What providers of consent tell by webhooks, and what becomes of it. Nobody is signed in here: the signature is all.

Called by the operation `api/authorizations`. A webhook is a hint: it lets the calls go on that wait for this very
consent, and their next attempts look for themselves whether it is there. What is missed here, the scheduler finds out
by asking the provider.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import Final, Literal

import msgspec
from msgspec import Struct

from toolyard.consent.nango_events import AuthEvent, OtherEvent, WebhookRefused, verify
from toolyard.consent.nango_names import SECRET
from toolyard.errors import Refused, SecretUnreadable
from toolyard.store.authorizations import AuthorizationRow
from toolyard.store.vault import Vault
from toolyard.telemetry.logs import logger
from toolyard_gateway.metrics import Metrics
from toolyard_gateway.principals import ORG
from toolyard_gateway.publishing import Publisher
from toolyard_gateway.stores import StoreAccess

log = logger("callbacks")

#: The secret of an org that holds the signing key of its environment at Nango; where it has none, the API key signs.
SIGNING_KEY: Final = "NANGO_WEBHOOK_KEY"
#: Webhooks that are looked at at a time: whoever sends them is not signed in.
AT_ONCE: Final = 16
#: Webhooks that are remembered, so that one that is sent again does nothing.
REMEMBERED: Final = 10_000
_PROVIDER: Final = "nango"
#: One text for all that is refused: whoever has no key learns nothing about who has one.
_REFUSED: Final = "This is no webhook that an org of this gateway has signed."

#: ``resumed``: calls go on; ``repeated``: they did already, or it is over; ``nothing_waits``; ``unsuccessful``: the
#: user did not get through and may try again; ``other``: it is about something else.
Result = Literal["resumed", "repeated", "nothing_waits", "unsuccessful", "other"]
Verify = Callable[[str, bytes, str | None], AuthEvent]


class _EndUser(Struct, rename="camel"):
    organization_id: str | None = None


class _Claim(Struct, rename="camel"):
    """Whose webhook it says to be: nothing of that is believed before the key of that org has proved it."""

    tags: dict[str, str] | None = None
    end_user: _EndUser | None = None

    @property
    def org(self) -> str | None:
        """The org, as `verify` reads it."""
        old = None if self.end_user is None else self.end_user.organization_id
        return (self.tags or {}).get("organization_id", old)


_claim = msgspec.json.Decoder(_Claim)


class NangoCallbacks:
    """Takes webhooks of Nango.

    Args:
        vault: opens the signing keys; without it every webhook is refused.
        verify: reads a signed one.
    """

    def __init__(
        self,
        store: StoreAccess,
        vault: Vault | None,
        publisher: Publisher,
        metrics: Metrics,
        verify: Verify = verify,
    ) -> None:
        self._store = store
        self._vault = vault
        self._publisher = publisher
        self._metrics = metrics
        self._verify = verify
        self._places = asyncio.Semaphore(AT_ONCE)
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    async def take(self, raw: bytes, signature: str | None, *, sender: str) -> Result:
        """Take one webhook.

        Args:
            raw: its body, as it came.
            signature: the header that came with it.
            sender: the address that it came from, for the log.

        Raises:
            Refused: ``unauthenticated``: no org of ours has signed it; ``rate_limited``: too many come at a time;
                ``unavailable``: what it tells could not be published.
            StoreUnavailable: the store is away.
        """
        if self._places.locked():
            self._count("busy")
            raise Refused("rate_limited", "Too many webhooks at a time; send it again.", retry_after=1)
        async with self._places:
            try:
                org, event = await self._verified(raw, signature)
            except WebhookRefused as refused:
                self._count("refused")
                log.warning("a webhook was refused", provider=_PROVIDER, reason=str(refused), sender=sender)
                raise Refused("unauthenticated", _REFUSED) from None
            except OtherEvent:
                return self._told("other")
            return self._told(await self._act(org, event, sha256(raw).digest()))

    async def _verified(self, raw: bytes, signature: str | None) -> tuple[str, AuthEvent]:
        """The event, and the org whose key has signed it."""
        if not signature:
            raise WebhookRefused("it is not signed")
        try:
            org = _claim.decode(raw).org
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise WebhookRefused("it has no shape of Nango's") from None
        if org is None or not ORG.fullmatch(org):
            raise WebhookRefused("it does not say of which org it is")
        event = self._verify(await self._signing_key(org), raw, signature)
        if event.org != org:
            raise WebhookRefused(f"it was signed by {org}, and is about another org")
        return org, event

    async def _signing_key(self, org: str) -> str:
        """The key that signs the org's webhooks; empty, with which nothing verifies, where it has none."""
        if self._vault is None:
            raise WebhookRefused("this gateway cannot open secrets: TOOLYARD_SECRETS_KEY is not set")
        for name in (SIGNING_KEY, SECRET):
            try:
                key = await self._store.ask(self._vault.get, org, name)
            except SecretUnreadable as error:
                raise WebhookRefused(f"the secret {name} of {org} cannot be opened: {error}") from None
            if key is not None:
                return key
        raise WebhookRefused(f"there is no secret {SIGNING_KEY} or {SECRET} of an org {org}")

    async def _act(self, org: str, event: AuthEvent, digest: bytes) -> Result:
        """Let the calls of this user go on that wait for this integration. The ledger takes the first who says so.

        A webhook has no time in it: one that was heard before, and does come again, does nothing.
        """
        if not event.success:
            return "unsuccessful"
        if digest in self._seen:
            return "repeated"
        row = await self._awaited(org, event)
        if row is None:
            return "nothing_waits"
        if row.status != "pending":
            return "repeated"
        await self._publisher.authorized(org, row.provider, row.authorization_id)
        self._seen[digest] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        log.info("a user has consented", org=org, provider=row.provider, authorization_id=row.authorization_id)
        return "resumed"

    async def _awaited(self, org: str, event: AuthEvent) -> AuthorizationRow | None:
        if event.authorization_id is None:
            return None
        provider = event.provider
        row = await self._store.ask(self._store.authorizations.get, org, provider, event.authorization_id)
        return row if row is not None and row.user == event.user else None

    def _told(self, result: Result) -> Result:
        self._count(result)
        return result

    def _count(self, result: str) -> None:
        self._metrics.callback(_PROVIDER, result)
