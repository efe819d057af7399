"""What a child says in the end: an honest answer is read, and anything else is known for what it is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.sandbox.telling import MAX_DEPTH, Problem, Told, Untrue, checked_of, room_for, told_of

PRINTS = 1_000
OUTPUT = 10_000


def a_value(value: str = "1", **changed: Any) -> bytes:
    """An answer with this JSON text as its value."""
    about = {"prints": "", "requests": 0} | changed
    return f'{{"kind":"value","value":{value},{json.dumps(about)[1:]}'.encode()


def an_error(**changed: Any) -> bytes:
    about = {"kind": "error", "code": "tool_error", "message": "no", "line": 3, "traceback": ["line 3, in f"]}
    return json.dumps(about | {"retryable": False, "prints": "p", "requests": 1} | changed).encode()


def read(body: bytes) -> Told:
    return told_of(body, output=OUTPUT, prints=PRINTS)


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    "text",
    [
        *("null", "0", "-1.5e-7", '""', '"\\u0000\\ud83d\\ude00"', '"[[{{"', "9" * 4_300, "[]", "{}"),
        *('{"a":[1,{"b":null}]}', nested(MAX_DEPTH), json.dumps(["[{" * 300, '\\"[' * 300]), "[" + "[]," * 500 + "1]"),
    ],
)
def test_a_value_is_there_as_its_text_and_as_itself(text: str):
    told = read(a_value(text, prints="seen"))
    assert bytes(told.value) == text.encode()  # type: ignore[arg-type]
    assert told.plain == json.loads(text)
    assert (told.code, told.prints) == (None, "seen")


def test_an_error_is_there_with_its_place():
    told = read(an_error(code="upstream_error", retryable=True))
    assert (told.code, told.message, told.line, told.traceback) == ("upstream_error", "no", 3, ("line 3, in f",))
    assert (told.retryable, told.prints) == (True, "p")


def test_no_text_has_a_nul():
    told = read(an_error(message="a\0b", traceback=["\0"], prints="\0"))
    assert (told.message, told.traceback, told.prints) == ("a\ufffdb", ("\ufffd",), "\ufffd")


UNTRUE = {
    "nothing": b"",
    "no JSON": b"hello",
    "half of it": an_error()[:-5],
    "more than it": an_error() + b"{}",
    "a list": b"[]",
    "no kind": b"{}",
    "another kind": an_error(kind="code"),
    "another field": an_error(code_="x"),
    "a field less": b'{"kind":"value","value":1,"prints":""}',
    "no UTF-8": an_error().replace(b"no", b"\xff"),
    "half of a surrogate pair": an_error().replace(b"no", rb"\ud800"),
    "an encoded surrogate": a_value('"@"').replace(b"@", b"\xed\xa0\x80"),
    "a surrogate in the value": a_value(r'"\udc00"'),
    "a NUL as it is": a_value('"\0"'),
    "another code": an_error(code="egress_denied"),
    "a code of no table": an_error(code="root"),
    "a number as code": an_error(code=1),
    "a message that is none": an_error(message={"a": 1}),
    "a long message": an_error(message="x" * 5_000),
    "a line before the first": an_error(line=-1),
    "a line far beyond": an_error(line=2**70),
    "half a line": an_error(line=1.5),
    "a long traceback": an_error(traceback=["x"] * 65),
    "a long line of a traceback": an_error(traceback=["x" * 5_000]),
    "a retry of another kind": an_error(retryable="yes"),
    "prints that are none": an_error(prints=None),
    "long prints": a_value(prints="x" * (PRINTS + 200)),
    "long prints of few letters": a_value(prints="日" * (PRINTS // 2)),
    "negative requests": a_value(requests=-1),
    "a large value": a_value(json.dumps("x" * OUTPUT)),
    "a deep value": a_value(nested(MAX_DEPTH + 1)),
    "a very deep value": a_value(nested(100_000)),
    "a deep value behind texts": a_value('["]]]]",' * 101 + "1" + "]" * 101),
    "a deep value of objects": a_value('{"a":' * 101 + "1" + "}" * 101),
    "depth elsewhere": b'{"kind":' + b"[" * 100_000,
    "a number that is none": a_value("NaN"),
    "a number that no one reads": a_value("9" * 5_000),
    "a number beyond all": a_value("1e999"),
    "no value at all": a_value(""),
}


@pytest.mark.parametrize("body", UNTRUE.values(), ids=UNTRUE)
def test_what_no_guest_says_is_untrue_and_nothing_of_it_is_told(body: bytes):
    with pytest.raises(Untrue) as raised:
        read(body)
    assert len(str(raised.value)) < 100


@given(st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode))
def test_whatever_comes_is_judged(body: bytes):
    with pytest.raises(Untrue):
        read(body)
    with pytest.raises(Untrue):
        checked_of(body)


def test_the_room_for_an_answer_holds_the_longest_honest_one():
    longest = a_value(json.dumps("x" * (OUTPUT - 2)), prints="\x01" * PRINTS)
    assert len(longest) < room_for(OUTPUT, PRINTS)
    read(longest)
    text = "\x01" * 2_000
    assert len(an_error(message=text, traceback=[text] * 20, prints="\x01" * PRINTS)) < room_for(1, PRINTS)


# ---- check --------------------------------------------------------------------------------------


def checked(**changed: Any) -> bytes:
    return json.dumps({"problems": [], "code": None} | changed).encode()


A_PROBLEM = {"line": 1, "column": 2, "message": "m"}


def test_code_or_problems():
    assert checked_of(checked(code="Y29kZQ==")).code == b"code"
    assert checked_of(checked(problems=[A_PROBLEM])).problems == (Problem(1, 2, "m"),)


@pytest.mark.parametrize(
    "body",
    [
        checked(),
        checked(code="Y29kZQ==", problems=[A_PROBLEM]),
        checked(code="*"),
        checked(code="ü"),
        checked(code="Y29kZQ"),
        checked(code=1),
        checked(problems=[A_PROBLEM] * 101),
        checked(problems=[A_PROBLEM | {"line": -1}]),
        checked(problems=[A_PROBLEM | {"message": "x" * 5_000}]),
        checked(problems=[1]),
        checked(code="Y29kZQ==", more=1),
    ],
)
def test_what_no_check_answers(body: bytes):
    with pytest.raises(Untrue):
        checked_of(body)
