"""What a delivery needs before its attempt may start: a slot, perhaps the lane of one, perhaps the ledger's leave.

Used by `runtime`. A claim is asked for from inside a slot; one that is not answered at once gives the slot up and waits
in the window beside the slots, so that calls that need no claim go on while the ledger is away.
"""

from functools import partial

from toolyard.contracts.control import ClaimRefused, Granted
from toolyard_executors.claims import Claims
from toolyard_executors.life import Life
from toolyard_executors.places import Slots
from toolyard_executors.telling import Teller


class Entrance:
    """Lets deliveries in.

    Args:
        slots: of this pool; ``lane``: of the whole process, with a single slot.
    """

    def __init__(self, *, slots: Slots, lane: Slots, claims: Claims, teller: Teller) -> None:
        self._slots = slots
        self._lane = lane
        self._claims = claims
        self._teller = teller

    def take(self, life: Life) -> bool:
        """Take a slot, if one is free and that is all it needs."""
        if not life.message.alone and self._slots.take():
            life.has_slot = True
        return life.has_slot

    async def wait(self, life: Life, *, alone: bool) -> None:
        """Wait for a slot, and for the lane of one first where it runs alone."""
        if alone and not life.in_lane:
            life.in_lane = await self._lane.wait()
        if not alone or life.in_lane:
            life.has_slot = await self._slots.wait()
        if not life.has_slot:  # the process stops
            life.put_back()

    async def claim(self, life: Life) -> None:
        """Ask the ledger: it is granted, or not ours to start."""
        while not life.decided and life.grant is None:
            if not life.delivery.alive:  # it is somebody else's by now: no use in a grant
                life.drop()
                return
            answer = await self._claims.ask(life, unanswered=partial(self._leave_slot, life))
            if answer is None:
                life.put_back()
            elif isinstance(answer, ClaimRefused):
                life.forget()
            else:
                await self._granted(life, answer)

    def leave(self, life: Life) -> None:
        """Let the next one in."""
        self._leave_slot(life)
        if life.in_lane:
            life.in_lane = False
            self._lane.give()

    async def _granted(self, life: Life, grant: Granted) -> None:
        life.grant = grant
        if grant.alone and not life.in_lane:
            life.in_lane = self._lane.take()
            if not life.in_lane:
                await self._wait_for_the_lane(life)
                return
        if not life.has_slot:
            life.has_slot = await self._slots.wait(first=True)
            if not life.has_slot:
                life.put_back()

    async def _wait_for_the_lane(self, life: Life) -> None:
        """The lane is taken: nobody holds a grant that long. It is given back now, and asked for anew after."""
        self._leave_slot(life)
        if await self._teller.give_back(life):
            self._claims.gave_back(life)
            await self.wait(life, alone=True)
        else:
            life.put_back()

    def _leave_slot(self, life: Life) -> None:
        if life.has_slot:
            life.has_slot = False
            self._slots.give()
