"""A pika channel whose requests are awaited, each bounded in time and with our errors.

Everything here that talks to the broker and waits for its answer goes through `Channel.ask`; publishing, delivering and
acknowledging do not wait and go through a lane (see `toolyard.transport.rabbitmq.lane`).
"""

import asyncio
from collections.abc import Callable
from typing import Any

from pika.adapters.asyncio_connection import AsyncioConnection

from toolyard.errors import ToolyardError, Unavailable
from toolyard.transport.rabbitmq.errors import translate, translated

#: Seconds in which a live broker answers a request; declaring a replicated queue is the slowest of them.
ANSWER_WITHIN = 10.0
CLOSE_WITHIN = 1.0


class Channel:
    """One open channel. It closes for good: a new one is opened, never the same again."""

    def __init__(self, connection: AsyncioConnection) -> None:
        self._waiting: set[asyncio.Future[Any]] = set()
        self.reason: ToolyardError | None = None
        self.on_close: Callable[[ToolyardError], None] | None = None
        self._opened = self._promise()
        with translated("opening a channel"):
            self.raw = connection.channel(on_open_callback=lambda _: _settle(self._opened))
        self.raw.add_on_close_callback(self._closed)

    @classmethod
    async def open(cls, connection: AsyncioConnection) -> "Channel":
        """A new channel on this connection; raises `Unavailable` when there can be none."""
        channel = cls(connection)
        await channel._answer(channel._opened, "opening a channel")
        return channel

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return bool(self.raw.is_open)

    async def ask(self, doing: str, request: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Make a request of pika's channel and wait for the broker's answer.

        Raises:
            Missing: what it names is not there (the channel is then closed).
            SettingsError: it is not as it should be, or not allowed (closed as well).
            Unavailable: no answer: the connection is lost, or the broker is slow.
        """
        answer = self._promise()
        with translated(doing):
            request(*args, callback=lambda frame: _settle(answer, frame), **options)
        return await self._answer(answer, doing)

    async def close(self) -> None:
        """Close it; what was delivered on it and is not settled goes back to its queue."""
        if not self.is_open:
            return
        closed = self._promise()
        self.raw.add_on_close_callback(lambda *_: _settle(closed))
        try:
            with translated("closing a channel"):
                self.raw.close()
            await self._answer(closed, "closing a channel", within=CLOSE_WITHIN)
        except Unavailable:
            return  # it is gone all the same

    def _promise(self) -> "asyncio.Future[Any]":
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: "asyncio.Future[Any]") -> None:
        """It is answered. Whoever asked may have been refused before, and then nobody looks at what became of it."""
        self._waiting.discard(future)
        if not future.cancelled():
            future.exception()

    async def _answer(self, answer: "asyncio.Future[Any]", doing: str, *, within: float = ANSWER_WITHIN) -> Any:
        try:
            async with asyncio.timeout(within):
                return await answer
        except TimeoutError:
            raise Unavailable(f"{doing}: the broker did not answer within {within:g} s") from None
        except _Closed as closed:
            raise translate(closed.reason, doing) from None

    def _closed(self, _channel: object, reason: BaseException) -> None:
        self.reason = translate(reason, "the channel was closed")
        for future in tuple(self._waiting):
            if not future.done():
                future.set_exception(_Closed(reason))
        if self.on_close is not None:
            self.on_close(self.reason)


class _Closed(Exception):  # noqa: N818 - carries the reason to whoever waits
    def __init__(self, reason: BaseException) -> None:
        super().__init__(str(reason))
        self.reason = reason


def _settle(future: "asyncio.Future[Any]", value: Any = None) -> None:
    if not future.done():
        future.set_result(value)
