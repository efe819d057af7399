"""Looks whether users have consented to what calls wait for, and tells it: the calls go on then, or end.

What is waited for stands in the store; when each was looked at last is kept in memory alone. A scheduler that begins to
lead looks at all of them anew.
"""

import asyncio
import contextlib
import math
from collections import Counter
from functools import partial
from operator import itemgetter
from typing import Final, Literal, Protocol

from toolyard.clock import Clock
from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import Authorized
from toolyard.errors import StoreUnavailable, TransportError
from toolyard.store.authorizations import PendingAuthorization, SqlAuthorizations
from toolyard.store.crossing import Crossing
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Transport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler.consents import NotKnown, Status
from toolyard_scheduler.told import JustTold

INTERVAL: Final = 0.5
#: Seconds between two looks at one: the first, and as it gets older a part of its age, up to the longest.
_FIRST, _PART, _LONGEST = 1.0, 0.05, 15.0
#: Authorizations that are known at a time, and that are asked for side by side of one kind of provider: one that does
#: not answer takes no place from the others.
_BATCH: Final = 10_000
_TOGETHER: Final = 50
#: Seconds within which nobody has consented who had not done so before: faster than a person follows a link.
_AT_ONCE: Final = 5.0
#: The first doubled rest, the longest, and how long it is remembered.
_REST, _LONGEST_REST, _FORGIVEN = 1.0, 60.0, 600.0
#: Seconds for one answer.
_PATIENCE: Final = 20.0
log = logger("consents")

Word = tuple[str, str, str, float]
#: Org, provider and user.
Whose = tuple[str, str, str]
Over = Literal["completed", "failed", "expired"]


class Asked(Protocol):
    """Knows what became of an authorization."""

    async def status(self, asked: PendingAuthorization) -> Status:
        """What became of it; raises NotKnown, or StoreUnavailable."""


class _Rests:
    """How long a provider is left alone that says at once that a user has consented, whose next attempt finds not so.

    Without that, call and provider would go round as fast as we look. It is counted from when the user was asked, so
    that a person who consents never waits for it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: dict[Whose, tuple[int, float]] = {}

    def of(self, each: PendingAuthorization) -> float:
        """Seconds after they were asked in which this user's consent is not looked for."""
        times, _ = self._times.get(_whose(each), (0, 0.0))
        return min(_REST * 2.0 ** min(times - 1, 30), _LONGEST_REST) if times else 0.0

    def completed(self, each: PendingAuthorization, age: float) -> None:
        """The provider says, so many seconds after they were asked, that they have consented."""
        whose, now = _whose(each), self._clock.monotonic()
        if age > self.of(each) + _AT_ONCE:
            self._times.pop(whose, None)
        else:
            self._times[whose] = (self._times.get(whose, (0, 0.0))[0] + 1, now)

    def forget(self) -> None:
        """Forget what was long ago."""
        since = self._clock.monotonic() - _FORGIVEN
        self._times = {whose: (times, at) for whose, (times, at) in self._times.items() if at > since}


class ConsentsWatch:
    """Looks after all authorizations that are pending."""

    def __init__(
        self,
        transport: Transport,
        envelope: Envelope,
        authorizations: SqlAuthorizations,
        asked: Asked,
        crossing: Crossing,
        clock: Clock,
    ) -> None:
        self._transport = transport
        self._envelope = envelope
        self._authorizations = authorizations
        self._asked = asked
        self._crossing = crossing
        self._clock = clock
        self._told = JustTold(clock)
        self._rests = _Rests(clock)
        self._seen: dict[Word, float] = {}
        self._looking: dict[Word, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Look for ever.

        Raises:
            StoreUnavailable: the database is away.
        """
        try:
            while True:
                await self.sweep()
                await asyncio.sleep(INTERVAL)
        finally:
            for each in self._looking.values():
                each.cancel()

    async def sweep(self) -> None:
        """Begin to look at those whose turn it is; one that is under way is left alone."""
        self._told.forget()
        self._rests.forget()
        pending = await self._crossing.run(self._authorizations.pending, _BATCH)
        here = {_word(each): each for each in pending}
        self._seen = {word: at for word, at in self._seen.items() if word in here}
        due = [word for word, each in here.items() if word not in self._looking and self._is_due(word, each)]
        busy = Counter(_kind(word) for word in self._looking)
        for word in self._in_turn(due):
            if busy[_kind(word)] < _TOGETHER:
                busy[_kind(word)] += 1
                self._begin(word, here[word])

    def _in_turn(self, due: list[Word]) -> list[Word]:
        """One of each org, then another of each: of an org the one that was looked at longest ago comes first."""
        due.sort(key=lambda word: self._seen.get(word, -math.inf))
        before = Counter(word[0] for word in self._looking)
        places: list[tuple[int, Word]] = []
        for word in due:
            places.append((before[word[0]], word))
            before[word[0]] += 1
        return [word for _, word in sorted(places, key=itemgetter(0))]

    @property
    def looking(self) -> int:
        """How many are being asked for at this moment."""
        return len(self._looking)

    def _begin(self, word: Word, each: PendingAuthorization) -> None:
        self._seen[word] = self._clock.monotonic()
        task = self._looking[word] = asyncio.create_task(self._look(word, each))
        task.add_done_callback(partial(self._looked, word))

    def _is_due(self, word: Word, each: PendingAuthorization) -> bool:
        seen, age = self._seen.get(word), self._age(each)
        if word in self._told or age < self._rests.of(each):
            return False
        if seen is None or each.expires_at <= self._clock.now():
            return True
        return self._clock.monotonic() - seen >= min(max(_FIRST, age * _PART), _LONGEST)

    def _age(self, each: PendingAuthorization) -> float:
        return max(self._clock.now() - each.changed_at, 0.0)

    def _looked(self, word: Word, _: asyncio.Task[None]) -> None:
        del self._looking[word]

    async def _look(self, word: Word, each: PendingAuthorization) -> None:
        over = await self._over(each)
        if over is None:
            return
        told = Authorized(
            v=VERSION,
            sender="scheduler",
            time=self._clock.now(),
            org=each.org,
            provider=each.provider,
            authorization_id=each.authorization_id,
            status=over,
        )
        try:
            await self._transport.publish(self._envelope.control(told, org=each.org))
        except TransportError as error:
            log.warning("what became of a consent is told later", provider=each.provider, reason=str(error))
            return
        self._told.note(word)
        if over == "completed":
            self._rests.completed(each, self._age(each))
        log.info("a consent is over", org=each.org, provider=each.provider, status=over)

    async def _over(self, each: PendingAuthorization) -> Over | None:
        """What became of it, where that is known. One last look is had at what has expired."""
        status: Status = "pending"
        with contextlib.suppress(StoreUnavailable, TimeoutError):  # another turn comes
            try:
                async with asyncio.timeout(_PATIENCE):
                    status = await self._asked.status(each)
            except NotKnown as error:
                about = {"org": each.org, "provider": each.provider}
                log.warning("a consent could not be asked after", **about, reason=str(error))
        if status != "pending":
            return status
        return "expired" if each.expires_at <= self._clock.now() else None


def _word(each: PendingAuthorization) -> Word:
    """An authorization that is asked for anew is another one."""
    return each.org, each.provider, each.authorization_id, each.changed_at


def _whose(each: PendingAuthorization) -> Whose:
    return each.org, each.provider, each.user


def _kind(word: Word) -> str:
    """Which service is asked: Arcade or Nango."""
    return word[1].partition("/")[0]
