"""Which followers may want an event: found by what it is of, so that those who want others cost nothing. Pure."""

from collections.abc import Iterator
from typing import Literal

from toolyard.contracts.feed import FeedItem, Interest
from toolyard_gateway.live.follower import Follower

_Place = tuple[Literal["call", "conversation", "tool", "all"], str]


class Index:
    """The followers of one org, each in one place: by its call, else its conversation, else its tool, else all."""

    def __init__(self) -> None:
        self._places: dict[_Place, dict[Follower, None]] = {}

    def __iter__(self) -> Iterator[Follower]:
        for place in list(self._places.values()):
            yield from list(place)

    def add(self, follower: Follower) -> None:
        """From now on this one is found."""
        self._places.setdefault(_place(follower.interest), {})[follower] = None

    def discard(self, follower: Follower) -> None:
        """Find it no more."""
        place = _place(follower.interest)
        followers = self._places.get(place, {})
        followers.pop(follower, None)
        if not followers:
            self._places.pop(place, None)

    def wanting(self, item: FeedItem) -> Iterator[Follower]:
        """Those who may want this event."""
        yield from self._places.get(("all", ""), ())
        yield from self._places.get(("call", item.call_id), ())
        yield from self._places.get(("tool", item.tool), ())
        if item.conversation is not None:
            yield from self._places.get(("conversation", item.conversation), ())


def _place(interest: Interest) -> _Place:
    if interest.call_id is not None:
        return "call", interest.call_id
    if interest.conversation is not None:
        return "conversation", interest.conversation
    if interest.tool is not None:
        return "tool", interest.tool
    return "all", ""
