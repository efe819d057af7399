"""AMQP 0-9-1 frames, as far as a proxy must know them: where each ends, what it is, and which deliveries it settles.

Used by `proxy`. It knows the protocol and nothing of the project.
"""

import struct
from dataclasses import dataclass, field
from typing import Final, NamedTuple

PROTOCOL_HEADER: Final = 8
HEAD: Final = 7
END: Final = 1
METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8

_KINDS: Final = {HEADER: "header", BODY: "body", HEARTBEAT: "heartbeat"}
_METHODS: Final = {
    (10, 11): "connection.start-ok",
    (10, 50): "connection.close",
    (20, 10): "channel.open",
    (20, 40): "channel.close",
    (60, 20): "basic.consume",
    (60, 40): "basic.publish",
    (60, 60): "basic.deliver",
    (60, 80): "basic.ack",
    (60, 90): "basic.reject",
    (60, 120): "basic.nack",
    (85, 10): "confirm.select",
}


class Frame(NamedTuple):
    """One frame as it came; ``name`` is the method's, or ``header``, ``body``, ``heartbeat``."""

    kind: int
    channel: int
    payload: bytes
    raw: bytes

    @property
    def name(self) -> str:
        if self.kind != METHOD:
            return _KINDS.get(self.kind, f"kind {self.kind}")
        number: tuple[int, int] = struct.unpack_from(">HH", self.payload)
        return _METHODS.get(number, f"method {number[0]}.{number[1]}")

    def settles(self) -> tuple[int, bool]:
        """The tag of an ack, nack, reject or confirm, and whether it means all up to it."""
        tag, *bits = struct.unpack_from(">QB" if len(self.payload) > 12 else ">Q", self.payload, 4)
        return tag, self.name != "basic.reject" and bool(bits and bits[0] & 1)

    def delivers(self) -> int:
        """The tag of a delivery."""
        length = self.payload[4]
        tag: int = struct.unpack_from(">Q", self.payload, 5 + length)[0]
        return tag

    def routing_key(self) -> str:
        """The key of a publish or a delivery; of anything else nothing."""
        if self.name == "basic.publish":
            at = 6
        elif self.name == "basic.deliver":
            at = 5 + self.payload[4] + 9
        else:
            return ""
        at += 1 + self.payload[at]  # the exchange
        return self.payload[at + 1 : at + 1 + self.payload[at]].decode()

    def body_size(self) -> int:
        """The length of the body that a header announces."""
        size: int = struct.unpack_from(">Q", self.payload, 4)[0]
        return size


@dataclass
class Splitter:
    """Cuts a stream of bytes into frames; what a client sends begins with the protocol header."""

    from_client: bool
    _rest: bytes = b""
    _greeted: bool = field(default=False)

    def feed(self, data: bytes) -> list[Frame | bytes]:
        """The frames that are complete now; the protocol header comes as plain bytes."""
        self._rest += data
        found: list[Frame | bytes] = []
        if self.from_client and not self._greeted:
            if len(self._rest) < PROTOCOL_HEADER:
                return found
            found.append(self._rest[:PROTOCOL_HEADER])
            self._rest, self._greeted = self._rest[PROTOCOL_HEADER:], True
        while (frame := self._next()) is not None:
            found.append(frame)
        return found

    def _next(self) -> Frame | None:
        if self._rest[:4] == b"AMQP":  # a broker that refuses the protocol answers with its own header
            return None
        if len(self._rest) < HEAD:
            return None
        kind, channel, size = struct.unpack_from(">BHI", self._rest)
        end = HEAD + size + END
        if len(self._rest) < end:
            return None
        raw, self._rest = self._rest[:end], self._rest[end:]
        return Frame(kind, channel, raw[HEAD : HEAD + size], raw)


class Tags:
    """Deliveries, or publishes, that were not settled yet, by channel."""

    def __init__(self) -> None:
        self._open: dict[int, dict[int, None]] = {}

    def add(self, channel: int, tag: int) -> None:
        self._open.setdefault(channel, {})[tag] = None

    def settle(self, channel: int, tag: int, *, multiple: bool) -> None:
        tags = self._open.get(channel, {})
        if not multiple:
            tags.pop(tag, None)
            return
        for each in [each for each in tags if each <= tag or tag == 0]:
            del tags[each]

    def forget(self, channel: int) -> None:
        self._open.pop(channel, None)

    def __len__(self) -> int:
        return sum(len(tags) for tags in self._open.values())
