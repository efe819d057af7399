"""The steps before an attempt starts: each looks at one thing and may decide that it does not.

`runtime` verifies a message first, then has it claimed if it needs that, and then takes the other steps in the order
given here: one for what needed no claim, one for what was granted. Of that the ledger has judged the rest.
"""

from typing import Final

from toolyard.clock import Clock
from toolyard.contracts.calls import ErrorInfo, error_info
from toolyard.contracts.events import WITHDRAWN
from toolyard.errors import ContractError
from toolyard.states import Effect, State
from toolyard.transport.envelope import Envelope
from toolyard.transport.replays import Remembered
from toolyard_executors.cancellation import Cancellations
from toolyard_executors.life import KnownTools, Life
from toolyard_executors.pauses import Pauses

#: Seconds after we know what was cancelled and paused for which accepted calls are claimed all the same: their cancel
#: may have come before us.
MARGIN: Final = 5.0
#: Seconds after its claim was published (last) within which an attempt starts: what the ledger gives an attempt beyond
#: its time, counted from there.
START_WITHIN: Final = 5.0


class Judge:
    """Decides what does not start, and what needs a claim.

    Args:
        cancellations: what must not start.
        pauses: what must not start for now.
    """

    def __init__(
        self,
        *,
        envelope: Envelope,
        pool: str,
        tools: KnownTools,
        cancellations: Cancellations,
        pauses: Pauses,
        clock: Clock,
    ) -> None:
        self._envelope = envelope
        self._pool = pool
        self._seen = Remembered()
        self._tools = tools
        self._cancellations = cancellations
        self._pauses = pauses
        self._clock = clock
        self._unclaimed = (self.time, self.cancellation, self.pause, self.connection, self.tool)
        self._granted = (self.grant, self.cancellation, self.tool)

    def verify(self, life: Life) -> None:
        """What does not verify or decode, is another pool's or was played again, is quarantined."""
        try:
            life.message = self._envelope.open_call_for(self._pool, life.delivery, self._seen)
        except ContractError as error:
            life.reject(f"{error.code}: {error}")
            return
        life.remaining = min(life.message.budget, life.message.call.deadline - self._clock.now())

    def needs_claim(self, life: Life) -> bool:
        """Whether the ledger says who starts it: what must not run twice, and what may have been started before."""
        message = life.message
        call = message.call
        if not call.rerunnable or life.delivery.count > 0 or message.claim == "required":
            return True
        return call.accepted_at < self._pauses.known_since + MARGIN

    def judge(self, life: Life) -> None:
        """All the other steps, until one decides."""
        for step in self._unclaimed if life.grant is None else self._granted:
            if life.decided:
                return
            step(life)

    # ---- what was granted -----------------------------------------------------------------------
    def grant(self, life: Life) -> None:
        """What cannot start now is given back: its delivery is not ours any more, or too much time has passed."""
        waited = self._clock.monotonic() - life.claimed_at
        if not life.delivery.alive or life.late or waited > START_WITHIN or self._left(life) <= 0:
            life.put_back()

    # ---- what needed no claim -------------------------------------------------------------------
    def time(self, life: Life) -> None:
        """What is overdue is never started."""
        call = life.message.call
        if self._left(life) <= 0:
            self._expire(life, "its deadline passed before it was started")
        elif call.queue_timeout is not None and self._clock.now() - call.accepted_at > call.queue_timeout:
            self._expire(life, f"it was not started within {call.queue_timeout:g} s")

    def pause(self, life: Life) -> None:
        """What is paused waits with the ledger, not here."""
        if self._pauses.holds(life.message.call):
            life.park(now=self._clock.now())

    def connection(self, life: Life) -> None:
        """What came on a connection that is gone is delivered again, perhaps to somebody else: not ours any more."""
        if not life.delivery.alive:
            life.drop()

    # ---- both -----------------------------------------------------------------------------------
    def cancellation(self, life: Life) -> None:
        """What was cancelled or withdrawn is never started."""
        why = self._cancellations.why(life.message.call)
        if why is not None:
            details = WITHDRAWN if why == "withdrawn" else None
            error = error_info("cancelled", f"{why} before it was started", details=details)
            self._end(life, "cancelled", "none", error)

    def tool(self, life: Life) -> None:
        """What cannot be run here ends at once, before it had any effect."""
        try:
            life.known = self._tools.get(bytes(life.message.tool))
        except ContractError as error:
            life.quarantine = f"{error.code}: {error}"
            self._refuse(life, "the tool's binding cannot be read")
        except ValueError as error:
            self._refuse(life, str(error))

    def _left(self, life: Life) -> float:
        """Seconds until the deadline."""
        return life.remaining - (self._clock.monotonic() - life.received)

    def _expire(self, life: Life, message: str) -> None:
        self._end(life, "expired", "none", error_info("expired", message, phase="queue"))

    def _refuse(self, life: Life, why: str) -> None:
        self._end(life, "failed", "none", error_info("internal", f"this worker cannot run it: {why}"))

    def _end(self, life: Life, state: State, effect: Effect, error: ErrorInfo) -> None:
        life.end(state, effect, now=self._clock.now(), error=error)
