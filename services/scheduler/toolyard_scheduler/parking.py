"""Parking: a call that waits for a time, for the end of a pause or for its user, and how it comes into its queue. Pure.

A parked call holds nothing of a worker and nothing of our memory: it is a row.
"""

from toolyard.contracts.calls import Authorization, CallMessage
from toolyard.contracts.codec import encode_json
from toolyard.contracts.control import Authorized
from toolyard.contracts.events import Parked
from toolyard.store.ledger_rows import LedgerRow, authorization_key
from toolyard_scheduler import rows, verdicts
from toolyard_scheduler.rows import Around


def is_for_later(message: CallMessage) -> bool:
    """Whether this is a call that waits for its time: the log alone has it. The scheduler dispatches it, claimed."""
    return message.call.not_before is not None and message.attempt == 1 and message.claim == "if_needed"


def park_until(row: LedgerRow, due_at: float, deadline: float) -> None:
    """It waits for its time."""
    rows.move(row, "scheduled")
    row.due_at, row.parked_for, row.queue_due = due_at, "not_before", deadline


def park_for_pause(row: LedgerRow, deadline: float) -> None:
    """It waits for the end of a pause; `toolyard.store.ledger` makes it due."""
    rows.move(row, "scheduled")
    row.due_at, row.parked_for, row.queue_due = None, "paused", deadline


def parked_by_worker(row: LedgerRow, event: Parked, around: Around) -> None:
    """A worker gave up the first delivery of a paused tool. If the pause is over meanwhile, it is due at once."""
    if rows.is_over(row) or event.by == "scheduler" or event.attempt != row.attempt or row.holder is not None:
        return
    park_for_pause(row, event.deadline)
    if not around.paused(event.org, event.tool):
        row.due_at = around.moment(event.time)


def park_for_consent(row: LedgerRow, authorization: Authorization) -> None:
    """It waits for what its user has to consent to; the attempt that found it out is over, and tried nothing."""
    rows.leave_attempt(row)
    row.waived += 1
    row.due_at, row.parked_for = None, "authorization"
    row.consent = encode_json(authorization).decode()
    row.awaits = authorization_key(authorization.provider, authorization.authorization_id)
    rows.move(row, "awaiting_authorization")


def authorized(row: LedgerRow, record: Authorized, around: Around) -> None:
    """What it waits for came, or will not come. The next attempt looks for itself before it does anything."""
    if rows.is_over(row) or row.awaits != authorization_key(record.provider, record.authorization_id):
        return
    if rows.call_of(row).org != record.org:
        return
    at = around.moment(record.time)
    row.awaits = None
    if record.status == "completed":
        row.due_at = at
    else:
        code = "authorization_expired" if record.status == "expired" else "permission_denied"
        verdicts.settle(row, code, at, running=False)


def dispatched(row: LedgerRow, message: CallMessage, offset: int) -> None:
    """The scheduler gave this attempt to its pool's queue. The time it was parked is not counted as waiting there."""
    if rows.is_over(row) or message.attempt < row.attempt:
        return
    row.diverted = row.diverted or message.diverted or (row.pool != "" and message.call.pool != row.pool)
    if message.attempt > row.attempt:  # the ledger was set back: the log knows more
        rows.next_attempt(row, "none", 0.0)
        row.attempt, row.waived = message.attempt, message.waived
    row.log_offset, row.changed = offset, True  # what an embedded process puts back into its queue at its start
    row.due_at = row.consent = row.awaits = None
    if row.holder is not None:
        return
    call = message.call
    if row.parked_for is not None and call.queue_timeout is not None:
        row.queue_due = call.deadline - message.budget + call.queue_timeout
    row.parked_for = None
    rows.move(row, "queued")
