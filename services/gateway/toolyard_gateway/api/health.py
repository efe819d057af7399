"""`/livez`, `/readyz` and `/metrics`: readiness proves that answers come in, not only that a process lives."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from toolyard.contracts.codec import encode_json
from toolyard.errors import Refused
from toolyard.telemetry import exposition
from toolyard_gateway.api import problems
from toolyard_gateway.api.auth import Known
from toolyard_gateway.api.calls import JSON
from toolyard_gateway.api.models import Alive, Ready
from toolyard_gateway.api.parts import Parts

router = APIRouter(tags=["health"])


@router.get("/livez", operation_id="livez", summary="Is the process alive?", response_model=Alive)
async def livez() -> Response:
    """The process lives as long as this is answered."""
    return Response(b'{"status":"ok"}', media_type=JSON)


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Is the gateway ready?",
    response_model=Ready,
    responses={400: problems.document()[400], 503: problems.document()[503]},
)
async def readyz(known: Known) -> Response:
    """Whether calls are taken and answered here at this moment."""
    reason = unready(known)
    if reason:
        raise Refused("unavailable", reason)
    return Response(encode_json({"status": "ok", "gateway": known.gateway_id}), media_type=JSON)


def unready(known: Parts) -> str:
    """Why no calls should be sent here; empty where they should. The store may be away: what is known goes on."""
    health = known.transport.health
    if known.draining:
        return "This gateway is stopping."
    if not health.ok:
        missing = f" Missing: {', '.join(health.missing)}." if health.missing else ""
        return f"Calls cannot be sent: {health.reason or 'the broker is away or blocks publishing'}.{missing}"
    if not known.inbox.consuming:
        return "Answers do not come in: the reply queue is not consumed."
    if known.front is not None and known.front.unready:
        return known.front.unready
    if known.misfit:
        return f"{known.misfit[0].upper()}{known.misfit[1:]}."
    if known.keyless:
        return "The first API key is not made yet: the database is away, or no scheduler has made its tables."
    return ""


@router.get("/metrics", operation_id="metrics", summary="Read the metrics", response_class=PlainTextResponse)
async def metrics(request: Request, known: Known) -> Response:
    """Counters, gauges and histograms, as Prometheus reads them, or as OpenMetrics where `Accept` says so."""
    kind, text = exposition.answer(known.metrics.board, ",".join(request.headers.getlist("accept")))
    return Response(text, headers={"Content-Type": kind})
