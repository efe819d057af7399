"""The asynchronous shell of the SDK, on asyncio; `client` is its twin, and says where the rest is."""

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from toolyard.client.answers import read
from toolyard.client.asking import Asking
from toolyard.client.carrying import RETRY_FOR, SILENCE, TIMEOUT, built, errors_told, is_stream, no_stream, options
from toolyard.client.errand import Steps
from toolyard.client.feed import FeedEvent, Gap
from toolyard.client.following import Stream
from toolyard.client.patience import Pause
from toolyard.client.requests import Request
from toolyard.client.shapes import Event
from toolyard.errors import ToolyardError

P = ParamSpec("P")
T = TypeVar("T")


async def _sleep(seconds: float) -> None:
    import asyncio  # whoever runs a loop has it; who imports the synchronous client does not pay for it

    await asyncio.sleep(seconds)


def _taken(
    steps: Callable[Concatenate[Asking, P], Steps[T]],
) -> Callable[Concatenate["AsyncClient", P], Coroutine[Any, Any, T]]:
    """A method that takes these steps."""

    @functools.wraps(steps)
    async def method(self: "AsyncClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._take(steps(self._asking, *args, **kwargs))

    return method


async def _one_by_one(first: list[T], coming: AsyncIterator[list[T]]) -> AsyncGenerator[T, None]:
    for one in first:
        yield one
    async for several in coming:
        for one in several:
            yield one


class AsyncClient:
    """Speaks to one gateway with one key, on one event loop.

    Args:
        url: where the gateway listens, as in ``http://127.0.0.1:8080``; this machine's where none is given.
        key: an API key; that of ``TOOLYARD_API_KEY`` or of `toolyard dev` on this machine where none is given. An empty
            one asks without a key.
        timeout: seconds that an ordinary answer may take.
        retry_for: seconds for which what failed is asked again, where that does no harm; 0 never does.
        transport: carries requests in the place of the network.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT,
        retry_for: float = RETRY_FOR,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        made = options(url, key)
        self.url: str = made["base_url"]
        self._timeout = timeout
        self._asking = Asking(retry_for=retry_for)
        self._http = httpx.AsyncClient(**made, transport=transport)

    call = _taken(Asking.call)
    call_many = _taken(Asking.call_many)
    get = _taken(Asking.get)
    cancel = _taken(Asking.cancel)
    authorize = _taken(Asking.authorize)
    tools = _taken(Asking.tools)
    turn = _taken(Asking.turn)

    async def events(self, call_id: str, *, last_event_id: str | None = None) -> AsyncIterator[Event]:
        """What happens to a call, from its first event up to its end, each once, however often the connection breaks.

        Args:
            call_id: of the call.
            last_event_id: goes on behind this one.

        Raises:
            Refused: ``not_found``; Unreachable, Unexpected: as for `call`.
        """
        async with aclosing(self._told(self._asking.events(call_id, last_event_id=last_event_id))) as coming:
            async for told in coming:
                for event in told:
                    yield event

    @asynccontextmanager
    async def follow(
        self,
        *,
        conversation: str | None = None,
        tool: str | None = None,
        states: str | Collection[str] = (),
        call_id: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
    ) -> AsyncIterator[AsyncIterator[FeedEvent | Gap]]:
        """Follow what happens to the calls of the org, each event once, however often the connection breaks.

        For ``with``: its block begins once it follows, so that all that happens from then on is told. The events have
        no end, unless ``until`` gives one; leave the block.

        Args:
            conversation: only its calls.
            tool: only its calls.
            states: only what leaves its call in this state, or in one of these.
            call_id: only this call.
            since: goes on behind this ``cursor`` of an event, or begins at this time (as text, RFC 3339) or with the
                ``"first"`` that is kept; from now on where it is not given.
            until: ends with this ``cursor``, before this time, or with what has happened up to ``"now"``; without
                ``since`` it begins with the first that is kept.

        Yields:
            The events, as they come. A `Gap` among them says that some are not kept any more.

        Raises:
            Refused: that cannot be followed; Unreachable, Unexpected: as for `call`; also from the loop.
        """
        following = self._asking.follow(
            conversation=conversation, tool=tool, states=states, call_id=call_id, since=since, until=until
        )
        async with aclosing(self._told(following)) as coming:
            first: list[FeedEvent | Gap] = []
            async for told in coming:
                first += told
                if following.follows:
                    break
            async with aclosing(_one_by_one(first, coming)) as events:
                yield events

    async def send(self, request: Request) -> Any:
        """Ask once, and give the JSON value of the answer.

        Raises:
            Refused: the gateway's problem document.
            Unreachable: nothing answered in time.
            Unexpected: something that is no gateway answered.
        """
        patience = self._timeout + request.patience
        with errors_told(self.url, patience):
            response = await self._http.send(built(self._http, request, self._timeout, patience))
        return read(response.status_code, response.headers, response.content)

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def _take(self, steps: Steps[T]) -> T:
        answer: Any = None
        error: ToolyardError | None = None
        while True:
            try:
                step = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = error = None
            if isinstance(step, Pause):
                await _sleep(step.seconds)
                continue
            try:
                answer = await self.send(step)
            except ToolyardError as failed:
                error = failed

    async def _told(self, following: Stream[T]) -> AsyncGenerator[list[T], None]:
        """What each piece of the stream tells; it is asked for again until it has ended."""
        while not following.ended:
            error: ToolyardError | None = None
            try:
                async with aclosing(self._chunks(following.request())) as chunks:
                    async for chunk in chunks:
                        yield list(following.read(chunk))
                        if following.ended:
                            return
            except ToolyardError as failed:
                error = failed
            await _sleep(following.pause(error).seconds)

    async def _chunks(self, request: Request) -> AsyncGenerator[bytes, None]:
        with errors_told(self.url, SILENCE):
            response = await self._http.send(built(self._http, request, self._timeout, SILENCE), stream=True)
            try:
                if not is_stream(response):
                    await response.aread()
                    no_stream(response)
                async for chunk in response.aiter_bytes():
                    yield chunk
            finally:
                await response.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
