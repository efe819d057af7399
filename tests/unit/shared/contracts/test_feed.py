"""The feed's words: cursors that are read and written, and what an interest takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.unit.shared.contracts.samples import INTEREST_FULL, ITEM_FULL, NOW

from toolyard.contracts.feed import BEGINNING, Cursor, FeedAsked, FeedPage, Interest

cursors = st.builds(Cursor, st.integers(0, 2**63 - 1), st.integers(0, 2**31 - 1))


@given(cursors)
def test_a_cursor_is_read_as_it_was_written(cursor: Cursor):
    assert Cursor.read(str(cursor)) == cursor


@given(cursors, cursors)
def test_cursors_stand_in_the_order_of_what_they_name(one: Cursor, other: Cursor):
    assert (one < other) == ((one.offset, one.n) < (other.offset, other.n))
    assert min(one, other) >= BEGINNING


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "4711", "4711-", "-2", "-4711-2", "4711-2-1", "4711--2", "4711-+2", "+4711-2", "4,711-2"),
        *("4711 - 2", " 4711-2", "4711-2\n", "4711.0-2", "4_711-2", "0x11-2", "last", "1e3-2"),
        *("\u0664\u0667-2", "4711-\u00b2", "4711\u20132", "\ud800-1"),
        *(f"{2**63}-0", f"0-{2**31}", f"{10**400}-1", f"1-{'0' * 40}"),
    ],
)
def test_what_is_no_cursor_is_refused(text: str):
    with pytest.raises(ValueError, match="is no cursor; one looks like 4711-2"):
        Cursor.read(text)


def test_whoever_wants_nothing_in_particular_is_given_all():
    assert Interest().takes(ITEM_FULL)
    assert INTEREST_FULL.takes(ITEM_FULL)


@pytest.mark.parametrize(
    "only",
    [
        Interest(conversation="conv-8"),
        Interest(tool="weather"),
        Interest(states=("succeeded", "timed_out")),
        Interest(call_id="another"),
        Interest(since=NOW + 1.5),
        structs.replace(INTEREST_FULL, conversation="conv-8"),
    ],
    ids=["conversation", "tool", "states", "call_id", "since", "one of all"],
)
def test_what_is_not_wanted_is_not_taken(only: Interest):
    assert not only.takes(ITEM_FULL)


def test_a_call_without_a_conversation_is_in_none():
    assert not Interest(conversation="").takes(structs.replace(ITEM_FULL, conversation=None))


def test_pages_and_items_name_the_place_behind_them():
    assert ITEM_FULL.cursor == Cursor(4711, 2)
    assert FeedPage(v=1, number=1, org="acme", offset=7, n=3).cursor == Cursor(7, 3)
    assert FeedAsked(v=1, gateway="g1", number=1, org="acme").offset is None
