"""The egress policy: every line of `egress_cases`, and what must hold for any URL at all."""

import ipaddress
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.shared.security import egress_cases as cases

from toolyard.errors import ToolyardError
from toolyard.security.egress import (
    MAX_REDIRECTS,
    AllowList,
    EgressDenied,
    HostNotResolved,
    HostPattern,
    Reason,
    Target,
    check_answers,
    check_url,
    parse_url,
    redirect_target,
)
from toolyard.security.targets import BAD_PORTS

NOTHING = AllowList()
OPENED = AllowList.parse("opened.example")
EVERYTHING = AllowList.parse(cases.EVERYTHING)


def named(rows):
    return [pytest.param(row, id=row.name) for row in rows]


def literal_url(address: str) -> str:
    return f"http://[{address}]/" if ":" in address else f"http://{address}/"


def denied_for(reason: Reason | str):
    return pytest.raises(EgressDenied, check=lambda error: error.reason == reason)


@pytest.mark.parametrize("case", named(cases.PARSED))
def test_a_url_is_read_in_one_way_or_denied(case: cases.Parsed):
    if isinstance(case.expected, Reason):
        with denied_for(case.expected):
            parse_url(case.url)
    else:
        assert parse_url(case.url).url == case.expected


@pytest.mark.parametrize("case", named(cases.RESOLVED))
def test_a_destination_is_pinned_or_denied(case: cases.Resolved):
    allow = AllowList.parse(case.allow)

    def pin() -> str:
        return " ".join(check_answers(check_url(case.url, allow=allow), case.answers.split(), allow=allow))

    if isinstance(case.expected, Reason):
        with denied_for(case.expected):
            pin()
    elif case.expected is None:
        with pytest.raises(HostNotResolved):
            pin()
    else:
        assert pin() == case.expected


@pytest.mark.parametrize("case", named(cases.NARROWED))
def test_a_tools_own_hosts_narrow_and_never_widen(case: cases.Narrowed):
    if case.expected is None:
        assert check_url(case.url, allow=OPENED, allowed_hosts=case.allowed_hosts) == parse_url(case.url)
    else:
        with denied_for(case.expected):
            check_url(case.url, allow=OPENED, allowed_hosts=case.allowed_hosts)


@pytest.mark.parametrize("case", named(cases.REDIRECTED))
def test_a_redirect_is_judged_like_any_url(case: cases.Redirected):
    source = parse_url(case.source)
    hosts = ["example.com", "other.example", "opened.example", "[2606:4700::1111]", "127.0.0.1", "169.254.169.254"]
    if isinstance(case.expected, Reason):
        with denied_for(case.expected):
            redirect_target(source, case.location, allow=OPENED, allowed_hosts=hosts)
    else:
        target = redirect_target(source, case.location, allow=OPENED, allowed_hosts=hosts)
        assert target.url == case.expected
        assert (target.origin == source.origin) == case.same_origin


@pytest.mark.parametrize(("first", "last"), cases.NOT_PUBLIC)
def test_a_range_that_is_not_public_is_closed_from_end_to_end(first: str, last: str):
    low, high = (int(ipaddress.ip_address(end)) for end in (first, last))
    to_address = type(ipaddress.ip_address(first))
    for address in map(str, map(to_address, {low, min(low + 1, high), (low + high) // 2, max(high - 1, low), high})):
        with pytest.raises(EgressDenied):
            check_url(literal_url(address), allow=NOTHING)
        with pytest.raises(EgressDenied):
            check_answers(parse_url("https://any.example/"), ["93.184.216.34", address], allow=NOTHING)


@pytest.mark.parametrize("address", cases.PUBLIC)
def test_the_neighbours_of_those_ranges_are_public(address: str):
    assert check_answers(check_url(literal_url(address), allow=NOTHING), (), allow=NOTHING) == (address,)
    assert check_answers(parse_url("https://any.example/"), [address], allow=NOTHING) == (address,)


@pytest.mark.parametrize("address", cases.METADATA)
def test_no_allow_list_opens_a_metadata_address(address: str):
    with denied_for(Reason.METADATA):
        check_url(literal_url(address), allow=EVERYTHING)
    with denied_for(Reason.METADATA):
        check_answers(parse_url("http://any.example/"), [address], allow=EVERYTHING)


@pytest.mark.parametrize("port", sorted(BAD_PORTS))
def test_no_allow_list_opens_a_bad_port(port: int):
    with denied_for(Reason.BAD_PORT):
        check_url(f"http://any.example:{port}/", allow=EVERYTHING)


@pytest.mark.parametrize("case", named(cases.BAD_ALLOW_ENTRIES))
def test_a_wrong_entry_of_the_allow_list_is_explained(case: cases.BadEntry):
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the text is compared below, without a pattern
        AllowList.parse(case.text)
    assert case.problem in str(raised.value)


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_an_empty_allow_list_opens_nothing(text: str):
    assert AllowList.parse(text) == NOTHING


@pytest.mark.parametrize("text", ["user:secret@a.example", "http://user:secret@a.example", "user:secret@10.0.0.0/8"])
def test_a_password_in_an_entry_is_not_repeated(text: str):
    for parse in (AllowList.parse, HostPattern.parse):
        with pytest.raises(ValueError, match=r"\*\*\*@") as raised:
            parse(text)
        assert "secret" not in str(raised.value)


def test_a_wrong_entry_of_a_tools_hosts_is_explained():
    with pytest.raises(
        ValueError, match=r"'\*\.10\.0\.0\.1': nothing is below an address; expected a host or \*\.host"
    ):
        HostPattern.parse("*.10.0.0.1")


def test_http_is_denied_where_only_https_is_open():
    assert check_url("https://a.example/", allow=NOTHING, https_only=True).scheme == "https"
    with denied_for(Reason.HTTPS_ONLY):
        check_url("http://a.example/", allow=NOTHING, https_only=True)
    with denied_for(Reason.HTTPS_ONLY):
        redirect_target(parse_url("http://a.example/"), "/b", allow=NOTHING, https_only=True)


def test_a_denial_says_nothing_about_its_reason():
    denials = [EgressDenied(reason) for reason in Reason]
    assert len({(str(denial), repr(denial), denial.code) for denial in denials}) == 1
    assert isinstance(denials[0], ToolyardError)
    assert denials[0].code == "egress_denied"


def test_a_host_without_an_address_is_not_a_denial():
    assert HostNotResolved().code == "upstream_error"
    assert not issubclass(HostNotResolved, EgressDenied)


def test_a_denial_carries_no_trace_of_what_was_parsed():
    with pytest.raises(EgressDenied) as raised:
        check_answers(parse_url("https://any.example/"), ["not-an-address"], allow=NOTHING)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_at_most_three_redirects_are_followed():
    assert MAX_REDIRECTS == 3


def test_there_are_enough_cases_and_no_name_twice():
    tables = (cases.PARSED, cases.RESOLVED, cases.NARROWED, cases.REDIRECTED, cases.BAD_ALLOW_ENTRIES)
    names = [[row.name for row in table] for table in tables]
    assert all(len(set(table)) == len(table) for table in names)
    assert sum(len(table) for table in names) >= 150


# ---- what holds for any URL ---------------------------------------------------------------------

ADDRESSES = st.one_of(
    st.ip_addresses(),
    st.sampled_from([end for pair in cases.NOT_PUBLIC for end in pair]).map(ipaddress.ip_address),
    st.sampled_from(cases.PUBLIC + cases.METADATA).map(ipaddress.ip_address),
)
NUMBERS = st.one_of(
    st.integers(0, 2**32 + 9).map(str), st.integers(0, 2**32).map(hex), st.integers(0, 511).map("0{:o}".format)
)
HOSTS = st.one_of(
    ADDRESSES.map(str),
    ADDRESSES.map("[{}]".format),
    ADDRESSES.map(lambda address: f"[{address.exploded}]".upper()),
    st.lists(NUMBERS, min_size=1, max_size=5).map(".".join),
    st.text(max_size=20),
    st.text("abcxn-_.019AZ", max_size=20),
    st.from_regex(r"xn--[a-z0-9-]{1,20}", fullmatch=True),
    st.sampled_from(["example.com", "localhost", "EXAMPLE.com.", "xn--mnchen-3ya.de"]),
)
PORTS = st.one_of(
    st.just(""), st.integers(-1, 70000).map(":{}".format), st.text("0123456789: ", max_size=6).map(":{}".format)
)
TAILS = st.one_of(st.just(""), st.just("/"), st.text(max_size=20).map("/{}".format), st.text("/?#@:%\\.a", max_size=10))
SCHEMES = st.sampled_from(["http://", "https://", "HTTP://", "https:/", "http:", "//", "ftp://", ""])
URLS = st.one_of(
    st.text(max_size=60),
    st.builds("{}{}{}{}".format, SCHEMES, HOSTS, PORTS, TAILS),
    st.builds("http://{}@{}{}".format, HOSTS, HOSTS, TAILS),
)


def accepted(url: str) -> Target | None:
    try:
        return check_url(url, allow=NOTHING)
    except EgressDenied:
        return None


@given(URLS)
def test_no_accepted_url_has_an_address_that_is_not_public(url: str):
    target = accepted(url)
    if target is None:
        return
    try:
        address = ipaddress.ip_address(target.host)
    except ValueError:
        assert target.literal is None
        assert not target.host.rpartition(".")[2].isdecimal()
    else:
        assert target.literal == address
        assert address.is_global
        assert not address.is_multicast


@given(URLS)
def test_an_accepted_url_reads_the_same_a_second_time_and_to_others(url: str):
    target = accepted(url)
    if target is None:
        return
    assert parse_url(target.url) == target
    default = {"http": 80, "https": 443}[target.scheme]
    elsewhere = urlsplit(target.url)
    assert (elsewhere.hostname, elsewhere.port or default) == (target.host, target.port)
    theirs = httpx.URL(target.url)
    assert (theirs.raw_host.decode(), theirs.port or default) == (target.host, target.port)
    assert theirs.raw_path.decode() == target.path_and_query


@given(ADDRESSES, st.lists(ADDRESSES, max_size=3))
def test_what_is_pinned_is_public_whatever_was_answered(address, others):
    answers = [str(answer) for answer in (address, *others)]
    try:
        pinned = check_answers(parse_url("https://any.example/"), answers, allow=NOTHING)
    except EgressDenied:
        return
    assert set(pinned) == {str(ipaddress.ip_address(answer)) for answer in answers}
    assert all(ipaddress.ip_address(answer).is_global for answer in pinned)


@given(URLS, URLS)
def test_no_redirect_leads_from_https_to_http(url: str, location: str):
    source = accepted(url)
    if source is None:
        return
    try:
        target = redirect_target(source, location, allow=NOTHING)
    except EgressDenied:
        return
    assert target.scheme == "https" or source.scheme == "http"
    assert target == check_url(target.url, allow=NOTHING)
