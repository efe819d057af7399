"""The events of one call as a stream (SSE), resumable by `Last-Event-ID`.

Start and end are derived from the call's record, so that every gateway tells the same ones; so is that it waits. What
passes (a soft timeout, a pause that is over) is told to those who follow while it happens.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Header
from starlette.responses import StreamingResponse

from toolyard.contracts.events import sequence
from toolyard.errors import Refused, StoreUnavailable
from toolyard.states import PARKED, TERMINAL
from toolyard_gateway.api import problems
from toolyard_gateway.api.auth import Caller, Known
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.pending import AWAITS_USER, Answer, Pending
from toolyard_gateway.pending import PARKED as NUMBER_OF_PARKED

router = APIRouter(tags=["calls"])

#: Seconds between looks at the store, and between comments that keep the connection alive.
TURN: Final = 1.0
HEARTBEAT: Final = 15
LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", pattern="^[0-9]{0,18}$", description="The id of the last event that was seen."),
]
_LAST: Final = 999_999
_ON_THE_WAY: Final = ("accepted", "started", "soft_timeout", "parked", "authorization_required")
#: One event of the stream.
_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string", "enum": [*_ON_THE_WAY, *sorted(TERMINAL)]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_STREAM: Final[dict[str, Any]] = {
    "description": "`accepted`, then `started`, `soft_timeout`, `parked` and `authorization_required` as they happen, "
    "then the state it ended in; `data` is the call as it stands.",
    "content": {"text/event-stream": {"schema": _EVENT}},
}


class _Seen(msgspec.Struct):
    state: str
    attempts: int = 0
    started_at: str | None = None


_seen = msgspec.json.Decoder(_Seen)


@router.get(
    "/v1/calls/{call_id}/events",
    operation_id="follow_call",
    summary="Follow a call",
    response_class=StreamingResponse,
    responses={200: _STREAM, **problems.document(403, 404)},
)
async def follow_call(
    call_id: str,
    principal: Caller,
    known: Known,
    last_event_id: LastEventId = None,
) -> StreamingResponse:
    """What happens to a call, until it has ended."""
    principal.require("read_calls")
    after = _after(last_event_id)
    await known.calls.find(principal.org, call_id)
    sent = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    stream = _events(known, principal.org, call_id, after)
    return StreamingResponse(stream, media_type="text/event-stream", headers=sent)


def _after(given: str | None) -> int:
    return int(given) if given else -1


async def _events(known: Parts, org: str, call_id: str, after: int) -> AsyncIterator[bytes]:
    quiet = 0.0
    pending: Pending | None = None
    while True:
        try:
            found, answer = await _look(known, org, call_id)
        except Refused:  # it is gone, or another request has its id: there is nothing more to tell
            return
        pending = found or pending  # of one that has ended, what happened on the way
        for number, name in _told(answer, pending) if answer else ():
            if answer is not None and number > after:
                after = number
                yield _event(number, name, answer)
        if known.correlator.released or (answer is not None and answer.terminal):
            return
        quiet += await _changed(known, pending)
        if quiet >= HEARTBEAT:
            quiet = 0.0
            yield b": still here\n\n"


async def _look(known: Parts, org: str, call_id: str) -> tuple[Pending | None, Answer | None]:
    """The call as it stands; nothing while the store is away: the stream goes on where it was."""
    try:
        found = await known.calls.find(org, call_id)
        if isinstance(found, Answer):
            return None, found
        return found, await known.calls.as_it_stands(found)
    except StoreUnavailable:
        return None, None


def _told(answer: Answer, pending: Pending | None) -> list[tuple[int, str]]:
    """All events of a call as it stands, each with its number; the same ones whoever tells them."""
    seen = _seen.decode(answer.body)
    events = {0: "accepted"}
    if seen.started_at is not None:
        events[sequence(max(seen.attempts, 1), 1)] = "started"
    if seen.state in PARKED:
        name = "authorization_required" if seen.state == AWAITS_USER else "parked"
        events[sequence(seen.attempts, NUMBER_OF_PARKED)] = name
    if pending is not None:
        events |= dict(pending.told)
    if answer.terminal:
        events[sequence(max(seen.attempts, 1), _LAST)] = seen.state
    return sorted(events.items())


def _event(number: int, name: str, answer: Answer) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, name.encode(), answer.body)


async def _changed(known: Parts, pending: Pending | None) -> float:
    """Wait until something may have happened; the seconds that were waited at most."""
    if pending is None:
        await asyncio.sleep(TURN)
        return TURN
    watcher = asyncio.Event()
    pending.watchers.append(watcher)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TURN):
                await watcher.wait()
    finally:
        pending.watchers.remove(watcher)
        known.correlator.leave(pending)
    return TURN
