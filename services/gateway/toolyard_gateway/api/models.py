"""The shapes of requests and answers at the HTTP edge: validation of what comes in, and the schemas of `/openapi.json`.

Used by the operations beside it and by the definitions of tools. Nothing behind the edge sees a pydantic model.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from toolyard.contracts.control import LogLevel
from toolyard.sandbox.jail.levels import Level
from toolyard.states import Effect, State
from toolyard.store.base import Role
from toolyard.timing import LONGEST_ATTEMPT, USUAL_ATTEMPT

NAME = r"^[A-Za-z][A-Za-z0-9_.\-]{0,63}$"
TOOL = r"^[A-Za-z][A-Za-z0-9_.\-]{0,63}(@[1-9][0-9]{0,8})?$"
KEY = r"^[\x20-\x7e]{1,255}$"
ORG = r"^[a-z0-9][a-z0-9_\-]{0,62}$"
REFERENCE = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
CONTEXT = r"^[A-Za-z_][A-Za-z0-9_\-]{0,63}$"

#: Seconds. One attempt, where nobody says and at most; everything, at most.
DEFAULT_TIMEOUT = USUAL_ATTEMPT
MAX_TIMEOUT = int(LONGEST_ATTEMPT)
MAX_DEADLINE = 86_400

Timeout = Annotated[float, Field(gt=0, le=MAX_TIMEOUT)]
Deadline = Annotated[float, Field(gt=0, le=MAX_DEADLINE)]
Label = Annotated[str, Field(min_length=1, max_length=255)]
ToolName = Annotated[str, Field(pattern=NAME, max_length=64)]
SecretName = Annotated[str, Field(pattern=REFERENCE)]
ContextName = Annotated[str, Field(pattern=CONTEXT)]


class Strict(BaseModel):
    """Nothing is guessed: no other types, no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class CallOptions(Strict):
    """What may be said about a call, whatever its tool."""

    arguments: dict[str, Any] = Field({}, description="Checked against the tool's `parameters`.")
    conversation: Label | None = None
    context: dict[str, Any] | None = Field(None, description="The application's own values; the model never sees them.")
    user: Label | None = Field(None, description="On whose behalf.")
    timeout: Timeout | None = Field(None, description="Seconds for one attempt; 30 where nobody says.")
    queue_timeout: Deadline | None = Field(None, description="Seconds from acceptance to the start.")
    deadline: Deadline | None = Field(
        None, description="Seconds for everything, from `not_before` where that is given; 300 where nobody says."
    )
    not_before: str | None = Field(
        None,
        max_length=64,
        description="A time (RFC 3339), at most a year ahead; until then the call is `scheduled`.",
        examples=["2026-12-24T18:00:00Z"],
        json_schema_extra={"format": "date-time"},
    )
    cancel_on_disconnect: bool = Field(
        False,
        description="Cancel the call if the client goes away while it waits; else a client that goes loses nothing.",
    )


class CallRequest(CallOptions):
    """A call to make."""

    tool: str = Field(pattern=TOOL, description="A name, or `name@version`.", examples=["weather", "weather@3"])
    idempotency_key: str | None = Field(None, pattern=KEY, description="As the header `Idempotency-Key`.")


class BatchRequest(Strict):
    """Calls to make side by side; each is checked for itself."""

    calls: list[Any] = Field(
        min_length=1,
        max_length=100,
        description="Each as for `POST /v1/calls`.",
        json_schema_extra={"items": {"$ref": "#/components/schemas/CallRequest"}},
    )


class CancelRequest(Strict):
    """Whose calls to cancel."""

    conversation: Label = Field(description="All of its calls that are open.", examples=["c-7"])


class Cancelled(BaseModel):
    """What a cancel concerned."""

    cancelled: int = Field(description="Calls that were open when it was asked for, as far as they are known.")


class ResultModel(BaseModel):
    """What a tool answered."""

    content: str = Field(description="The text for the model.")
    structured: Any = Field(None, description="The JSON value.")
    truncated: bool | None = None
    size: int | None = None


class ErrorModel(BaseModel):
    """Why a call failed."""

    code: str
    status: int
    message: str = Field(description="For people.")
    model_message: str = Field(description="For the model.")
    retryable: bool | None = None
    retry_after: float | None = None
    phase: Literal["queue", "attempt", "deadline"] | None = None
    details: dict[str, Any] | None = None


class ReportModel(BaseModel):
    """What a worker noted of the attempt beside its outcome; what its kind does not count is left out."""

    logs: str | None = Field(None, description="What the tool printed, without secrets, as far as it is kept.")
    isolation: str | None = Field(None, description="How well it was locked up, as in `full` or `container`.")
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = Field(
        None, description="At most; of a sandboxed tool beyond what its process had before it ran."
    )
    output_bytes: int | None = Field(None, description="Of what it returned.")
    requests: int | None = Field(None, description="That it made.")
    memory_limit_bytes: int | None = Field(None, description="That its function may use.")
    run_seconds: float | None = Field(None, description="That its function ran.")
    init_seconds: float | None = Field(None, description="That it took to start before that, where it had to.")
    billed_seconds: float | None = Field(None, description="That are paid for.")
    executed_version: str | None = Field(None, description="Of its function.")
    request_id: str | None = Field(None, description="By which its provider knows the request.")


class AuthorizationModel(BaseModel):
    """What a call waits for: that its user consents. It goes on by itself then."""

    authorization_id: str
    provider: str = Field(description="Who is asked, as in `arcade/google`.")
    url: str = Field(description="Where the user consents. Show it to that user alone.")
    scopes: list[str]
    expires_at: str = Field(description="When asking is given up.")


class CallModel(BaseModel):
    """A call, as it is shown everywhere."""

    call_id: str
    tool: str
    version: int
    state: State
    effect: Effect
    arguments: dict[str, Any]
    result: ResultModel | None = None
    error: ErrorModel | None = None
    report: ReportModel | None = None
    authorization: AuthorizationModel | None = Field(None, description="While it is `awaiting_authorization`.")
    attempts: int
    org: str
    user: str | None = None
    conversation: str | None = None
    context: dict[str, Any] | None = None
    test: bool | None = None
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    deadline: str
    trace_id: str
    deduplicated: bool | None = None


class FieldProblem(BaseModel):
    """One field that was wrong."""

    path: str
    message: str


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldProblem] | None = None


class RefusedCall(BaseModel):
    """A call of a batch that was not accepted."""

    error: Problem


class BatchAnswer(BaseModel):
    """The calls of a batch, in the order asked."""

    calls: list[CallModel | RefusedCall]


class CallPage(BaseModel):
    """A piece of the list of calls."""

    items: list[CallModel]
    next_cursor: str | None


# ---- pools --------------------------------------------------------------------------------------


class BreakerModel(BaseModel):
    """A circuit breaker that is not closed: what is behind it failed, and is left alone for a while."""

    circuit: str = Field(description="What is behind it: a host and port, a function, a toolkit.")
    state: Literal["open", "half_open"]
    since: str = Field(description="When it opened first.")
    retry_after: float = Field(description="Seconds until it is tried again.")
    failures: int = Field(description="Attempts that made it open, within seconds.")


class PoolModel(BaseModel):
    """A pool: its queue, and the org's own calls in it."""

    name: str
    backlog: int = Field(description="Messages in its queue, of all orgs.")
    oldest: float | None = Field(description="Seconds since the oldest call that waits there was accepted.")
    running: int
    last_success: str | None = Field(description="When a call last succeeded, of the org's 5,000 newest ones.")
    paused: bool
    isolation: Level | None = Field(
        description="How well its tools are locked up by the weakest of its workers; null where it locks up none."
    )
    breakers: list[BreakerModel] = Field(description="Those of the org's own calls that are not closed.")


class PoolPage(BaseModel):
    """All pools."""

    items: list[PoolModel]
    next_cursor: str | None
    org_paused: bool = Field(description="Whether all calls of the org wait until it is resumed.")


class PauseModel(BaseModel):
    """What was paused or resumed."""

    kind: Literal["tool", "pool", "org"]
    name: str
    paused: bool


# ---- log levels ---------------------------------------------------------------------------------


class LogLevelRequest(Strict):
    """What to log for a while."""

    tool: ToolName | None = Field(None, description="The tool whose lines are meant; none for all the org's.")
    level: LogLevel = Field(description="Lines below this are left out.")
    seconds: float = Field(900, gt=0, le=86_400, description="How long it lasts.")


class LogLevelModel(BaseModel):
    """A level that was set."""

    tool: str | None = None
    level: LogLevel
    until: str


class LogLevelPage(BaseModel):
    """The levels that were set."""

    items: list[LogLevelModel]
    next_cursor: str | None


# ---- keys ---------------------------------------------------------------------------------------


class KeyRequest(Strict):
    """A key to make."""

    name: Label
    roles: list[Role] = Field(min_length=1, max_length=5)
    org: str | None = Field(None, pattern=ORG, description="Another org; only for an admin of the org `default`.")
    broker_user: Label | None = Field(
        None,
        description="A user of the broker: what it publishes to `toolyard.requests` with its `user_id` is asked with "
        "this key. One key for each; only for an admin of the org `default`.",
    )


class KeyModel(BaseModel):
    """An API key, without its secret."""

    key_id: str
    org: str
    name: str
    roles: list[Role]
    created_at: str
    revoked_at: str | None = None
    broker_user: str | None = None


class NewKey(KeyModel):
    """A new API key; `key` is shown this once."""

    key: str


class KeyPage(BaseModel):
    """A piece of the list of keys."""

    items: list[KeyModel]
    next_cursor: str | None


# ---- health -------------------------------------------------------------------------------------


class Alive(BaseModel):
    """The process lives."""

    status: Literal["ok"]


class Ready(BaseModel):
    """Calls are taken and answered."""

    status: Literal["ok"]
    gateway: str
