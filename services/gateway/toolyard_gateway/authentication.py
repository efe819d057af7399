"""The first step of the door: a presented API key, or a user of the broker, becomes a principal, or is refused.

Called by every front. Keys are remembered for a short time, and longer while the store is away.
"""

import asyncio
from collections import OrderedDict
from hmac import compare_digest
from typing import Final

from toolyard.clock import Clock
from toolyard.errors import Refused, StoreUnavailable
from toolyard.store.base import KeyRow
from toolyard_gateway.principals import FIRST_ORG, KeyText, Principal, key_row, read_key
from toolyard_gateway.stores import StoreAccess

#: Seconds that a key is trusted without asking the store again; a revoked key works no longer than this.
FRESH: Final = 5.0
#: Seconds that a key seen before keeps working while the store is away.
WHILE_AWAY: Final = 300.0
_REMEMBERED: Final = 10_000


#: What somebody presents: a key, or the name of a user that the broker has checked.
Presented = KeyText | str


class Authenticator:
    """Knows who presents which key."""

    def __init__(self, store: StoreAccess, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._seen: OrderedDict[Presented, tuple[Principal | None, float]] = OrderedDict()
        self._asking: dict[Presented, asyncio.Task[Principal | None]] = {}

    async def authenticate(self, text: str) -> Principal:
        """The principal of a presented key.

        Raises:
            Refused: ``unauthenticated``: there is no such key, its secret is wrong, or it was revoked.
            StoreUnavailable: the store is away, and the key was not seen for a while.
        """
        known = await self._known(read_key(text))
        if known is None:
            raise Refused("unauthenticated", "There is no such API key, or it was revoked.")
        return known

    async def of_broker_user(self, user: str) -> Principal | None:
        """Who a user of the broker, checked by the broker, stands for; ``None`` where no key says so.

        Raises:
            StoreUnavailable: the store is away, and the user was not seen for a while.
        """
        return await self._known(user)

    async def _known(self, presented: Presented) -> Principal | None:
        known, at = self._seen.get(presented, (None, -WHILE_AWAY))
        age = self._clock.monotonic() - at
        return await self._ask(presented, known, age) if age > FRESH else known

    async def _ask(self, presented: Presented, known: Principal | None, age: float) -> Principal | None:
        """Ask the store, once for all who present the same key at this moment."""
        asking = self._asking.get(presented)
        if asking is None:
            asking = self._asking[presented] = asyncio.ensure_future(self._find(presented))
            asking.add_done_callback(lambda _: self._asking.pop(presented, None))
        try:
            return await asyncio.shield(asking)
        except StoreUnavailable:
            if known is not None and age <= WHILE_AWAY:
                return known
            raise

    async def _find(self, presented: Presented) -> Principal | None:
        if isinstance(presented, str):
            row = await self._store.ask(self._store.keys.of_broker_user, presented)
            found = None if row is None else Principal(row.key_id, row.org, row.roles)
        else:
            found = _principal(await self._store.ask(self._store.keys.find, presented.key_id), presented)
        self._remember(presented, found)
        return found

    def _remember(self, presented: Presented, principal: Principal | None) -> None:
        """Of keys only those that were let in, so that nobody can push them out with made-up ones."""
        if principal is None and not isinstance(presented, str):
            self._seen.pop(presented, None)
            return
        self._seen[presented] = (principal, self._clock.monotonic())
        self._seen.move_to_end(presented)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def forget(self, key_id: str) -> None:
        """Trust no longer what was seen of this key: it was revoked here."""
        of_it = [one for one, (known, _) in self._seen.items() if known is not None and known.key_id == key_id]
        for presented in of_it:
            del self._seen[presented]


def _principal(row: KeyRow | None, presented: KeyText) -> Principal | None:
    expected = row.secret_hash if row else ""
    if not compare_digest(expected, presented.secret_hash) or row is None or row.revoked_at is not None:
        return None
    return Principal(row.key_id, row.org, row.roles)


async def seed_first_key(store: StoreAccess, text: str, clock: Clock) -> bool:
    """Make the operator's key the admin of the first org, where there is no key yet; whether it was done.

    Raises:
        StoreUnavailable: the store is away.
    """
    if await store.ask(store.keys.any):
        return False
    row = key_row(read_key(text), org=FIRST_ORG, name="first key", roles=frozenset({"admin"}), at=clock.now())
    try:
        await store.ask(store.keys.add, row)
    except Refused:  # another gateway made it in this very moment
        return False
    return True
