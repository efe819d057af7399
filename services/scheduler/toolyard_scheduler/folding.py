"""What the records of the log mean: each is folded into the row of its call. Pure: no I/O, no clock.

The ledger calls it inside a batch's transaction. Here is decided which record is whose; what it does to its call is in
`claims`, `outcomes`, `verdicts`, `parking` and `cancelling`. States move as `toolyard.states` allows.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from toolyard.contracts.calls import Call, CallMessage
from toolyard.contracts.control import (
    AuthorizationAsked,
    Authorized,
    Cancel,
    Claim,
    Pause,
    PausesAsked,
    Released,
    Resume,
    Settled,
)
from toolyard.contracts.events import (
    CallEvent,
    Cancelled,
    Claimed,
    Ended,
    Ending,
    Expired,
    Failed,
    Parked,
    Rejected,
    SoftTimeout,
    Started,
    Succeeded,
    TimedOut,
    Withdrawn,
)
from toolyard.states import is_terminal
from toolyard.store.ledger_rows import LedgerRow, Submission
from toolyard_scheduler import cancelling, claims, metrics, outcomes, parking, rows, telling, verdicts
from toolyard_scheduler.entries import AboutCall, Consent, Entry, Folded, Grant
from toolyard_scheduler.rows import Around

#: Tuples, because they are asked for each record of the log.
_ABOUT_MANY: Final = (Pause, Resume, PausesAsked, AuthorizationAsked)
_NEED_CALL: Final = frozenset({Released, Settled, Cancel, Authorized})
_TELL_CALL: Final = (CallEvent, Claim)
_SAID_BY_WORKERS: Final = (Ended, Started, SoftTimeout, Parked)


def fold(entries: Sequence[Entry], folded: Folded, around: Around) -> None:
    """Fold these records about calls, in order, into the rows that are there; rows that are missing are made."""
    for entry in entries:
        content, here = entry.content, around.at(entry.content)
        if isinstance(content, CallMessage):
            _submitted(folded, content, entry.offset, here)
            continue
        if _is_foreign(folded.rows.get(entry.call_id), entry):
            folded.foreign.append(entry)
            continue
        row = None if isinstance(content, _ABOUT_MANY) else _row(folded, content)
        if row is None:  # a word about a call that nobody has told us of
            continue
        holder, until = row.holder, row.runs_until
        _FOLDS[type(content)](folded, row, content, here)
        if row.holder != holder or row.runs_until != until:
            _holder_changed(folded, row, holder, here)


def calls_to_know(entries: Sequence[Entry], there: Mapping[str, LedgerRow]) -> list[str]:
    """The calls, of those that are there, whose records can only be folded if it is known what was asked for."""
    found = {call_id: True for call_id, row in there.items() if row.diverted}
    for entry in entries:
        content = entry.content
        kind = type(content)
        if kind is Succeeded or kind is CallMessage:
            continue
        if kind in _NEED_CALL or (isinstance(content, Ended) and outcomes.needs_call(content)):
            found[entry.call_id] = True
    return [call_id for call_id in found if call_id in there]


# ---- one function for each kind of record ---------------------------------------------------------
def _submitted(folded: Folded, message: CallMessage, offset: int, around: Around) -> None:
    call = message.call
    row = folded.rows.get(call.call_id)
    if row is not None and _is_untrue(row, call):
        folded.untrue.append(call.call_id)
        if row.holder is not None:
            folded.freed.append(row.holder)
        row = None
    if row is None:
        row = _add(folded, call, offset)
        row.attempt, row.waived, row.diverted = message.attempt, message.waived, message.diverted
        if parking.is_for_later(message):
            parking.park_until(row, call.not_before or 0.0, call.deadline)
        folded.counts["accepted"] += 1
        around.budget.earn(call.org, call.tool)
        return
    same = row.body_hash == call.body_hash
    if row.log_offset is None and same:  # its events came first: now the call itself is known
        row.call, row.gateway, row.log_offset, row.changed = call, call.gateway, offset, True
        row.pool = call.pool
        folded.counts["accepted"] += 1
    elif row.gateway != call.gateway or not same:
        row.submitters += 1
        row.changed = True
        again = Submission(call.call_id, call.gateway, call.body_hash, call.accepted_at, conflict=not same)
        folded.submissions.append(again)
        folded.counts["conflicts" if again.conflict else "resubmitted"] += 1
    if same and (message.claim == "required" or message.attempt > row.attempt):
        parking.dispatched(row, message, offset)


def _started(_: Folded, row: LedgerRow, event: Started, __: Around) -> None:
    if is_terminal(row.state):
        if row.state == "cancelled" and row.started_at is None and row.effect == "none":
            row.effect = "unknown"  # it was withdrawn in the very moment in which a worker began
    elif row.state == "queued" and event.attempt == row.attempt:
        rows.move(row, "running")
    rows.note_start(row, event.attempt, event.time)


def _ended(folded: Folded, row: LedgerRow, event: Ended, around: Around) -> None:
    meaning = outcomes.apply(row, event, around)
    folded.counts[row.state if meaning == "end" else _COUNTS.get(meaning, meaning)] += 1
    if meaning == "end" and event.error is not None:
        metrics.failed(folded.counts, event.error.code)
    if meaning in ("retry", "consent"):
        _parked_now(folded, row, event, around)
    if meaning == "consent" and event.authorization is not None:
        folded.consents.append(Consent(event.authorization, rows.call_of(row), around.moment(event.time)))


def _claim(folded: Folded, row: LedgerRow, claim: Claim, around: Around) -> None:
    word = claims.decide(row, claim, around)
    folded.counts[f"claims_{word}"] += 1
    if word == "granted":
        folded.answers.append(telling.granted(row, claim, around))
        return
    folded.answers.append(telling.refused(claim, word, around))
    if word == "paused":
        _parked_now(folded, row, claim, around)


def _released(_: Folded, row: LedgerRow, record: Released, around: Around) -> None:
    claims.give_back(row, record, around)


def _ending(_: Folded, row: LedgerRow, event: Ending, around: Around) -> None:
    verdicts.begin(row, event, around)


def _settled(_: Folded, row: LedgerRow, record: Settled, around: Around) -> None:
    verdicts.decide(row, record, around)


def _cancel(_: Folded, row: LedgerRow, record: Cancel, around: Around) -> None:
    cancelling.cancel(row, record, around)


def _authorized(_: Folded, row: LedgerRow, record: Authorized, around: Around) -> None:
    parking.authorized(row, record, around)


def _parked(_: Folded, row: LedgerRow, event: Parked, around: Around) -> None:
    parking.parked_by_worker(row, event, around)


def _withdrawn(folded: Folded, row: LedgerRow, event: Withdrawn, _: Around) -> None:
    folded.counts["cancelled"] += cancelling.withdraw(row, event)


def _nothing(_: Folded, __: LedgerRow, ___: object, ____: Around) -> None:
    """The record changes nothing in the ledger."""


_FOLDS: Final[dict[type, Callable[..., None]]] = {
    Claim: _claim,
    Claimed: _nothing,
    Authorized: _authorized,
    Cancel: _cancel,
    Ending: _ending,
    Parked: _parked,
    Released: _released,
    Settled: _settled,
    SoftTimeout: _nothing,
    Started: _started,
    Withdrawn: _withdrawn,
    **dict.fromkeys((Succeeded, Failed, TimedOut, Expired, Cancelled, Rejected), _ended),
}
_COUNTS: Final = {
    "late": "late_results",
    "older": "older_attempts",
    "retry": "retries",
    "consent": "consents",
    "repeat": "repeated_outcomes",
    "conflict": "foreign_outcomes",
}


# ---- what they share ------------------------------------------------------------------------------
def _is_foreign(row: LedgerRow | None, entry: Entry) -> bool:
    """Whether a worker speaks of another pool's call. The pool it names is its own: its signature was held to that."""
    content = entry.content
    if row is None or not row.pool:
        return False
    pool = entry.pool
    if isinstance(content, Claim) or (isinstance(content, _SAID_BY_WORKERS) and _by_worker(content)):
        pool = content.pool
    elif not isinstance(content, Released):
        return False
    if pool in ("", "-", row.pool):
        return False
    call = row.call or row.known
    return not row.diverted or (call is not None and pool != call.fallback)


def _is_untrue(row: LedgerRow, call: Call) -> bool:
    """Whether all that is known of this call was said, before its own record came, by a pool that it is not for.

    Ids of calls can be known before: those of schedules, and of keys that follow a pattern.
    """
    if row.log_offset is not None or row.pool in ("", call.pool):
        return False
    return row.pool != call.fallback or row.body_hash != call.body_hash


def _by_worker(content: CallEvent) -> bool:
    return not isinstance(content, Ended | Parked) or content.by == "executor"


def _row(folded: Folded, content: AboutCall) -> LedgerRow | None:
    """The call's row, made of the record itself where its accepted record was not seen and it tells enough."""
    row = folded.rows.get(content.call_id)
    if isinstance(content, _TELL_CALL):
        if row is None:
            row = _add(folded, telling.call_told_by(content), None)
            row.attempt = content.attempt or 1
        elif content.attempt > row.attempt and _may_go_on(row, content):
            row.attempt, row.changed = content.attempt, True
    return row


def _may_go_on(row: LedgerRow, content: CallEvent | Claim) -> bool:
    """Whether a word about a later attempt tells that this one is over: the ledger was set back, the log knows more."""
    return not rows.is_over(row) and row.holder is None and content.body_hash == row.body_hash


def _add(folded: Folded, call: Call, offset: int | None) -> LedgerRow:
    row = LedgerRow(
        call_id=call.call_id,
        gateway=call.gateway,
        body_hash=call.body_hash,
        state="queued",
        log_offset=offset,
        pool=call.pool,
        call=call,
        new=True,
    )
    folded.rows[call.call_id] = row
    return row


def _parked_now(folded: Folded, row: LedgerRow, told: CallEvent | Claim, around: Around) -> None:
    folded.counts["parked"] += 1
    folded.parked.append(telling.parked(row, told, around))


def _holder_changed(folded: Folded, row: LedgerRow, before: str | None, around: Around) -> None:
    if before is not None and before != row.holder:
        folded.freed.append(before)
    if row.holder is not None:
        folded.granted.append(Grant(row.call_id, row.holder, (row.runs_until or around.now) - around.now))
