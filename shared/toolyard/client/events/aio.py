"""`toolyard.client.events` for event loops: the same names and promises, with ``async with`` and ``async for``."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import datetime
from math import inf
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from toolyard.client.aio import AsyncClient
from toolyard.client.events import amqp
from toolyard.client.feed import FeedEvent, Gap

T = TypeVar("T")


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
    transport: httpx.AsyncBaseTransport | None = None,
) -> "OverHttp":
    """The events of a key's org, from a gateway; as `toolyard.client.events.over_http`."""
    client = AsyncClient(url, key, retry_for=retry_for, transport=transport)
    wanted = {"conversation": conversation, "tool": tool, "states": states, "call_id": call_id}
    return OverHttp(client, {"since": since, "until": until, **wanted})


class OverHttp:
    """Events as they come; for ``async with``, whose block begins once it follows.

    Attributes:
        cursor: the place behind what was given last, to go on there; empty before the first where none was named.
    """

    def __init__(self, client: AsyncClient, wanted: dict[str, Any]) -> None:
        since = wanted["since"]
        self.cursor: str = since if isinstance(since, str) else ""
        self._client = client
        self._wanted = wanted
        self._open = AsyncExitStack()
        self._events: AsyncIterator[FeedEvent | Gap] | None = None

    async def close(self) -> None:
        """Give the connection back; the iterator ends."""
        self._events = None
        await self._open.aclose()

    def __aiter__(self) -> AsyncIterator[FeedEvent | Gap]:
        return self

    async def __anext__(self) -> FeedEvent | Gap:
        if self._events is None:
            raise StopAsyncIteration
        event = await anext(self._events)
        self.cursor = event.cursor or self.cursor
        return event

    async def __aenter__(self) -> Self:
        await self._open.enter_async_context(self._client)
        try:
            self._events = await self._open.enter_async_context(self._client.follow(**self._wanted))
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def over_amqp(
    url: str,
    org: str,
    *,
    keys: str | Collection[str] = "call.#",
    since: datetime | int | str | None = None,
    queue: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    retry_for: float = inf,
) -> "OverAmqp":
    """The events of an org, from the broker; as `toolyard.client.events.over_amqp`."""
    feed = amqp.over_amqp(url, org, keys=keys, since=since, queue=queue, arguments=arguments, retry_for=retry_for)
    return OverAmqp(feed)


class OverAmqp:
    """Events as they come, read on a thread of its own; for ``async with``."""

    def __init__(self, feed: amqp.OverAmqp) -> None:
        self._feed = feed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="events")
        self._asked: asyncio.Future[FeedEvent | Gap | None] | None = None

    @property
    def cursor(self) -> str:
        """Of a stream: the place behind what was given last, for ``since``; empty elsewhere."""
        return self._feed.cursor

    async def close(self, *, done: bool = True) -> None:
        """End; what was given last is done, unless it is said that it is not."""
        if self._feed.closed:
            return
        if self._asked is not None:
            await asyncio.wait([self._asked])
        await self._run(lambda: self._feed.close(done=done))
        self._thread.shutdown(wait=False)

    def __aiter__(self) -> AsyncIterator[FeedEvent | Gap]:
        return self

    async def __anext__(self) -> FeedEvent | Gap:
        while not self._feed.closed:
            if self._asked is None:  # else who asked before was cancelled, and what it asked for is still to come
                self._asked = asyncio.ensure_future(self._run(self._feed.step))
            found = await asyncio.shield(self._asked)
            self._asked = None
            if found is not None:
                return found
        raise StopAsyncIteration

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def __aenter__(self) -> Self:
        try:
            await self._run(self._feed.open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(done=error is None)
