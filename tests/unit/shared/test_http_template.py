"""Requests of http tools: what is refused when saved, how values are encoded, and that none breaks out of its place."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.contracts.tools import Authentication, HttpBinding
from toolyard.http_template import compile_http
from toolyard.security.egress import parse_url
from toolyard.templates import ContextMissing, SecretMissing, Unfillable, Values

SECRETS = {"TOKEN": "s3cret/+", "LOGIN": "ann:pass", "BROKEN": "a\r\nX-Evil: 1"}


def secret(name: str) -> str:
    if name not in SECRETS:
        raise SecretMissing(name)
    return SECRETS[name]


def request(arguments: dict[str, Any] | None = None, *, context: dict[str, Any] | None = None, **binding):
    binding = {"method": "POST", "url": "https://api.example.com/v1", **binding}
    values = Values(arguments or {}, context or {}, secret, "call-1")
    return compile_http(HttpBinding(**binding), secrets=["LISTED"]).fill(values)


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        ({"url": "${arguments.url}"}, "url: scheme and host"),
        ({"url": "https://${arguments.host}/x"}, "url: scheme and host"),
        ({"url": "https://api.${arguments.host}/x"}, "url: scheme and host"),
        ({"url": "https://api.example.com${arguments.path}"}, "url: scheme and host"),
        ({"url": "https://api.example.com:${arguments.port}/"}, "url: scheme and host"),
        ({"url": "ftp://example.com/"}, "url: scheme and host"),
        ({"url": "/v1"}, "url: scheme and host"),
        ({"url": ""}, "url: scheme and host"),
        ({"url": "https://ann:pw@example.com/"}, "url: userinfo"),
        ({"url": "https://exa mple.com/"}, "url: control character"),
        ({"url": "https://0x7f.1/"}, "url: numeric host"),
        ({"url": "https://example.com/${arguments.x"}, "no closing brace"),
        ({"url": "https://example.com/?${arguments.x}=1"}, "names in the query"),
        ({"url": "https://example.com/#${arguments.x}"}, "never sent"),
        ({"url": "https://example.com/a/../b"}, "url: a path is sent as it stands"),
        ({"url": "https://example.com/.."}, "url: a path is sent as it stands"),
        ({"url": "https://example.com/a/%2e%2E/${arguments.x}"}, "url: a path is sent as it stands"),
        ({"query": {"a": {"b": 1}}}, "query.a: an object"),
        ({"query": {"a": "${"}}, "query.a: "),
        ({"headers": {"Bad Name": "x"}}, "headers.Bad Name: not the name"),
        ({"headers": {"${arguments.x}": "x"}}, "not the name of a header"),
        ({"headers": {"Host": "other"}}, "set by the executor"),
        ({"headers": {"transfer-encoding": "chunked"}}, "set by the executor"),
        ({"headers": {"X-A": "a\r\nX-B: 1"}}, "headers.X-A: a header cannot hold"),
        ({"headers": {"Content-Type": "${arguments.x}"}}, "holds no placeholder"),
        ({"headers": {"Content-Type": "multipart/form-data"}, "body": {}}, "multipart is not in this build"),
        ({"headers": {"Content-Type": "text/plain"}, "body": {"a": 1}}, "must be a text"),
        ({"headers": {"Content-Type": "application/x-www-form-urlencoded"}, "body": [1]}, "must be a text"),
        ({"body": {"${arguments.x}": 1}}, "keys are not filled in"),
        ({"authentication": Authentication(type="nango")}, "authentication.integration"),
        (
            {"authentication": Authentication(type="nango", integration="i", connection="${arguments.x}")},
            "authentication.connection: whose connection",
        ),
        (
            {"authentication": Authentication(type="nango", integration="i", connection="${call_id}")},
            "authentication.connection: whose connection",
        ),
        (
            {"authentication": Authentication(type="nango", integration="i", connection="${LISTED}")},
            "authentication.connection: whose connection",
        ),
        (
            {"authentication": Authentication(type="nango", integration="i"), "headers": {"Authorization": "x"}},
            "set by authentication already",
        ),
        ({"authentication": Authentication(type="bearer")}, "authentication.secret"),
        ({"authentication": Authentication(type="api_key", secret="A")}, "authentication.name"),
        ({"authentication": Authentication(type="api_key", secret="A", name="a b")}, "authentication.name"),
        ({"authentication": Authentication(type="api_key", secret="A", name="Host")}, "authentication.name"),
        (
            {"authentication": Authentication(type="bearer", secret="A"), "headers": {"authorization": "x"}},
            "set by authentication already",
        ),
    ],
)
def test_a_definition_that_could_never_work_is_refused(binding, said):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - what it says is looked at
        compile_http(
            HttpBinding(**{"method": "POST", "url": "https://api.example.com/v1", **binding}), secrets=["LISTED"]
        )
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("url", "arguments", "sent"),
    [
        ("https://h.example", {}, "https://h.example/"),
        ("https://h.example?a=1", {}, "https://h.example/?a=1"),
        ("https://h.example:8443/a/b?x=1&y", {}, "https://h.example:8443/a/b?x=1&y="),
        ("https://h.example/$$5", {}, "https://h.example/$5"),
        ("https://h.example/u/${arguments.x}/e", {"x": "ann"}, "https://h.example/u/ann/e"),
        ("https://h.example/${arguments.x}", {"x": 7}, "https://h.example/7"),
        ("https://h.example/${arguments.x}", {"x": "a/b"}, "https://h.example/a%2Fb"),
        ("https://h.example/${arguments.x}", {"x": "a%2Fb"}, "https://h.example/a%252Fb"),
        ("https://h.example/${arguments.x}", {"x": "a?b#c"}, "https://h.example/a%3Fb%23c"),
        ("https://h.example/${arguments.x}", {"x": "a\\b"}, "https://h.example/a%5Cb"),
        ("https://h.example/${arguments.x}", {"x": "@evil.example"}, "https://h.example/%40evil.example"),
        ("https://h.example/${arguments.x}", {"x": "ü x"}, "https://h.example/%C3%BC%20x"),
        ("https://h.example/v${arguments.x}.json", {"x": ".."}, "https://h.example/v...json"),
        ("https://h.example/?q=${arguments.x}&r=1", {"x": "a&r=2#+ "}, "https://h.example/?q=a%26r%3D2%23%2B%20&r=1"),
        ("https://h.example/?q=${arguments.x}&r=1", {}, "https://h.example/?r=1"),
        ("https://h.example/?q=in:${arguments.x}", {"x": "a&b"}, "https://h.example/?q=in:a%26b"),
        ("https://h.example/?q=${arguments.x}", {"x": [1, "b", None]}, "https://h.example/?q=1&q=b"),
        ("https://h.example/?q=${arguments.x}", {"x": None}, "https://h.example/"),
        ("https://h.example/?q=${arguments.x}", {"x": {"a": 1}}, "https://h.example/?q=%7B%22a%22%3A1%7D"),
        ("https://h.example/?q=${arguments.x}", {"x": True}, "https://h.example/?q=true"),
    ],
)
def test_values_in_the_url_are_encoded(url, arguments, sent):
    assert request(arguments, url=url).url == sent


@pytest.mark.parametrize(
    "value",
    ["", ".", "..", "../x", "x/..", "a/../b", "..\\x", "%2e%2e", "%2E%2E/x", "..;", "..;/x", "a\x00b", "a\nb", "\x7f"],
)
def test_a_value_that_would_change_the_path_is_refused(value):
    with pytest.raises(Unfillable):
        request({"x": value}, url="https://h.example/files/${arguments.x}/info")


def test_dots_that_two_values_make_together_are_refused():
    with pytest.raises(Unfillable):
        request({"a": ".", "b": "."}, url="https://h.example/${arguments.a}${arguments.b}")


def test_a_missing_argument_in_the_path_is_named():
    with pytest.raises(Unfillable, match=r"\$\{arguments\.id\} is missing"):
        request(url="https://h.example/${arguments.id}")


@given(st.text(min_size=1))
def test_no_value_changes_host_path_structure_or_query(value):
    url = "https://h.example/a/${arguments.x}/z?q=${arguments.x}&r=1"
    try:
        sent = request({"x": value}, url=url).url
    except Unfillable:
        return
    target, parts = parse_url(sent), urlsplit(sent)
    assert target.origin == ("https", "h.example", 443)
    assert target.url == sent
    before, own, after = parts.path.split("/")[1:]
    assert (before, unquote(own), after) == ("a", value, "z")
    assert parse_qsl(parts.query, keep_blank_values=True) == [("q", value), ("r", "1")]
    assert not parts.fragment


def test_query_entries_are_encoded_by_name_and_value():
    query = {"a b": "x&y ${arguments.x}", "n": 1, "l": ["${arguments.x}", 2], "gone": "${arguments.none}", "none": None}
    sent = request({"x": "=&"}, url="https://h.example/p?first=1", query=query).url
    assert sent == "https://h.example/p?first=1&a%20b=x%26y%20%3D%26&n=1&l=%3D%26&l=2"


def test_headers_are_filled_and_absent_ones_left_out():
    headers = {
        "X-A": " ${arguments.a} ",
        "X-N": "${arguments.n}",
        "X-Gone": "${arguments.none}",
        "X-Null": "${arguments.z}",
    }
    assert request({"a": "e", "n": 1, "z": None}, headers=headers).headers == {"X-A": "e", "X-N": "1"}


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\x00", "a\x7f", "\u2028", "日本", "é", "a\x85b"])
def test_a_value_that_would_break_out_of_a_header_is_refused(value):
    with pytest.raises(Unfillable, match=r"headers\.X-A"):
        request({"x": value}, headers={"X-A": "v ${arguments.x}"})


@pytest.mark.parametrize(
    ("body", "headers", "arguments", "content", "media_type"),
    [
        (None, {}, {}, None, None),
        ({"a": "${arguments.x}"}, {}, {"x": [1]}, b'{"a":[1]}', "application/json"),
        ("${parameters}", {}, {"x": 1}, b'{"x":1}', "application/json"),
        ("${arguments.none}", {}, {}, None, None),
        ({"q": 'say "${arguments.x}"'}, {}, {"x": '"}, {"a": "'}, b'{"q":"say \\"\\"}, {\\"a\\": \\"\\""}',
         "application/json"),
        ({"a": 1}, {"content-type": "application/vnd.api+json"}, {}, b'{"a":1}', "application/vnd.api+json"),
        ({"a": "${arguments.x}", "n": 1}, {"Content-Type": "application/x-www-form-urlencoded"}, {"x": "&b=2"},
         b"a=%26b%3D2&n=1", "application/x-www-form-urlencoded"),
        ("${parameters}", {"Content-Type": "application/x-www-form-urlencoded"}, {"x": "a b", "l": [1, 2]},
         b"x=a%20b&l=1&l=2", "application/x-www-form-urlencoded"),
        ("a=${arguments.x}&b=1", {"Content-Type": "application/x-www-form-urlencoded"}, {"x": "&b=2"},
         b"a=%26b%3D2&b=1", "application/x-www-form-urlencoded"),
        ("hi ${arguments.x}", {"Content-Type": "text/plain; charset=utf-8"}, {"x": "ü"}, "hi ü".encode(),
         "text/plain; charset=utf-8"),
        ("plain", {"Content-Type": "text/plain"}, {}, b"plain", "text/plain"),
        ("${arguments.none}", {"Content-Type": "text/plain"}, {}, None, None),
        ("<a>${arguments.x}</a>", {"Content-Type": "application/xml"}, {"x": "</a><b>"},
         b"<a>&lt;/a&gt;&lt;b&gt;</a>", "application/xml"),
    ],
)  # fmt: skip
def test_bodies_are_written_as_their_content_type_says(body, headers, arguments, content, media_type):
    sent = request(arguments, body=body, headers=headers)
    assert (sent.content, sent.headers.get("Content-Type")) == (content, media_type)


def test_a_form_of_anything_but_an_object_is_refused():
    with pytest.raises(Unfillable, match="a form needs an object"):
        request({"x": 1}, body="${arguments.x}", headers={"Content-Type": "application/x-www-form-urlencoded"})


@pytest.mark.parametrize(
    ("authentication", "headers", "url"),
    [
        (Authentication(), {}, ""),
        (Authentication(type="bearer", secret="TOKEN"), {"Authorization": "Bearer s3cret/+"}, ""),
        (Authentication(type="basic", secret="LOGIN"), {"Authorization": "Basic YW5uOnBhc3M="}, ""),
        (Authentication(type="api_key", secret="TOKEN", name="X-Key"), {"X-Key": "s3cret/+"}, ""),
        (Authentication(type="api_key", secret="TOKEN", name="key", place="query"), {}, "?key=s3cret%2F%2B"),
    ],
)
def test_each_way_to_sign_in(authentication, headers, url):
    sent = request(authentication=authentication)
    assert (sent.headers, sent.url) == (headers, f"https://api.example.com/v1{url}")


def test_a_secret_that_would_break_out_of_a_header_is_refused_without_its_value():
    with pytest.raises(Unfillable, match="'BROKEN'") as refused:
        request(authentication=Authentication(type="bearer", secret="BROKEN"))
    assert "Evil" not in str(refused.value)


def test_what_is_missing_ends_the_call_with_its_own_error():
    with pytest.raises(ContextMissing, match=r"context\.tenant"):
        request(headers={"X-T": "${tenant}"})
    with pytest.raises(SecretMissing, match="'LISTED'"):
        request(headers={"X-T": "${LISTED}"})


def test_half_a_surrogate_pair_is_refused():
    for binding in ({"body": {"a": "${arguments.x}"}}, {"url": "https://h.example/${arguments.x}"}):
        with pytest.raises(Unfillable, match="surrogate"):
            request({"x": "\ud800"}, **binding)


def test_all_placeholders_are_told():
    template = compile_http(
        HttpBinding(
            method="POST",
            url="https://h.example/${arguments.a}?b=${arguments.b}",
            headers={"X-C": "${context.c}"},
            query={"d": "x ${secrets.D}"},
            body={"e": ["${call_id}"]},
        )
    )
    assert [found.text for found in template.placeholders()] == [
        "${arguments.a}", "${arguments.b}", "${secrets.D}", "${context.c}", "${call_id}",
    ]  # fmt: skip
