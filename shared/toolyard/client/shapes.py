"""What a gateway tells, as typed values: calls, turns, events. Fields of a later version are passed over.

Field for field as in docs/reference/http.md. A call that failed is a value like any other, and no error, until it is
asked for its output.
"""

from datetime import datetime
from typing import Any, Final, Self, TypeVar

from msgspec import UNSET, Struct, ValidationError, convert

from toolyard.client.errors import Unexpected
from toolyard.errors import ToolyardError
from toolyard.states import TERMINAL

T = TypeVar("T")
#: States in which a call waits for a person: nobody knows how long.
WITH_A_PERSON: Final = frozenset({"awaiting_approval", "awaiting_authorization"})


class CallFailed(ToolyardError):  # noqa: N818 - like `Unavailable`
    """A call has ended without success.

    Attributes:
        call: the call; ``call.error`` says why.
    """

    def __init__(self, call: "Call") -> None:
        why = f" {call.error.code}: {call.error.message}" if call.error else ""
        super().__init__(f"{call.tool} ended {call.state}.{why} (call {call.call_id})")
        self.call = call


class CallUnfinished(ToolyardError):  # noqa: N818 - like `Unavailable`
    """A call has not ended in the time in which it was waited for, or waits for a person; it goes on.

    Attributes:
        call: the call as it stood.
    """

    def __init__(self, call: "Call") -> None:
        asked = "" if call.authorization is None else " Its user has to consent first, at call.authorization.url."
        super().__init__(f"{call.tool} is {call.state} and has not ended.{asked} (call {call.call_id})")
        self.call = call


class Result(Struct, frozen=True, kw_only=True):
    """What a tool answered.

    Attributes:
        content: the text for the model.
        structured: the JSON value; `msgspec.UNSET` where the tool answered with text.
        truncated: whether the answer was cut.
        size: bytes of the answer before it was cut.
    """

    content: str
    structured: Any = UNSET
    truncated: bool = False
    size: int | None = None


class Failure(Struct, frozen=True, kw_only=True):
    """Why a call did not succeed.

    Attributes:
        code: one of docs/reference/codes.md, or of a later version.
        status: what an HTTP status would be; only information.
        message: for people.
        model_message: for the model.
        retry_after: seconds.
        phase: what was overdue: ``queue``, ``attempt`` or ``deadline``.
    """

    code: str
    message: str
    model_message: str
    status: int = 500
    retryable: bool = False
    retry_after: float | None = None
    phase: str | None = None
    details: dict[str, Any] | None = None


class Report(Struct, frozen=True, kw_only=True):
    """What a worker noted of the attempt beside its outcome; what its kind does not count is None.

    Attributes:
        logs: what the tool printed, as much of it as is kept.
        isolation: how well it was locked up, as in ``full`` or ``container``.
        peak_memory_bytes: at most; of a sandboxed tool beyond what its process had before it ran.
        output_bytes: of what it returned. ``requests``: that it made.
        memory_limit_bytes: that its function may use.
        run_seconds: that its function ran; ``init_seconds``: that it took to start before that, where it had to;
            ``billed_seconds``: that are paid for.
        executed_version: of its function.
        request_id: by which its provider knows the request.
    """

    logs: str = ""
    isolation: str | None = None
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None
    output_bytes: int | None = None
    requests: int | None = None
    memory_limit_bytes: int | None = None
    run_seconds: float | None = None
    init_seconds: float | None = None
    billed_seconds: float | None = None
    executed_version: str | None = None
    request_id: str | None = None


class Authorization(Struct, frozen=True, kw_only=True):
    """What the user of a call has to consent to, at ``url``; the call goes on by itself then."""

    authorization_id: str
    provider: str
    url: str
    scopes: tuple[str, ...]
    expires_at: datetime


class Asked(Struct, frozen=True, kw_only=True):
    """What is missing before a tool can be run for a user; ``status`` is ``pending`` or ``completed``."""

    status: str
    authorization: Authorization | None = None


class Call(Struct, frozen=True, kw_only=True):
    """A call as it stands.

    Attributes:
        state: one of `toolyard.states.STATES`, or of a later version.
        effect: what the world saw of it: ``none``, ``done`` or ``unknown``.
        attempts: how often it was tried.
        authorization: what it waits for, while its state is ``awaiting_authorization``.
        deduplicated: whether it was there before it was asked for: made under the same key or with the same key
            fields, also by this client's own request whose answer was lost.
    """

    call_id: str
    tool: str
    version: int
    state: str
    effect: str
    arguments: dict[str, Any]
    attempts: int
    org: str
    created_at: datetime
    deadline: datetime
    trace_id: str
    result: Result | None = None
    error: Failure | None = None
    report: Report | None = None
    authorization: Authorization | None = None
    user: str | None = None
    conversation: str | None = None
    context: dict[str, Any] | None = None
    test: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    deduplicated: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in TERMINAL or self.finished_at is not None

    @property
    def succeeded(self) -> bool:
        """Whether it has ended, with a result."""
        return self.state == "succeeded"

    def raise_for_state(self) -> Self:
        """The same call, once it succeeded.

        Raises:
            CallFailed: it ended otherwise.
            CallUnfinished: it has not ended.
        """
        if self.succeeded:
            return self
        raise CallFailed(self) if self.ended else CallUnfinished(self)

    def output(self) -> Any:
        """What the tool answered: the JSON value, or the text where it is none; raises as `raise_for_state` does."""
        result = self.raise_for_state().result
        if result is None:
            return None
        return result.content if result.structured is UNSET else result.structured


class TurnCall(Struct, frozen=True, kw_only=True):
    """What became of a tool call of a message.

    Attributes:
        call_id: None where nothing was accepted; its state is ``rejected`` then.
        tool_call_id: the provider's id of it.
        tool: the tool; where there is none of that name, the name as the model gave it.
        code: why it did not succeed; None where it did, or has not ended. ``authorization_required`` where its user has
            to consent first: the messages have the link for the model, and `Client.get` of its ``call_id`` for you.
    """

    tool_call_id: str
    tool: str
    state: str
    call_id: str | None = None
    code: str | None = None


class Turn(Struct, frozen=True, kw_only=True):
    """The answer to an assistant message.

    Attributes:
        messages: to be appended as they are; empty where the message called no tool. Their type is the provider's own,
            whose package is not needed here.
        calls: one for each tool call, in order.
    """

    messages: list[Any]
    calls: list[TurnCall]


class Event(Struct, frozen=True, kw_only=True):
    """One event of a stream.

    Attributes:
        id: behind which the stream can be resumed; empty where it has none.
        event: its name, as in ``started``; of an end, the state.
        data: the JSON value.
    """

    id: str
    event: str
    data: Any

    @property
    def call(self) -> Call | None:
        """The call as it stood then, where that is what the event tells."""
        return shaped(self.data, Call) if isinstance(self.data, dict) and "call_id" in self.data else None

    @property
    def last(self) -> bool:
        """Whether its call has ended."""
        return self.event in TERMINAL


def shaped(value: Any, kind: type[T]) -> T:
    """A JSON value as this kind.

    Raises:
        Unexpected: it is another thing: no gateway of ours answered.
    """
    try:
        return convert(value, kind)
    except ValidationError as error:
        raise Unexpected(f"The answer is not that of a gateway: {error}") from None
