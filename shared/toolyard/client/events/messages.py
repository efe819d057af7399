"""Messages of the feed as events: CloudEvents in the binary mode of AMQP. Pure: `amqp` brings the messages."""

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from toolyard.client.errors import Unexpected
from toolyard.client.feed import FeedEvent, feed_event
from toolyard.client.following import REMEMBERED
from toolyard.client.shapes import Event

_PREFIXES: Final = ("cloudEvents_", "cloudEvents:")


class Known:
    """The newest events that were given, so that none is given twice."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._ids: OrderedDict[str, None] = OrderedDict()

    def is_new(self, event_id: str) -> bool:
        """Whether it was not given before; from now on it was."""
        if event_id in self._ids:
            return False
        self._ids[event_id] = None
        if len(self._ids) > self._most:
            self._ids.popitem(last=False)
        return True


def feed_event_of(headers: Mapping[str, Any], body: bytes, *, cursor: str) -> FeedEvent | None:
    """What a message tells of a call, in the same shape as over HTTP; nothing, where it speaks of something else.

    Raises:
        Unexpected: it is no event of ours.
    """
    attributes = {
        name.removeprefix(prefix): value
        for name, value in headers.items()
        for prefix in _PREFIXES
        if name.startswith(prefix)
    }
    kind = str(attributes.get("type", ""))
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    if not kind.startswith("io.toolyard.") or not isinstance(data, dict):
        raise Unexpected(f"A message of the feed is no event of ours: its type is {kind[:80]!r}.")
    if not kind.startswith("io.toolyard.call."):
        return None
    document = {**attributes, "datacontenttype": "application/json", "data": data}
    return feed_event(Event(id=cursor, event=kind.split(".")[-2], data=document))


def matches(pattern: str, key: str) -> bool:
    """Whether a routing key matches a topic pattern: ``*`` is one word, ``#`` any number of them."""
    return _matches(pattern.split("."), key.split("."))


def _matches(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    first, *rest = pattern
    if first == "#":
        return any(_matches(rest, words[start:]) for start in range(len(words) + 1))
    return bool(words) and first in ("*", words[0]) and _matches(rest, words[1:])
