"""One full and, where fields may be left out, one minimal sample of everything that travels, and its golden bytes.

Golden files are written once (`python -m tests.unit.shared.contracts.samples` writes those that are missing) and never
changed: they stand for messages that wait in queues and logs, and for definitions in databases, of older versions.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Raw, structs

from toolyard.contracts import codec, consents, control, events, feed, requests, secrets, tools
from toolyard.contracts.calls import Authorization, Call, CallMessage, Report, Result, error_info

GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "v1"

CALL_ID = "0197c9a0-5d2f-7e4b-9c3a-1f6d8e2b4a70"
CLAIM_ID = "9b1c3c9e-7d1e-4f0a-8f43-0a4be0f4f9d1:17"
BODY_HASH = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOW = 1767225600.25

# ---- tools ------------------------------------------------------------------------------------

HTTP_FULL = tools.HttpBinding(
    method="POST",
    url="https://api.example.com/v1/cities/${arguments.city}/forecast",
    headers={"Accept": "application/json", "X-Team": "${context.team}"},
    query={"days": "${arguments.days}", "units": "metric"},
    body={"city": "${arguments.city}", "tags": ["a", None, 1.5], "nested": {"deep": True}},
    authentication=tools.Authentication(type="api_key", secret="WEATHER_KEY", place="query", name="appid"),
    response_handling=tools.ResponseHandling(success_field="ok", message_field="text", data_field="data.items"),
    allowed_hosts=("api.example.com", "*.example.org:8443"),
)
HTTP_NANGO = structs.replace(
    HTTP_FULL,
    authentication=tools.Authentication(
        type="nango", integration="github", connection="${context.connection}", mode="proxy"
    ),
)
HTTP_MINIMAL = tools.HttpBinding(method="GET", url="https://api.example.com/time")
SANDBOX_FULL = tools.SandboxBinding(
    code="def execute_tool(parameters, context):\n    return {'sum': parameters['a'] + parameters['b']}\n",
    allowed_imports=("math", "requests"),
    execution_timeout=5.0,
    memory_limit_mb=128,
    environment_variables=("REGION",),
    allowed_hosts=("api.example.com",),
)
SANDBOX_BOUNDED = structs.replace(
    SANDBOX_FULL, allowed_imports=(), output_limit_kb=256, print_limit_kb=16, request_limit=3
)
LAMBDA_FULL = tools.LambdaBinding(
    function_name="price-list",
    aws_region="eu-central-1",
    invocation_type="Event",
    qualifier="live",
    payload_template={"sku": "${arguments.sku}"},
    credentials={"role": "arn:aws:iam::123456789012:role/price-list"},
)
LAMBDA_STREAMED = tools.LambdaBinding(
    function_name="arn:aws:lambda:eu-central-1:123456789012:function:price-list",
    aws_region="eu-central-1",
    credentials={"access_key_field": "AWS_KEY", "secret_key_field": "AWS_SECRET"},
    response_streaming=True,
)
ARCADE_FULL = tools.ArcadeBinding(tool_name="Gmail.SendEmail", tool_version="1.2.3")
ARCADE_CONSENTED = tools.ArcadeBinding(
    tool_name="Gmail.SendEmail", tool_version="1.2.3", provider="google", scopes=("mail.send", "mail.read")
)

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 80}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city"],
    "additionalProperties": False,
}
OUTPUT: dict[str, Any] = {"type": "array", "items": {"type": "object"}}


def spec_full(binding: tools.Binding) -> tools.ToolSpec:
    """A definition with every field set."""
    return tools.ToolSpec(
        name="weather.forecast",
        version=7,
        description="The forecast for a city: naïve, 晴れ, ☀.",
        parameters=PARAMETERS,
        binding=binding,
        title="Weather forecast",
        output=OUTPUT,
        annotations=tools.Annotations(read_only=False, idempotent=True, destructive=False, open_world=True),
        timeout=20.0,
        queue_timeout=5.5,
        deadline=120.0,
        retry=tools.RetryPolicy(max_attempts=4, codes=("upstream_error",), backoff=0.5),
        key_fields=("city",),
        key_window=3600.0,
        secrets=("WEATHER_KEY",),
        contexts=("team",),
        toolkit="weather",
        enabled=False,
    )


SPEC_WITH_A_FALLBACK = structs.replace(spec_full(ARCADE_FULL), fallback=HTTP_FULL)
SPEC_IN_TRACES = structs.replace(spec_full(HTTP_FULL), telemetry=tools.Telemetry(arguments=True, result=True))


SPEC_MINIMAL = tools.ToolSpec(
    name="clock", version=1, description="The time.", parameters={"type": "object"}, binding=HTTP_MINIMAL
)
PINNED_FULL = tools.pinned(spec_full(HTTP_FULL))
PINNED_MINIMAL = tools.pinned(SPEC_MINIMAL)

# ---- calls ------------------------------------------------------------------------------------

CALL_FULL = Call(
    call_id=CALL_ID,
    org="acme",
    tool="weather.forecast",
    version=7,
    pool="http",
    gateway="gw-1",
    principal="k7f3",
    arguments={"city": "Zürich", "days": 3, "tags": ["a", None, {"b": 1.5}], "text": '\u2028\t"\\'},
    body_hash=BODY_HASH,
    accepted_at=NOW,
    deadline=NOW + 300,
    timeout=30.0,
    queue_timeout=5.5,
    rerunnable=True,
    user="user-42",
    conversation="conv-9",
    context={"team": "north", "locale": "de-CH"},
    test=True,
    traceparent=TRACEPARENT,
)
CALL_MINIMAL = Call(
    call_id=CALL_ID,
    org="default",
    tool="clock",
    version=1,
    pool="http",
    gateway="gw-1",
    principal="k7f3",
    arguments={},
    body_hash=BODY_HASH,
    accepted_at=NOW,
    deadline=NOW + 300,
    timeout=30.0,
)
MESSAGE_FULL = CallMessage(
    v=1, call=CALL_FULL, tool=Raw(codec.encode(PINNED_FULL)), attempt=3, budget=299.5, claim="required"
)
CALL_SCHEDULED = structs.replace(
    CALL_FULL,
    not_before=NOW + 60,
    rerunnable=False,
    retry=tools.RetryPolicy(max_attempts=4, codes=("rate_limited", "upstream_error"), backoff=0.5),
)
MESSAGE_ALONE = CallMessage(
    v=1, call=CALL_SCHEDULED, tool=Raw(codec.encode(PINNED_FULL)), attempt=2, budget=9.5, claim="required", alone=True
)
MESSAGE_WAIVED = CallMessage(
    v=1,
    call=CALL_MINIMAL,
    tool=Raw(codec.encode(PINNED_MINIMAL)),
    attempt=3,
    budget=9.5,
    claim="required",
    waived=2,
)
CALL_WITH_A_FALLBACK = structs.replace(CALL_MINIMAL, fallback="http")
MESSAGE_WITH_A_FALLBACK = CallMessage(
    v=1, call=CALL_WITH_A_FALLBACK, tool=Raw(codec.encode(PINNED_MINIMAL)), budget=300.0
)
MESSAGE_DIVERTED = structs.replace(MESSAGE_WAIVED, diverted=True)
MESSAGE_MINIMAL = CallMessage(v=1, call=CALL_MINIMAL, tool=Raw(codec.encode(PINNED_MINIMAL)), budget=300.0)

# ---- events -----------------------------------------------------------------------------------


def _of(call: Call, attempt: int, n: int) -> dict[str, Any]:
    return {**events.about(call), "attempt": attempt, "sequence": events.sequence(attempt, n), "time": NOW + 1}


_FULL_END: dict[str, Any] = {
    **_of(CALL_FULL, 3, 2),
    "finished_at": NOW + 1,
    "started_at": NOW + 0.5,
    "worker": "http-1",
    "claim_id": CLAIM_ID,
    "fence": 12,
}
_MINIMAL_END: dict[str, Any] = {**_of(CALL_MINIMAL, 1, 1), "finished_at": NOW + 1}
RESULT_FULL = Result(content="3 days", structured=Raw(b'[{"max":21.5},{"max":null}]'), truncated=True, size=2097153)
RESULT_MINIMAL = Result(structured=Raw(b"null"))
ERROR_FULL = error_info(
    "upstream_error",
    "The upstream answered 503.",
    retryable=True,
    retry_after=2.5,
    phase="attempt",
    details={"status": 503},
)

EVENTS: dict[str, events.Event] = {
    "started": events.Started(**_of(CALL_FULL, 1, 1), worker="http-1"),
    "withdrawn": events.Withdrawn(**_of(CALL_FULL, 0, 1)),
    "soft_timeout": events.SoftTimeout(**_of(CALL_FULL, 1, 3), ends_at=NOW + 7, worker="http-1"),
    "parked": events.Parked(**_of(CALL_FULL, 1, 900_001), reason="retry", due_at=NOW + 9),
    "parked_minimal": events.Parked(**_of(CALL_MINIMAL, 1, 1), reason="paused", by="executor"),
    "claimed": events.Claimed(**_of(CALL_FULL, 1, 900_002)),
    "ending": events.Ending(**_of(CALL_FULL, 1, 900_000), code="timed_out"),
    "ending_of_a_claim": events.Ending(**_of(CALL_FULL, 1, 900_000), code="outcome_unknown", claim_id=CLAIM_ID),
    "succeeded": events.Succeeded(**_FULL_END, effect="done", result=RESULT_FULL),
    "succeeded_minimal": events.Succeeded(**_MINIMAL_END, effect="done", result=RESULT_MINIMAL),
    "failed": events.Failed(**_FULL_END, effect="unknown", error=ERROR_FULL, final=False),
    "failed_minimal": events.Failed(**_MINIMAL_END, effect="unknown"),
    "timed_out": events.TimedOut(
        **_FULL_END, effect="unknown", error=error_info("timed_out", "No answer within 30 s.", phase="attempt")
    ),
    "timed_out_between_attempts": events.TimedOut(
        **_of(CALL_MINIMAL, 3, 900_001), finished_at=NOW + 1, effect="none", by="scheduler", attempts=2
    ),
    "timed_out_minimal": events.TimedOut(**_MINIMAL_END, effect="unknown"),
    "expired": events.Expired(
        **_FULL_END, effect="none", by="scheduler", error=error_info("expired", "Not started in time.", phase="queue")
    ),
    "expired_minimal": events.Expired(**_MINIMAL_END, effect="none"),
    "cancelled": events.Cancelled(
        **_FULL_END, effect="none", by="gateway", error=error_info("cancelled", "Cancelled by its caller.")
    ),
    "cancelled_minimal": events.Cancelled(**_MINIMAL_END, effect="none"),
    "rejected": events.Rejected(
        **_FULL_END, effect="none", by="scheduler", error=error_info("approval_denied", "Refused by a person.")
    ),
    "rejected_minimal": events.Rejected(**_MINIMAL_END, effect="none"),
}
REPORT_FULL = Report(
    logs="3 cities\nzwölf Grad",
    isolation="full",
    cpu_seconds=0.0125,
    peak_memory_bytes=1_310_720,
    output_bytes=27,
    requests=2,
)
EVENTS |= {
    f"{state}_reported": end(**_MINIMAL_END, effect="done", report=REPORT_FULL) for state, end in events.ENDS.items()
}
REPORT_INVOKED = Report(
    logs="3 cities\n",
    peak_memory_bytes=37_748_736,
    output_bytes=27,
    memory_limit_bytes=134_217_728,
    run_seconds=0.20012,
    init_seconds=0.11,
    billed_seconds=0.312,
    executed_version="$LATEST",
    request_id="8f5b0b0e-0b0e-4b0e-8b0e-0b0e0b0e0b0e",
)
AUTHORIZATION = Authorization(
    authorization_id="ar_5d2f7e4b",
    provider="arcade/google",
    url="https://accounts.example.com/consent?state=5d2f7e4b",
    scopes=("https://www.googleapis.com/auth/gmail.send",),
    expires_at=NOW + 600,
)
EVENTS["failed_awaiting_its_user"] = events.Failed(
    **_FULL_END,
    effect="none",
    error=error_info("authorization_required", AUTHORIZATION.url),
    final=False,
    authorization=AUTHORIZATION,
)
EVENTS["parked_for_its_fallback"] = events.Parked(
    **_of(CALL_FULL, 2, 900_004), reason="retry", due_at=NOW + 9, diverted=True
)
EVENTS["parked_for_its_user"] = events.Parked(
    **_of(CALL_FULL, 2, 900_004), reason="authorization", authorization=AUTHORIZATION
)
EVENTS["succeeded_invoked"] = events.Succeeded(**_MINIMAL_END, effect="done", report=REPORT_INVOKED)
EVENTS |= {f"{state}_announced": end(**_FULL_END, effect="done", announced=True) for state, end in events.ENDS.items()}

# ---- control ----------------------------------------------------------------------------------

_CONTROL: dict[str, Any] = {"v": 1, "sender": "scheduler-1", "time": NOW}
_CLAIM: dict[str, Any] = {**_CONTROL, "claim_id": CLAIM_ID, "call_id": CALL_ID, "attempt": 1}
_ASKED: dict[str, Any] = {
    **_CLAIM,
    "body_hash": BODY_HASH,
    "attempt_timeout": 30.0,
    "reply": "w1",
    "org": "acme",
    "tool": "weather.forecast",
    "version": 7,
    "pool": "http",
    "gateway": "gw-1",
    "accepted_at": NOW,
    "deadline": NOW + 300,
}

CONTROLS: dict[str, control.Control] = {
    "claim": control.Claim(**_ASKED, queue_timeout=5.5, rerunnable=True, traceparent=TRACEPARENT, again=True),
    "claim_first": control.Claim(**_ASKED, rerunnable=True, first=True),
    "claim_minimal": control.Claim(**_ASKED),
    "granted": control.Granted(**_CLAIM, fence=12, lease=15.0),
    "granted_alone": control.Granted(**_CLAIM, fence=13, lease=15.0, alone=True),
    "refused": control.ClaimRefused(**_CLAIM, reason="started"),
    "released": control.Released(**_CLAIM),
    "settled": control.Settled(**_CONTROL, call_id=CALL_ID, attempt=1, claim_id=CLAIM_ID),
    "settled_minimal": control.Settled(**_CONTROL, call_id=CALL_ID, attempt=1),
    "cancel": control.Cancel(**_CONTROL, call_id=CALL_ID, org="acme"),
    "cancel_conversation": control.Cancel(**_CONTROL, org="acme", conversation="conv-9"),
    "pause": control.Pause(**_CONTROL, kind="tool", org="acme", name="weather.forecast"),
    "resume": control.Resume(**_CONTROL, kind="org", org="acme", name=""),
    "authorized": control.Authorized(
        **_CONTROL, org="acme", provider="arcade/google", authorization_id="ar_5d2f7e4b", status="completed"
    ),
    "authorized_one_call": control.Authorized(
        **_CONTROL, org="acme", provider="arcade/google", authorization_id="a", status="failed", call_id=CALL_ID
    ),
    "authorization_asked": control.AuthorizationAsked(
        **_CONTROL, org="acme", user="ann", tool="mail", authorization=AUTHORIZATION
    ),
    "pauses_asked": control.PausesAsked(**_CONTROL, reply="w1"),
    "pauses": control.Pauses(**_CONTROL, paused=(control.Paused(kind="pool", org="-", name="http"),)),
    "pauses_and_time": control.Pauses(**_CONTROL, paused=(), asked=NOW + 300.5),
    "tool_changed": control.ToolChanged(**_CONTROL, org="acme", tool="weather.forecast", version=8),
    "log_level": control.LogLevelSet(**_CONTROL, org="acme", tool="weather.forecast", level="debug", seconds=900.0),
    "log_level_org": control.LogLevelSet(**_CONTROL, org="acme", level="error", seconds=60.0),
    "ledger_position": control.LedgerPosition(**_CONTROL, offset=4711, record_time=NOW - 0.5),
}
HEARTBEATS = {
    "heartbeat": control.Heartbeat(v=1, worker="w1", pool="http", time=NOW, claims=(CLAIM_ID,)),
    "heartbeat_isolated": control.Heartbeat(v=1, worker="w1", pool="sandbox", time=NOW, isolation="full"),
    "heartbeat_minimal": control.Heartbeat(v=1, worker="w1", pool="http", time=NOW),
}
CONSENT_ASKED = {
    "consent_asked": consents.ConsentAsked(
        v=1, gateway="gw-1", number=7, org="acme", user="ann", tool="mail", version=3
    ),
}
CONSENT_TOLD = {
    "consent_told": consents.ConsentTold(v=1, number=7, org="acme", authorization=AUTHORIZATION),
    "consent_told_nothing_is_missing": consents.ConsentTold(v=1, number=7, org="acme"),
    "consent_told_refused": consents.ConsentTold(
        v=1, number=7, org="acme", refused="rate_limited", message="Arcade takes no more", retry_after=2.5
    ),
}
TICKETS: dict[str, requests.Ticket] = {
    "ticket_call": requests.Ticket(
        v=1,
        org="acme",
        reply_to="answers",
        correlation_id="c-1",
        call=requests.CallTicket(
            call_id=CALL_ID, body_hash=BODY_HASH, until=NOW + 300, as_it_stands=NOW + 30, deduplicated=True
        ),
    ),
    "ticket_call_minimal": requests.Ticket(
        v=1,
        org="acme",
        reply_to="answers",
        call=requests.CallTicket(call_id=CALL_ID, body_hash=BODY_HASH, until=NOW + 300),
    ),
    "ticket_turn": requests.Ticket(
        v=1,
        org="acme",
        reply_to="answers",
        correlation_id="c-1",
        turn=requests.TurnTicket(
            key_id="k7",
            roles=("caller",),
            request=Raw(b'{"format":"openai","message":{"tool_calls":[]}}'),
            until=NOW + 300,
            key="t-1",
            delivery="\x1emessage\x1fk7\x1fm-1",
            traceparent=TRACEPARENT,
        ),
    ),
    "ticket_turn_minimal": requests.Ticket(
        v=1,
        org="acme",
        reply_to="answers",
        turn=requests.TurnTicket(key_id="k7", roles=("caller",), request=Raw(b"{}"), until=NOW + 300),
    ),
}
PROGRESS = {
    "progress": events.Progress(
        **_of(CALL_FULL, 1, 4),
        done=3.5,
        total=10.0,
        message="page 3 of 10",
        worker="sandbox-1",
        conversation="talk-1",
        user="u-1",
    ),
    "progress_minimal": events.Progress(**_of(CALL_MINIMAL, 1, 2), done=0.0, worker="w"),
}
BREAKERS = {
    "breaker": control.BreakerTold(
        v=1,
        worker="w1",
        pool="http",
        org="acme",
        circuit="api.example.com:443",
        state="open",
        episode=f"w1:{CALL_ID}",
        time=NOW,
        since=NOW - 3,
        openings=2,
        seconds=1.5,
        failures=20,
    ),
    "breaker_minimal": control.BreakerTold(
        v=1,
        worker="w1",
        pool="lambda",
        org="acme",
        circuit="eu-central-1/price-list",
        state="closed",
        episode=f"w1:{CALL_ID}",
        time=NOW,
        since=NOW - 3,
    ),
}

SECURITY = {
    "security": control.SecurityTold(
        v=1,
        sender="gw-1",
        time=NOW,
        pool="http",
        reason="forged",
        queue="toolyard.reply.gw-1",
        exchange="toolyard.events",
        key="call.succeeded.http.acme.gw-1.weather:forecast",
        key_id="http/2026-11",
        message_id=CALL_ID,
    ),
    "security_minimal": control.SecurityTold(
        v=1, sender="w1", time=NOW, pool="-", reason="unsigned", queue="toolyard.log", exchange="", key=""
    ),
}

# ---- the feed ---------------------------------------------------------------------------------

INTEREST_FULL = feed.Interest(
    conversation="conv-9", tool="weather.forecast", states=("failed", "timed_out"), call_id=CALL_ID, since=NOW
)
ITEM_FULL = feed.FeedItem(
    offset=4711,
    n=2,
    event="failed",
    event_id=f"{CALL_ID}/3000003/failed",
    call_id=CALL_ID,
    tool="weather.forecast",
    state="failed",
    time=NOW + 1,
    conversation="conv-9",
    body=Raw('{"specversion":"1.0","data":{"text":"晴れ"}}'.encode()),
)
ITEM_MINIMAL = feed.FeedItem(
    offset=0,
    n=2,
    event="accepted",
    event_id=f"{CALL_ID}/0/accepted",
    call_id=CALL_ID,
    tool="clock",
    state="accepted",
    time=NOW,
    body=Raw(b"{}"),
)
FEED_ASKED: dict[str, Any] = {
    "feed_asked": feed.FeedAsked(
        v=1, gateway="gw-1", number=17, org="acme", offset=4711, n=2, patience=20.0, only=INTEREST_FULL
    ),
    "feed_asked_minimal": feed.FeedAsked(v=1, gateway="gw-1", number=1, org="acme"),
}
FEED_PAGES = {
    "feed_page": feed.FeedPage(
        v=1,
        number=17,
        org="acme",
        items=(ITEM_MINIMAL, ITEM_FULL),
        offset=4712,
        n=1,
        at_end=True,
        lost=True,
        ahead=True,
    ),
    "feed_page_minimal": feed.FeedPage(v=1, number=1, org="acme", offset=0),
}
HELD_FULL = secrets.Held(
    key="call.accepted.http.acme.gw-1.weather:forecast",
    message_id=CALL_ID,
    signature=f"v1,test,{BODY_HASH}",
    body=b'{"v":1}',
    expiration="60000",
)
_ASKED = {
    "v": 1,
    "worker": "0a4be0f4f9d1",
    "pool": "http",
    "org": "acme",
    "call_id": CALL_ID,
    "attempt": 1,
    "tool": "weather.forecast",
    "version": 3,
    "public_key": bytes(range(32)),
    "nonce": CALL_ID,
    "time": NOW,
}
SECRETS_ASKED = {
    "secrets_asked": secrets.SecretsAsked(**_ASKED, names=("WEATHER_KEY", "OTHER"), held=HELD_FULL),
    "secrets_asked_minimal": secrets.SecretsAsked(**_ASKED, names=(), held=structs.replace(HELD_FULL, expiration="")),
}
_TOLD: dict[str, Any] = {"v": 1, "worker": "0a4be0f4f9d1", "pool": "http", "org": "acme", "nonce": CALL_ID, "time": NOW}
SECRETS_TOLD = {
    "secrets_told": secrets.SecretsTold(**_TOLD, sealed=bytes(range(64))),
    "secrets_told_refused": secrets.SecretsTold(**_TOLD, refused="not_held", message="the call has ended"),
}


class Sample(NamedTuple):
    """A message or definition, its file, and what reads it."""

    file: str
    message: Any
    decode: Callable[[bytes], Any]


def _samples() -> list[Sample]:
    pinned_and_specs = [
        Sample("pinned_full", PINNED_FULL, codec.decode_pinned),
        Sample("pinned_minimal", PINNED_MINIMAL, codec.decode_pinned),
        Sample("spec_http", spec_full(HTTP_FULL), codec.decode_spec),
        Sample("spec_sandbox", spec_full(SANDBOX_FULL), codec.decode_spec),
        Sample("spec_sandbox_bounded", spec_full(SANDBOX_BOUNDED), codec.decode_spec),
        Sample("spec_lambda", spec_full(LAMBDA_FULL), codec.decode_spec),
        Sample("spec_http_nango", spec_full(HTTP_NANGO), codec.decode_spec),
        Sample("spec_lambda_streamed", spec_full(LAMBDA_STREAMED), codec.decode_spec),
        Sample("spec_arcade", spec_full(ARCADE_FULL), codec.decode_spec),
        Sample("spec_with_a_fallback", SPEC_WITH_A_FALLBACK, codec.decode_spec),
        Sample("spec_in_traces", SPEC_IN_TRACES, codec.decode_spec),
        Sample("pinned_in_traces", tools.pinned(SPEC_IN_TRACES), codec.decode_pinned),
        Sample("spec_arcade_consented", spec_full(ARCADE_CONSENTED), codec.decode_spec),
        Sample("spec_minimal", SPEC_MINIMAL, codec.decode_spec),
    ]
    return [
        Sample("call_full", MESSAGE_FULL, codec.decode_call),
        Sample("call_alone", MESSAGE_ALONE, codec.decode_call),
        Sample("call_with_a_fallback", MESSAGE_WITH_A_FALLBACK, codec.decode_call),
        Sample("call_waived", MESSAGE_WAIVED, codec.decode_call),
        Sample("call_diverted", MESSAGE_DIVERTED, codec.decode_call),
        Sample("call_minimal", MESSAGE_MINIMAL, codec.decode_call),
        *(Sample(f"event_{name}", event, codec.decode_event) for name, event in EVENTS.items()),
        *(Sample(f"control_{name}", message, codec.decode_control) for name, message in CONTROLS.items()),
        *(Sample(name, message, codec.decode_heartbeat) for name, message in HEARTBEATS.items()),
        *(Sample(name, message, codec.decode_progress) for name, message in PROGRESS.items()),
        *(Sample(name, message, codec.decode_breaker) for name, message in BREAKERS.items()),
        *(Sample(name, message, codec.decode_security) for name, message in SECURITY.items()),
        *(Sample(name, message, codec.decode_feed_asked) for name, message in FEED_ASKED.items()),
        *(Sample(name, message, codec.decode_feed_page) for name, message in FEED_PAGES.items()),
        *(Sample(name, message, codec.decode_consent_asked) for name, message in CONSENT_ASKED.items()),
        *(Sample(name, message, codec.decode_consent_told) for name, message in CONSENT_TOLD.items()),
        *(Sample(name, message, codec.decode_ticket) for name, message in TICKETS.items()),
        *(Sample(name, message, codec.decode_secrets_asked) for name, message in SECRETS_ASKED.items()),
        *(Sample(name, message, codec.decode_secrets_told) for name, message in SECRETS_TOLD.items()),
        *pinned_and_specs,
    ]


SAMPLES = _samples()
#: What travels in an envelope with a version of its own.
VERSIONED = [sample for sample in SAMPLES if hasattr(sample.message, "v")]


def golden(sample: Sample) -> bytes:
    """The bytes of a sample as they were when its file was made."""
    return (GOLDEN / f"{sample.file}.json").read_bytes()


def main() -> None:
    """Write the golden files that are missing; those that are there stay as they are."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for sample in SAMPLES:
        path = GOLDEN / f"{sample.file}.json"
        if not path.exists():
            path.write_bytes(codec.encode(sample.message))
            print(f"written: {path.name}")


if __name__ == "__main__":
    main()
