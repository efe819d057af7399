"""The events that an executor publishes about a call: pure functions from what happened to the contract's structs."""

from toolyard.contracts.calls import Authorization, Call, ErrorInfo, Report, Result
from toolyard.contracts.control import Granted
from toolyard.contracts.events import ENDS, End, Parked, Progress, SoftTimeout, Started, about, sequence
from toolyard.contracts.retries import may_fall_back, may_follow, only_waits
from toolyard.states import Effect, State
from toolyard_executors.progress import Said

#: The places of an attempt's events among those of its call.
_PARKED = 0
_STARTED = 1
_WHILE_IT_RUNS = 2
_ENDED = 800_000
#: Characters of what is said of progress.
_LONGEST_MESSAGE = 300
#: How an attempt may end that another one follows.
_FOLLOWED = frozenset[State](("failed", "timed_out"))


def started(call: Call, attempt: int, *, worker: str, at: float) -> Started:
    """The attempt runs, since ``at``."""
    return Started(**about(call), attempt=attempt, sequence=sequence(attempt, _STARTED), time=at, worker=worker)


def soft_timeout(call: Call, attempt: int, told: int, *, worker: str, now: float, ends_at: float) -> SoftTimeout:
    """The attempt has used most of its time, and is stopped at ``ends_at``; ``told`` events were told while it ran."""
    number = sequence(attempt, _WHILE_IT_RUNS + told)
    return SoftTimeout(**about(call), attempt=attempt, sequence=number, time=now, ends_at=ends_at, worker=worker)


def progress(call: Call, attempt: int, told: int, said: Said, *, worker: str, now: float) -> Progress:
    """How far the attempt has come; ``told`` events were told while it ran."""
    return Progress(
        **about(call),
        attempt=attempt,
        sequence=sequence(attempt, _WHILE_IT_RUNS + told),
        time=now,
        worker=worker,
        done=said.done,
        total=said.total,
        message=None if said.message is None else said.message[:_LONGEST_MESSAGE],
        conversation=call.conversation,
        user=call.user,
    )


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
    authorization: Authorization | None = None,
    grant: Granted | None = None,
    waived: int = 0,
) -> End:
    """The outcome of an attempt; ``started_at`` is None where it never started, ``grant`` where it needed none.

    ``waived``: attempts before it that tried nothing.
    """
    followed = state in _FOLLOWED and (
        only_waits(error, effect)
        or may_follow(call, attempt - waived, error, effect)
        or may_fall_back(call, error, effect)
    )
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
        authorization=authorization,
        started_at=started_at,
        announced=announced,
        worker=worker,
        claim_id=None if grant is None else grant.claim_id,
        fence=None if grant is None else grant.fence,
        final=not followed,
    )
