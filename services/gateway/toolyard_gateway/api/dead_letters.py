"""Dead letters over HTTP, for operators: what did not verify or decode, and how it is published as it came.

Such a message has proved no org, so that only the first org's operators see it. A replay is never signed anew.
"""

from base64 import b64encode
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from toolyard.clock import rfc3339
from toolyard.contracts.codec import encode_json
from toolyard.errors import Refused
from toolyard.store.dead_letters import DeadLetter
from toolyard.telemetry.logs import logger
from toolyard.transport import rights, topology
from toolyard.transport.base import Message
from toolyard_gateway.api import problems
from toolyard_gateway.api.auth import Caller, Known
from toolyard_gateway.api.calls import JSON, Cursor, Limit, bad_cursor
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.api.schedule_models import DeadLetterModel, DeadLetterPage, Replayed
from toolyard_gateway.principals import FIRST_ORG, Principal

log = logger("dead_letters")
router = APIRouter(tags=["dead letters"])
LetterId = Annotated[str, Path(max_length=64, description="The letter's id.")]


@router.get(
    "/v1/dead-letters",
    operation_id="list_dead_letters",
    summary="List dead letters",
    response_model=DeadLetterPage,
    responses=problems.document(403),
)
async def list_dead_letters(principal: Caller, known: Known, cursor: Cursor = None, limit: Limit = 50) -> Response:
    """Messages that did not verify or decode, newest first, without their bodies."""
    _require(principal)
    try:
        page = await known.store.ask(known.store.dead_letters.list, cursor=cursor, limit=limit)
    except ValueError:
        raise bad_cursor() from None
    shown = {"items": [_view(letter) for letter in page.items], "next_cursor": page.next_cursor}
    return Response(encode_json(shown), 200, media_type=JSON)


@router.get(
    "/v1/dead-letters/{letter_id}",
    operation_id="get_dead_letter",
    summary="Read a dead letter",
    response_model=DeadLetterModel,
    responses=problems.document(403, 404),
)
async def get_dead_letter(letter_id: LetterId, principal: Caller, known: Known) -> Response:
    """One message that did not verify or decode, with its body."""
    _require(principal)
    letter = await _found(known, letter_id)
    return Response(encode_json(_view(letter) | _body(letter.body)), 200, media_type=JSON)


@router.post(
    "/v1/dead-letters/{letter_id}/replay",
    operation_id="replay_dead_letter",
    summary="Replay a dead letter",
    response_model=Replayed,
    responses=problems.document(403, 404, 409),
)
async def replay_dead_letter(letter_id: LetterId, principal: Caller, known: Known) -> Response:
    """Publish a message exactly as it came, its signature included. What still does not verify comes back."""
    _require(principal)
    letter = await _found(known, letter_id)
    if not letter.complete:
        raise Refused("conflict", "A part of this message was too long to be kept; it cannot be replayed.")
    if not _leads_somewhere(letter):
        where = f"exchange {letter.exchange[:64]!r}, key {letter.key[:200]!r}"
        raise Refused("conflict", f"No queue of ours takes this message ({where}); it cannot be replayed.")
    if known.least_rights and not rights.gateway().may_publish(letter.exchange, letter.key):
        detail = "Gateways may not publish this message at the broker: it is a worker's or a scheduler's."
        raise Refused("conflict", detail)
    message = Message(
        letter.exchange,
        letter.key,
        letter.body,
        letter.message_id,
        letter.headers,
        expiration=letter.expiration,
        kind=letter.kind,
    )
    await known.transport.publish(message)
    await known.store.ask(known.store.dead_letters.drop, letter)
    log.warning("a dead letter was replayed", letter_id=letter_id, by=principal.key_id, key=letter.key)
    return Response(encode_json({"letter_id": letter_id, "replayed": True}), 200, media_type=JSON)


def _require(principal: Principal) -> None:
    principal.require("handle_dead_letters")
    if principal.org != FIRST_ORG:
        detail = f"Messages that do not verify belong to no org; only operators of the org {FIRST_ORG!r} see them."
        raise Refused("permission_denied", detail)


async def _found(known: Parts, letter_id: str) -> DeadLetter:
    letter = await known.store.ask(known.store.dead_letters.get, letter_id)
    if letter is None:
        raise Refused("not_found", f"There is no dead letter {letter_id[:64]!r}.")
    return letter


def _leads_somewhere(letter: DeadLetter) -> bool:
    """Whether some queue would take it: the broker drops what none takes, and confirms it all the same."""
    bindings = [binding for queue in topology.QUEUES for binding in queue.bindings]
    words = letter.key.split(".")
    if len(words) == 6:
        bindings += [*topology.reply_bindings(words[4]), *topology.worker_bindings(words[2], words[4])]
    return any(exchange == letter.exchange and topology.matches(key, letter.key) for exchange, key in bindings)


def _view(letter: DeadLetter) -> dict[str, Any]:
    return {
        "letter_id": letter.letter_id,
        "reason": letter.reason,
        "exchange": letter.exchange,
        "key": letter.key,
        "message_id": letter.message_id,
        "headers": dict(letter.headers),
        "size": letter.size,
        "complete": letter.complete,
        "arrived_at": rfc3339(letter.arrived_at),
        "arrivals": letter.arrivals,
    }


def _body(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": b64encode(body).decode()}
