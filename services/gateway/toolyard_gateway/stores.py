"""The store as the gateway reaches it: from the loop, bounded in time, and left alone while it is known to be away.

Everything here that needs the database goes through `StoreAccess`; nothing here knows which database it is.
"""

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, Protocol, TypeVar

from toolyard.clock import Clock
from toolyard.errors import StoreUnavailable
from toolyard.store.authorizations import SqlAuthorizations
from toolyard.store.base import CallReader, KeyStore, Page, PauseReader, ToolStore
from toolyard.store.crossing import Crossing
from toolyard.store.dead_letters import DeadLetter
from toolyard.store.schedules import ScheduleRow
from toolyard.store.secrets import SqlSecrets
from toolyard.store.webhooks import SqlWebhooks

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds that one question to the store may take.
PATIENCE: Final = 1.5
#: Questions at a time; more wait their turn, so that a burst is slow and not refused.
AT_ONCE: Final = 64
#: Seconds after a failure in which nobody asks again.
PAUSE: Final = 1.0


class ScheduleStore(Protocol):
    """Recurring schedules; what refuses raises `Refused`: conflict, not_found, precondition_failed."""

    def create(self, row: ScheduleRow) -> None:
        """Add a schedule whose name is not taken."""

    def replace(self, row: ScheduleRow, *, expected: int) -> None:
        """Save a changed schedule, if ``expected`` is the current version."""

    def delete(self, org: str, name: str, *, expected: int) -> None:
        """Remove a schedule, if ``expected`` is the current version."""

    def get(self, org: str, name: str) -> ScheduleRow | None:
        """One schedule of this org."""

    def list(self, org: str, *, cursor: str | None, limit: int) -> Page[ScheduleRow]:
        """The org's schedules by name. Raises ValueError for a cursor that is none of ours."""


class DeadLetterStore(Protocol):
    """Messages that did not verify or decode."""

    def list(self, *, cursor: str | None, limit: int) -> Page[DeadLetter]:
        """Without their bodies, newest first. Raises ValueError for a cursor that is none of ours."""

    def get(self, letter_id: str) -> DeadLetter | None:
        """One letter, with its body."""

    def drop(self, letter: DeadLetter) -> bool:
        """Forget a letter, unless it has arrived once more since it was read."""


class Stores(Protocol):
    """What the gateway needs of the store."""

    @property
    def calls(self) -> CallReader:
        """Calls, read only."""

    @property
    def tools(self) -> ToolStore:
        """Tool definitions."""

    @property
    def keys(self) -> KeyStore:
        """API keys."""

    @property
    def pauses(self) -> PauseReader:
        """What is paused, read only."""

    @property
    def authorizations(self) -> SqlAuthorizations:
        """What users were asked to consent to, read only."""

    @property
    def schedules(self) -> ScheduleStore:
        """What is called again and again."""

    @property
    def secrets(self) -> SqlSecrets:
        """Secrets of orgs, sealed."""

    @property
    def webhooks(self) -> SqlWebhooks:
        """Whom orgs want told what happens."""

    @property
    def dead_letters(self) -> DeadLetterStore:
        """What did not verify or decode."""

    def check(self) -> None:
        """Whether this build can work with these tables. Raises `StoreError`: it cannot; says what to do."""


class StoreAccess:
    """Asks the store.

    Args:
        crossing: brings its answers to this loop.
    """

    def __init__(self, stores: Stores, crossing: Crossing, clock: Clock) -> None:
        self.calls = stores.calls
        self.tools = stores.tools
        self.keys = stores.keys
        self.pauses = stores.pauses
        self.authorizations = stores.authorizations
        self.schedules = stores.schedules
        self.secrets = stores.secrets
        self.webhooks = stores.webhooks
        self.dead_letters = stores.dead_letters
        self.check = stores.check
        self._crossing = crossing
        self._clock = clock
        self._places = asyncio.Semaphore(AT_ONCE)
        self._away_until = 0.0

    async def ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the store's function answers.

        Raises:
            StoreUnavailable: it is away, or did not answer within `PATIENCE`.
        """
        self._check()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._places.acquire()
        except TimeoutError:
            raise StoreUnavailable("too many requests wait for the database") from None
        try:
            self._check()  # it may have gone away while this waited
            return await self._ask(function, *args, **kwargs)
        finally:
            self._places.release()

    def _check(self) -> None:
        if self._clock.monotonic() < self._away_until:
            raise StoreUnavailable("the database is away")

    async def _ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._crossing.run(function, *args, **kwargs)
        except StoreUnavailable:
            self._away_until = self._clock.monotonic() + PAUSE
            raise
        except TimeoutError:
            self._away_until = self._clock.monotonic() + PAUSE
            raise StoreUnavailable(f"the database did not answer within {PATIENCE} s") from None
