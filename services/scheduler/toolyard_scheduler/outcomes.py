"""Outcomes: what a worker reports, or the scheduler decided, and what follows from it. Pure.

A call has one end. A success of any attempt is one; the failure of an older attempt is only recorded; a failure that
may be followed by another attempt parks the call.
"""

from typing import Final, Literal, cast

from toolyard.contracts.bounds import MOST_ATTEMPTS
from toolyard.contracts.calls import Call
from toolyard.contracts.events import End, Ended, attempts_of, end_state
from toolyard.contracts.retries import may_fall_back, may_follow, only_waits, pause_after
from toolyard.states import Effect, is_terminal
from toolyard.store.ledger_rows import LedgerRow
from toolyard_scheduler import parking, rows, verdicts
from toolyard_scheduler.rows import Around

Meaning = Literal["end", "repeat", "late", "older", "conflict", "retry", "consent", "not_retried", "impossible"]
#: The last attempt of a call: there is no number for one more.
_LAST: Final = MOST_ATTEMPTS - 1


def apply(row: LedgerRow, event: Ended, around: Around) -> Meaning:
    """Fold an outcome into its call; what it was."""
    if event.by != "scheduler" and event.body_hash != row.body_hash:
        return "conflict"
    if event.started_at is not None:
        rows.note_start(row, attempts_of(event), event.started_at)
    if is_terminal(row.state):
        return "repeat" if event.sequence == row.end_sequence else _late(row, event)
    if event.by == "scheduler":
        return _end(row, event)
    if row.settled:
        return _late(row, event)
    succeeded = end_state(cast("End", event)) == "succeeded"
    if not succeeded and _is_no_end(row, event):
        return "older"
    return _end(row, event) if event.final or succeeded else _failed(row, event, around)


def needs_call(event: Ended) -> bool:
    """Whether its meaning depends on what was asked for."""
    return not event.final or event.claim_id is None


def _is_no_end(row: LedgerRow, event: Ended) -> bool:
    """Whether this failure speaks of an older attempt, or for somebody who cannot know what the holder does.

    Without a claim only the first delivery of a tool that may run twice has started: its gateway may have told its end.
    """
    if event.attempt < row.attempt:
        return True
    if event.started_at is None:  # "not started" is an end only if nobody else may have started it
        return event.claim_id != row.holder
    if event.attempt > row.attempt or not _another_holds(row, event):
        return False
    return event.claim_id is not None or row.attempt > 1 or not rows.call_of(row).rerunnable


def _another_holds(row: LedgerRow, event: Ended) -> bool:
    """Whether the attempt was granted to another claim than the one that speaks, or to one where none speaks."""
    return row.holder is not None and row.holder != event.claim_id


def _effect(row: LedgerRow, event: Ended) -> Effect:
    """What the call has done, as far as its worker and its earlier attempts tell."""
    return "unknown" if _another_holds(row, event) else rows.worse(row.effect, event.effect)


def _end(row: LedgerRow, event: Ended) -> Meaning:
    state, effect = end_state(cast("End", event)), event.effect
    if event.by != "scheduler" and state != "succeeded":
        effect = _effect(row, event)
    row.attempt = max(row.attempt, event.attempt)
    if not rows.close(row, state, event.finished_at, event.sequence):
        return "impossible"
    row.effect, row.result, row.error = effect, event.result, event.error
    row.report = event.report or row.report  # the scheduler's word has none: its attempt's is kept
    return "end"


def _failed(row: LedgerRow, event: Ended, around: Around) -> Meaning:
    """The worker thinks that another attempt may follow; the ledger decides.

    Whether it does is decided by what the log tells, so that a ledger that is rebuilt decides the same; when it is due,
    by our clock.
    """
    call, at = rows.call_of(row), around.moment(event.finished_at)
    row.effect = _effect(row, event)
    row.attempt = max(row.attempt, event.attempt)  # the ledger was set back: the log knows more
    if row.doomed is not None:
        verdicts.settle(row, row.doomed, at, running=False)
        return "not_retried"
    row.report = event.report
    meaning = _go_on(row, event, call, at, around) if event.attempt < _LAST else None
    if meaning is not None:
        return meaning
    state = end_state(cast("End", event))
    code = state if event.error is None or state == "timed_out" else event.error.code
    verdicts.settle(row, code, at, running=False, error=event.error)
    return "not_retried"


def _go_on(row: LedgerRow, event: Ended, call: Call, at: float, around: Around) -> Meaning | None:
    """What follows the attempt, if anything does: its user, another try, its fallback, or its provider's recovery."""
    if event.authorization is not None and only_waits(event.error, event.effect):
        parking.park_for_consent(row, event.authorization)
        return "consent"
    if not only_waits(event.error, event.effect) and (again := _try_again(row, event, call, at, around)):
        return again
    if not row.diverted and at < call.deadline and may_fall_back(call, event.error, row.effect):
        row.diverted, row.waived = True, event.attempt
        rows.next_attempt(row, row.effect, around.now)
        return "retry"
    return _wait(row, event, call, at, around)


def _wait(row: LedgerRow, event: Ended, call: Call, at: float, around: Around) -> Meaning | None:
    """Behind an open circuit nothing was tried: no attempt of the policy is spent, and no retry of the budget."""
    if event.error is None or event.error.code != "circuit_open" or event.effect != "none":
        return None
    pause = pause_after(call, event.attempt - row.waived, event.error)
    if at + pause >= call.deadline:
        return None
    row.waived += 1
    rows.next_attempt(row, row.effect, around.now + pause)
    return "retry"


def _try_again(row: LedgerRow, event: Ended, call: Call, at: float, around: Around) -> Meaning | None:
    tried = event.attempt - row.waived
    pause = pause_after(call, tried, event.error)
    may = at + pause < call.deadline and may_follow(call, tried, event.error, event.effect)
    if not may or not around.budget.spend(call.org, call.tool, around.now):
        return None
    rows.next_attempt(row, row.effect, around.now + pause)
    return "retry"


def _late(row: LedgerRow, event: Ended) -> Meaning:
    """The end stays; that there was an effect must not stay untold."""
    row.late_results += 1
    if row.effect == "none" and is_terminal(row.state):
        row.effect = event.effect
    row.changed = True
    return "late"
