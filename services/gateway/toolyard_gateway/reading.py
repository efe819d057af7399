"""Calls as one may read them: from this gateway's memory while it knows best, else from the store.

Called by the call operations and the event streams. Everything is bound to one org.
"""

import asyncio
from typing import Final

from toolyard import ids
from toolyard.clock import Clock
from toolyard.errors import Refused, StoreUnavailable
from toolyard.store.base import CallFilter, CallRow, Page
from toolyard_gateway.admission import Admission
from toolyard_gateway.correlation import OVERDUE, Correlator
from toolyard_gateway.pending import Answer, Pending, row_answer
from toolyard_gateway.stores import StoreAccess

#: Seconds until an id that the ledger does not have yet is not found, and the pauses between looking.
NOT_YET: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.5)


class Calls:
    """Reads calls and waits for them."""

    def __init__(self, store: StoreAccess, correlator: Correlator, clock: Clock) -> None:
        self._store = store
        self._correlator = correlator
        self._clock = clock

    async def outcome(self, admission: Admission, wait: float) -> Answer:
        """The call that was let in, ended or as it stands after ``wait`` seconds.

        At once if it starts after those, or waits for its user.
        """
        pending, answer = admission.pending, admission.answer
        if answer is None and pending is not None:
            put_off = (pending.call.not_before or 0.0) > self._clock.now() + wait
            await self._correlator.wait(pending, 0.0 if put_off else wait, for_user=False)
            answer = await self.as_it_stands(pending)
        if answer is None:
            raise AssertionError("what was admitted has an answer or is pending")
        return answer.deduplicated() if admission.repeated else answer

    async def get(self, org: str, call_id: str, wait: float) -> Answer:
        """A call; waits for its end, and a moment for the ledger to have it.

        Raises:
            Refused: ``not_found``.
            StoreUnavailable: the store is away, and this gateway does not know the call.
        """
        known = await self.find(org, call_id)
        if isinstance(known, Answer):
            return known
        await self._correlator.wait(known, wait)
        return await self.as_it_stands(known)

    async def find(self, org: str, call_id: str) -> Answer | Pending:
        """A call that has ended, or one to wait for; raises as `get` does."""
        if not ids.is_id(call_id):
            raise _not_found(call_id)
        for pause in (*NOT_YET, None):
            found = self._correlator.ended(org, call_id) or self._correlator.find(org, call_id)
            if found is None and (row := await self._store.ask(self._store.calls.get, org, call_id)) is not None:
                ended = row_answer(row)
                found = ended if ended.terminal else self._correlator.follow(row)
            if found is not None:
                return found
            if pause is not None:
                await asyncio.sleep(pause)
        raise _not_found(call_id)

    async def as_it_stands(self, pending: Pending) -> Answer:
        """What is known now; of a call that takes long, is in doubt or is not ours, the ledger knows more."""
        young = self._clock.monotonic() - pending.since < OVERDUE
        doubted = pending.held or pending.ledger_only
        if pending.answer is not None or pending.refusal is not None or (young and not doubted):
            return pending.now()
        try:
            row = await self._store.ask(self._store.calls.get, pending.call.org, pending.call.call_id)
        except StoreUnavailable:
            return pending.now()
        if row is None or pending.over.done() or row.call.body_hash != pending.call.body_hash:
            return pending.now()
        return row_answer(row)

    async def list(self, org: str, wanted: CallFilter, *, cursor: str | None, limit: int) -> Page[CallRow]:
        """The org's calls, newest first; raises ValueError for a cursor that is none of ours."""
        return await self._store.ask(self._store.calls.list, org, wanted, cursor=cursor, limit=limit)


def _not_found(call_id: str) -> Refused:
    return Refused("not_found", f"There is no call {call_id[:64]!r}.")
