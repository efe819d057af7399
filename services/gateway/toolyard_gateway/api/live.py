"""The events of an org's calls as a stream (SSE), resumable by `Last-Event-ID`. What it tells comes from the ledger."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, get_args

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.types import Receive, Scope, Send

from toolyard.contracts.codec import encode_json
from toolyard.contracts.feed import Cursor, FeedEvent, FeedItem
from toolyard.errors import Refused
from toolyard.states import STATES, State
from toolyard_gateway.api import lasting, problems, wanting
from toolyard_gateway.api.auth import Caller, Known, principal_of
from toolyard_gateway.api.models import NAME
from toolyard_gateway.api.wanting import End
from toolyard_gateway.live.follower import Follower
from toolyard_gateway.live.following import Live
from toolyard_gateway.live.outbox import Entry, Gap, Opened, Told

router = APIRouter(tags=["events"])

LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=30, description="The id of the last event that was seen; before `since`."),
]
Since = Annotated[
    str | None,
    Query(max_length=64, description="A cursor (the id of an event), or a time (RFC 3339); without it: from now on."),
]
Until = Annotated[
    str | None,
    Query(
        max_length=64,
        description="Ends the stream: `now`, a cursor (of the last event that is told), or a time that has passed.",
    ),
]
States = Annotated[
    list[State] | None,
    Query(max_length=len(STATES), description="Only events after which the call is in this state, or one of these."),
]
#: Bytes of events, about, that are written together: each write costs more than an event.
_AT_ONCE: Final = 128 * 1024
#: Seconds between two looks whether a stream has come to its end: nobody tells where no event does.
_LOOK: Final = 0.1
_LINES: Final = bytes.maketrans(b"\r\n", b"  ")
#: One event of the stream.
_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "description": "A cursor."},
        "event": {"type": "string", "enum": [*get_args(FeedEvent), "gap", "cut_off", "until", "end"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_STREAM: Final[dict[str, Any]] = {
    "description": "`data` is the event as a CloudEvents 1.0 document. The comment `following` says that the stream "
    "follows from here on. `gap`: what came before is not kept any more. `cut_off`: the client reads too slowly; it "
    "may go on behind the cursor that `data` gives. With `until` the first event is `until`, with the cursor of the "
    "last event that may come; `end`: all that was wanted was told.",
    "content": {"text/event-stream": {"schema": _EVENT}},
}


@router.get(
    "/v1/events",
    operation_id="follow_calls",
    summary="Follow all calls",
    response_class=Response,
    responses={200: _STREAM, **problems.document(403)},
)
async def follow_calls(
    request: Request,
    principal: Caller,
    known: Known,
    since: Since = None,
    until: Until = None,
    conversation: Annotated[str | None, Query(min_length=1, max_length=255)] = None,
    tool: Annotated[str | None, Query(pattern=NAME, description="Its name, without a version.")] = None,
    state: States = None,
    call_id: Annotated[str | None, Query(max_length=64)] = None,
    last_event_id: LastEventId = None,
) -> Response:
    """What happens to the org's calls, as the ledger has it: in order, from a cursor on, up to an end or for ever."""
    principal.require("read_calls")
    end = await wanting.end(known, principal.org, until)
    begin = await wanting.start(known, principal.org, since, last_event_id)
    wanted = wanting.interest(begin, conversation=conversation, tool=tool, states=state or [], call_id=call_id)

    async def still_allowed() -> bool:
        try:
            return (await principal_of(known, request.headers)).may("read_calls")
        except Refused:
            return False

    outbox = known.live.connect(still_allowed)
    try:
        follower = await known.live.follow(principal.org, wanted, begin.cursor, outbox)
    except BaseException:
        known.live.disconnect(outbox)
        raise
    return Stream(known.live, follower, end)


class Stream(Response):
    """The stream of one follower, without an end or up to one."""

    media_type = "text/event-stream"

    def __init__(self, live: Live, follower: Follower, end: End | None = None) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Connection": "close"})
        self._live = live
        self._follower = follower
        self._outbox = follower.outbox
        self._end = end
        self._wait = live.bounds.heartbeat if end is None else min(_LOOK, live.bounds.heartbeat)
        self._quiet = 0.0
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell what happens, until one side has enough."""
        bounds = self._live.bounds
        ended = False
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            ended = await lasting.written(self._outbox, self._write(send), _gone(receive), bounds)
        finally:
            self._live.disconnect(self._outbox, self._follower)
            lasting.drop(scope, after=bounds.abort_after if ended else 0.0)

    async def _write(self, send: Send) -> None:
        while not self._at_the_end():
            entry = await self._outbox.take(self._wait)
            if isinstance(entry, Entry):
                entries = [entry, *self._outbox.more(_AT_ONCE)]
                await _send(send, b"".join(self._frames(entries)))
                for each in entries:
                    self._outbox.done(each)
                self._told, self._quiet = True, 0.0
                await asyncio.sleep(0)  # while there is room in the socket nothing else lets the others have a turn
            elif self._outbox.ending is None:
                await self._show_life(send)
            else:
                break
        if self._end is not None and self._at_the_end():
            await _send(send, b"id: %s\n" % str(self._end.cursor).encode() + _about("end", self._end.cursor))
        elif self._outbox.ending == "cut_off":
            await _send(send, _about("cut_off", self._follower.told))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _at_the_end(self) -> bool:
        """Whether it was told all that it may be; it was told at least where it begins."""
        end, told = self._end, self._told and self._outbox.ending is None
        return told and end is not None and self._follower.place >= end.cursor

    def _frames(self, entries: Iterable[Entry | bytes]) -> Iterator[bytes]:
        """What of these stands before the end."""
        end = self._end
        for entry in entries:
            if not isinstance(entry, Entry):
                continue
            what = entry.what
            if end is None or not isinstance(what, FeedItem) or end.takes(what):
                yield _frame(what)
            if end is not None and isinstance(what, Opened):
                yield _about("until", end.cursor)

    async def _show_life(self, send: Send) -> None:
        """Say where one stands, where nothing was said for a while."""
        self._quiet += self._wait
        place = self._follower.place
        if self._quiet >= self._live.bounds.heartbeat:
            self._quiet = 0.0
            await _send(send, b": still here\nid: %s\n\n" % str(place).encode())
            self._follower.told = place


def _about(word: str, cursor: Cursor) -> bytes:
    """What is said of the stream itself."""
    return b"event: %s\ndata: %s\n\n" % (word.encode(), encode_json({"cursor": str(cursor)}))


def _frame(what: Told) -> bytes:
    cursor = str(what.cursor).encode()
    if isinstance(what, Opened):
        return b": following\nid: %s\n\n" % cursor
    if isinstance(what, Gap):
        return b'id: %s\nevent: gap\ndata: {"cursor":"%s"}\n\n' % (cursor, cursor)
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (cursor, what.event.encode(), _one_line(bytes(what.body)))


def _one_line(body: bytes) -> bytes:
    """JSON without the line ends that stand between values: a tool's own may have some, and here they would end it."""
    return body.translate(_LINES) if b"\n" in body or b"\r" in body else body


async def _send(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
