"""Events by server-sent events from a gateway; `aio` has the twin for event loops."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from datetime import datetime
from math import inf
from types import TracebackType
from typing import Any, Self

import httpx

from toolyard.client.client import Client
from toolyard.client.feed import FeedEvent, Gap


def over_http(
    url: str | None = None,
    key: str | None = None,
    *,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    conversation: str | None = None,
    tool: str | None = None,
    states: str | Collection[str] = (),
    call_id: str | None = None,
    retry_for: float = inf,
    transport: httpx.BaseTransport | None = None,
) -> "OverHttp":
    """The events of a key's org, from a gateway.

    Args:
        url: of the gateway, as of `Client`.
        key: as of `Client`.
        since: goes on behind this cursor, or begins at this time (as text, RFC 3339) or with the ``"first"`` that is
            kept; from now on where it is not given.
        until: ends with this cursor, before this time, or with what has happened up to ``"now"``; else it has no end.
        conversation: only its calls.
        tool: only its calls.
        states: only what leaves its call in this state, or in one of these.
        call_id: only this call.
        retry_for: seconds for which a gateway that is away is asked again; for ever where nothing is said.
        transport: as of `Client`.

    Raises:
        Refused: that cannot be followed; Unreachable, Unexpected: from the block's beginning and from the loop.
    """
    client = Client(url, key, retry_for=retry_for, transport=transport)
    wanted = {"conversation": conversation, "tool": tool, "states": states, "call_id": call_id}
    return OverHttp(client, {"since": since, "until": until, **wanted})


class OverHttp:
    """Events as they come; for ``with``, whose block begins once it follows.

    Attributes:
        cursor: the place behind what was given last, to go on there; empty before the first where none was named.
    """

    def __init__(self, client: Client, wanted: dict[str, Any]) -> None:
        since = wanted["since"]
        self.cursor: str = since if isinstance(since, str) else ""
        self._client = client
        self._wanted = wanted
        self._open = ExitStack()
        self._events: Iterator[FeedEvent | Gap] = iter(())

    def close(self) -> None:
        """Give the connection back; the iterator ends."""
        self._events = iter(())
        self._open.close()

    def __iter__(self) -> Iterator[FeedEvent | Gap]:
        return self

    def __next__(self) -> FeedEvent | Gap:
        event = next(self._events)
        self.cursor = event.cursor or self.cursor
        return event

    def __enter__(self) -> Self:
        self._open.enter_context(self._client)
        try:
            self._events = self._open.enter_context(self._client.follow(**self._wanted))
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
