"""Signatures and keyrings: only what the holder of a key said verifies, and no error shows a key."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.errors import BadSignature
from toolyard.security.signing import MIN_KEY_BYTES, Keyring

KEY = bytes(range(32))
RING = Keyring({"k1": KEY})
PARTS = ("toolyard.calls", "call.accepted.http.default.g.t", "id-1", "", b"body")
text = st.text(max_size=20)


def test_a_signature_has_the_documented_form():
    """Computed once with `openssl dgst -sha256 -mac HMAC`: other languages must arrive at the same."""
    assert RING.sign(*PARTS) == "v1,k1,cc5b8eed0e7385daebf98ddc801be172e8fa93c4327e7b531eb5e8fccd450497"


@given(text, text, text, text, st.binary(max_size=50))
def test_what_was_signed_verifies(exchange: str, key: str, message_id: str, expiration: str, body: bytes):
    RING.verify(RING.sign(exchange, key, message_id, expiration, body), exchange, key, message_id, expiration, body)


@pytest.mark.parametrize("part", range(5))
def test_a_change_of_any_part_is_refused(part: int):
    changed: list[Any] = list(PARTS)
    changed[part] = b"other" if part == 4 else "other"
    with pytest.raises(BadSignature, match="not of this message"):
        RING.verify(RING.sign(*PARTS), *changed)


SIGNATURES = {
    "none": None,
    "a number": 7,
    "bytes": b"v1,k1,00",
    "empty": "",
    "a digest alone": "00" * 32,
    "a later scheme": RING.sign(*PARTS).replace("v1", "v2"),
    "an unknown key": RING.sign(*PARTS).replace("k1", "k2"),
    "no digest": "v1,k1,",
    "no key id": "v1,," + RING.sign(*PARTS).split(",")[2],
    "a digest cut short": RING.sign(*PARTS)[:-1],
    "a longer digest": RING.sign(*PARTS) + "0",
    "upper case": RING.sign(*PARTS).upper(),
    "another last digit": RING.sign(*PARTS)[:-1] + ("0" if RING.sign(*PARTS)[-1] != "0" else "1"),
}


@pytest.mark.parametrize("signature", SIGNATURES.values(), ids=SIGNATURES)
def test_another_signature_is_refused(signature: object):
    with pytest.raises(BadSignature):
        RING.verify(signature, *PARTS)


def test_a_signature_that_is_no_ascii_is_refused():
    with pytest.raises(BadSignature):
        RING.verify("v1,k1,é" + "0" * 63, *PARTS)


def test_a_keyring_is_read_in_order_and_its_first_key_signs():
    ring = Keyring.parse(f"new:{'11' * 32}, old:{'22' * 32}")
    assert ring.sign(*PARTS).startswith("v1,new,")
    ring.verify(Keyring.parse(f"old:{'22' * 32}").sign(*PARTS), *PARTS)


WRONG = {
    "": "entry 1 is not of the form id:hex",
    "secret": "entry 1 is not of the form id:hex",
    ":00": "entry 1 is not of the form id:hex",
    f"a:{'11' * 32},": "entry 2 is not of the form id:hex",
    f"a:{'11' * 32},a:{'22' * 32}": "'a' stands there twice",
    "a:hunter2": "'a' is not written in hex digits",
    "a:": f"'a' has 0 bytes; at least {MIN_KEY_BYTES}",
    "a:1122": f"'a' has 2 bytes; at least {MIN_KEY_BYTES}",
}


@pytest.mark.parametrize(("written", "expected"), WRONG.items(), ids=range(len(WRONG)))
def test_a_wrong_keyring_is_refused_and_says_what_would_be_right(written: str, expected: str):
    with pytest.raises(ValueError, match=expected) as caught:
        Keyring.parse(written)
    assert "hunter2" not in str(caught.value)
    assert "1122" not in str(caught.value)


def test_a_keyring_without_keys_is_refused():
    with pytest.raises(ValueError, match="at least one key"):
        Keyring({})


def test_a_keyring_does_not_show_its_keys():
    assert KEY.hex() not in repr(RING)
    assert repr(KEY) not in repr(vars(RING))
