"""Tickets that have come back: a look at what they stand for, by whichever gateway gets them."""

from typing import Final

from toolyard.clock import Clock
from toolyard.contracts.requests import CallTicket, Ticket
from toolyard.errors import Refused
from toolyard_gateway.amqp import reading
from toolyard_gateway.amqp.looking import Looks
from toolyard_gateway.amqp.telling import Told, call_told, turn_told
from toolyard_gateway.correlation import Correlator
from toolyard_gateway.pending import Answer, row_answer
from toolyard_gateway.reading import Calls
from toolyard_gateway.stores import StoreAccess
from toolyard_gateway.turns import Turns

#: Seconds that one look at a turn may take, and those of its deadline from which on it is not let go any more: it would
#: come back too late.
LOOK: Final = 2.0
LAST: Final = 15.0


class Waiting:
    """Knows what to tell for a ticket, or that it has to wait once more."""

    def __init__(self, *, store: StoreAccess, correlator: Correlator, calls: Calls, turns: Turns, clock: Clock) -> None:
        self._correlator = correlator
        self._calls = calls
        self._turns = turns
        self._clock = clock
        self._looks = Looks(store)

    async def look(self, ticket: Ticket) -> Told | None:
        """What is to be told now; None: nothing yet.

        Raises:
            Refused: what is to be told is a problem.
            StoreUnavailable: the store is away, and nothing is known.
        """
        if ticket.turn is not None:
            left = max(ticket.turn.until - self._clock.now(), LOOK)
            asked = reading.turn_again(ticket.turn, ticket.org, left)
            turned = await self._turns.look(asked, left if left <= LOOK + LAST else LOOK)
            return None if turned is None else turn_told(turned)
        if ticket.call is None:
            raise Refused("internal", "The ticket of this request is empty.")
        answer = await self._call(ticket.org, ticket.call)
        if answer is None:
            return None
        return call_told(answer.deduplicated() if ticket.call.deduplicated else answer)

    async def _call(self, org: str, ticket: CallTicket) -> Answer | None:
        answer = self._correlator.ended(org, ticket.call_id)
        if answer is None:
            row = await self._looks.row(ticket.call_id)
            answer = row_answer(row) if row is not None and row.call.org == org else None
        if answer is not None and answer.body_hash != ticket.body_hash:
            detail = "Another request was accepted under this id."
            raise Refused("conflict", detail, extra={"call_id": ticket.call_id})
        if answer is not None and (answer.terminal or ticket.as_it_stands is not None):
            return answer
        return await self._as_it_stands(org, ticket)

    async def _as_it_stands(self, org: str, ticket: CallTicket) -> Answer | None:
        """A call that has not ended: told where that was asked for, or where its time and more is over."""
        now = self._clock.now()
        wanted = ticket.as_it_stands is not None and now >= ticket.as_it_stands
        if not wanted and now < ticket.until:
            return None
        try:
            answer = await self._calls.get(org, ticket.call_id, 0.0)
        except Refused:
            if now < ticket.until:  # the ledger is behind
                return None
            raise
        return answer if wanted or answer.terminal else None
