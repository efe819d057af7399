"""One run, as the worker sees it: the request goes down, frames come up, and none of them is trusted.

It decides how the run ended. It does not kill: whoever holds the child does, as soon as this has returned.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from toolyard.sandbox.jail.frames import Frame, Incoming, Kind, Request, UnexpectedFrame, Untrue, frame, request_body
from toolyard.sandbox.jail.runs import How, Limits

#: The answer to one question of the guest's; `Untrue` of a question that no honest guest asks ends the run.
Answer = Callable[[bytes], Awaitable[bytes]]
#: Is told what the guest says on its way; `Untrue` of what no honest guest says ends the run.
Hear = Callable[[bytes], None]

_PIECE: Final = 1 << 16
_LONGEST_REASON: Final = 4096
#: Bytes of what it says on its way, and how often it may say something: an honest guest leaves room between two.
_LONGEST_WORD: Final = 8192
_WORDS: Final = 20_000
_READY: Final = {Kind.READY: 0}
_BEGUN: Final = {Kind.BEGUN: 0}


class NotBegun(Exception):  # noqa: N818
    """The child died, or its time was over, before its guest did anything: another can be asked as if nothing was."""


class Ending(NamedTuple):
    """What the frames say of a run's end; `how` is None if the child fell silent, and the kernel knows more.

    Attributes:
        requests: how many of its requests were answered.
    """

    how: How | None
    body: bytes = b""
    reason: str = ""
    requests: int = 0


class Channel:
    """The worker's end of a child's socket."""

    def __init__(self, channel: socket.socket) -> None:
        self._socket = channel
        self._incoming = Incoming()
        self._loop = asyncio.get_running_loop()

    async def send(self, kind: Kind, body: bytes) -> None:
        """Writes one frame.

        Raises:
            ConnectionError: the child has gone.
        """
        await self._loop.sock_sendall(self._socket, frame(kind, body))

    def receive_at_once(self, expected: Mapping[Kind, int]) -> Frame | None:
        """The next frame, if it has come already; else, or if the child has gone, None.

        Raises:
            UnexpectedFrame: something else came.
        """
        with contextlib.suppress(OSError):
            self._incoming.feed(self._socket.recv(_PIECE))
        return self._incoming.next(expected)

    async def receive(self, expected: Mapping[Kind, int]) -> Frame | None:
        """The next frame, of a kind and length that are expected now; None if the child has gone.

        Raises:
            UnexpectedFrame: something else came.
        """
        while (found := self._incoming.next(expected)) is None:
            try:
                data = await self._loop.sock_recv(self._socket, _PIECE)
            except ConnectionError:
                return None
            if not data:
                return None
            self._incoming.feed(data)
        return found


def is_ready(channel: Channel) -> bool:
    """Whether the child is known to be locked already."""
    return channel.receive_at_once(_READY) is not None


async def readiness(channel: Channel) -> bool:
    """Waits until the child is locked; False if it has gone."""
    return await channel.receive(_READY) is not None


async def converse(
    channel: Channel, operation: str, payload: bytes, limits: Limits, answer: Answer | None, hear: Hear | None = None
) -> Ending:
    """Runs a request in a child that is ready.

    Raises:
        NotBegun: the child died before it began, or had not begun when its time was over.
        Exception: what `answer` or `hear` raised.
    """
    begun = False
    clock = asyncio.timeout(limits.wall)
    talk = _Talk(channel, limits, answer, hear)
    try:
        async with clock:
            await _begin(channel, operation, payload, limits)
            begun = True
            return await talk.follow()
    except UnexpectedFrame as error:
        return _unexpected(error, limits, talk.answered)
    except Untrue as untrue:
        return Ending("broke_protocol", reason=str(untrue), requests=talk.answered)
    except TimeoutError:
        if not clock.expired():
            raise
        if not begun:
            raise NotBegun from None
        return Ending("timed_out", reason=f"not finished after {limits.wall:g} s", requests=talk.answered)


async def _begin(channel: Channel, operation: str, payload: bytes, limits: Limits) -> None:
    cpu = max(1, -int(-limits.cpu // 1))
    try:
        await channel.send(Kind.RUN, request_body(Request(limits.memory, cpu, operation, payload)))
    except ConnectionError:
        raise NotBegun from None
    if await channel.receive(_BEGUN) is None:
        raise NotBegun


class _Talk:
    """The frames of a guest that runs, each looked at as it comes."""

    def __init__(self, channel: Channel, limits: Limits, answer: Answer | None, hear: Hear | None) -> None:
        self._channel = channel
        self._answer = answer
        self._hear = hear
        self._left = limits.requests
        self._words_left = _WORDS
        self.answered = 0
        self._expected = {Kind.RESULT: limits.output, Kind.OUT_OF_MEMORY: 0, Kind.FAILED: _LONGEST_REASON}
        if answer is not None:
            self._expected[Kind.ASK] = limits.question
        if hear is not None:
            self._expected[Kind.TELL] = _LONGEST_WORD

    async def follow(self) -> Ending:
        """Answers what is asked, up to the last frame."""
        while (found := await self._channel.receive(self._expected)) is not None:
            if found.kind is Kind.TELL:
                self._listen(found.body)
                continue
            if found.kind is not Kind.ASK:
                return self._last(found)
            if self._left == 0:
                return self._ending("broke_protocol", reason="more requests than it may make")
            await self._reply(found.body)
        return self._ending(None)

    def _listen(self, word: bytes) -> None:
        assert self._hear is not None  # noqa: S101 - without it TELL is not expected
        if self._words_left == 0:
            raise Untrue("more words on its way than an honest guest has")
        self._words_left -= 1
        self._hear(word)

    async def _reply(self, question: bytes) -> None:
        assert self._answer is not None  # noqa: S101 - without it ASK is not expected
        self._left -= 1
        reply = await self._answer(question)
        try:
            await self._channel.send(Kind.ANSWER, reply)
        except ConnectionError:
            return  # it has gone; its last words may still be there
        self.answered += 1

    def _last(self, found: Frame) -> Ending:
        match found.kind:
            case Kind.RESULT:
                return self._ending("answered", body=found.body)
            case Kind.OUT_OF_MEMORY:
                return self._ending("out_of_memory", reason="over its memory limit")
            case _:
                return self._ending("crashed", reason=found.body.decode(errors="replace"))

    def _ending(self, how: How | None, *, body: bytes = b"", reason: str = "") -> Ending:
        return Ending(how, body, reason, self.answered)


def _unexpected(error: UnexpectedFrame, limits: Limits, answered: int) -> Ending:
    if error.kind == Kind.RESULT and error.length > limits.output:
        reason = f"an answer of {error.length} bytes; {limits.output} are allowed"
        return Ending("too_much_output", reason=reason, requests=answered)
    return Ending("broke_protocol", reason=str(error), requests=answered)
