"""What the parts tell each other about calls and themselves: claims and their answers, and the control messages."""

from typing import Literal

from msgspec import Struct

from toolyard.contracts.bounds import Attempt, Label, LongNumber, Name, Number, Pool, Seconds, Time, Word
from toolyard.contracts.calls import Authorization


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


class Authorized(ControlMessage, frozen=True, kw_only=True, omit_defaults=True, tag="authorized"):
    """What became of an authorization that was asked for: calls that wait for it go on, or end.

    Attributes:
        authorization_id: with ``provider`` and ``org``, which one; see `toolyard.contracts.calls.Authorization`.
        status: ``failed`` where the user, or the provider, refused.
        call_id: empty; the ledger's own, where it tells each of the calls.
    """

    org: Name
    provider: Word
    authorization_id: Word
    status: Literal["completed", "failed", "expired"]
    call_id: Name = ""


class AuthorizationAsked(ControlMessage, frozen=True, kw_only=True, tag="authorization_asked"):
    """A user was asked for a consent before any call needed it: it is noted as those that calls wait for."""

    org: Name
    user: Label
    tool: Name
    authorization: Authorization


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


LogLevel = Literal["debug", "info", "warning", "error"]


class LogLevelSet(ControlMessage, frozen=True, kw_only=True, omit_defaults=True, tag="log_level"):
    """For so many seconds from ``time`` on, lines about this org are logged from this level on.

    Attributes:
        tool: about this tool of it alone; empty where all are meant.
    """

    org: Name
    tool: Name = ""
    level: LogLevel
    seconds: Seconds


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
    | Authorized
    | AuthorizationAsked
    | PausesAsked
    | Pauses
    | ToolChanged
    | LogLevelSet
    | LedgerPosition
)


class Heartbeat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A worker lives and still holds these claims; on the monitor channel, not in the log.

    Attributes:
        isolation: how well it locks tools up, in the words of `toolyard.sandbox.jail.levels.Level`; None where it
            locks up nothing.
    """

    v: int
    worker: Name
    pool: Pool
    time: Time
    claims: tuple[Word, ...] = ()
    isolation: Word | None = None


class BreakerTold(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a worker's breaker of a circuit stands; on the monitor channel, not in the log.

    Attributes:
        circuit: what is behind it: a host and port, a function, a toolkit; of one org.
        episode: the time from its first opening to its closing; the same for all workers that heard of it.
        openings: in a row, this one included.
        since: when the episode began.
        seconds: until it is tried again, counted from ``time``.
        failures: attempts that made it open.
    """

    v: int
    worker: Name
    pool: Pool
    org: Name
    circuit: Label
    state: Literal["open", "half_open", "closed"]
    episode: Word
    time: Time
    since: Time
    openings: Number = 0
    seconds: Seconds = 0.0
    failures: Number = 0


class SecurityTold(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A process was given a message to read that it does not believe; on the monitor channel, not in the log.

    What the message says of itself may be anything; its body is not told.

    Attributes:
        pool: that the message names, or the worker's own; ``-`` for none.
        reason: of `toolyard.errors.Disbelief`.
        queue: where it was read.
        key_id: the key that it says it was signed with.
    """

    v: int
    sender: Name
    time: Time
    pool: Pool
    reason: Word
    queue: Label
    exchange: Label
    key: Label
    key_id: Word = ""
    message_id: Word = ""


def control_name(message: ControlMessage) -> str:
    """The word of the message, as it stands in routing keys."""
    return str(message.__struct_config__.tag)
