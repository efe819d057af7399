"""What follows from a batch, at once, when it is committed: answers leave, leases are noted, duties are woken."""

from toolyard.clock import Clock
from toolyard_scheduler.answers import Answers
from toolyard_scheduler.duties.leases import Leases
from toolyard_scheduler.entries import Folded
from toolyard_scheduler.told import Bell


class Heed:
    """Told by the ledger; one a term.

    Attributes:
        leases: of all grants.
        due: rings when a call is to be dispatched.
        watched: rings when a verdict is to go on.
    """

    def __init__(self, answers: Answers, leases: Leases, clock: Clock) -> None:
        self._answers = answers
        self._clock = clock
        self.leases = leases
        self.due = Bell()
        self.watched = Bell()

    def __call__(self, folded: Folded) -> None:
        """A batch came to this, and is committed."""
        self._answers.send(folded)
        self.leases.note(folded)
        if folded.soonest <= self._clock.now():
            self.due.ring()
            self.watched.ring()
