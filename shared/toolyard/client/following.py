"""Event streams that outlive their connections. Pure: `Client` and `AsyncClient` bring the bytes."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Final, Generic, TypeVar

from toolyard.client import requests
from toolyard.client.answers import EventReader
from toolyard.client.errors import Unreachable
from toolyard.client.feed import FeedEvent, Gap, feed_event
from toolyard.client.patience import Patience, Pause
from toolyard.client.requests import Request
from toolyard.client.shapes import Event
from toolyard.clock import Clock
from toolyard.errors import ToolyardError

T = TypeVar("T")
#: Events of an org that are remembered, so that none is told twice.
REMEMBERED: Final = 10_000
#: In the place of a place to begin: all that is kept. Of one to end: what has happened up to now.
FIRST: Final = "first"
NOW: Final = "now"
_BEGINNING: Final = "0-0"


class Stream(ABC, Generic[T]):
    """An event stream that outlives its connections.

    Args:
        patience: how long one that breaks is asked for again.
        clock: the time.

    Attributes:
        ended: whether there is nothing more to come.
    """

    _OVER: ClassVar[str]

    def __init__(self, *, patience: Patience, clock: Clock) -> None:
        self.ended = False
        self._patience = patience
        self._clock = clock
        self._begun = 0.0
        self._reader = EventReader()

    def request(self) -> Request:
        """What to ask next: the stream, from behind the last event that was read."""
        self._begun = self._clock.monotonic()
        self._reader = EventReader()
        return self._asked()

    @abstractmethod
    def read(self, chunk: bytes) -> Iterator[T]:
        """The new events that these bytes of the stream complete."""

    def pause(self, error: ToolyardError | None) -> Pause:
        """The pause after a stream that broke, or ended too early.

        Raises:
            ToolyardError: the error itself: another try makes no sense, or the time is over.
        """
        lasted = self._clock.monotonic() - self._begun
        return self._patience.after(error or Unreachable(self._OVER), repeatable=True, lasted=lasted)

    @abstractmethod
    def _asked(self) -> Request: ...


class Following(Stream[Event]):
    """The events of a call, each once, up to its end.

    Args:
        call_id: of the call.
        last_event_id: goes on behind this one.
        patience, clock: as of `Stream`.
    """

    _OVER = "The stream ended before the call did."

    def __init__(self, call_id: str, last_event_id: str | None, *, patience: Patience, clock: Clock) -> None:
        super().__init__(patience=patience, clock=clock)
        self._call_id = call_id
        self._last_id = last_event_id
        self._seen: set[str] = set()

    def read(self, chunk: bytes) -> Iterator[Event]:
        """The new events that these bytes of the stream complete."""
        for event in self._reader.read(chunk):
            if event.id and event.id in self._seen:
                continue
            self._patience.renew()
            self._last_id = event.id or self._last_id
            self._seen.add(event.id)
            self.ended = event.last
            yield event
            if self.ended:
                return

    def _asked(self) -> Request:
        return requests.call_events(self._call_id, last_event_id=self._last_id)


class FollowingFeed(Stream[FeedEvent | Gap]):
    """The events of an org's calls, each once, without an end or up to one.

    Args:
        since: where to begin, a cursor, a time or `FIRST`; None begins now.
        until: where to end, a cursor, a time or `NOW`; None never does.
        states: behind the events that are wanted; filters: what else is wanted.
        patience, clock: as of `Stream`.

    Attributes:
        follows: whether what happens from now on will be told, now or after the next connection.
    """

    _OVER = "The stream of events ended."

    def __init__(
        self,
        since: str | None,
        until: str | None,
        states: Sequence[str],
        filters: Mapping[str, str | None],
        *,
        patience: Patience,
        clock: Clock,
    ) -> None:
        super().__init__(patience=patience, clock=clock)
        self.follows = since is not None
        self._since = _BEGINNING if since == FIRST else since
        self._until = until
        self._may_lack = since == FIRST
        self._states = states
        self._filters = filters
        self._cursor = ""
        self._seen: OrderedDict[str, None] = OrderedDict()

    def read(self, chunk: bytes) -> Iterator[FeedEvent | Gap]:
        """The new events that these bytes of the stream complete."""
        for event in self._reader.read(chunk):
            self._cursor = event.id or self._cursor
            self._heed(event)
            told = _told(event)
            if told is not None and self._is_new(told):
                self._patience.renew()
                yield told
            if self.ended:
                return
        self._cursor = self._reader.place or self._cursor
        self.follows = self.follows or self._reader.follows

    def _asked(self) -> Request:
        return requests.follow_events(
            states=self._states,
            last_event_id=self._cursor or None,
            since=self._since,
            until=self._until,
            **self._filters,
        )

    def _heed(self, event: Event) -> None:
        """What the gateway says of the stream: where it ends, so that it ends there after a lost connection too."""
        if event.event == "until" and self._until == NOW and isinstance(event.data, dict):
            self._until = str(event.data.get("cursor"))
        self.ended = event.event == "end"

    def _is_new(self, told: FeedEvent | Gap) -> bool:
        expected, self._may_lack = self._may_lack, False
        if isinstance(told, Gap):
            return not expected
        if told.id in self._seen:
            return False
        self._seen[told.id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True


def _told(event: Event) -> FeedEvent | Gap | None:
    """What it tells of calls; nothing, where it speaks of the stream itself."""
    if event.event == "gap":
        return Gap(cursor=event.id)
    return feed_event(event) if isinstance(event.data, dict) and "specversion" in event.data else None
