"""A call, its attempt and its outcome, as they travel. Times are seconds since 1970 UTC, durations seconds."""

from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from toolyard.contracts.bounds import Address, Attempt, Label, LongNumber, Name, Number, Pool, Seconds, Time, Word
from toolyard.contracts.tools import RetryPolicy
from toolyard.errors import CODES, model_message

#: The major version of every envelope that this build writes.
VERSION = 1

Phase = Literal["queue", "attempt", "deadline"]


class Call(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One accepted request to run a tool. It never changes; what happens to it are events.

    Attributes:
        gateway: the gateway that accepted it and whose reply queue gets its events.
        principal: the id of the API key that asked.
        body_hash: SHA-256 (hex) of all that was asked for: tool, version, arguments, user, conversation, context,
            timeouts, deadline, start, and whether it is a test; where key fields of the tool made the id, of those
            alone. Tells two submissions under one id apart.
        timeout: of one attempt. ``queue_timeout``: from acceptance to the start. ``deadline``: a time, of everything.
        not_before: a time; until then it is parked and in no pool's queue.
        retry: when it is tried again; ``None`` is never.
        fallback: the pool of the tool's fallback, where it has one.
        context: the application's, never the model's.
    """

    call_id: Name
    org: Name
    tool: Name
    version: Number
    pool: Pool
    gateway: Name
    principal: Name
    arguments: dict[str, Any]
    body_hash: Word
    accepted_at: Time
    deadline: Time
    timeout: Seconds
    queue_timeout: Seconds | None = None
    not_before: Time | None = None
    rerunnable: bool = False
    retry: RetryPolicy | None = None
    user: Label | None = None
    conversation: Label | None = None
    context: dict[str, Any] | None = None
    test: bool = False
    traceparent: Label | None = None
    fallback: Pool | None = None


class CallMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a pool message: one attempt.

    Attributes:
        tool: bytes of the `PinnedTool`; left undecoded, because workers keep what they have decoded once.
        budget: seconds left until the deadline when this was published.
        claim: ``required`` where the attempt may start only with a claim, whatever the tool.
        alone: a worker died with it before: it runs in the lane of one of its process, and takes no others along.
        waived: attempts before this one that tried nothing: none of what the call's policy allows was spent on them.
        diverted: its tool's fallback runs it.
    """

    v: int
    call: Call
    tool: Raw
    attempt: Attempt = 1
    budget: Seconds
    claim: Literal["if_needed", "required"] = "if_needed"
    alone: bool = False
    waived: Attempt = 0
    diverted: bool = False


#: Scopes of one authorization.
MOST_SCOPES: Final = 100


class Authorization(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the call's user has to consent to, and where.

    Attributes:
        authorization_id: by which its provider knows it; with ``provider`` it is one of its org.
        provider: the kind and its own name for who is asked, as in ``arcade/google`` or ``nango/github``.
        url: where the user consents. Whoever has it may consent in the user's place: those of its org alone are told.
        expires_at: when asking is given up, a time.
    """

    authorization_id: Word
    provider: Word
    url: Address
    scopes: Annotated[tuple[Label, ...], Meta(max_length=MOST_SCOPES)] = ()
    expires_at: Time


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a tool answered.

    Attributes:
        content: the text for the model; ``None`` where it is just the JSON text of ``structured``.
        structured: the JSON value, left undecoded; unset for a text answer.
        size: bytes of the answer before it was cut; given when ``truncated``.
    """

    content: str | None = None
    structured: Raw | UnsetType = UNSET
    truncated: bool = False
    size: LongNumber | None = None

    def text(self) -> str:
        """The text for the model."""
        if self.content is not None:
            return self.content
        return "" if isinstance(self.structured, UnsetType) else bytes(self.structured).decode()


class Report(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker noted of an attempt beside its outcome; what its kind does not count is left out.

    Attributes:
        logs: what the tool printed, without secrets, as much of it as is kept.
        isolation: how well it was locked up, in the words of `toolyard.sandbox.jail.levels.Level`.
        peak_memory_bytes: resident at most: of a sandboxed tool beyond what its process had before it ran.
        output_bytes: of what it returned, before anything was made of it.
        requests: that it made.
        memory_limit_bytes: that its function may use.
        run_seconds: that its function ran; ``init_seconds``: that it took to start before that, where it had to;
            ``billed_seconds``: that are paid for.
        executed_version: of its function.
        request_id: by which its provider knows the request.
    """

    logs: str = ""
    isolation: Word | None = None
    cpu_seconds: Seconds | None = None
    peak_memory_bytes: LongNumber | None = None
    output_bytes: LongNumber | None = None
    requests: Number | None = None
    memory_limit_bytes: LongNumber | None = None
    run_seconds: Seconds | None = None
    init_seconds: Seconds | None = None
    billed_seconds: Seconds | None = None
    executed_version: Word | None = None
    request_id: Word | None = None


class ErrorInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A failure that a caller and a model must see. Stack traces and secrets never stand here."""

    code: Word
    status: Number
    message: str
    model_message: str
    retryable: bool = False
    retry_after: float | None = None
    phase: Phase | None = None
    details: dict[str, Any] | None = None


def error_info(
    code: str,
    message: str,
    *,
    retryable: bool | None = None,
    retry_after: float | None = None,
    phase: Phase | None = None,
    details: dict[str, Any] | None = None,
) -> ErrorInfo:
    """The error of a code, with status and the model's text from the one table."""
    entry = CODES[code]
    return ErrorInfo(
        code=code,
        status=entry.status,
        message=message,
        model_message=model_message(code, message),
        retryable=entry.retry == "by_us" if retryable is None else retryable,
        retry_after=retry_after,
        phase=phase,
        details=details,
    )


class CallView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call as every public face shows it (SURFACE: "A call, everywhere"). Times are RFC 3339.

    ``result`` and ``error`` are written by `toolyard.contracts.views`; clients read them as plain JSON.
    """

    call_id: str
    tool: str
    version: int
    state: str
    effect: str
    arguments: dict[str, Any] | Raw
    attempts: int
    org: str
    created_at: str
    deadline: str
    trace_id: str
    result: "ResultView | None" = None
    error: ErrorInfo | None = None
    report: Report | None = None
    authorization: "AuthorizationView | None" = None
    user: str | None = None
    conversation: str | None = None
    context: dict[str, Any] | None = None
    test: bool = False
    started_at: str | None = None
    finished_at: str | None = None
    deduplicated: bool = False


class AuthorizationView(Struct, frozen=True, kw_only=True):
    """What a call waits for, as every public face shows it; times are RFC 3339."""

    authorization_id: str
    provider: str
    url: str
    scopes: tuple[str, ...]
    expires_at: str


class ResultView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A result as every public face shows it: ``content`` is always there."""

    content: str
    structured: Raw | UnsetType = UNSET
    truncated: bool = False
    size: int | None = None
