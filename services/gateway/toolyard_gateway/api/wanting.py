"""What a follower of live events wants, and from where on: read from a request, or refused by field."""

from typing import NamedTuple

from toolyard import ids
from toolyard.clock import from_rfc3339
from toolyard.contracts.feed import Cursor, Interest
from toolyard.errors import FieldError, FieldsRefused
from toolyard.states import State
from toolyard_gateway.api.parts import Parts


class Start(NamedTuple):
    """Where to begin: behind a cursor (``None``: now), and with nothing that happened before a time."""

    cursor: Cursor | None
    time: float | None


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


def _since(text: str) -> Start:
    try:
        cursor = Cursor.read(text)
    except ValueError:
        return Start(None, max(0.0, _time(text)))
    return Start(cursor, None)


def _time(text: str) -> float:
    try:
        return from_rfc3339(text)
    except ValueError:
        meant = "is neither a cursor, as in 4711-2, nor a time of RFC 3339, as in 2026-01-31T12:00:00Z"
        raise FieldsRefused((FieldError("since", meant),)) from None


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
