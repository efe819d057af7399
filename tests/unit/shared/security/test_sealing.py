"""Sealing: what is sealed opens under its own key and words, and under no others; no error shows a value or a key."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.errors import SecretUnreadable
from toolyard.security.keys import SecretKeys
from toolyard.security.sealing import Recipient, box, seal, unseal

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
KEYS = SecretKeys({"old": OLD})
WHERE: dict[str, Any] = {"org": "default", "name": "TOKEN", "version": 3}
VALUE = "hunter2 \u00fc\n-----END-----"


# ---- at rest ------------------------------------------------------------------------------------
@given(st.text(st.characters(codec="utf-8"), max_size=50))
def test_what_was_sealed_opens_again(value: str):
    assert unseal(KEYS, seal(KEYS, value, **WHERE), **WHERE) == value


def test_nothing_of_the_value_is_seen_in_what_is_sealed():
    kept = seal(KEYS, VALUE, **WHERE)
    assert VALUE.encode() not in kept.sealed
    assert kept.key_id == "old"
    assert seal(KEYS, VALUE, **WHERE).sealed != kept.sealed


@pytest.mark.parametrize(
    "moved", [{"org": "other"}, {"name": "OTHER"}, {"version": 4}, {"org": "default3", "name": ""}]
)
def test_a_row_that_was_moved_does_not_open(moved: dict[str, Any]):
    with pytest.raises(SecretUnreadable, match="not what was sealed") as caught:
        unseal(KEYS, seal(KEYS, VALUE, **WHERE), **(WHERE | moved))
    assert "hunter2" not in str(caught.value)


def test_words_cannot_be_pushed_from_one_into_the_next():
    kept = seal(KEYS, VALUE, org="ab", name="c", version=1)
    with pytest.raises(SecretUnreadable):
        unseal(KEYS, kept, org="a", name="bc", version=1)


@pytest.mark.parametrize(
    "spoil",
    [lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), lambda raw: raw[:-1], lambda raw: raw[:5], lambda raw: b""],
)
def test_what_was_changed_does_not_open(spoil: Callable[[bytes], bytes]):
    kept = seal(KEYS, VALUE, **WHERE)
    with pytest.raises(SecretUnreadable):
        unseal(KEYS, replace(kept, sealed=spoil(kept.sealed)), **WHERE)


def test_after_a_rotation_the_first_key_seals_and_all_open():
    rotated = SecretKeys({"new": NEW, "old": OLD})
    assert unseal(rotated, seal(KEYS, VALUE, **WHERE), **WHERE) == VALUE
    assert seal(rotated, VALUE, **WHERE).key_id == "new"


def test_a_key_that_is_missing_is_named_with_what_to_do():
    with pytest.raises(SecretUnreadable, match=r"sealed with the key 'old', .* behind the first one of TOOLYARD_SECR"):
        unseal(SecretKeys({"new": NEW}), seal(KEYS, VALUE, **WHERE), **WHERE)


def test_another_key_under_the_same_id_does_not_open():
    with pytest.raises(SecretUnreadable, match="not what was sealed with the key 'old'"):
        unseal(SecretKeys({"old": NEW}), seal(KEYS, VALUE, **WHERE), **WHERE)


# ---- keys ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "entry 1 is not of the form id:hex"),
        ("hunter2", "entry 1 is not of the form id:hex"),
        (f"a:{'00' * 32},b", "entry 2 is not of the form"),
        ("a:zz", "the key 'a' is not written in hex"),
        ("a:00", "the key 'a' has 1 bytes; exactly 32 are needed"),
        (f"a:{'00' * 33}", "the key 'a' has 33 bytes; exactly 32"),
        (f"a:{'00' * 32},a:{'11' * 32}", "'a' stands there twice"),
        (f"{'x' * 65}:{'00' * 32}", "longer than 64 characters"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_without_being_shown(text: str, words: str):
    with pytest.raises(ValueError, match=words) as caught:
        SecretKeys.parse(text)
    assert "hunter2" not in str(caught.value)


def test_keys_are_read_in_their_order():
    keys = SecretKeys.parse(f"b:{NEW.hex()}, a:{OLD.hex()}")
    assert (keys.first, keys.get("a"), keys.get("b")) == ("b", OLD, NEW)
    assert "a" in keys
    assert "c" not in keys


# ---- on the way ---------------------------------------------------------------------------------
WORDS = ("request", "default", "w1", "A", "B")


def test_only_the_process_that_a_box_is_for_opens_it():
    ours, others = Recipient(), Recipient()
    boxed = box(ours.public, VALUE.encode(), *WORDS)
    assert ours.open(boxed, *WORDS) == VALUE.encode()
    assert VALUE.encode() not in boxed
    with pytest.raises(SecretUnreadable):
        others.open(boxed, *WORDS)


@pytest.mark.parametrize("place", range(len(WORDS)))
def test_a_box_does_not_open_under_other_words(place: int):
    ours = Recipient()
    words = [*WORDS[:place], "else", *WORDS[place + 1 :]]
    with pytest.raises(SecretUnreadable):
        ours.open(box(ours.public, b"v", *WORDS), *words)


@pytest.mark.parametrize("cut", [0, 5, 32, 40, -1])
def test_a_box_that_was_cut_does_not_open(cut: int):
    ours = Recipient()
    with pytest.raises(SecretUnreadable):
        ours.open(box(ours.public, b"v", *WORDS)[:cut], *WORDS)


@pytest.mark.parametrize("public", [b"", b"\0" * 32, b"\1" * 31])
def test_no_box_is_made_for_a_key_that_is_none(public: bytes):
    with pytest.raises(ValueError):  # noqa: PT011 - the library's own words
        box(public, b"v", *WORDS)
