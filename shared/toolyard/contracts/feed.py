"""The feed: what followers are told of calls, and how a gateway gets it from the scheduler, page by page.

A follower is told what the ledger has read, and nothing before: the feed never tells an end that another one replaces.
A place in it is a `Cursor`; whoever goes on behind one misses nothing and is told nothing twice.
"""

from typing import Final, Literal, NamedTuple, Self

from msgspec import Raw, Struct

from toolyard.contracts.bounds import Attempt, Label, LongNumber, Name, Number, Seconds, Time, Word
from toolyard.contracts.calls import AuthorizationView, ErrorInfo, Report, ResultView
from toolyard.states import Effect, State

#: What a follower may be told of a call; the words of the surface's lifecycle events that mean something outside.
FeedEvent = Literal[
    "accepted",
    "started",
    "progress",
    "soft_timeout",
    "attempt_failed",
    "parked",
    "authorization_required",
    "succeeded",
    "failed",
    "timed_out",
    "expired",
    "cancelled",
    "rejected",
    "late_result",
]


#: The last place that a cursor can name, as in `LongNumber` and `Number`.
_LAST: Final = (2**63 - 1, 2**31 - 1)


class Cursor(NamedTuple):
    """A place in the feed: behind the ``n``-th thing that the record of the log at ``offset`` tells.

    Attributes:
        offset: of the record.
        n: from 1 on; 0 stands before the first one.
    """

    offset: int
    n: int = 0

    def __str__(self) -> str:
        return f"{self.offset}-{self.n}"

    @classmethod
    def read(cls, text: str) -> Self:
        """The cursor that was written so.

        Raises:
            ValueError: it is none of ours.
        """
        offset, dash, n = text.partition("-")
        if dash and offset.isascii() and n.isascii() and offset.isdigit() and n.isdigit() and len(text) <= 30:
            cursor = cls(int(offset), int(n))
            if cursor.offset <= _LAST[0] and cursor.n <= _LAST[1]:
                return cursor
        raise ValueError(f"{text[:40]!r} is no cursor; one looks like 4711-2")


#: Before everything that the log keeps.
BEGINNING = Cursor(0, 0)


class Interest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of an org's feed somebody wants; what is not given excludes nothing.

    Attributes:
        conversation: of the call.
        tool: its name, without a version.
        states: those that a call is in behind the event; see `FeedItem.state`.
        call_id: one call alone.
        since: nothing that happened before.
    """

    conversation: Label | None = None
    tool: Name | None = None
    states: tuple[Word, ...] = ()
    call_id: Name | None = None
    since: Time | None = None

    def takes(self, item: "FeedItem") -> bool:
        """Whether this is wanted."""
        return (
            (self.conversation is None or self.conversation == item.conversation)
            and (self.tool is None or self.tool == item.tool)
            and (not self.states or item.state in self.states)
            and (self.call_id is None or self.call_id == item.call_id)
            and (self.since is None or item.time >= self.since)
        )


class FeedItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One event, with what followers are told apart by.

    Attributes:
        event_id: of the event: the same whenever and by whomever it is told.
        state: that the call is in behind it: ``running`` after ``started`` and ``soft_timeout``, ``retrying`` after
            ``attempt_failed``, the terminal one after an end and after ``late_result``.
        body: the bytes of the `EventView`, left as they are by everybody on the way.
    """

    offset: LongNumber
    n: Number
    event: FeedEvent
    event_id: Word
    call_id: Name
    tool: Name
    state: State
    time: Time
    conversation: Label | None = None
    body: Raw

    @property
    def cursor(self) -> Cursor:
        """The place behind it."""
        return Cursor(self.offset, self.n)


class FeedAsked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gateway asks for what comes behind a place; on the monitor channel, not in the log.

    Attributes:
        gateway: whose queue gets the page.
        number: counted by the gateway; the page repeats it.
        offset: of the cursor behind which to go on; ``None`` for from now on: the page comes at once, and is empty.
        n: of that cursor.
        patience: seconds that the answer may wait for something to tell; 0 answers at once.
        only: what is wanted; ``None`` for all of the org.
    """

    v: int
    gateway: Name
    number: Number
    org: Name
    offset: LongNumber | None = None
    n: Number = 0
    patience: Seconds = 0.0
    only: Interest | None = None


class FeedPage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer: what comes next, in order.

    Attributes:
        offset: of the cursor to go on behind; it may be further than that of the last item.
        n: of that cursor.
        at_end: there is nothing more at this moment.
        lost: what came directly behind the cursor that was asked for is not kept any more.
        ahead: nobody can have been given that cursor: the log does not reach it.
    """

    v: int
    number: Number
    org: Name
    items: tuple[FeedItem, ...] = ()
    offset: LongNumber
    n: Number = 0
    at_end: bool = False
    lost: bool = False
    ahead: bool = False

    @property
    def cursor(self) -> Cursor:
        """The place to go on behind."""
        return Cursor(self.offset, self.n)


# ---- what leaves --------------------------------------------------------------------------------


class EventData(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an event says of its call. Times are RFC 3339; arguments are not told.

    Attributes:
        effect: with an end, a failed attempt and a late result; ``report`` too, where its worker made one.
        reason: what a parked call waits for. ``due_at``: until when, where that is known.
        done: with ``progress``: how far the attempt has come, of ``total`` where that is known; ``message`` in words.
        ends_at: with ``soft_timeout``: when the attempt is stopped.
        authorization: with ``authorization_required``.
    """

    call_id: str
    org: str
    tool: str
    version: int
    state: State
    attempt: Attempt
    deadline: str
    conversation: str | None = None
    user: str | None = None
    test: bool = False
    effect: Effect | None = None
    result: ResultView | None = None
    error: ErrorInfo | None = None
    report: Report | None = None
    started_at: str | None = None
    finished_at: str | None = None
    reason: str | None = None
    due_at: str | None = None
    ends_at: str | None = None
    authorization: AuthorizationView | None = None
    done: float | None = None
    total: float | None = None
    message: str | None = None


class EventView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event as followers see it: CloudEvents 1.0, as one JSON document.

    Attributes:
        id: of the event: the same whenever it is told.
        source: the org, as a path.
        type: ``io.toolyard.call.<event>.v1``.
        subject: the call's id.
        sequence: orders the events of one call, and those alone.
    """

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str
    time: str
    sequence: str
    datacontenttype: Literal["application/json"]
    data: EventData
    traceparent: str | None = None


class BreakerData(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an event of the monitor channel says of a breaker: how it stands in one worker. The time is RFC 3339.

    Attributes:
        circuit: what is behind it.
        since: when it opened for the first time of this row.
        retry_in: seconds until it is tried again.
        failures: attempts that made it open.
    """

    org: str
    pool: str
    worker: str
    circuit: str
    state: Literal["open", "half_open", "closed"]
    since: str
    retry_in: float = 0.0
    failures: int = 0
