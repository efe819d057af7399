"""The requests of tools as data: what may be asked, what is refused, and what goes along at a redirect."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.sandbox.telling import Untrue
from toolyard.security.egress import AllowList, EgressDenied, check_url, parse_url
from toolyard_executors.kinds.sandbox.hops import (
    MAX_BODY,
    Hop,
    Question,
    Unsendable,
    body_of,
    fault_of,
    followed,
    headers_of,
    method_of,
    question_of,
)


def asked(**changed: Any) -> Question:
    known = {
        "method": "GET",
        "url": "https://a.example/",
        "headers": {},
        "body": "",
        "timeout": 30.0,
        "redirects": True,
    }
    return question_of(json.dumps(known | changed).encode())


UNTRUE = {
    "nothing": b"",
    "no JSON": b"GET /",
    "a list": b"[]",
    "a field less": b'{"method":"GET"}',
    "no UTF-8": b'{"method":"\xff"}',
    "deep": b'{"method":' + b"[" * 100_000,
}


@pytest.mark.parametrize("data", UNTRUE.values(), ids=UNTRUE)
def test_what_is_no_question(data: bytes):
    with pytest.raises(Untrue):
        question_of(data)


@pytest.mark.parametrize(
    "changed",
    [
        {"more": 1},
        {"method": None},
        {"method": "G" * 101},
        {"headers": {"a": 1}},
        {"headers": []},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": 1e9},
        {"timeout": "1"},
        {"redirects": 3},
        {"url": "https://\ud800.example/"},
    ],
)
def test_a_question_that_no_guest_asks(changed: dict[str, Any]):
    with pytest.raises(Untrue):
        asked(**changed)


@given(st.binary())
def test_whatever_is_asked_is_judged(data: bytes):
    with pytest.raises(Untrue):
        question_of(data)


@pytest.mark.parametrize("body", ["*", "ü", "YQ", "Y Q ="])
def test_a_body_that_no_guest_sends(body: str):
    with pytest.raises(Untrue):
        body_of(asked(body=body))


def test_a_body_is_sent_up_to_a_mebibyte():
    whole = base64.b64encode(bytes(MAX_BODY)).decode()
    assert body_of(asked(body=whole)) == bytes(MAX_BODY)
    with pytest.raises(Unsendable, match="1,048,577 bytes; at most 1,048,576 are sent"):
        body_of(asked(body=base64.b64encode(bytes(MAX_BODY + 1)).decode()))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods(method: str):
    assert method_of(asked(method=method)) == method


@pytest.mark.parametrize("method", ["", "get", "TRACE", "CONNECT", "GET /x HTTP/1.1\r\nX: y", "PROPFIND"])
def test_methods_that_tools_do_not_have(method: str):
    with pytest.raises(Unsendable, match=r"^the method is not one of DELETE, GET, [A-Z, ]+$"):
        method_of(asked(method=method))


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({}, {}),
        ({"X-Key": " v\t"}, {"x-key": "v"}),
        ({"X": ""}, {"x": ""}),
        ({"X": "a\tb"}, {"x": "a\tb"}),
        ({"Cookie": "a=b", "Authorization": "Basic x"}, {"cookie": "a=b", "authorization": "Basic x"}),
        ({"Idempotency-Key": "k"}, {"idempotency-key": "k"}),
    ],
)
def test_headers_of_a_tool(headers: dict[str, str], sent: dict[str, str]):
    assert headers_of(asked(headers=headers)) == sent


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        *(({name: "x"}, "is not for a tool to set") for name in ("Host", "host", "Connection", "Content-Length", "TE")),
        *(({name: "x"}, "is not for a tool to set") for name in ("Transfer-Encoding", "Upgrade", "Expect", "Trailer")),
        ({"Proxy-Authorization": "x"}, "is not for a tool to set"),
        ({"X": "a", "x": "b"}, "stands there twice"),
        *(({name: "x"}, "is not the name of a header") for name in ("", "X Y", "X:", "X\r\nY", "Xü", "(X)", " X")),
        *(({"X": value}, "that a header cannot carry") for value in ("a\r\nY: z", "a\nb", "\0", "\x7f", "日", "é")),
        ({f"X-{number}": "x" * 1_000 for number in range(66)}, "more than 65,536 bytes"),
    ],
)
def test_headers_that_are_refused(headers: dict[str, str], says: str):
    with pytest.raises(Unsendable, match=says):
        headers_of(asked(headers=headers))


def test_a_refusal_does_not_repeat_what_may_be_a_secret():
    with pytest.raises(Unsendable) as refused:
        headers_of(asked(headers={"s3cret: value": "X-Key"}))
    assert "s3cret" not in str(refused.value)


# ---- URLs ---------------------------------------------------------------------------------------


def denied(url: str) -> EgressDenied:
    with pytest.raises(EgressDenied) as found:
        check_url(url, allow=AllowList(), allowed_hosts=["a.example"])
    return found.value


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://a.example/a b", "it has a blank"),
        ("https://a.example/\\x", "a backslash"),
        ("https://ä.example/", "letters beyond ASCII"),
        ("https://a%2e.example/", "a percent sign"),
        ("https:///", "neither a name nor an address"),
        ("https://a..example/", "neither a name nor an address"),
        ("https://xn--a.example/", "begins with xn--"),
        ("https://a.example:x/", "its port is not a number"),
        ("https://a.example:/", "its port is not a number"),
    ],
)
def test_what_is_no_url_is_told_as_that(url: str, fault: str):
    assert fault in fault_of(denied(url))


@pytest.mark.parametrize(
    "url",
    [
        "https://b.example/",
        "https://10.0.0.1/",
        "https://169.254.169.254/",
        "https://0x7f000001/",
        "https://127.1/",
        "https://a.example:25/",
        "https://user:pw@a.example/",
        "ftp://a.example/",
    ],
)
def test_what_leads_to_what_is_not_open_is_told_as_nothing_else(url: str):
    assert fault_of(denied(url)) == ""


# ---- redirects ----------------------------------------------------------------------------------

FROM = "https://a.example/x"
HERE, ELSEWHERE = "https://a.example/y", "https://b.example/"


@pytest.mark.parametrize(
    ("method", "status", "then", "with_body"),
    [
        *(("GET", status, "GET", True) for status in (301, 302, 307, 308)),
        ("GET", 303, "GET", False),
        *(("HEAD", status, "HEAD", True) for status in (301, 302, 303, 307, 308)),
        *(("POST", status, "GET", False) for status in (301, 302, 303)),
        *(("POST", status, "POST", True) for status in (307, 308)),
        *(("PUT", status, "PUT", True) for status in (301, 302, 307, 308)),
        *((method, 303, "GET", False) for method in ("PUT", "PATCH", "DELETE", "OPTIONS")),
    ],
)
def test_what_a_redirect_makes_of_a_method_and_its_body(method: str, status: int, then: str, with_body: bool):
    headers = {"content-type": "text/plain", "content-language": "de", "accept": "text/plain", "x": "y"}
    hop = followed(Hop(method, parse_url(FROM), headers, b"body"), status, parse_url(HERE))
    assert (hop.method, hop.body) == (then, b"body" if with_body else b"")
    assert hop.headers == (headers if with_body else {"accept": "text/plain", "x": "y"})
    assert hop.target.url == HERE


@pytest.mark.parametrize(
    ("to", "goes_along"),
    [
        (HERE, True),
        ("https://a.example:443/", True),
        (ELSEWHERE, False),
        ("https://a.example:444/", False),
        ("https://sub.a.example/", False),
        ("http://a.example/x", False),
    ],
)
@pytest.mark.parametrize("name", ["authorization", "cookie", "x-api-key", "x-anything", "referer"])
def test_what_could_let_somebody_in_stays_with_its_origin(to: str, goes_along: bool, name: str):
    hop = Hop("GET", parse_url(FROM), {"accept": "*/*", "user-agent": "u", name: "s3cret"}, b"")
    headers = followed(hop, 307, parse_url(to)).headers
    assert (name in headers) is goes_along
    assert headers["accept"] == "*/*"
    assert headers["user-agent"] == "u"
