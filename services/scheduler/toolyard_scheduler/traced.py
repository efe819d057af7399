"""The spans of the ledger: what it applied of traces that are recorded, and the attempts that it dispatches."""

import time
from collections.abc import Sequence

from msgspec import structs

from toolyard.contracts.calls import CallMessage
from toolyard.contracts.control import Claim
from toolyard.contracts.events import Ended
from toolyard.telemetry import spans, tracing
from toolyard.telemetry.tracing import Span
from toolyard.transport import topology
from toolyard.transport.base import Message
from toolyard_scheduler.entries import Entry, Folded


def now() -> int:
    """The time, as spans have it."""
    return time.time_ns()


def applied(entries: Sequence[Entry], folded: Folded, began: int) -> None:
    """A batch is committed: note it for each outcome and claim whose trace is recorded."""
    if not tracing.recording():
        return
    for entry in entries:
        told = entry.content
        if not isinstance(told, Ended | Claim):
            continue
        span = spans.apply(told, began=began, batch=len(entries))
        if span is not None:
            row = folded.rows.get(told.call_id)
            spans.applied(span, "" if row is None else row.state, "" if row is None else row.parked_for or "")


def dispatching(message: CallMessage) -> tuple[CallMessage, Span | None]:
    """An attempt that is about to be published: a part of its call's trace, linked to the attempt before."""
    call = message.call
    before = call.traceparent
    if before is None or not tracing.is_recorded(before):
        return message, None
    span = spans.send(topology.CALLS, before)
    if span is None:
        return message, None
    span.attributes["toolyard.attempt"] = message.attempt
    if message.attempt > 1:
        before = spans.attempt_context(before, call.call_id, message.attempt - 1)
    span.links.append(before)
    return structs.replace(message, call=spans.within(span, call)), span


def sending(span: Span | None, call_id: str, message: Message) -> Span | None:
    """The same span, with what the message is."""
    if span is not None:
        spans.sending(span, call_id, message_id=message.message_id, key=message.key, size=len(message.body))
    return span
