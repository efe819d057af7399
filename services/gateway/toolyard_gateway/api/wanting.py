"""What a follower of live events wants, from where on and up to where: read from a request, or refused by field."""

from typing import Final, NamedTuple

from toolyard import ids
from toolyard.clock import from_rfc3339
from toolyard.contracts.feed import Cursor, FeedItem, Interest
from toolyard.errors import FieldError, FieldsRefused
from toolyard.states import State
from toolyard_gateway.api.parts import Parts

#: In the place of an end: what has happened up to this moment.
NOW: Final = "now"
#: Seconds by which the clocks of those who ask may be ahead of ours.
_SKEW: Final = 5.0
_BEGINS: Final = "is neither a cursor, as in 4711-2, nor a time of RFC 3339, as in 2026-01-31T12:00:00Z"
_ENDS: Final = f"is neither {NOW}, nor a cursor, as in 4711-2, nor a time of RFC 3339, as in 2026-01-31T12:00:00Z"


class Start(NamedTuple):
    """Where to begin: behind a cursor (``None``: now), and with nothing that happened before a time."""

    cursor: Cursor | None
    time: float | None


class End(NamedTuple):
    """Where to end: with what stands at a place, and before all that happened at a time or later."""

    cursor: Cursor
    time: float | None

    def takes(self, item: FeedItem) -> bool:
        """Whether this stands before it."""
        return item.cursor <= self.cursor and (self.time is None or item.time < self.time)


async def start(known: Parts, org: str, since: str | None, last_id: str | None = None) -> Start:
    """Where to begin: behind the last event that was seen, else where ``since`` says, else now.

    Raises:
        FieldsRefused: one of them is not of its form.
        StoreUnavailable: a time is given, and the store is away.
    """
    wanted = Start(None, None) if since is None else _since(since)
    if last_id:
        return Start(_cursor("Last-Event-ID", last_id), wanted.time)
    if wanted.time is not None:
        return Start(await known.live.place_of(org, wanted.time), wanted.time)
    return wanted


async def end(known: Parts, org: str, until: str | None) -> End | None:
    """Where to end: with this cursor, before this time, or with what has happened up to now; None never does.

    Raises:
        FieldsRefused: it is none of these, or a time that is still to come.
        Refused: unavailable: nobody knows what has happened up to now.
    """
    if until is None:
        return None
    try:
        return End(Cursor.read(until), None)
    except ValueError:
        time = None if until == NOW else _time("until", until, _ENDS)
    if time is not None and time > known.clock.now() + _SKEW:
        raise FieldsRefused((FieldError("until", "is still to come; name a time that has passed, or leave it out"),))
    return End(await known.live.now(org), time)


def _since(text: str) -> Start:
    try:
        cursor = Cursor.read(text)
    except ValueError:
        return Start(None, max(0.0, _time("since", text, _BEGINS)))
    return Start(cursor, None)


def _time(path: str, text: str, meant: str) -> float:
    try:
        return from_rfc3339(text)
    except ValueError:
        raise FieldsRefused((FieldError(path, meant),)) from None


def _cursor(path: str, text: str) -> Cursor:
    try:
        return Cursor.read(text)
    except ValueError as error:
        raise FieldsRefused((FieldError(path, str(error)),)) from None


def interest(
    start: Start, *, conversation: str | None, tool: str | None, states: list[State], call_id: str | None
) -> Interest:
    """What is wanted.

    Raises:
        FieldsRefused: no call can have that id.
    """
    if call_id is not None and not ids.is_id(call_id):
        raise FieldsRefused((FieldError("call_id", "is not the id of a call"),))
    return Interest(conversation=conversation, tool=tool, states=tuple(states), call_id=call_id, since=start.time)
