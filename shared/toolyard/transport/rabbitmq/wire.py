"""AMQP 0-9-1 bytes, written and read by hand: what the fast lane needs of it, and nothing else.

Pure functions over bytes; the self-test of `toolyard.transport.rabbitmq.fast` compares them with pika's own.
"""

import struct
from collections.abc import Mapping
from typing import NamedTuple

from toolyard.transport.base import Header, Message

METHOD, HEADER, BODY = 1, 2, 3
END = b"\xce"
END_BYTE = 0xCE
#: Bytes of a frame around its payload.
OVERHEAD = 8
PUBLISH, DELIVER, ACK, REJECT, NACK = 0x003C0028, 0x003C003C, 0x003C0050, 0x003C005A, 0x003C0078

FRAME = struct.Struct(">BHL")
U32 = struct.Struct(">L")
U64 = struct.Struct(">Q")
#: Delivery tag and one byte of flags.
TAG = struct.Struct(">QB")
_CONTENT = struct.Struct(">BHLHHQH")
_CONTENT_FIXED = 14
_PUBLISH = struct.Struct(">BHLLH")
_SETTLE = struct.Struct(">BHLLQBB")
_SETTLE_SIZE = 13
_SHORT_MAX = 255

# Flags of the basic properties, in the order in which the properties follow.
_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS, _DELIVERY_MODE = 1 << 15, 1 << 14, 1 << 13, 1 << 12
_PRIORITY, _CORRELATION_ID, _REPLY_TO, _EXPIRATION = 1 << 11, 1 << 10, 1 << 9, 1 << 8
_MESSAGE_ID, _TIMESTAMP, _TYPE, _USER_ID = 1 << 7, 1 << 6, 1 << 5, 1 << 4
_ORDINARY = _HEADERS | _DELIVERY_MODE | _MESSAGE_ID


class Properties(NamedTuple):
    """The properties of a delivery that somebody reads; ``table`` is the undecoded headers."""

    table: bytes
    message_id: str
    kind: str
    expiration: str
    correlation_id: str
    reply_to: str
    user_id: str


NO_PROPERTIES = Properties(b"", "", "", "", "", "", "")


class _Names(dict[str, bytes]):
    """Header names as they stand before a string value; there are few, and they come again."""

    def __missing__(self, name: str) -> bytes:
        if len(self) > 1000:  # names from outside must not fill the memory
            self.clear()
        prefix = self[name] = _short(name) + b"S"
        return prefix


_string_names = _Names()


# ---- writing ------------------------------------------------------------------------------------
def publish_method(channel: int, exchange: str, key: str, mandatory: bool = False) -> bytes:
    """The method frame of a publish."""
    arguments = _short(exchange) + _short(key) + (b"\x01" if mandatory else b"\x00")
    return _PUBLISH.pack(METHOD, channel, 6 + len(arguments), PUBLISH, 0) + arguments + END


def content(channel: int, message: Message, frame_max: int) -> list[bytes]:
    """The header and body frames of a publish."""
    properties = encode_properties(message)
    body = message.body
    size = len(body)
    flags_size = _CONTENT_FIXED + len(properties[1])
    room = frame_max - OVERHEAD
    if flags_size > room:
        raise ValueError(f"the headers have {flags_size} bytes; one frame holds {room}")
    frames = [_CONTENT.pack(HEADER, channel, flags_size, 60, 0, size, properties[0]), properties[1], END]
    if size <= room:
        if size:
            frames += (FRAME.pack(BODY, channel, size), body, END)
        return frames
    for start in range(0, size, room):
        piece = body[start : start + room]
        frames += (FRAME.pack(BODY, channel, len(piece)), piece, END)
    return frames


def settle(channel: int, method: int, tag: int, flag: int) -> bytes:
    """The frame of an ack (``flag``: multiple) or a reject (``flag``: requeue)."""
    return _SETTLE.pack(METHOD, channel, _SETTLE_SIZE, method, tag, flag, END_BYTE)


def encode_properties(message: Message) -> tuple[int, bytes]:
    """The flags and the bytes of the basic properties."""
    table = encode_table(message.headers)
    flags = _ORDINARY
    parts = [U32.pack(len(table)), table, b"\x02" if message.persistent else b"\x01"]
    if message.content_type:
        flags |= _CONTENT_TYPE
        parts.insert(0, _short(message.content_type))
    if message.correlation_id:
        flags |= _CORRELATION_ID
        parts.append(_short(message.correlation_id))
    if message.expiration:
        flags |= _EXPIRATION
        parts.append(_short(message.expiration))
    parts.append(_short(message.message_id))
    if message.kind:
        flags |= _TYPE
        parts.append(_short(message.kind))
    return flags, b"".join(parts)


def encode_table(headers: Mapping[str, Header]) -> bytes:
    """Headers as an AMQP table, without its length."""
    parts: list[bytes] = []
    names, size = _string_names, U32.pack
    for name, value in headers.items():
        if type(value) is str:
            text = value.encode()
            parts += (names[name], size(len(text)), text)
        else:
            parts += (_short(name), _encode_value(value))
    return b"".join(parts)


def _encode_value(value: Header) -> bytes:
    if isinstance(value, bool):
        return b"t\x01" if value else b"t\x00"
    if isinstance(value, int):
        small = -(1 << 31) <= value < 1 << 31
        return struct.pack(">ci", b"I", value) if small else struct.pack(">cq", b"l", value)
    if isinstance(value, float):
        return struct.pack(">cd", b"d", value)
    if isinstance(value, str):  # a subclass
        text = value.encode()
        return b"S" + U32.pack(len(text)) + text
    raise TypeError(f"a header is a string, a number or a truth value, not {type(value).__name__}")


def _short(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > _SHORT_MAX:
        raise ValueError(f"{text[:40]!r}... has {len(encoded)} bytes; at most {_SHORT_MAX} are possible")
    return bytes((len(encoded),)) + encoded


# ---- reading ------------------------------------------------------------------------------------
def decode_deliver(buffer: bytes, start: int) -> tuple[int, bool, str, str]:
    """Tag, redelivered, exchange and key of a deliver method whose payload begins at ``start``."""
    place = start + 5 + buffer[start + 4]
    tag, flags = TAG.unpack_from(buffer, place)
    exchange, place = _read_short(buffer, place + 9)
    key, _ = _read_short(buffer, place)
    return tag, bool(flags & 1), exchange, key


def decode_properties(buffer: bytes, start: int) -> Properties:  # noqa: C901 - one flag after the other, as the protocol has it
    """The basic properties, whose flags begin at ``start``."""
    flags = buffer[start] << 8 | buffer[start + 1]
    place = start + 2
    table = b""
    if flags & _CONTENT_TYPE:
        place += 1 + buffer[place]
    if flags & _CONTENT_ENCODING:
        place += 1 + buffer[place]
    if flags & _HEADERS:
        end = place + 4 + U32.unpack_from(buffer, place)[0]
        table, place = buffer[place:end], end
    if flags & _DELIVERY_MODE:
        place += 1
    if flags & _PRIORITY:
        place += 1
    correlation_id = reply_to = expiration = message_id = kind = user_id = ""
    if flags & _CORRELATION_ID:
        correlation_id, place = _read_short(buffer, place)
    if flags & _REPLY_TO:
        reply_to, place = _read_short(buffer, place)
    if flags & _EXPIRATION:
        expiration, place = _read_short(buffer, place)
    if flags & _MESSAGE_ID:
        message_id, place = _read_short(buffer, place)
    if flags & _TIMESTAMP:
        place += 8
    if flags & _TYPE:
        kind, place = _read_short(buffer, place)
    if flags & _USER_ID:
        user_id, place = _read_short(buffer, place)
    return Properties(table, message_id, kind, expiration, correlation_id, reply_to, user_id)


def _read_short(buffer: bytes, place: int) -> tuple[str, int]:
    start = place + 1
    end = start + buffer[place]
    return buffer[start:end].decode("utf-8", "replace"), end


_NUMBERS = {
    ord("I"): struct.Struct(">i"),
    ord("l"): struct.Struct(">q"),
    ord("L"): struct.Struct(">q"),
    ord("d"): struct.Struct(">d"),
    ord("f"): struct.Struct(">f"),
    ord("b"): struct.Struct(">b"),
    ord("B"): struct.Struct(">B"),
    ord("U"): struct.Struct(">h"),
    ord("s"): struct.Struct(">h"),
    ord("u"): struct.Struct(">H"),
    ord("i"): struct.Struct(">I"),
}
#: Sizes of values that are no `Header`; None: four bytes say how long it is.
_OTHERS = {ord("V"): 0, ord("T"): 8, ord("D"): 5, ord("F"): None, ord("A"): None, ord("x"): None}
_STRING, _TRUTH, _NOTHING = ord("S"), ord("t"), ord("V")


def decode_scalars(table: bytes) -> tuple[dict[str, Header], list[str]]:
    """The headers of a table (with its length before it) that are of the types of `Header`, and the names of others.

    Raises:
        ValueError: it is no AMQP table.
    """
    headers: dict[str, Header] = {}
    others: list[str] = []
    place, end = 4, len(table)
    while place < end:
        after = place + 1 + table[place]
        name = table[place + 1 : after]
        kind = table[after]
        place = after + 1
        if kind == _STRING:
            start = place + 4
            place = start + U32.unpack_from(table, place)[0]
            value: Header | None = _text(table[start:place])
        else:
            value, place = _decode_other(kind, table, place)
        if value is not None:
            headers[name.decode("utf-8", "replace")] = value
        elif kind != _NOTHING:
            others.append(name.decode("utf-8", "replace"))
    return headers, others


def _text(encoded: bytes) -> str | None:
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        return None


def _decode_other(kind: int, table: bytes, place: int) -> tuple[Header | None, int]:
    if kind == _TRUTH:
        return table[place] != 0, place + 1
    number = _NUMBERS.get(kind)
    if number is not None:
        return number.unpack_from(table, place)[0], place + number.size
    if kind not in _OTHERS:
        raise ValueError(f"unknown kind of header value {kind:#x}")
    size = _OTHERS[kind]
    return None, place + (4 + U32.unpack_from(table, place)[0] if size is None else size)
