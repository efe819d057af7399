"""Claims: who may start an attempt. Pure; docs/concepts/claims.md tells why each line is there.

One grant for a call and attempt; the same claim gets the same answer; every other one is told that it was started.
"""

from typing import Final, Literal

from toolyard.contracts.control import Claim, Released
from toolyard.store.ledger_rows import LedgerRow
from toolyard_scheduler import parking, rows, verdicts
from toolyard_scheduler.rows import Around
from toolyard_scheduler.spent import is_spent, with_spent

#: Seconds that a grant lasts without a sign of life of its worker.
LEASE: Final = 15.0
#: Seconds after an attempt's time in which its outcome may still come in.
ATTEMPT_GRACE: Final = 5.0

Word = Literal["granted", "started", "terminal", "paused"]


def decide(row: LedgerRow, claim: Claim, around: Around) -> Word:
    """The answer to a claim, which may be a repeat of one that was answered long ago."""
    if rows.is_over(row):
        return "terminal"
    if row.holder == claim.claim_id:
        row.runs_until = max(row.runs_until or 0.0, _runs_until(claim, around))  # it has not begun before this repeat
        return "granted"
    foreign = claim.body_hash != row.body_hash  # another submission under the same id: it is told of the conflict
    if claim.attempt < row.attempt or foreign:
        return "started"
    if row.holder is None:
        _note_delivery(row, claim)
    if is_spent(row.spent, claim.claim_id):
        return "started"
    if row.holder is not None or row.ending:
        row.spent = with_spent(row.spent, claim.claim_id)
        row.refused = True
        return "started"
    if row.doomed is not None or _overdue(row, claim, around):
        return _too_late(row, claim, around)
    if around.paused(claim.org, claim.tool):
        parking.park_for_pause(row, claim.deadline)
        row.spent = with_spent(row.spent, claim.claim_id)  # a repeat may come after the pause, its message does not
        return "paused"
    _grant(row, claim, around)
    return "granted"


def give_back(row: LedgerRow, released: Released, around: Around) -> None:
    """A grant that was not used: the attempt is free again, at no cost.

    If another message of it was refused and dropped meanwhile, it is dispatched: there is none left.
    """
    if rows.is_over(row):
        return
    if released.attempt == row.attempt:  # one of an attempt that is over is refused without being remembered
        row.spent = with_spent(row.spent, released.claim_id)
    if row.holder != released.claim_id:
        return
    refused, row.refused = row.refused, False
    row.holder = row.runs_until = row.watch_at = row.ending_claim = None
    row.ending = False
    if row.attempt > 1 or row.started_at is None:
        row.attempts = min(row.attempts, row.attempt - 1)
    rows.move(row, "queued")
    at = around.moment(released.time)
    if row.doomed is not None:
        verdicts.end_if_free(row, at, rerunnable=rows.call_of(row).rerunnable)
    elif refused:
        row.due_at = at


def _note_delivery(row: LedgerRow, claim: Claim) -> None:
    """A first delivery that asks has not been started; any other tells of an earlier one that may have been."""
    if not rows.may_run_unheard(row, rerunnable=claim.rerunnable):
        return
    if claim.first:
        row.queue_due = claim.deadline if claim.queue_timeout is None else claim.accepted_at + claim.queue_timeout
    else:
        row.effect = "unknown"


def _grant(row: LedgerRow, claim: Claim, around: Around) -> None:
    row.holder = claim.claim_id
    row.fence += 1
    row.refused = row.due_at is not None  # its dispatch is put off, and the message of this claim may be gone
    row.alone = row.alone or claim.again
    row.due_at = row.parked_for = row.consent = row.awaits = None
    row.runs_until = _runs_until(claim, around)
    row.attempts = max(row.attempts, claim.attempt)
    rows.move(row, "queued")  # what was parked comes by way of the queue
    rows.move(row, "running")


def _too_late(row: LedgerRow, claim: Claim, around: Around) -> Word:
    """Nobody holds it, and it is cancelled or overdue. Only a rerunnable call may be running all the same."""
    if row.doomed is None:
        row.doomed = "expired"
    verdicts.end_if_free(row, around.moment(claim.time), rerunnable=claim.rerunnable)
    if row.settled:
        return "terminal"
    row.spent = with_spent(row.spent, claim.claim_id)
    return "started"


def _overdue(row: LedgerRow, claim: Claim, around: Around) -> bool:
    now = around.moment(claim.time)
    if now > claim.deadline:
        return True
    if claim.queue_timeout is None or row.attempts > 0:
        return False
    if row.due_at is not None:  # it was parked until just now
        return now > row.due_at + claim.queue_timeout
    return now > (claim.accepted_at + claim.queue_timeout if row.queue_due is None else row.queue_due)


def _runs_until(claim: Claim, around: Around) -> float:
    """By our clock: it starts at the earliest when it is answered, and its worker's clock may be minutes behind."""
    return around.now + claim.attempt_timeout + ATTEMPT_GRACE
