"""The child's end of the socket: blocking, on the one descriptor that it has."""

import os
from typing import Final

from toolyard.sandbox.jail.allowed import CHANNEL
from toolyard.sandbox.jail.frames import HEADER_SIZE, Frame, Kind, frame, header

_PIECE: Final = 1 << 18


class Ended(Exception):  # noqa: N818 - nothing went wrong: the worker wants nothing more
    """The worker has closed its end."""


def send(kind: Kind, body: bytes = b"") -> None:
    """Writes one frame."""
    write(frame(kind, body))


def write(data: bytes) -> None:
    """Writes all of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(CHANNEL, rest) :]


def receive() -> Frame:
    """Reads one frame.

    Raises:
        Ended: there is none any more.
    """
    kind, length = header(_exactly(HEADER_SIZE))
    return Frame(Kind(kind), _exactly(length))


def _exactly(length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = os.read(CHANNEL, min(_PIECE, length - len(data)))
        if not piece:
            raise Ended
        data += piece
    return bytes(data)
