"""What a follower is told of the calls of its org, as typed values. Fields of a later version are passed over."""

from datetime import datetime
from typing import Any, ClassVar, Literal

from msgspec import Struct

from toolyard.client.errors import Unexpected
from toolyard.client.shapes import Authorization, Event, Failure, Report, Result, shaped
from toolyard.states import TERMINAL


class FeedEvent(Struct, frozen=True, kw_only=True):
    """One thing that happened to a call of the org.

    Attributes:
        cursor: the place behind it; ``since=`` this goes on there.
        id: of the event: the same whenever, and by whomever, it is told.
        event: what happened, as in ``started``; of an end, the state.
        time: when it happened.
        state: that the call is in behind it.
        attempt: which one it speaks of; 0 before the first.
        effect: what the world saw of it, and ``report``: with an end, a failed attempt and a late result.
        reason: what a parked call waits for; ``due_at``: until when, where that is known.
        ends_at: with ``soft_timeout``: when the attempt is stopped.
        done: with ``progress``, told at the broker alone: how far the attempt has come, of ``total`` where that is
            known; ``message`` in words.
        authorization: with ``authorization_required``: what the user has to consent to.
        document: all of it, as it came: a CloudEvents 1.0 document.
    """

    cursor: str
    id: str
    event: str
    time: datetime
    call_id: str
    org: str
    tool: str
    version: int
    state: str
    attempt: int
    deadline: datetime
    document: dict[str, Any]
    conversation: str | None = None
    user: str | None = None
    test: bool = False
    effect: str | None = None
    result: Result | None = None
    error: Failure | None = None
    report: Report | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    reason: str | None = None
    due_at: datetime | None = None
    ends_at: datetime | None = None
    done: float | None = None
    total: float | None = None
    message: str | None = None
    authorization: Authorization | None = None

    @property
    def last(self) -> bool:
        """Whether its call has ended."""
        return self.event in TERMINAL


class Gap(Struct, frozen=True, kw_only=True):
    """In the place of events: what came directly behind the last one is not kept any more, and nobody can tell it.

    What there was can be read from the calls themselves. It has the fields of a `FeedEvent`, all of them None, so that
    a loop that only prints goes on; type checkers want it told apart.

    Attributes:
        event: ``gap``.
        cursor: where it goes on; empty where nobody said it.
    """

    event: Literal["gap"] = "gap"
    cursor: str = ""
    last: ClassVar[bool] = False
    document: ClassVar[None] = None
    id: ClassVar[None] = None
    time: ClassVar[None] = None
    call_id: ClassVar[None] = None
    org: ClassVar[None] = None
    tool: ClassVar[None] = None
    version: ClassVar[None] = None
    state: ClassVar[None] = None
    attempt: ClassVar[None] = None
    deadline: ClassVar[None] = None
    conversation: ClassVar[None] = None
    user: ClassVar[None] = None
    test: ClassVar[None] = None
    effect: ClassVar[None] = None
    result: ClassVar[None] = None
    error: ClassVar[None] = None
    report: ClassVar[None] = None
    started_at: ClassVar[None] = None
    finished_at: ClassVar[None] = None
    reason: ClassVar[None] = None
    due_at: ClassVar[None] = None
    ends_at: ClassVar[None] = None
    done: ClassVar[None] = None
    total: ClassVar[None] = None
    message: ClassVar[None] = None
    authorization: ClassVar[None] = None


def feed_event(event: Event) -> FeedEvent:
    """What an event of the org's stream tells.

    Raises:
        Unexpected: it is none: no gateway of ours answered.
    """
    document = event.data
    if not isinstance(document, dict) or not isinstance(document.get("data"), dict):
        raise Unexpected("The answer is not that of a gateway: an event without its data.")
    own = {name: document.get(name) for name in ("id", "time")}
    whole = {"cursor": event.id, "event": event.event, "document": document}
    return shaped({**document["data"], **own, **whole}, FeedEvent)
