"""What happened to a call: one tagged union, told apart by ``event``.

Gateways, executors and the scheduler publish them; the ledger folds them; waiters are answered from them.
"""

from typing import Any, Literal

from msgspec import Struct

from toolyard.contracts.bounds import Amount, Attempt, Label, LongNumber, Name, Number, Pool, Time, Word
from toolyard.contracts.calls import VERSION, Authorization, Call, ErrorInfo, Report, Result
from toolyard.states import Effect, State


class CallEvent(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    """What all events of a call carry, enough for the ledger to make the call's row should its record be missing.

    Attributes:
        sequence: attempt x 1,000,000 + n, counted by that attempt's producer (gateway: attempt 0; scheduler: n from
            900,000); orders the events of one call.
        time: when it happened.
    """

    v: int
    call_id: Name
    org: Name
    tool: Name
    version: Number
    pool: Pool
    gateway: Name
    deadline: Time
    body_hash: Word
    attempt: Attempt
    sequence: LongNumber
    time: Time
    traceparent: Label | None = None


class Started(CallEvent, frozen=True, kw_only=True, tag="started"):
    """An attempt runs; for an unclaimed attempt published only once it has run 250 ms."""

    worker: Name


class Withdrawn(CallEvent, frozen=True, kw_only=True, tag="withdrawn"):
    """The gateway got no confirm and told its caller so: cancels a call that has not started."""


#: The details of the error of a call that a withdrawal ended.
WITHDRAWN: dict[str, Any] = {"withdrawn": True}


class SoftTimeout(CallEvent, frozen=True, kw_only=True, tag="soft_timeout"):
    """An attempt has used most of its time; ``ends_at`` is when it is stopped."""

    ends_at: Time
    worker: Name


class Progress(CallEvent, frozen=True, kw_only=True, omit_defaults=True, tag="progress"):
    """How far an attempt has come, as its tool says; for followers alone, not in the log, and nobody counts on it.

    Attributes:
        done: of ``total``, where that is known; in whatever the tool counts.
        message: for people.
        conversation: of the call, as ``user`` is: there is no row to look into.
    """

    done: Amount
    total: Amount | None = None
    message: Label | None = None
    worker: Name
    conversation: Label | None = None
    user: Label | None = None


class Parked(CallEvent, frozen=True, kw_only=True, omit_defaults=True, tag="parked"):
    """It waits and holds nothing of a worker: for a time (``due_at``), for the end of a pause, or for its user.

    Attributes:
        diverted: the next attempt is its fallback's.
    """

    reason: Literal["retry", "not_before", "paused", "authorization"]
    due_at: Time | None = None
    by: Literal["executor", "scheduler"] = "scheduler"
    authorization: Authorization | None = None
    diverted: bool = False


class Claimed(CallEvent, frozen=True, kw_only=True, tag="claimed"):
    """More than one worker may speak of this call: from here on a gateway takes the ledger's word alone."""


class Ending(CallEvent, frozen=True, kw_only=True, omit_defaults=True, tag="ending"):
    """The first step of the scheduler's verdict over a call that may be running.

    Attributes:
        claim_id: whose grant it is about; empty where nobody holds one.
    """

    code: Word
    claim_id: Word = ""


class Ended(CallEvent, frozen=True, kw_only=True, omit_defaults=True):
    """An outcome: how an attempt, and mostly the call, ended.

    Attributes:
        report: of the attempt that ended so; absent in the scheduler's word.
        by: who says so. The scheduler's verdicts outrank a worker's report for a gateway past ``ending``.
        started_at: when the attempt started, or the call's first one in the scheduler's word; absent where none did.
        announced: its worker has published `Started` for it; if not, this is the first that anybody hears of its start.
        authorization: what the user has to consent to before another attempt can do anything; with the code
            ``authorization_required``.
        attempts: how many had started, in the scheduler's word, which may come between two; see `attempts_of`.
        final: false where the error is retryable and the ledger decides what follows.
    """

    effect: Effect
    finished_at: Time
    result: Result | None = None
    error: ErrorInfo | None = None
    report: Report | None = None
    started_at: Time | None = None
    announced: bool = False
    worker: Name | None = None
    by: Literal["executor", "scheduler", "gateway"] = "executor"
    claim_id: Word | None = None
    fence: Number | None = None
    final: bool = True
    attempts: Attempt | None = None
    authorization: Authorization | None = None


class Succeeded(Ended, frozen=True, kw_only=True, tag="succeeded"):
    """The tool ran and answered."""


class Failed(Ended, frozen=True, kw_only=True, tag="failed"):
    """The tool, its upstream or its worker failed."""


class TimedOut(Ended, frozen=True, kw_only=True, tag="timed_out"):
    """It was started and took too long."""


class Expired(Ended, frozen=True, kw_only=True, tag="expired"):
    """It was overdue before any start; effect ``none``."""


class Cancelled(Ended, frozen=True, kw_only=True, tag="cancelled"):
    """It was asked to stop, and did."""


class Rejected(Ended, frozen=True, kw_only=True, tag="rejected"):
    """A person refused it."""


End = Succeeded | Failed | TimedOut | Expired | Cancelled | Rejected
Event = Started | SoftTimeout | Parked | Claimed | Withdrawn | Ending | End

ENDS: dict[State, type[End]] = {
    "succeeded": Succeeded,
    "failed": Failed,
    "timed_out": TimedOut,
    "expired": Expired,
    "cancelled": Cancelled,
    "rejected": Rejected,
}


def event_name(event: CallEvent) -> str:
    """The word of the event, as it stands in routing keys and CloudEvents types."""
    return str(event.__struct_config__.tag)


def end_state(event: End) -> State:
    """The state that an outcome leads to."""
    return event_name(event)  # type: ignore[return-value]


def attempts_of(event: Ended) -> int:
    """How many attempts of the call had started when it ended so."""
    if event.attempts is not None:
        return event.attempts
    return event.attempt if event.started_at is not None else max(event.attempt - 1, 0)


def sequence(attempt: int, n: int) -> int:
    """The place of the n-th event of an attempt among the events of its call."""
    return attempt * 1_000_000 + n


def about(call: Call) -> dict[str, Any]:
    """The fields that every event of this call repeats; pass them on with ``**``."""
    return {
        "v": VERSION,
        "call_id": call.call_id,
        "org": call.org,
        "tool": call.tool,
        "version": call.version,
        "pool": call.pool,
        "gateway": call.gateway,
        "deadline": call.deadline,
        "body_hash": call.body_hash,
        "traceparent": call.traceparent,
    }
