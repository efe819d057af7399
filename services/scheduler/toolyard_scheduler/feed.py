"""What followers are told of the log: the feed's items, made of verified entries and the rows of their calls. Pure.

The same record makes the same items whoever reads it and whenever: of a row only that is asked which will not change,
or that was so when the ledger had just applied the record.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, cast

from msgspec import Raw, structs

from toolyard.clock import rfc3339
from toolyard.contracts.calls import Call, CallMessage, Result, ResultView
from toolyard.contracts.codec import MAX_EVENT, encode_json
from toolyard.contracts.events import (
    ENDS,
    CallEvent,
    End,
    Ended,
    Parked,
    Progress,
    SoftTimeout,
    Started,
    Withdrawn,
    end_state,
    sequence,
)
from toolyard.contracts.feed import Cursor, EventData, EventView, FeedEvent, FeedItem, Interest
from toolyard.contracts.views import authorization_view, result_view
from toolyard.states import State
from toolyard.store.calls import CallOutline
from toolyard_scheduler.cancelling import WITHDRAWN_ERROR
from toolyard_scheduler.entries import Entry
from toolyard_scheduler.telling import FIRST
from toolyard_scheduler.verdicts import LAPSED, state_of

#: The place of `Started` among the events of its attempt.
_STARTED: Final = 1
#: The numbers of an attempt's events.
_ATTEMPT: Final = sequence(1, 0)
_TELLING: Final = frozenset({Started, SoftTimeout, Parked, Withdrawn, *ENDS.values()})
Meaning = tuple[FeedEvent, State]
#: What a call waits for -> what is told of it; everything else waits for a time, or for the end of a pause.
_PARKED: Final[dict[str, Meaning]] = {
    "retry": ("parked", "retrying"),
    "authorization": ("authorization_required", "awaiting_authorization"),
}


class Happening(NamedTuple):
    """One event of the feed, before anything is made of it: mostly nobody wants it.

    Attributes:
        place: behind it.
        of: the call, or what was said of it. ``row``: of that call, as far as there is one.
        at: when it happened. ``number``: its place among the events of its call.
    """

    place: Cursor
    word: FeedEvent
    state: State
    of: Call | CallEvent
    row: CallOutline | None
    at: float
    number: int

    @property
    def event_id(self) -> str:
        """The same whoever tells it."""
        return f"{self.of.call_id}/{self.number}/{self.word}"


class Telling(NamedTuple):
    """One event of the feed, before it is written for whoever it is for.

    Attributes:
        place: behind it.
        pool: of the call.
        at: when it happened.
    """

    place: Cursor
    word: FeedEvent
    pool: str
    at: float
    view: EventView


class Repeats:
    """Knows what was told at an earlier place: publishers that get no confirm say the same again.

    Args:
        most: events that are remembered; the oldest is forgotten first.
    """

    def __init__(self, most: int = 50_000) -> None:
        self._most = most
        #: A plain dict finds its oldest only behind all that were deleted before it: it takes longer with every event.
        self._places: OrderedDict[str, Cursor] = OrderedDict()

    def is_one(self, event_id: str, place: Cursor) -> bool:
        """Whether the event is known from an earlier place; if not, it is known from now on."""
        known = self._places.get(event_id)
        if known is not None and known < place:
            return True
        if known is None and len(self._places) >= self._most:
            self._places.popitem(last=False)
        self._places[event_id] = place
        return False


def followed_org(entry: Entry) -> str | None:
    """The org whose followers this may tell something; none where it tells nothing to anybody."""
    content = entry.content
    if isinstance(content, CallMessage):
        first = content.attempt == 1 and content.claim == "if_needed"
        return content.call.org if first else None
    return cast("CallEvent", content).org if type(content) in _TELLING else None


def may_be_wanted(entry: Entry, only: Interest | None) -> bool:
    """Whether items of this may be, by what can be seen without a row."""
    if only is None:
        return True
    content = entry.content
    tool = content.call.tool if isinstance(content, CallMessage) else cast("CallEvent", content).tool
    return only.tool in (None, tool) and only.call_id in (None, entry.call_id)


def items(entries: Iterable[Entry], rows: Mapping[str, CallOutline], repeats: Repeats) -> Iterator[FeedItem]:
    """What these tell, in order, as it stands on pages; see `tellings`."""
    return map(_on_a_page, tellings(entries, rows, repeats))


def tellings(entries: Iterable[Entry], rows: Mapping[str, CallOutline], repeats: Repeats) -> Iterator[Telling]:
    """What these tell, in order; see `happenings`."""
    return map(tell, happenings(entries, rows, repeats))


def happenings(entries: Iterable[Entry], rows: Mapping[str, CallOutline], repeats: Repeats) -> Iterator[Happening]:
    """What these tell, in order; each has passed `followed_org`. A call without a row was dropped as too old."""
    for entry in entries:
        for one in _happened(entry, rows.get(entry.call_id)):
            if not repeats.is_one(one.event_id, one.place):
                yield one


def _happened(entry: Entry, row: CallOutline | None) -> Iterator[Happening]:
    content, place = entry.content, Cursor(entry.offset, 2 * entry.place + 2)
    if isinstance(content, CallMessage):
        call = content.call
        if _is_of(call, row):
            state: State = "accepted" if call.not_before is None else "scheduled"
            yield Happening(place, "accepted", state, call, row, call.accepted_at, 0)
        return
    event = cast("CallEvent", content)
    meaning = _meaning(event, row)
    if meaning is None and not _asked_its_user(event, row):
        return
    if _tells_its_start(event, meaning):
        before, at = Cursor(place.offset, place.n - 1), cast("End", event).started_at or 0.0
        yield Happening(before, "started", "running", event, row, at, sequence(event.attempt, _STARTED))
    if meaning is not None:
        yield Happening(place, *meaning, event, row, event.time, event.sequence)


# ---- what an event means ------------------------------------------------------------------------


def _is_of(call: Call, row: CallOutline | None) -> bool:
    """Whether this is the call of the row, and no further submission of it."""
    return row is None or (row.org, row.gateway, row.body_hash) == (call.org, call.gateway, call.body_hash)


def _meaning(event: CallEvent, row: CallOutline | None) -> Meaning | None:
    if row is not None and (row.org != event.org or _is_foreign(event, row)):
        return None
    if isinstance(event, Ended):
        return _outcome(cast("End", event), row)
    if isinstance(event, Withdrawn):
        return _withdrawal(event, row)
    if isinstance(event, Parked):
        return _PARKED.get(event.reason, ("parked", "scheduled"))
    return "soft_timeout" if isinstance(event, SoftTimeout) else "started", "running"


def _is_foreign(event: CallEvent, row: CallOutline) -> bool:
    """Whether it speaks of a submission with another body. The scheduler's own word is of the row, as in the ledger."""
    return event.body_hash != row.body_hash and not (isinstance(event, Ended) and event.by == "scheduler")


def _outcome(event: End, row: CallOutline | None) -> Meaning | None:
    """What an outcome was for its call. That it waits for its user is told by the ledger, once it does."""
    if event.authorization is not None and not event.final:
        return None
    word = end_state(event)
    if row is None:
        return (cast("FeedEvent", word), word) if event.final else ("attempt_failed", "retrying")
    if (word, event.sequence, event.finished_at) == (row.state, row.end_sequence, row.finished_at):
        return cast("FeedEvent", word), word
    if event.final and row.over and not _came_before_the_end(event, row):
        if event.sequence == row.end_sequence:  # the same attempt from another worker: to the ledger a repeat
            return None
        return "late_result", row.state if row.end_sequence is not None else state_of(row.doomed or LAPSED)
    return None if word == "succeeded" else ("attempt_failed", "retrying")


def _withdrawal(event: Withdrawn, row: CallOutline | None) -> Meaning | None:
    """A withdrawal is an end only of a call that nobody had started."""
    if row is None or (row.state, row.end_sequence, row.finished_at) != ("cancelled", event.sequence, event.time):
        return None
    return "cancelled", "cancelled"


def _came_before_the_end(event: End, row: CallOutline) -> bool:
    """Whether this outcome, which is not the end of its call, was there before the end.

    The row does not keep where in the log the call ended. Where it heard of none after its end, there was none; else
    the time tells it. But a success would have been the end, and what was on its way when the scheduler gave its
    verdict over that very attempt is late, however early it was made.
    """
    if not row.late_results and event.sequence != row.end_sequence:
        return True
    by_verdict = row.end_sequence is None or row.end_sequence % _ATTEMPT >= FIRST
    if end_state(event) == "succeeded" or (by_verdict and event.attempt >= row.attempt):
        return False
    return row.finished_at is None or event.time < row.finished_at


def _asked_its_user(event: CallEvent, row: CallOutline | None) -> bool:
    """Whether an attempt of this call found that its user has to consent: of it the start alone is told."""
    ours = row is None or (row.org == event.org and not _is_foreign(event, row))
    return isinstance(event, Ended) and event.authorization is not None and ours


def _tells_its_start(event: CallEvent, meaning: Meaning | None) -> bool:
    """Whether no `Started` was published of the attempt that ended so, because it was too short."""
    if not isinstance(event, Ended) or event.by != "executor" or event.started_at is None:
        return False
    return (meaning is None or meaning[0] != "late_result") and not event.announced


# ---- how it is written --------------------------------------------------------------------------


def tell(happened: Happening) -> Telling:
    """What followers are told of it."""
    of = happened.of
    data = _of_a_call(happened, of) if isinstance(of, Call) else _of_an_event(happened, of)
    view = _view(happened.word, data, at=happened.at, number=happened.number, traceparent=of.traceparent)
    return Telling(happened.place, happened.word, of.pool, happened.at, view)


def _of_a_call(happened: Happening, call: Call) -> EventData:
    later = call.not_before
    return EventData(
        call_id=call.call_id,
        org=call.org,
        tool=call.tool,
        version=call.version,
        state=happened.state,
        attempt=0,
        deadline=rfc3339(call.deadline),
        conversation=call.conversation,
        user=call.user,
        test=call.test,
        reason=None if later is None else "not_before",
        due_at=None if later is None else rfc3339(later),
    )


def _of_an_event(happened: Happening, event: CallEvent) -> EventData:
    row = happened.row
    data: dict[str, Any] = {
        "call_id": event.call_id,
        "org": event.org,
        "tool": event.tool,
        "version": event.version,
        "state": happened.state,
        "attempt": event.attempt,
        "deadline": rfc3339(event.deadline),
        "conversation": None if row is None else row.conversation,
        "user": None if row is None else row.user,
    }
    if happened.word != "started":
        data |= _details(event)
    return EventData(**data)


def _details(event: CallEvent) -> dict[str, Any]:
    if isinstance(event, Ended):
        return {
            "effect": event.effect,
            "result": None if event.result is None else _shown(event.result),
            "error": event.error,
            "report": event.report,
            "started_at": None if event.started_at is None else rfc3339(event.started_at),
            "finished_at": rfc3339(event.finished_at),
        }
    if isinstance(event, Parked):
        consent = event.authorization
        return {
            "reason": event.reason,
            "due_at": None if event.due_at is None else rfc3339(event.due_at),
            "authorization": None if consent is None else authorization_view(consent),
        }
    if isinstance(event, Withdrawn):
        return {"effect": "none", "error": WITHDRAWN_ERROR, "finished_at": rfc3339(event.time)}
    return {"ends_at": rfc3339(cast("SoftTimeout", event).ends_at)}


def _shown(result: Result) -> ResultView:
    """The result; what is no UTF-8 in it, which nobody has looked at yet, is replaced."""
    value = result.structured
    if isinstance(value, Raw) and not bytes(value).isascii():
        text = bytes(value).decode("utf-8", "replace")
        return result_view(structs.replace(result, structured=Raw(text.encode())))
    return result_view(result)


def progress(event: Progress) -> EventView:
    """What followers are told of how far an attempt has come."""
    data = EventData(
        call_id=event.call_id,
        org=event.org,
        tool=event.tool,
        version=event.version,
        state="running",
        attempt=event.attempt,
        deadline=rfc3339(event.deadline),
        conversation=event.conversation,
        user=event.user,
        done=event.done,
        total=event.total,
        message=event.message,
    )
    return _view("progress", data, at=event.time, number=event.sequence, traceparent=event.traceparent)


def _view(word: FeedEvent, data: EventData, *, at: float, number: int, traceparent: str | None) -> EventView:
    return EventView(
        specversion="1.0",
        id=f"{data.call_id}/{number}/{word}",
        source=f"/orgs/{data.org}",
        type=f"io.toolyard.call.{word}.v1",
        subject=data.call_id,
        time=rfc3339(at),
        sequence=str(number),
        datacontenttype="application/json",
        data=data,
        traceparent=traceparent,
    )


def _on_a_page(told: Telling) -> FeedItem:
    view, data = told.view, told.view.data
    body = encode_json(view)
    if len(body) > MAX_EVENT:
        body = encode_json(structs.replace(view, data=without_answer(data)))
    return FeedItem(
        offset=told.place.offset,
        n=told.place.n,
        event=told.word,
        event_id=view.id,
        call_id=data.call_id,
        tool=data.tool,
        state=data.state,
        time=told.at,
        conversation=data.conversation,
        body=Raw(body),
    )


def without_answer(data: EventData) -> EventData:
    """Without what nobody could carry: it can be read with its call."""
    return structs.replace(data, result=None, report=None)
