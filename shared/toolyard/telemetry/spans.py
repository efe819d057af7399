"""Our spans: what each is called, its kind and its attributes, as docs/operations/tracing.md promises them.

The parts ask here for a span where something begins, and get None where the trace is not recorded. Nothing of a user,
no secret, no URL beyond its host, and of arguments and results only what a tool opted in to.
"""

from functools import lru_cache
from typing import Final

from msgspec import structs

from toolyard.contracts.calls import Call
from toolyard.contracts.control import Claim
from toolyard.contracts.events import Ended, end_state
from toolyard.telemetry import tracing
from toolyard.telemetry.tracing import Span

#: What follows in a call's life without its worker: names of span events.
PARKED: Final = "toolyard.parked"
CONSENT_ASKED: Final = "toolyard.consent_asked"
_LOG: Final = "toolyard.log"


# ---- a request to a gateway ---------------------------------------------------------------------
def serve(method: str, route: str, given: str | None) -> tuple[str, Span | None]:
    """A request that may make calls: the context that they go on with, and its span."""
    context, span = tracing.enter(f"{method} {route}", "server", given)
    if span is not None:
        span.attributes = {"http.request.method": method, "http.route": route, "url.scheme": "http"}
    return context, span


def served(span: Span, status: int, refusal: str = "") -> None:
    """It was answered, perhaps by a refusal of this code; a status of 0 is no answer."""
    if status:
        span.attributes["http.response.status_code"] = status
    if refusal:
        span.attributes["toolyard.refusal"] = refusal
    span.end("" if 0 < status < 500 else refusal or tracing.OTHER)


# ---- messages -----------------------------------------------------------------------------------
def send(exchange: str, parent: str | None, *, own: str = "") -> Span | None:
    """A message is published, until the broker has confirmed it."""
    span = tracing.start(_name("send", exchange), "producer", parent, own=own)
    if span is not None:
        span.attributes = _messaging("send", exchange)
    return span


def send_first(exchange: str, context: str | None) -> Span | None:
    """The same, as the first of its trace, which nobody asked for."""
    if context is None or not tracing.is_recorded(context):
        return None
    span = Span(_name("send", exchange), "producer", context)
    span.attributes = _messaging("send", exchange)
    return span


def sending(span: Span, call_id: str, *, message_id: str, key: str, size: int) -> None:
    """What the message is."""
    span.attributes |= {
        "messaging.message.id": message_id,
        "messaging.message.conversation_id": call_id,
        "messaging.message.body.size": size,
        "messaging.rabbitmq.destination.routing_key": key,
    }


def process(queue: str, call: Call, attempt: int, *, message_id: str, count: int) -> Span | None:
    """A delivery of an attempt is in hand, until it is settled.

    The context of a first delivery is one that the scheduler knows as well, so that the next attempt can link to it.
    """
    context = call.traceparent
    if context is None or not tracing.is_recorded(context):
        return None
    own = "" if count else attempt_context(context, call.call_id, attempt)
    span = tracing.start(_name("process", queue), "consumer", context, own=own)
    if span is not None:
        span.attributes = {
            **_messaging("process", queue),
            "messaging.message.id": message_id,
            "messaging.message.conversation_id": call.call_id,
            "toolyard.org": call.org,
            "toolyard.attempt": attempt,
            "toolyard.redelivered": count,
        }
    return span


def attempt_context(traceparent: str, call_id: str, attempt: int) -> str:
    """The context of the first delivery of an attempt, whoever asks."""
    return tracing.derived(traceparent, call_id, attempt)


def processed(span: Span, outcome: Ended | None, parked: str = "") -> None:
    """The delivery is settled."""
    if parked:
        span.event(PARKED, {"toolyard.reason": parked})
    _end(span, outcome)


def request_from(queue: str, given: str | None, *, message_id: str) -> tuple[str, Span | None]:
    """A request that came from a queue, until it is answered: the context that its calls go on with, and its span."""
    context, span = tracing.enter(_name("process", queue), "consumer", given)
    if span is not None:
        span.attributes = {**_messaging("process", queue), "messaging.message.id": message_id}
    return context, span


# ---- an attempt ---------------------------------------------------------------------------------
def claim(call: Call) -> Span | None:
    """The ledger is asked whether an attempt may start, until it answers."""
    span = tracing.start("claim", "client", call.traceparent)
    if span is not None:
        span.attributes = {"toolyard.call.id": call.call_id}
    return span


def claimed(span: Span, answer: str) -> None:
    """The ledger answered, or ``none`` came."""
    span.attributes["toolyard.claim.answer"] = answer
    span.end("" if answer == "granted" else "unavailable" if answer == "none" else "conflict")


def execute(call: Call, attempt: int) -> Span | None:
    """A tool runs."""
    span = tracing.start(_name("execute_tool", call.tool), "internal", call.traceparent)
    if span is not None:
        span.attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.tool,
            "gen_ai.tool.call.id": call.call_id,
            "gen_ai.tool.type": "function",
            "toolyard.org": call.org,
            "toolyard.pool": call.pool,
            "toolyard.tool.version": call.version,
            "toolyard.attempt": attempt,
        }
        if call.conversation is not None:
            span.attributes["gen_ai.conversation.id"] = call.conversation
    return span


def defect(span: Span, kind: str, where: str) -> None:
    """Something of ours broke while it ran; ``where`` has files, lines and names, no values."""
    span.event("exception", {"exception.type": kind, "exception.stacktrace": where})


def executed(span: Span, outcome: Ended | None) -> None:
    """The tool ran; what it asks its user for is told without where."""
    if outcome is not None and outcome.authorization is not None:
        span.event(CONSENT_ASKED, {"toolyard.provider": outcome.authorization.provider})
    _end(span, outcome)


# ---- a request to an upstream -------------------------------------------------------------------
def request(method: str, host: str, port: int, parent: str | None) -> Span | None:
    """A request to what a tool asks, until its answer begins."""
    span = tracing.start(method, "client", parent)
    if span is not None:
        span.attributes = {"http.request.method": method, "server.address": host, "server.port": port}
    return span


def answered(span: Span, status: int) -> None:
    """The upstream answered."""
    span.attributes["http.response.status_code"] = status
    span.end("upstream_error" if status >= 400 else "")


def invoke(function: str, region: str, parent: str | None) -> Span | None:
    """A function of AWS Lambda is invoked."""
    span = tracing.start("Lambda/Invoke", "client", parent)
    if span is not None:
        span.attributes = {
            "rpc.system": "aws-api",
            "rpc.service": "Lambda",
            "rpc.method": "Invoke",
            "faas.invoked_name": function,
            "faas.invoked_provider": "aws",
            "faas.invoked_region": region,
        }
    return span


# ---- the ledger ---------------------------------------------------------------------------------
def apply(told: Ended | Claim, *, began: int, batch: int) -> Span | None:
    """The ledger applied a record about an attempt, in a transaction that began then (ns)."""
    span = tracing.start(_name("process", _LOG), "consumer", told.traceparent)
    if span is not None:
        span.started_at = began
        span.attributes = {
            **_messaging("process", _LOG),
            "messaging.batch.message_count": batch,
            "messaging.message.conversation_id": told.call_id,
            "toolyard.attempt": told.attempt,
        }
    return span


def applied(span: Span, state: str, parked: str) -> None:
    """What became of its call."""
    if state:
        span.attributes["toolyard.state"] = state
    if parked:
        span.event(PARKED, {"toolyard.reason": parked})
    span.end()


def within(span: Span | None, call: Call) -> Call:
    """The call as what runs in this span sees it."""
    return call if span is None else structs.replace(call, traceparent=span.traceparent)


# ---- what they share ----------------------------------------------------------------------------
def _end(span: Span, outcome: Ended | None) -> None:
    if outcome is None:
        span.end()
        return
    span.attributes["toolyard.state"] = end_state(outcome)  # type: ignore[arg-type]
    span.attributes["toolyard.effect"] = outcome.effect
    span.end("" if outcome.error is None else outcome.error.code)


def _messaging(operation: str, destination: str) -> dict[str, tracing.Value]:
    return {
        "messaging.system": tracing.messaging_system(),
        "messaging.operation.type": operation,
        "messaging.operation.name": "publish" if operation == "send" else operation,
        "messaging.destination.name": destination,
    }


@lru_cache(maxsize=1024)
def _name(operation: str, what: str) -> str:
    return f"{operation} {what}"
