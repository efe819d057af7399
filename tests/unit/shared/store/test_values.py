"""Values on their way into text columns."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.store.values import clean, json_text, read_cursor, write_cursor


@given(st.text(st.characters(codec=None)))
def test_cleaned_text_can_be_stored_and_stays_so(text: str):
    cleaned = clean(text)

    assert "\x00" not in cleaned
    assert cleaned.encode().decode() == cleaned
    assert clean(cleaned) == cleaned


@given(st.text().filter(lambda text: "\x00" not in text))
def test_clean_text_is_left_as_it_is(text: str):
    assert clean(text) == text


def test_json_text_holds_no_nul_and_no_broken_bytes():
    text = json_text({"a": "\x00", "b": msgspec.Raw(b'"\xff"')})

    assert text == '{"a":"\\u0000","b":"\N{REPLACEMENT CHARACTER}"}'


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=64))
def test_a_cursor_names_its_place_exactly(number: float, word: str):
    assert read_cursor(write_cursor(number, word), tuple[float, str]) == (number, word)


@pytest.mark.parametrize("cursor", ["", "a", "!", "WzFd", write_cursor("a", 1), write_cursor(1.0, "a", "b")])
def test_what_is_no_cursor_of_this_list_is_refused(cursor: str):
    with pytest.raises(ValueError, match="cursor"):
        read_cursor(cursor, tuple[float, str])
