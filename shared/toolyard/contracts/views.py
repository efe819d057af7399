"""A call as every public face shows it, made of what travelled: the accepted call and, where it ended, its outcome."""

from typing import Any

from msgspec import Raw

from toolyard.clock import rfc3339
from toolyard.contracts.calls import (
    Authorization,
    AuthorizationView,
    Call,
    CallView,
    ErrorInfo,
    Report,
    Result,
    ResultView,
)
from toolyard.contracts.events import End, attempts_of, end_state
from toolyard.states import Effect, State


def result_view(result: Result) -> ResultView:
    """A result with its text for the model spelled out."""
    return ResultView(
        content=result.text(),
        structured=result.structured,
        truncated=result.truncated,
        size=result.size,
    )


def authorization_view(authorization: Authorization) -> AuthorizationView:
    """What a call waits for, with its time as text."""
    return AuthorizationView(
        authorization_id=authorization.authorization_id,
        provider=authorization.provider,
        url=authorization.url,
        scopes=authorization.scopes,
        expires_at=rfc3339(authorization.expires_at),
    )


def call_view(
    call: Call,
    *,
    state: State,
    effect: Effect = "none",
    attempts: int = 0,
    started_at: float | None = None,
    finished_at: float | None = None,
    result: Result | None = None,
    error: ErrorInfo | None = None,
    report: Report | None = None,
    authorization: Authorization | None = None,
    arguments: Raw | None = None,
    deduplicated: bool = False,
) -> CallView:
    """The public form of a call; ``arguments`` spares decoding them where only their bytes are at hand."""
    shown: dict[str, Any] | Raw = call.arguments if arguments is None else arguments
    return CallView(
        call_id=call.call_id,
        tool=call.tool,
        version=call.version,
        state=state,
        effect=effect,
        arguments=shown,
        attempts=attempts,
        org=call.org,
        created_at=rfc3339(call.accepted_at),
        deadline=rfc3339(call.deadline),
        trace_id=trace_id(call.traceparent),
        result=None if result is None else result_view(result),
        error=error,
        report=report,
        authorization=None if authorization is None else authorization_view(authorization),
        user=call.user,
        conversation=call.conversation,
        context=call.context,
        test=call.test,
        started_at=None if started_at is None else rfc3339(started_at),
        finished_at=None if finished_at is None else rfc3339(finished_at),
        deduplicated=deduplicated,
    )


def ended_view(call: Call, end: End) -> CallView:
    """The public form of a call that ended with this outcome."""
    return call_view(
        call,
        state=end_state(end),
        effect=end.effect,
        attempts=attempts_of(end),
        started_at=end.started_at,
        finished_at=end.finished_at,
        result=end.result,
        error=end.error,
        report=end.report,
    )


def trace_id(traceparent: str | None) -> str:
    """The 32 hex digits of a W3C ``traceparent``, empty where there is none. What is no such text breaks no list."""
    return traceparent[3:35] if traceparent else ""
