"""The words of the ledger's rows: a call while a batch is folded into it, and as duties see it."""

from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, Literal

from toolyard.contracts.calls import Call, ErrorInfo, Report, Result
from toolyard.states import Effect, State
from toolyard.store.ledger_sql import ASIDE

ParkedFor = Literal["retry", "not_before", "paused", "authorization"]


@dataclass(slots=True)
class LedgerRow:
    """A call while a batch is folded into it. Its loaded columns come first, in their order.

    Attributes:
        log_offset: of its newest message, accepted or dispatched; ``None`` as long as only events of it were seen.
        attempt: the newest that was, or is to be, dispatched.
        attempts: those that started.
        effect: the worst of those that are over, and ``unknown`` where a delivery came that was not the first.
        ending: the first mark of a verdict was read.
        end_sequence: of the event that ended it.
        late_results: outcomes that came after the end; repeats of them included.
        pool: whose workers its attempts are for, until its fallback takes over.
        submitters: how many accepted records there were that differ by gateway or body.
        holder: the claim that was granted this attempt.
        fence: how many grants there were.
        runs_until: when the granted attempt, and some grace, is over.
        alone: the attempt is for the lane of one: a worker may have died with it.
        refused: no message may be left: under this grant another claim was told ``started``, or a dispatch was put off.
        spent: claims that were told ``started`` or given back, the last of each process: neither they nor earlier ones
            are granted any more.
        ending_claim: whose grant the first mark names; empty for nobody's.
        settled: how the call ends is decided (``doomed``, ``effect``, ``error``); the scheduler's event is to tell it.
        doomed: the code of the end that it shall have, although it may be running.
        watch_at: when the scheduler shall go on with its verdict.
        due_at: when the scheduler shall dispatch ``attempt``.
        parked_for: what it waits for.
        queue_due: when it must have started, once nothing of it starts without a claim: its first delivery asked, or it
            was parked (then its deadline, until it is dispatched). Else its own queue timeout tells.
        deaths: how many workers died with it in the lane of one.
        waived: attempts that tried nothing or, where its fallback has taken over, that came before.
        diverted: its fallback has taken over.
        consent: JSON of the `Authorization` that it waits for.
        awaits: the `authorization_key` of it.
        call: what is to be written of the call itself; ``None`` leaves what is there.
        result: what is to be written; ``None`` leaves what is there.
        error: what is to be written; ``None`` leaves what is there.
        report: what is to be written; ``None`` leaves what is there.
        new: there is no row yet.
        changed: there is something to write.
        known: the call, loaded where a record's meaning depends on it.
        loaded: what stood in the columns `ASIDE`.
    """

    call_id: str
    gateway: str
    body_hash: str
    state: State
    effect: Effect = "none"
    log_offset: int | None = None
    attempt: int = 1
    attempts: int = 0
    started_at: float | None = None
    finished_at: float | None = None
    ending: bool = False
    end_sequence: int | None = None
    late_results: int = 0
    submitters: int = 1
    pool: str = field(default="", compare=False)
    holder: str | None = None
    fence: int = 0
    runs_until: float | None = None
    alone: bool = False
    refused: bool = False
    spent: str | None = None
    ending_claim: str | None = None
    settled: bool = False
    doomed: str | None = None
    watch_at: float | None = None
    due_at: float | None = None
    parked_for: ParkedFor | None = None
    queue_due: float | None = None
    deaths: int = 0
    waived: int = 0
    diverted: bool = False
    consent: str | None = None
    awaits: str | None = None
    call: Call | None = None
    result: Result | None = None
    error: ErrorInfo | None = None
    report: Report | None = None
    new: bool = False
    changed: bool = False
    known: Call | None = field(default=None, compare=False)
    loaded: tuple[Any, ...] | None = field(default=None, compare=False)


def authorization_key(provider: str, authorization_id: str) -> str:
    """An authorization, among those of its org."""
    return f"{provider} {authorization_id}"


aside_values = attrgetter(*(name for name, _ in ASIDE))
#: The columns `ASIDE` of a call that is not out of the ordinary.
ORDINARY: Final = aside_values(LedgerRow("", "", "", "queued"))


@dataclass(frozen=True, slots=True)
class Submission:
    """A call was submitted once more: by another gateway, or with another body (a conflict)."""

    call_id: str
    gateway: str
    body_hash: str
    submitted_at: float
    conflict: bool


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call that has not ended, as far as the ledger has read; the words are those of `LedgerRow`."""

    call: Call
    state: State
    effect: Effect = "none"
    attempt: int = 1
    attempts: int = 0
    started_at: float | None = None
    holder: str | None = None
    alone: bool = False
    ending: bool = False
    ending_claim: str | None = None
    settled: bool = False
    doomed: str | None = None
    watch_at: float | None = None
    due_at: float | None = None
    runs_until: float | None = None
    waived: int = 0
    diverted: bool = False
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class Waits:
    """Calls of one pool that wait for the same: for their start where ``parked_for`` is None.

    Attributes:
        oldest: when the first of them was accepted that was not put off; None where all were.
    """

    pool: str
    parked_for: ParkedFor | None
    calls: int
    oldest: float | None
