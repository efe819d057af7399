"""Cancelling: what nobody can have started ends at once, the rest is asked and then ended by a verdict. Pure."""

from typing import Final

from toolyard.contracts.calls import error_info
from toolyard.contracts.control import Cancel
from toolyard.contracts.events import WITHDRAWN, Withdrawn
from toolyard.store.ledger_rows import LedgerRow
from toolyard_scheduler import rows, verdicts
from toolyard_scheduler.rows import Around

#: The error of a call that its gateway withdrew.
WITHDRAWN_ERROR: Final = error_info(
    "cancelled",
    "its gateway could not be sure that the call was accepted, and withdrew it",
    details=WITHDRAWN,
)
#: Seconds in which a worker may answer a cancel with an outcome of its own.
PATIENCE: Final = 2.0


def cancel(row: LedgerRow, record: Cancel, around: Around) -> None:
    """Somebody wants it to stop."""
    if rows.is_over(row) or row.doomed is not None or rows.call_of(row).org != record.org:
        return
    at, row.doomed = around.moment(record.time), "cancelled"
    if row.holder is None and not row.ending:
        verdicts.end_if_free(row, at, rerunnable=rows.call_of(row).rerunnable)
    if not row.settled and not row.ending:
        row.watch_at = at + PATIENCE
        row.due_at = None


def withdraw(row: LedgerRow, event: Withdrawn) -> bool:
    """A gateway told its caller that the call was not accepted: ends it, if it has not started and is nobody else's."""
    waits = row.state in ("accepted", "queued") or row.parked_for == "not_before"
    free = row.holder is None and row.attempts == 0 and not row.ending and not row.settled
    if not (waits and free) or row.submitters > 1 or row.gateway != event.gateway:
        return False
    row.error = WITHDRAWN_ERROR
    return rows.close(row, "cancelled", event.time, event.sequence)
