"""Answers read, refusals told, event streams taken apart however they arrive."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.client import Event, Unexpected, answers
from toolyard.errors import FieldError, Refused

PROBLEM = {"content-type": "application/problem+json; charset=utf-8", "retry-after": "2.5"}
STREAM = (
    b": hello\n\n"
    b'id: 1\nevent: accepted\ndata: {"n": 1}\n\n'
    b"data: first\r\ndata: second\r\nfuture: field\r\n\r\n"
    + 'id: 2\nevent: succeeded\ndata: {"text": "a\u2028b\x85c"}\n\n'.encode()
    + b"id: 3\nevent: never finished\ndata: 1\n"
)
EVENTS = [
    Event(id="1", event="accepted", data={"n": 1}),
    Event(id="1", event="message", data="first\nsecond"),
    Event(id="2", event="succeeded", data={"text": "a\u2028b\x85c"}),
]


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_a_stream_is_read_however_it_is_cut(cuts: list[int]):
    borders = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[start:end] for start, end in pairwise(borders)]
    reader = answers.EventReader()
    assert [event for chunk in chunks for event in reader.read(chunk)] == EVENTS


def test_a_place_counts_once_its_block_is_whole():
    reader = answers.EventReader()
    assert (list(reader.read(b"id: 7-0\n")), reader.place) == ([], "")
    assert (list(reader.read(b"\nid: 8-0\n")), reader.place) == ([], "7-0")


def test_that_it_follows_is_said_by_a_comment():
    reader = answers.EventReader()
    assert (list(reader.read(b": hello\n\n")), reader.follows) == ([], False)
    assert (list(reader.read(b": following\nid: 7-0\n")), reader.follows) == ([], False)
    assert (list(reader.read(b"\n: hello\n\n")), reader.follows) == ([], True)


@pytest.mark.parametrize("errors", [5, "no", {"a": 1}, True, None], ids=str)
def test_errors_of_a_problem_that_are_no_list_are_passed_over(errors: object):
    assert answers.refusal({"code": "internal", "errors": errors}).fields == ()


def test_a_problem_becomes_a_refusal_with_all_it_says():
    problem = {
        "type": "about:blank",
        "status": 503,
        "code": "unavailable",
        "detail": "The broker is away.",
        "errors": [{"path": "a.b", "message": "no"}, "odd"],
        "call_id": "c",
    }
    with pytest.raises(Refused) as caught:
        answers.read(503, PROBLEM, json.dumps(problem).encode())
    refused = caught.value
    assert (refused.refusal, refused.detail, refused.retry_after) == ("unavailable", "The broker is away.", 2.5)
    assert refused.fields == (FieldError("a.b", "no"),)
    assert refused.extra == {"call_id": "c"}


def test_a_code_of_a_later_version_is_passed_on():
    assert answers.refusal({"code": "out_of_tea", "title": "No tea"}).detail == "No tea"


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_good_answer_is_its_json(status: int):
    assert answers.read(status, {"content-type": "application/json"}, b'{"a": 1}') == {"a": 1}


def test_an_answer_without_a_body_is_none():
    assert answers.read(204, {}, b"") is None


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[" * 100_000, b"{'a': 1}"])
def test_what_is_no_json_is_unexpected_and_shown_in_short(body: bytes):
    with pytest.raises(Unexpected) as caught:
        answers.read(200, {"content-type": "application/json"}, body)
    assert len(str(caught.value)) < 400
