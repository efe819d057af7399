"""What was asked for before: the call of an idempotency key, or of a tool's key fields.

Called by the door. The ids of such calls are derived, one after the other: one that does not stand for its key any more
is followed by the next, and all gateways find the same one. Most of the time the first id is the answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from toolyard import ids
from toolyard.clock import Clock, from_rfc3339
from toolyard.store.base import CallRow
from toolyard_gateway.correlation import Correlator
from toolyard_gateway.pending import Answer, Pending, row_answer
from toolyard_gateway.sameness import Same
from toolyard_gateway.stores import StoreAccess

#: Seconds after its end in which a call stands for its idempotency key.
KEPT: Final = 86_400.0
#: Ids that are looked up at once. More than one, because the first may be gone from the ledger before a later one.
AHEAD: Final = 4

Known = Answer | Pending | CallRow
IdOf = Callable[[int], str]
Stands = Callable[[Known], bool]


@dataclass(frozen=True, slots=True)
class Before:
    """What is known of a key.

    Attributes:
        call_id: of the call that stands for it, or the one that a new call takes.
    """

    call_id: str
    call: Answer | Pending | None = None


class _Seen(msgspec.Struct):
    """What a finished answer tells of its end and its beginning."""

    state: str
    effect: str
    created_at: str


_seen = msgspec.json.Decoder(_Seen)


class Recall:
    """Finds calls that were made before."""

    def __init__(self, store: StoreAccess, correlator: Correlator, clock: Clock) -> None:
        self._store = store
        self._correlator = correlator
        self._clock = clock

    async def by_key(self, org: str, key: str) -> Before:
        """The call of an idempotency key: until a day after its end.

        Raises:
            StoreUnavailable: the store is away, and this gateway does not know the call.
        """

        def id_of(number: int) -> str:
            return ids.derived_id(org, key, *([str(number)] if number else []))

        now = self._clock.now()
        return await self._first(org, id_of, lambda known: _stands_for_key(known, now))

    async def by_fields(self, same: Same) -> Before:
        """The call with the same key fields in the window before now; raises as `by_key` does.

        One that ended without success and without effect does not count: who asks again means it.
        """
        now = self._clock.now()
        bucket = same.bucket(now)
        here = await self._first(same.org, lambda n: same.call_id(bucket, n), _counts)
        if here.call is not None:
            return here

        def late_enough(known: Known) -> bool:
            return _counts(known) and now - _accepted_at(known) < same.window

        before = await self._first(same.org, lambda n: same.call_id(bucket - 1, n), late_enough)
        return here if before.call is None else before

    async def _first(self, org: str, id_of: IdOf, stands: Stands) -> Before:
        """The first call that stands, else the first id that is free."""
        start = 0
        while True:
            wanted = [id_of(number) for number in range(start, start + AHEAD)]
            known = await self._known(org, wanted, stands)
            for call_id in wanted:
                if call_id in known and stands(known[call_id]):
                    return Before(call_id, self._as_call(known[call_id]))
            free = next((call_id for call_id in wanted if call_id not in known), None)
            if free is not None:
                return Before(free)
            start += AHEAD

    async def _known(self, org: str, wanted: list[str], stands: Stands) -> dict[str, Known]:
        """What memory has of these calls, and the store where memory has none that stands."""
        known: dict[str, Known] = {}
        for call_id in wanted:
            found = self._correlator.ended(org, call_id) or self._correlator.find(org, call_id)
            if found is not None:
                known[call_id] = found
                if stands(found):
                    return known
        rows = await self._store.ask(self._store.calls.some, org, wanted)
        return {row.call.call_id: row for row in rows} | known

    def _as_call(self, known: Known) -> Answer | Pending:
        if not isinstance(known, CallRow):
            return known
        answer = row_answer(known)
        return answer if answer.terminal else self._correlator.follow(known)


def _stands_for_key(known: Known, now: float) -> bool:
    if not isinstance(known, CallRow):
        return True  # what memory has is open, or ended a short while ago
    return known.finished_at is None or now - known.finished_at < KEPT


def _counts(known: Known) -> bool:
    match known:
        case Pending():
            return True
        case Answer():
            seen = _seen.decode(known.body)
            return seen.state == "succeeded" or seen.effect != "none"
        case CallRow():
            return known.finished_at is None or known.state == "succeeded" or known.effect != "none"


def _accepted_at(known: Known) -> float:
    return from_rfc3339(_seen.decode(known.body).created_at) if isinstance(known, Answer) else known.call.accepted_at
