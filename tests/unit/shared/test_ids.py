"""Identifiers: canonical, ordered by time where they are made, and the same everywhere where they are derived."""

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard import ids


def test_a_new_id_is_a_canonical_uuid_of_version_7():
    made = ids.new_id()
    assert ids.is_id(made)
    assert uuid.UUID(made).version == 7
    assert uuid.UUID(made).variant == uuid.RFC_4122


def test_a_new_id_begins_with_its_time():
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(ids.new_id()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_ids_of_later_milliseconds_sort_later():
    first = ids.new_id()
    while uuid.UUID(later := ids.new_id()).int >> 80 == uuid.UUID(first).int >> 80:
        pass
    assert first < later


def test_ids_do_not_repeat():
    assert len({ids.new_id() for _ in range(20_000)}) == 20_000


def test_a_derived_id_is_known_and_stays():
    """Two gateways of different versions must agree: this one was computed by hand from the SHA-256."""
    assert ids.derived_id("default", "order-17") == "0a38b9c5-4d10-8718-9020-da621110bd1b"


def test_a_derived_id_is_a_canonical_uuid_of_version_8():
    made = ids.derived_id("default", "order-17")
    assert ids.is_id(made)
    assert uuid.UUID(made).version == 8
    assert uuid.UUID(made).variant == uuid.RFC_4122


words = st.lists(st.text(alphabet="abc-", max_size=6), min_size=1, max_size=3)


@given(words, words)
def test_other_parts_give_another_id(one: list[str], other: list[str]):
    assert (ids.derived_id(*one) == ids.derived_id(*other)) is (one == other)


def test_the_border_between_parts_counts():
    assert ids.derived_id("a", "bc") != ids.derived_id("ab", "c")


@pytest.mark.parametrize(
    "text", ["", "x", "0197C9A0-5D2F-7E4B-9C3A-1F6D8E2B4A70", "{0197c9a0-5d2f-7e4b-9c3a-1f6d8e2b4a70}", "0" * 32]
)
def test_what_is_no_id_as_we_write_them_is_told_apart(text: str):
    assert not ids.is_id(text)


def test_a_token_is_long_and_fits_into_a_header_and_a_url():
    made = ids.token()
    assert len(made) == 32
    assert made.replace("-", "").replace("_", "").isalnum()
    assert made != ids.token()
