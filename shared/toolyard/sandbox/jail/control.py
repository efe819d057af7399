"""Messages between a worker and its fork server, over a socket that keeps them apart (SOCK_SEQPACKET).

No word of a request is ever among them: the server hears how many children are wanted, and tells of their births and
deaths.
"""

import json
import struct
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

_ORDER: Final = struct.Struct("!cI")
_BORN: Final = struct.Struct("!cQI")
_DIED: Final = struct.Struct("!cQidQ")
_BARREN: Final = struct.Struct("!cI")
_ALIVE: Final = struct.Struct("!c")

#: Longer than any message.
LONGEST: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Report:
    """The server's first word: it stands, and this is how.

    Attributes:
        missing: the layers that are not there, by name, each with the reason.
        attempts: what was tried, by name, and how it ended.
        landlock: the version of the kernel's interface; 0 without.
        base_memory: bytes in use in a child before it does anything.
        failure: why there will be no server; empty otherwise.
    """

    missing: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, str] = field(default_factory=dict)
    landlock: int = 0
    base_memory: int = 0
    failure: str = ""


class Order(NamedTuple):
    """The worker wants this many children."""

    children: int


class Born(NamedTuple):
    """A child was forked; its socket and its pidfd come with the message."""

    serial: int
    pid: int


class Died(NamedTuple):
    """A child has ended and is no process any more.

    Attributes:
        status: as `os.waitpid` gives it. cpu: seconds. peak: bytes resident at most.
    """

    serial: int
    status: int
    cpu: float
    peak: int


class Barren(NamedTuple):
    """One ordered child could not be forked, for this `errno`."""

    error: int


class Alive(NamedTuple):
    """A question of the worker's, and the server's answer to it: it is there, and does what it is told."""


Message = Report | Order | Born | Died | Barren | Alive


def pack(message: Message) -> bytes:
    """The bytes of a message."""
    match message:
        case Report():
            return b"R" + json.dumps(asdict(message)).encode()
        case Order():
            return _ORDER.pack(b"O", *message)
        case Born():
            return _BORN.pack(b"B", *message)
        case Died():
            return _DIED.pack(b"D", *message)
        case Barren():
            return _BARREN.pack(b"N", *message)
        case Alive():
            return _ALIVE.pack(b"A")


def unpack(data: bytes) -> Message:
    """The message of bytes that `pack` made.

    Raises:
        ValueError: they are none.
    """
    form = _FORMS.get(data[:1])
    if form is not None:
        layout, make = form
        message: Message = make(*layout.unpack(data)[1:])
        return message
    if data[:1] == b"R":
        return Report(**json.loads(data[1:]))
    raise ValueError(f"no message begins with {data[:1]!r}")


_FORMS: Final[dict[bytes, tuple[struct.Struct, Any]]] = {
    b"O": (_ORDER, Order),
    b"B": (_BORN, Born),
    b"D": (_DIED, Died),
    b"N": (_BARREN, Barren),
    b"A": (_ALIVE, Alive),
}
