"""JSON read strictly: what looks wrong and is not, and that nothing readable is changed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.errors import Refused
from toolyard_gateway import strict_json

_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=20,
)


@given(value=_VALUES, escaped=st.booleans())
def test_what_any_writer_writes_is_read_as_it_was_meant(value, escaped):
    raw = json.dumps(value, ensure_ascii=escaped).encode()

    assert strict_json.decode(raw) == value


@pytest.mark.parametrize(
    "raw",
    [
        rb'{"a":":","b":"\u003a\u003A","c":"\\u003a"}',
        rb'{"a":"\\u0000","b":"\\\\u0000"}',
        rb'{"a":{"x":1},"b":{"x":1}}',
        rb'{"a":1,"A":2}',
        rb'"\ud83d\ude00"',
        b'"' + b"[{," * 200_000 + b'"',
        b'["' + b'\\"[' * 100_000 + b'"]',
        b"[" * 64 + b"]" * 64,
        b"[" + b",".join([b"[[[1]]]"] * 100) + b"]",
    ],
)
def test_what_only_looks_wrong_is_read(raw):
    assert strict_json.decode(raw) == json.loads(raw)


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        (b'{"a":1,}', "line 1, column"),
        (b"[NaN]", "NaN is not a number of JSON"),
        (b"\xff", "byte 0 is not UTF-8"),
        (b"", "it is empty"),
        (b"[" * 65 + b"]" * 65, "deeper than 64"),
        (b"[" * 1_000_000, "more than 20,000 objects"),
        (b"[" + b"1," * 50_001 + b"1]", "more than 50,000 values"),
        (b'[{"a":1,"a":2},"' + b"x" * 70_000 + b'"]', "stands twice"),
        (b'["\\u0000","' + b"x" * 70_000 + b'"]', "NUL"),
        (b'["\\ud800","' + b"x" * 70_000 + b'"]', "surrogate"),
    ],
)
def test_a_refusal_says_what_is_wrong(raw, part):
    with pytest.raises(Refused) as refused:
        strict_json.decode(raw)

    assert part in refused.value.detail
