"""What the ledger says of its decisions: answers to claims, and events for those who follow a call. Pure."""

from typing import Final, Literal

from msgspec import structs

from toolyard.contracts.calls import VERSION, Call
from toolyard.contracts.control import Claim, ClaimRefused, Granted
from toolyard.contracts.events import ENDS, CallEvent, Claimed, End, Ended, Ending, Parked, about, sequence
from toolyard.store.ledger_rows import LedgerRow, OpenCall
from toolyard_scheduler.claims import LEASE
from toolyard_scheduler.entries import Answer
from toolyard_scheduler.rows import Around
from toolyard_scheduler.verdicts import LAPSED, state_of

#: The scheduler's place among the events of an attempt: `Ending` first, then its end, `Claimed`, `Parked`.
FIRST: Final = 900_000


def ending(call: Call, attempt: int, code: str, at: float, claim_id: str = "") -> Ending:
    """The first mark of a verdict, over what this claim holds, or nobody."""
    number = sequence(attempt, FIRST)
    return Ending(**about(call), attempt=attempt, sequence=number, time=at, code=code, claim_id=claim_id)


def ended(call: OpenCall, at: float) -> End:
    """The end of a call over which the verdict is given."""
    return ENDS[state_of(call.doomed or LAPSED)](
        **about(call.call),
        attempt=call.attempt,
        sequence=sequence(call.attempt, FIRST + 1),
        time=at,
        finished_at=at,
        by="scheduler",
        effect=call.effect,
        error=call.error,
        started_at=call.started_at,
        attempts=call.attempts,
    )


def granted(row: LedgerRow, claim: Claim, around: Around) -> Answer:
    """The claim holds. Where another worker may speak of the call too, its gateway is told first."""
    message = Granted(
        v=VERSION,
        sender=around.sender,
        time=around.now,
        claim_id=claim.claim_id,
        call_id=claim.call_id,
        attempt=claim.attempt,
        fence=row.fence,
        lease=LEASE,
        alone=row.alone,
    )
    first = None
    if claim.rerunnable:
        number = sequence(claim.attempt, FIRST + 3)
        first = Claimed(**about(call_told_by(claim)), attempt=claim.attempt, sequence=number, time=around.now)
    return Answer(claim.reply, claim.pool, claim.org, message, first)


def refused(claim: Claim, reason: Literal["started", "terminal", "paused"], around: Around) -> Answer:
    """The claim does not hold."""
    message = ClaimRefused(
        v=VERSION,
        sender=around.sender,
        time=around.now,
        claim_id=claim.claim_id,
        call_id=claim.call_id,
        attempt=claim.attempt,
        reason=reason,
    )
    return Answer(claim.reply, claim.pool, claim.org, message)


def parked(row: LedgerRow, told: CallEvent | Claim, around: Around) -> Parked:
    """The call waits now, and for what."""
    return Parked(
        **about(call_told_by(told)),
        attempt=row.attempt,
        sequence=sequence(row.attempt, FIRST + 4),
        time=around.now,
        reason=row.parked_for or "paused",
        due_at=row.due_at,
        authorization=told.authorization if isinstance(told, Ended) and row.awaits is not None else None,
        diverted=row.diverted,
    )


def call_told_by(content: CallEvent | Claim) -> Call:
    """What an event or a claim tells of its call; the arguments they do not tell."""
    call = Call(
        call_id=content.call_id,
        org=content.org,
        tool=content.tool,
        version=content.version,
        pool=content.pool,
        gateway=content.gateway,
        principal="",
        arguments={},
        body_hash=content.body_hash,
        accepted_at=content.time,
        deadline=content.deadline,
        timeout=0.0,
        traceparent=content.traceparent,
    )
    if isinstance(content, Claim):
        return structs.replace(
            call,
            accepted_at=content.accepted_at,
            timeout=content.attempt_timeout,
            queue_timeout=content.queue_timeout,
            rerunnable=content.rerunnable,
        )
    if isinstance(content, Ended) and content.started_at is not None:
        return structs.replace(call, accepted_at=content.started_at)
    return call
