"""Verdicts: how the ledger ends a call that may be running, in two marks, so that every outcome is heard. Pure.

``ending`` tells gateways to wait for the ledger; ``settled`` follows when all that was on its way then is in the log.
Without an outcome before it, the verdict counts. `toolyard_scheduler.duties.verdicts` publishes the marks and the end.
"""

from typing import Final

from toolyard.contracts.bounds import MOST_ATTEMPTS
from toolyard.contracts.calls import ErrorInfo, Phase, error_info
from toolyard.contracts.control import Settled
from toolyard.contracts.events import Ending
from toolyard.errors import CODES
from toolyard.states import Effect, State
from toolyard.store.ledger_rows import LedgerRow
from toolyard_scheduler import rows
from toolyard_scheduler.rows import Around

#: The code of an `Ending` that is no end for a tool that may run twice: its worker fell silent.
LAPSED: Final = "outcome_unknown"
#: Seconds between the marks: longer than the broker takes to route.
BETWEEN_MARKS: Final = 1.0
#: Workers that may die with a call in the lane of one.
MOST_DEATHS: Final = 3

#: Characters of a code that is none of ours.
_TOLD: Final = 64

#: What a call is ended for whose time is over; which of the two it is told, what was started of it decides.
_OVERDUE: Final = frozenset({"timed_out", "expired"})
#: Code -> state of the end; every other code is a failure.
_STATES: Final[dict[str, State]] = {
    "authorization_expired": "expired",
    "cancelled": "cancelled",
    "expired": "expired",
    "timed_out": "timed_out",
}
_TEXTS: Final = {
    "cancelled": "it was cancelled",
    "outcome_unknown": "its worker fell silent while it may have been running; nobody knows what it did",
    "poisoned": f"{MOST_DEATHS} workers died while they ran it",
    "internal": "it could not be dispatched or delivered",
    "authorization_expired": "its user did not consent in time",
    "permission_denied": "its user, or who is asked for the user's consent, refused",
}


def state_of(code: str) -> State:
    """The state of a call that ends with this code."""
    return _STATES.get(code, "failed")


def begin(row: LedgerRow, ending: Ending, around: Around) -> None:
    """The first mark. It counts for the claim that it names, as long as that one holds the attempt."""
    if rows.is_over(row) or ending.attempt != row.attempt or ending.claim_id != (row.holder or ""):
        return
    row.ending, row.ending_claim = True, ending.claim_id
    row.changed = True
    if row.doomed is None and (ending.code != LAPSED or row.holder is None):
        row.doomed = ending.code
    row.watch_at = around.moment(ending.time) + BETWEEN_MARKS


def decide(row: LedgerRow, mark: Settled, around: Around) -> None:
    """The second mark: the verdict, or the next attempt of a call that may run twice."""
    if rows.is_over(row) or not row.ending or (mark.attempt, mark.claim_id) != (row.attempt, row.ending_claim or ""):
        return
    at, rerunnable = around.moment(mark.time), rows.call_of(row).rerunnable
    if row.doomed is not None:
        settle(row, row.doomed, at, running=rows.may_be_running(row, rerunnable=rerunnable))
    elif not rerunnable:
        settle(row, LAPSED, at, running=True)
    else:
        row.deaths += row.alone
        if row.deaths >= MOST_DEATHS or row.attempt >= MOST_ATTEMPTS:
            settle(row, "poisoned", at, running=True)
        else:
            rows.next_attempt(row, "unknown", at, alone=True)


def end_if_free(row: LedgerRow, at: float, *, rerunnable: bool) -> None:
    """It shall end, and nobody holds it. What cannot be running ends at once; the rest by the two marks."""
    if rows.may_be_running(row, rerunnable=rerunnable):
        row.watch_at = at
    else:
        settle(row, row.doomed or "cancelled", at, running=False)


def end_of(code: str, *, attempts: int, effect: Effect, running: bool) -> tuple[str, Effect]:
    """The code and the effect of a call that the ledger ends.

    Args:
        code: what it is ended for: a cancel, its deadline, its time in the queue, or what went wrong.
        attempts: how many started.
        effect: the worst effect of those that are over.
        running: whether one may be running.
    """
    if running:
        effect = "unknown"
    if code in _OVERDUE:
        code = "timed_out" if attempts or effect != "none" else "expired"
    return code, effect


def settle(row: LedgerRow, code: str, at: float, *, running: bool, error: ErrorInfo | None = None) -> None:
    """How it ends is decided: nothing but the scheduler's event that tells it changes the row from here on."""
    if error is None and code not in CODES:
        text = f"it was told to end as {code[:_TOLD]!r}, which is none of our ends"
        code, error = "internal", error_info("internal", text, retryable=False)
    if code in _OVERDUE and row.parked_for == "authorization":
        code = "authorization_expired"
    told, row.effect = end_of(code, attempts=row.attempts, effect=row.effect, running=running)
    if error is None:  # else its worker has said in which phase it timed out
        code = told
    row.doomed, row.settled, row.ending = code, True, True
    row.error = _error(code) if error is None else error
    row.holder = row.runs_until = row.due_at = row.parked_for = row.spent = row.ending_claim = row.awaits = None
    row.refused = row.alone = False
    row.watch_at = at
    row.changed = True


def _error(code: str) -> ErrorInfo:
    phase: Phase | None = None
    if code == "expired":
        phase, text = "queue", "its time was over before it was started"
    elif code == "timed_out":
        phase, text = "deadline", "no outcome came before its time was over; it may have been started"
    else:
        text = _TEXTS.get(code, code)
    return error_info(code, text, retryable=False, phase=phase)
