"""The bytes that we write and read by hand are those of pika."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties, data, frame, spec

from toolyard.transport.base import Message
from toolyard.transport.rabbitmq import wire
from toolyard.transport.rabbitmq.headers import Headers

names = st.text(st.characters(codec="utf-8"), max_size=40)
texts = st.text(st.characters(codec="utf-8"), max_size=300)
numbers = st.integers(-(2**63), 2**63 - 1)
scalars = texts | numbers | st.booleans()
#: What pika writes and reads; of a float it does neither.
headers_of_pika = st.dictionaries(names, scalars, max_size=12)
headers = st.dictionaries(names, scalars | st.floats(allow_nan=False), max_size=12)
foreign = st.recursive(
    st.none() | scalars | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)


def table(raw: bytes) -> bytes:
    return struct.pack(">L", len(raw)) + raw


@given(headers_of_pika)
def test_headers_are_written_as_pika_writes_them(headers: dict[str, Any]) -> None:
    pieces: list[bytes] = []
    data.encode_table(pieces, headers)
    assert table(wire.encode_table(headers)) == b"".join(pieces)


@given(headers)
def test_headers_come_back_with_their_types(headers: dict[str, Any]) -> None:
    got, others = wire.decode_scalars(table(wire.encode_table(headers)))
    assert (got, others) == (headers, [])
    assert [type(value) for value in got.values()] == [type(value) for value in headers.values()]


@given(st.dictionaries(names, foreign, max_size=8))
def test_of_foreign_headers_the_scalars_are_read_and_the_others_passed_over(headers: dict[str, Any]) -> None:
    pieces: list[bytes] = []
    data.encode_table(pieces, headers)
    want = {name: value for name, value in headers.items() if isinstance(value, str | int)}
    others = [name for name, value in headers.items() if name not in want and value is not None]
    assert wire.decode_scalars(b"".join(pieces)) == (want, others)


@pytest.mark.parametrize(
    ("kind", "encoded", "value"),
    [
        (b"b", b"\xff", -1),
        (b"B", b"\xff", 255),
        (b"s", b"\xff\xfe", -2),
        (b"u", b"\xff\xfe", 65534),
        (b"i", b"\xff\xff\xff\xfe", 2**32 - 2),
        (b"f", struct.pack(">f", 0.5), 0.5),
        (b"S", b"\x00\x00\x00\x02\xff\xfe", None),
        (b"T", b"\xff" * 8, None),
        (b"D", b"\x02\x00\x00\x00\x05", None),
    ],
)
def test_kinds_of_other_clients_are_read_or_passed_over(kind: bytes, encoded: bytes, value: Any) -> None:
    raw = table(b"\x01n" + kind + encoded + b"\x04lastt\x01")
    want = ({"last": True}, ["n"]) if value is None else ({"n": value, "last": True}, [])
    assert wire.decode_scalars(raw) == want


@given(st.binary(max_size=60))
def test_headers_that_cannot_be_read_are_none(raw: bytes) -> None:
    got = Headers(table(raw))
    assert isinstance(dict(got), dict)
    assert got.death() is None or got.death()
    assert got.delivery_count() >= -(2**63)


def test_what_the_broker_added_is_told_from_what_was_published() -> None:
    pieces: list[bytes] = []
    death = {"reason": "rejected", "queue": "q", "exchange": "e", "routing-keys": ["k", "l"], "count": 2}
    stamps = {"x-delivery-count": 3, "x-stream-offset": 9, "x-first-death-queue": "q", "x-death": [death]}
    data.encode_table(pieces, {"mine": "yes"} | stamps)
    got = Headers(b"".join(pieces))
    assert got == {"mine": "yes"}
    assert len(got) == 1
    assert (got["mine"], got.get("x-delivery-count")) == ("yes", None)
    assert (got.delivery_count(), got.offset()) == (3, 9)
    found = got.death()
    assert found is not None
    assert (found.reason, found.queue, found.exchange, found.key) == ("rejected", "q", "e", "k")
    assert got.died()


@pytest.mark.parametrize(("stamps", "died"), [({"x-first-death-exchange": "e"}, True), ({"x-stream-offset": 9}, False)])
def test_that_it_died_is_known_without_the_list_of_its_deaths(stamps: dict[str, object], died: bool) -> None:
    pieces: list[bytes] = []
    data.encode_table(pieces, {"mine": "yes"} | stamps)
    assert Headers(b"".join(pieces)).died() is died


@given(
    st.text(st.characters(codec="utf-8"), max_size=60),
    st.text(st.characters(codec="utf-8"), max_size=60),
    headers_of_pika,
    st.binary(max_size=700),
    st.sampled_from(["", "250"]),
    st.booleans(),
    st.sampled_from(["", "application/json"]),
)
def test_a_publish_is_written_as_pika_writes_it(
    exchange: str, key: str, headers: dict[str, Any], body: bytes, expiration: str, persistent: bool, content: str
) -> None:
    message = Message(
        exchange, key, body, "id", headers, expiration, "kind", "about", persistent=persistent, content_type=content
    )
    properties = BasicProperties(
        content_type=content or None,
        headers=headers,
        delivery_mode=2 if persistent else 1,
        correlation_id="about",
        expiration=expiration or None,
        message_id="id",
        type="kind",
    )
    want: list[Any] = [
        frame.Method(7, spec.Basic.Publish(exchange=exchange, routing_key=key)),
        frame.Header(7, len(body), properties),
    ]
    room = 8192 - 8
    want += [frame.Body(7, body[start : start + room]) for start in range(0, len(body), room)]
    got = b"".join([wire.publish_method(7, exchange, key), *wire.content(7, message, 8192)])
    assert got == b"".join(each.marshal() for each in want)


def test_all_properties_of_a_delivery_are_passed_over_or_read() -> None:
    properties = BasicProperties(
        content_type="a",
        content_encoding="b",
        headers={"h": 1},
        delivery_mode=2,
        priority=3,
        correlation_id="c",
        reply_to="d",
        expiration="5",
        message_id="m",
        timestamp=2**60,
        type="t",
        user_id="u",
        app_id="w",
    )
    got = wire.decode_properties(b"".join(properties.encode()), 0)
    assert got == (got.table, "m", "t", "5", "c", "d", "u")
    assert wire.decode_scalars(got.table) == ({"h": 1}, [])


def test_headers_over_a_frame_are_refused() -> None:
    message = Message("e", "k", b"", "id", {"large": "x" * 9000})
    with pytest.raises(ValueError, match="one frame holds 8184"):
        wire.content(1, message, 8192)


def test_a_value_that_is_no_header_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="not list"):
        wire.encode_table({"list": []})  # type: ignore[dict-item]


def test_names_from_outside_do_not_fill_the_memory() -> None:
    for number in range(3000):
        wire.encode_table({f"name {number}": "x"})
    assert len(wire._string_names) <= 1001
