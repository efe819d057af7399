"""The spans of a delivery, and what its log lines are about: what is noted where in its life.

Called by `runtime`, `entrance` and `telling`.

Where a trace is recorded, the call goes on with the context of what works on it, so that whatever is told or asked for
it becomes a part of that.
"""

from typing import Final

from msgspec import structs

from toolyard.contracts.codec import encode_json
from toolyard.contracts.events import End
from toolyard.telemetry import logs, spans, tracing
from toolyard.telemetry.tracing import Span
from toolyard.transport import topology
from toolyard_executors.context import Attempt
from toolyard_executors.life import Life

#: Characters of arguments, and of a result.
_SHOWN: Final = 8_192


def begin(life: Life) -> None:
    """A verified delivery is in hand."""
    message, delivery = life.message, life.delivery
    tracing.current.set(message.call.traceparent or "")
    life.span = spans.process(
        delivery.queue, message.call, message.attempt, message_id=delivery.message_id, count=delivery.count
    )
    if life.span is not None:
        life.message = structs.replace(message, call=spans.within(life.span, message.call))
        tracing.current.set(life.span.traceparent)
    logs.about.set(life.message.call)


def over(life: Life) -> None:
    """The delivery is settled."""
    logs.about.set(None)
    if life.span is not None:
        spans.processed(life.span, life.outcome, "" if life.parked is None else life.parked.reason)


def executed(span: Span, life: Life, attempt: Attempt) -> None:
    """The tool ran; its arguments and its result are told where it opted in to that, without secrets."""
    asked, outcome = attempt.tool.telemetry, life.outcome
    if asked is not None and asked.arguments:
        arguments = encode_json(attempt.redactor.value(attempt.call.arguments)).decode()
        span.attributes["gen_ai.tool.call.arguments"] = arguments[:_SHOWN]
    if asked is not None and asked.result and outcome is not None and outcome.result is not None:
        text = outcome.result.text()[:_SHOWN]  # was redacted
        span.attributes["gen_ai.tool.call.result"] = text.encode(errors="replace").decode()
    spans.executed(span, outcome)


def sending(outcome: End) -> tuple[End, Span | None]:
    """An outcome that is about to be published, in the context of that."""
    span = spans.send(topology.EVENTS, outcome.traceparent)
    if span is None:
        return outcome, None
    span.attributes["messaging.message.conversation_id"] = outcome.call_id
    return structs.replace(outcome, traceparent=span.traceparent), span
