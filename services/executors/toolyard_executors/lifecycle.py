"""The events that an executor publishes about a call: pure functions from what happened to the contract's structs."""

from toolyard.contracts.calls import Call, ErrorInfo, Report, Result
from toolyard.contracts.control import Granted
from toolyard.contracts.events import ENDS, End, Parked, SoftTimeout, Started, about, sequence
from toolyard.contracts.retries import may_follow
from toolyard.states import Effect, State

#: The places of an attempt's events among those of its call.
_PARKED = 0
_STARTED = 1
_SOFT_TIMEOUT = 2
_ENDED = 3
#: How an attempt may end that another one follows.
_FOLLOWED = frozenset[State](("failed", "timed_out"))


def started(call: Call, attempt: int, *, worker: str, at: float) -> Started:
    """The attempt runs, since ``at``."""
    return Started(**about(call), attempt=attempt, sequence=sequence(attempt, _STARTED), time=at, worker=worker)


def soft_timeout(call: Call, attempt: int, *, worker: str, now: float, ends_at: float) -> SoftTimeout:
    """The attempt has used most of its time, and is stopped at ``ends_at``."""
    number = sequence(attempt, _SOFT_TIMEOUT)
    return SoftTimeout(**about(call), attempt=attempt, sequence=number, time=now, ends_at=ends_at, worker=worker)


def paused(call: Call, attempt: int, *, now: float) -> Parked:
    """Its tool or org is paused, so it did not start: the ledger keeps it until that is over."""
    number = sequence(attempt, _PARKED)
    return Parked(**about(call), attempt=attempt, sequence=number, time=now, reason="paused", by="executor")


def ended(
    call: Call,
    attempt: int,
    state: State,
    *,
    effect: Effect,
    worker: str,
    now: float,
    started_at: float | None = None,
    announced: bool = False,
    result: Result | None = None,
    error: ErrorInfo | None = None,
    report: Report | None = None,
    grant: Granted | None = None,
) -> End:
    """The outcome of an attempt; ``started_at`` is None where it never started, ``grant`` where it needed none."""
    followed = state in _FOLLOWED and may_follow(call, attempt, error, effect)
    return ENDS[state](
        **about(call),
        attempt=attempt,
        sequence=sequence(attempt, _ENDED),
        time=now,
        effect=effect,
        finished_at=now,
        result=result,
        error=error,
        report=report,
        started_at=started_at,
        announced=announced,
        worker=worker,
        claim_id=None if grant is None else grant.claim_id,
        fence=None if grant is None else grant.fence,
        final=not followed,
    )
