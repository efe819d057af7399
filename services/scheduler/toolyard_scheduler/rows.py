"""What the pure parts of the ledger share: how a row moves, ends, goes on to its next attempt, and forgets.

No record is known here, and no answer.
"""

from dataclasses import dataclass, field, replace

from toolyard.contracts.calls import Call
from toolyard.contracts.control import Paused
from toolyard.states import Effect, State, is_terminal, may_follow
from toolyard.store.ledger_rows import LedgerRow
from toolyard_scheduler.budget import Budget, RetryBudget

_ORDER: tuple[Effect, ...] = ("none", "done", "unknown")


@dataclass(frozen=True, slots=True)
class Around:
    """What holds for a whole batch.

    Attributes:
        now: our clock.
        sender: the scheduler that leads.
        pauses: what is paused at this place of the log.
        budget: how many retries there may be.
        undisputed: whether workers may put their clocks right by ours.
    """

    now: float
    sender: str = ""
    pauses: frozenset[Paused] = frozenset()
    budget: Budget = field(default_factory=RetryBudget)
    undisputed: bool = True

    def at(self, _: object) -> "Around":
        """What holds for this record of the batch: while the ledger leads, the same for all of them."""
        return self

    def moment(self, time: float) -> float:
        """When something happened, by its maker's clock; a clock that is ahead of ours does not put it off."""
        return min(time, self.now)

    def with_pauses(self, pauses: frozenset[Paused]) -> "Around":
        """The same with these pauses."""
        return replace(self, pauses=pauses)

    def paused(self, org: str, tool: str) -> bool:
        """Whether nothing of this tool shall start."""
        return bool(self.pauses) and any(
            (each.kind == "org" and each.name == org) or (each.kind == "tool" and (each.org, each.name) == (org, tool))
            for each in self.pauses
        )


def is_over(row: LedgerRow) -> bool:
    """Whether it has ended, or how it ends is decided."""
    return row.settled or is_terminal(row.state)


def call_of(row: LedgerRow) -> Call:
    """What the call asked for; its row was made or loaded with it."""
    call = row.call or row.known
    if call is None:
        raise AssertionError(f"the call {row.call_id} was not loaded")
    return call


def worse(one: Effect, other: Effect) -> Effect:
    """The worse of two effects: nothing is the best, not to know the worst."""
    return max(one, other, key=_ORDER.index)


def may_run_unheard(row: LedgerRow, *, rerunnable: bool) -> bool:
    """Whether it may be running although no claim was granted: that leaves no trace before its outcome.

    Only the first delivery of a tool that may run twice starts so. It did not where it asked or was given up, or where
    there was none: then `LedgerRow.queue_due` is kept. Where a later delivery asked first, that is left open: then the
    effect says so.
    """
    return rerunnable and row.attempt == 1 and (row.effect != "none" or row.queue_due is None)


def may_be_running(row: LedgerRow, *, rerunnable: bool) -> bool:
    """Whether somebody may be running its newest attempt, heard of or not."""
    return row.holder is not None or row.attempts >= row.attempt or may_run_unheard(row, rerunnable=rerunnable)


def move(row: LedgerRow, state: State) -> bool:
    """Go to this state, if that is allowed."""
    if not may_follow(row.state, state):
        return False
    row.state = state
    row.changed = True
    return True


def close(row: LedgerRow, state: State, at: float, sequence: int) -> bool:
    """End, if that is allowed; what was out of the ordinary is forgotten."""
    if not move(row, state):
        return False
    row.finished_at, row.end_sequence = at, sequence
    row.settled = False
    _free(row)
    row.doomed = row.due_at = row.parked_for = row.queue_due = row.consent = row.awaits = None
    return True


def next_attempt(row: LedgerRow, effect: Effect, due_at: float, *, alone: bool = False) -> None:
    """This attempt is over and another follows, at that time."""
    row.effect = worse(row.effect, effect)
    leave_attempt(row)
    row.alone = alone
    row.due_at, row.parked_for = due_at, "retry"
    move(row, "retrying")


def leave_attempt(row: LedgerRow) -> None:
    """This attempt is over and has a successor; no claim of an older one counts any more."""
    row.attempt += 1
    _free(row)
    row.ending = False
    row.consent = row.awaits = None
    row.changed = True


def note_start(row: LedgerRow, attempt: int, at: float) -> None:
    """An attempt is known to have started then."""
    row.attempts = max(row.attempts, attempt)
    row.started_at = at if row.started_at is None else min(row.started_at, at)
    row.changed = True


def _free(row: LedgerRow) -> None:
    """Nobody holds the attempt, and no verdict over it is under way."""
    row.holder = row.spent = row.ending_claim = row.watch_at = row.runs_until = None
    row.alone = row.refused = False
