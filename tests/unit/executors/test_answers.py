"""Answers as data: what each body becomes, whatever its content type claims."""

import base64
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard_executors.outbound.answers import understand

JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b'{"a":1}', JSON, {"a": 1}),
        (b'{"a":1}', "application/problem+json; charset=utf-8", {"a": 1}),
        (b'{"a":1}', "TEXT/JSON", {"a": 1}),
        (b' [1, 2.50, 1e2] ', JSON, [1, 2.5, 100.0]),
        (b"null", JSON, None),
        (b'"x"', JSON, "x"),
        (b'{"a":1}', "", {"a": 1}),
        (b'{"a":1,"a":2}', JSON, {"a": 2}),
        (b"\xef\xbb\xbf{}", JSON, {}),
        ('{"a":"é"}'.encode("latin-1"), "application/json; charset=iso-8859-1", {"a": "é"}),
        ('{"a":"é"}'.encode("utf-16"), "application/json; charset=utf-16", {"a": "é"}),
        (b'{"a":"\xff"}', JSON, {"a": "\ufffd"}),
        (rb'{"a":"\u0000","\ud800":"\ud83d\ude00"}', JSON, {"a": "\ufffd", "\ufffd": "😀"}),
        (b"123456789012345678901234567890", JSON, 123456789012345678901234567890),
    ],
)  # fmt: skip
def test_json(body, content_type, value):
    answer = understand(body, content_type)
    assert (answer.is_json, answer.value) == (True, value)


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"", "application/json", ""),
        (b"", "", ""),
        (b"plain", "text/plain", "plain"),
        ("é".encode("latin-1"), "text/plain; charset=ISO-8859-1", "é"),
        ("日本".encode("shift_jis"), 'text/html; charset="Shift_JIS"', "日本"),
        (b"\xff", "text/plain", "\ufffd"),
        (b"a\x00b", "text/plain", "a\ufffdb"),
        (b"abc", "text/plain; charset=punycode", "abc"),
        (b"abc", "text/plain; charset=idna", "abc"),
        (b"abc", "text/plain; charset=iso-8859-99", "abc"),
        (b"\xef\xbb\xbfabc", "text/csv", "abc"),
        (b"<a/>", "application/atom+xml", "<a/>"),
        (b"<svg/>", "application/xml", "<svg/>"),
        (b"not json", JSON, "not json"),
        (b"NaN", JSON, "NaN"),
        (b'{"a": Infinity}', JSON, '{"a": Infinity}'),
        (b"1e400", JSON, "1e400"),
        (rb'"\ud800" 1e400', JSON, r'"\ud800" 1e400'),
        (rb'["\ud800", NaN]', JSON, r'["\ud800", NaN]'),
        (rb'["\ud800", 1e400]', JSON, r'["\ud800", 1e400]'),
        (b"[" * 100_000, JSON, "[" * 100_000),
        (b'{"a":', "", '{"a":'),
        (b"just text", "", "just text"),
        (b"just text", "application/octet-stream", "just text"),
        ("é".encode(), "application/x-own", "é"),
    ],
)
def test_text(body, content_type, text):
    answer = understand(body, content_type)
    assert (answer.is_json, answer.text) == (False, text)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\x89PNG\r\n", "image/png"),
        (b"abc", "image/png"),
        (b"\xff\xfe", "application/octet-stream"),
        (b"a\x00b", "application/octet-stream"),
        (b"\xff", ""),
    ],
)
def test_binary(body, content_type):
    result = understand(body, content_type).result()
    assert isinstance(result.structured, msgspec.Raw)
    value = msgspec.json.decode(result.structured)
    assert base64.b64decode(value["data"]) == body
    assert (value["content_type"], value["encoding"], value["size"]) == (content_type, "base64", len(body))
    assert "binary" in result.text()


@given(st.binary(), st.sampled_from([JSON, "text/plain", "", "image/png", "application/x", f"{JSON}; charset=utf-16"]))
def test_whatever_comes_can_be_kept_and_shown(body, content_type):
    result = understand(body, content_type).result()
    kept = msgspec.json.decode(msgspec.json.encode(result))
    for text in texts_in(kept):
        assert "\x00" not in text
        text.encode()


def texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
