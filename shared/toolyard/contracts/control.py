"""What the parts tell each other about calls and themselves: claims and their answers, and the control messages."""

from typing import Literal

from msgspec import Struct

from toolyard.contracts.bounds import Attempt, Label, LongNumber, Name, Number, Pool, Seconds, Time, Word


class ControlMessage(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event"):
    """What all control messages carry. ``sender`` is the process: a gateway's, worker's or scheduler's id."""

    v: int
    sender: Name
    time: Time


class Claim(ControlMessage, frozen=True, kw_only=True, omit_defaults=True, tag="claim"):
    """A worker asks for the right to start an attempt; the same ``claim_id`` on every repeat.

    It tells enough of the call for the ledger to make its row, should the call's own record be missing.

    Attributes:
        reply: the worker's id, whose own queue gets the answer.
        attempt_timeout: seconds that the attempt may take.
        again: its message was delivered more than once before: perhaps it is what its workers died of.
        first: it is the first delivery of the call's first message: nobody can have started it without a claim.
    """

    claim_id: Word
    call_id: Name
    attempt: Attempt
    body_hash: Word
    attempt_timeout: Seconds
    reply: Name
    org: Name
    tool: Name
    version: Number
    pool: Pool
    gateway: Name
    accepted_at: Time
    deadline: Time
    queue_timeout: Seconds | None = None
    rerunnable: bool = False
    traceparent: Label | None = None
    again: bool = False
    first: bool = False


class Granted(ControlMessage, frozen=True, kw_only=True, omit_defaults=True, tag="granted"):
    """The claim holds, as a lease of ``lease`` seconds; every later message of the attempt carries ``fence``.

    Attributes:
        alone: a worker died with this call before: it runs in the lane of one.
    """

    claim_id: Word
    call_id: Name
    attempt: Attempt
    fence: Number
    lease: Seconds
    alone: bool = False


class ClaimRefused(ControlMessage, frozen=True, kw_only=True, tag="refused"):
    """The claim does not hold: another has it, or the call has ended, or waits. The worker acks and drops its delivery.

    The ledger owns what becomes of the call.
    """

    claim_id: Word
    call_id: Name
    attempt: Attempt
    reason: Literal["started", "terminal", "paused"]


class Released(ControlMessage, frozen=True, kw_only=True, tag="released"):
    """Granted but not started: the attempt is free again."""

    claim_id: Word
    call_id: Name
    attempt: Attempt


class Settled(ControlMessage, frozen=True, kw_only=True, omit_defaults=True, tag="settled"):
    """The second mark of a verdict, long enough after ``ending``: without an outcome before it, the verdict counts.

    Attributes:
        claim_id: as in `toolyard.contracts.events.Ending`.
    """

    call_id: Name
    attempt: Attempt
    claim_id: Word = ""


class Cancel(ControlMessage, frozen=True, kw_only=True, omit_defaults=True, tag="cancel"):
    """Stop this call if you hold it, and drop it if it comes; or all calls of a conversation accepted before ``time``.

    Attributes:
        call_id: empty where a conversation is meant.
        conversation: empty where one call is meant.
    """

    call_id: Name = ""
    org: Name
    conversation: Label = ""


class Pause(ControlMessage, frozen=True, kw_only=True, tag="pause"):
    """Start nothing of this tool, pool or org: ``name``. ``org`` is whose tool it is, and ``-`` for a pool."""

    kind: Literal["tool", "pool", "org"]
    org: Name
    name: Name


class Resume(ControlMessage, frozen=True, kw_only=True, tag="resume"):
    """The pause is over."""

    kind: Literal["tool", "pool", "org"]
    org: Name
    name: Name


class PausesAsked(ControlMessage, frozen=True, kw_only=True, tag="pauses_asked"):
    """A worker asks what is paused, and what time it is; ``reply`` is its id.

    It knows of later changes of pauses by itself. ``time`` is its own clock's, right or wrong.
    """

    reply: Name


class Paused(Struct, frozen=True, kw_only=True):
    """One thing that is paused; see `Pause`."""

    kind: Literal["tool", "pool", "org"]
    org: Name
    name: Name


class Pauses(ControlMessage, frozen=True, kw_only=True, omit_defaults=True, tag="pauses"):
    """All that is paused at this place of the log; the answer to `PausesAsked`.

    Attributes:
        asked: the ``time`` of the question, sent back by a scheduler whose own clock nobody disputes: the worker may
            put its clock right by the ``time`` of this message, which lies between its asking and its hearing.
    """

    paused: tuple[Paused, ...]
    asked: Time | None = None


class ToolChanged(ControlMessage, frozen=True, kw_only=True, tag="tool_changed"):
    """A tool has a new version or is gone; whoever keeps its definition forgets it."""

    org: Name
    tool: Name
    version: Number


class LedgerPosition(ControlMessage, frozen=True, kw_only=True, tag="ledger_position"):
    """How far the ledger has read; ``record_time`` is the time of the newest record it applied."""

    offset: LongNumber
    record_time: Time


Control = (
    Claim
    | Granted
    | ClaimRefused
    | Released
    | Settled
    | Cancel
    | Pause
    | Resume
    | PausesAsked
    | Pauses
    | ToolChanged
    | LedgerPosition
)


class Heartbeat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A worker lives and still holds these claims; on the monitor channel, not in the log."""

    v: int
    worker: Name
    pool: Pool
    time: Time
    claims: tuple[Word, ...] = ()


def control_name(message: ControlMessage) -> str:
    """The word of the message, as it stands in routing keys."""
    return str(message.__struct_config__.tag)
