"""Frames between the worker and a child: one byte of kind, four of length, a body.

The worker reads with `Incoming`, which keeps no byte of a frame that was not expected: whoever writes at the other end
may be hostile. The child reads with `wire`. No I/O here.
"""

import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

_HEADER: Final = struct.Struct("!BI")
HEADER_SIZE: Final = _HEADER.size
#: The longest body that a header can announce.
LONGEST: Final = 2**32 - 1

_REQUEST: Final = struct.Struct("!QQH")


class Kind(IntEnum):
    """What a frame says. The worker speaks `RUN` and `ANSWER`; all others come from the child."""

    READY = 1
    """It is locked and waits. No body."""
    BEGUN = 2
    """It has the whole request, and the guest runs from here on. No body."""
    ASK = 3
    """The guest wants something of the worker."""
    RESULT = 4
    """What the guest returned: the last frame."""
    OUT_OF_MEMORY = 5
    """The guest ran out of memory: the last frame. No body."""
    FAILED = 6
    """The guest raised an exception; the body is text about it: the last frame."""
    RUN = 7
    """A `Request`."""
    ANSWER = 8
    """The answer to `ASK`."""
    TELL = 9
    """The guest says something that nobody answers."""


class Frame(NamedTuple):
    """One whole frame."""

    kind: Kind
    body: bytes


class UnexpectedFrame(ValueError):  # noqa: N818
    """A kind that has no place here, or a length beyond its bound: ``kind`` is the number that stood there."""

    def __init__(self, kind: int, length: int) -> None:
        super().__init__(f"a frame of kind {kind} with {length} bytes was not expected")
        self.kind = kind
        self.length = length


class Untrue(ValueError):  # noqa: N818
    """A body that no honest guest sends; says what is wrong with it, and nothing of its text."""


class Request(NamedTuple):
    """The body of `RUN`: `memory` in bytes beyond what a child is born with, `cpu` in whole seconds."""

    memory: int
    cpu: int
    operation: str
    payload: bytes


def frame(kind: Kind, body: bytes = b"") -> bytes:
    """The bytes of a frame.

    Raises:
        ValueError: the body is longer than a header can say.
    """
    if len(body) > LONGEST:
        raise ValueError(f"a frame of {len(body)} bytes; {LONGEST} are the most")
    return _HEADER.pack(kind, len(body)) + body


def header(data: bytes) -> tuple[int, int]:
    """Kind and length of the frame that begins with these bytes."""
    kind, length = _HEADER.unpack_from(data)
    return kind, length


def request_body(request: Request) -> bytes:
    """The bytes of a request."""
    operation = request.operation.encode()
    return _REQUEST.pack(request.memory, request.cpu, len(operation)) + operation + request.payload


def read_request(body: bytes) -> Request:
    """The request of a body that `request_body` made."""
    memory, cpu, length = _REQUEST.unpack_from(body)
    start = _REQUEST.size
    return Request(memory, cpu, body[start : start + length].decode(), body[start + length :])


class Incoming:
    """Bytes of a stream, in pieces of any size, put together to frames.

    A caller that feeds only when `next` has returned None never holds more than one piece beyond a frame.
    """

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the stream."""
        self._held += data

    def next(self, expected: Mapping[Kind, int]) -> Frame | None:
        """The next frame, or None if more bytes are needed.

        Args:
            expected: the kinds that have a place now, each with the longest body it may have.

        Raises:
            UnexpectedFrame: another kind, or a longer body; known from the header, before the body is there.
        """
        if len(self._held) < HEADER_SIZE:
            return None
        kind, length = _HEADER.unpack_from(self._held)
        if length > expected.get(kind, -1):
            raise UnexpectedFrame(kind, length)
        end = HEADER_SIZE + length
        if len(self._held) < end:
            return None
        body = bytes(memoryview(self._held)[HEADER_SIZE:end])
        del self._held[:end]
        return Frame(Kind(kind), body)
