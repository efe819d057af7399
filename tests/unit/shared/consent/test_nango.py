"""One org's Nango: whose connection is found, what is believed of an answer, and what each refusal means."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from toolyard.consent.nango import (
    Connection,
    ConnectionGone,
    Nango,
    NangoFailed,
    authorization_id,
    integration_of,
    provider_of,
)

OWN = Connection("c1", "github", "ann", "acme", working=True)
TAGS = {"end_user_id": "ann", "organization_id": "acme"}


def listed(connection_id: str = "c1", **changed: Any) -> dict[str, Any]:
    found = {"connection_id": connection_id, "provider_config_key": "github", "tags": TAGS, "errors": []}
    return found | {"created": "2026-01-01T00:00:00.000+00:00", "provider": "github", "end_user": None} | changed


def full(**credentials: Any) -> dict[str, Any]:
    return listed() | {"credentials": {"type": "OAUTH2", "access_token": "tok-1", "raw": {}} | credentials}


def response(status: int, body: Any, **headers: str) -> httpx.Response:
    """As it comes from a connection: still to be read."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(raw))


class Answers:
    """Answers each request alike, and keeps what came."""

    def __init__(self, body: Any, status: int = 200, **headers: str) -> None:
        self.answer = lambda: response(status, body, **headers)
        self.requests: list[httpx.Request] = []

    def nango(self) -> Nango:
        return nango_of(self._handle)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer()


def nango_of(handle: Callable[[httpx.Request], httpx.Response]) -> Nango:
    http = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    return Nango(http, org="acme", api_key="key-of-acme", base_url="https://nango.example/")


async def refused(body: Any, status: int, **headers: str) -> NangoFailed:
    with pytest.raises(NangoFailed) as failed:
        await Answers(body, status, **headers).nango().credentials(OWN)
    return failed.value


# ---- whose connection -----------------------------------------------------------------------------


async def test_it_asks_for_the_connections_of_the_user_in_the_org():
    answers = Answers({"connections": [listed()]})
    assert await answers.nango().connection_of("ann", "github") == OWN
    (request,) = answers.requests
    assert str(request.url).startswith("https://nango.example/connections?")
    assert dict(request.url.params) == {
        "tags[end_user_id]": "ann",
        "tags[organization_id]": "acme",
        "integrationId": "github",
    }
    assert request.headers["authorization"] == "Bearer key-of-acme"


@pytest.mark.parametrize(
    "foreign",
    [
        {"tags": TAGS | {"end_user_id": "bob"}},
        {"tags": TAGS | {"organization_id": "other"}},
        {"tags": {"end_user_id": "ann"}},
        {"tags": {}},
        {"tags": None},
        {"tags": None, "end_user": {"id": "bob", "organization": {"id": "acme"}}},
        {"tags": None, "end_user": {"id": "ann", "organization": None}},
        {"provider_config_key": "gitlab"},
        {"connection_id": "c1\r\nX-Evil: 1"},
        {"connection_id": ""},
    ],
    ids=lambda changed: json.dumps(changed),
)
async def test_a_connection_that_is_not_the_users_own_is_as_good_as_none(foreign):
    """Whatever a server answers that does not filter."""
    assert await Answers({"connections": [listed(**foreign)]}).nango().connection_of("ann", "github") is None


async def test_older_servers_tell_whose_it_is_by_end_user():
    old: dict[str, Any] = {"tags": None, "end_user": {"id": "ann", "email": None, "organization": {"id": "acme"}}}
    found = await Answers({"connections": [listed(**old)]}).nango().connection_of("ann", "github")
    assert found == OWN


async def test_of_several_the_newest_that_works_is_taken():
    broken = [{"type": "auth", "log_id": "l"}]
    connections = [
        listed("old", created="2026-01-01T00:00:00.000+00:00"),
        listed("new", created="2026-02-01T00:00:00.000+00:00", errors=[{"type": "sync", "log_id": "l"}]),
        listed("newest", created="2026-03-01T00:00:00.000+00:00", errors=broken),
    ]
    found = await Answers({"connections": connections}).nango().connection_of("ann", "github")
    assert found is not None
    assert (found.connection_id, found.working) == ("new", True)


async def test_a_connection_by_its_id_says_whose_it_is():
    bobs = listed("c9", tags={"end_user_id": "bob"})
    answers = Answers({"connections": [listed("c99"), bobs]})
    found = await answers.nango().connection_by_id("c9", "github")
    assert found == Connection("c9", "github", "bob", None, working=True)
    assert answers.requests[0].url.params["connectionId"] == "c9"
    assert await Answers({"connections": [listed("c99")]}).nango().connection_by_id("c9", "github") is None


async def test_a_user_that_no_tag_can_hold_is_not_asked_for():
    answers = Answers({"connections": []})
    with pytest.raises(NangoFailed, match="256 characters") as failed:
        await answers.nango().connection_of("u" * 256, "github")
    assert (failed.value.failure, answers.requests) == ("validation_failed", [])


# ---- credentials ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("credentials", "header", "secret"),
    [
        ({}, "Bearer tok-1", {"token": "tok-1"}),
        ({"access_token": None, "token": "tok-2"}, "Bearer tok-2", {"token": "tok-2"}),
        ({"type": "API_KEY", "access_token": None, "apiKey": "key"}, "Bearer key", {"token": "key"}),
        (
            {"type": "BASIC", "access_token": None, "username": "ann", "password": "pw"},
            "Basic YW5uOnB3",
            {"login": "ann:pw", "password": "pw"},
        ),
    ],
)
async def test_each_type_of_credentials_signs_in_its_way(credentials, header, secret):
    found = await Answers(full(**credentials)).nango().credentials(OWN)
    assert (found.authorization, found.secrets) == (header, secret)
    assert not any(value in repr(found) for value in secret.values())


async def test_a_token_is_fetched_for_its_integration_and_refreshed_if_asked():
    answers = Answers(full(expires_at="2026-01-01T00:00:00.000Z"))
    found = await answers.nango().credentials(OWN)
    assert found.expires_at == 1767225600.0
    assert answers.requests[0].url.path == "/connections/c1"
    assert dict(answers.requests[0].url.params) == {"provider_config_key": "github"}
    await answers.nango().credentials(OWN, fresh=True)
    assert dict(answers.requests[1].url.params) == {"provider_config_key": "github", "force_refresh": "true"}


async def test_an_id_changes_nothing_of_the_path():
    answers = Answers(full() | {"connection_id": "a/../b?c#d"})
    await answers.nango().credentials(Connection("a/../b?c#d", "github", "ann", "acme", working=True))
    assert answers.requests[0].url.raw_path.startswith(b"/connections/a%2F..%2Fb%3Fc%23d?")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (full() | {"connection_id": "c2"}, "another connection"),
        (full() | {"provider_config_key": "gitlab"}, "another connection"),
        (full() | {"tags": TAGS | {"end_user_id": "bob"}}, "another connection"),
        (full(access_token="tok\r\nX-Evil: 1"), "a header cannot hold"),
        (full(access_token="tök"), "a header cannot hold"),
        (full(access_token=""), "no token"),
        (full(type="OAUTH1", access_token=None), "'OAUTH1'.*mode proxy"),
        (listed() | {"credentials": {}}, "read credentials"),
        (full(expires_at="soon"), "a time that is none"),
        (full(expires_at="2026-01-01T00:00:00"), "a time that is none"),
        (full(access_token=7), "none of its answers"),
        ({"connections": []}, "none of its answers"),
        (b"<html>", "none of its answers"),
        (b"\xff", "none of its answers"),
        (b"[" * 100_000, "none of its answers"),
        (b" " * (1 << 20) + b"{}", "more than 1048576 bytes"),
    ],
    ids=range(16),
)
async def test_an_answer_that_is_none_of_nangos_is_not_believed(body, said):
    with pytest.raises(NangoFailed, match=said) as failed:
        await Answers(body).nango().credentials(OWN)
    assert not failed.value.retryable
    assert not {"tok-1", "tok\r", "tök"} & set(str(failed.value).split(" "))
    assert "Evil" not in str(failed.value)


async def test_a_content_encoding_that_was_not_asked_for_is_not_read():
    with pytest.raises(NangoFailed, match="content encoding"):
        await nango_of(lambda request: response(200, b"{}", **{"content-encoding": "x-odd"})).credentials(OWN)


# ---- refusals -------------------------------------------------------------------------------------


def error(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "the token tok-1 is bad"}}


@pytest.mark.parametrize(
    ("body", "status", "failure", "retryable"),
    [
        (error("unknown_api_key"), 401, "permission_denied", False),
        (error("forbidden"), 403, "permission_denied", False),
        (error("unknown_provider_config"), 400, "not_found", False),
        (error("unknown_provider_config"), 404, "not_found", False),
        (error("invalid_query_params"), 400, "upstream_error", False),
        (b"moved", 302, "upstream_error", False),
        (b"no such page", 404, "upstream_error", False),
        (error("too_many_request"), 429, "rate_limited", True),
        (error("server_error"), 500, "upstream_error", True),
        (b"<html>bad gateway</html>", 502, "upstream_error", True),
        (b"", 503, "upstream_error", True),
    ],
)
async def test_what_a_refusal_means(body, status, failure, retryable):
    failed = await refused(body, status)
    assert (failed.failure, failed.retryable, type(failed)) == (failure, retryable, NangoFailed)
    assert str(status) in str(failed)
    assert "tok-1" not in str(failed)


@pytest.mark.parametrize(
    ("body", "status", "failure"),
    [
        (error("invalid_credentials"), 424, "permission_denied"),
        (error("invalid_credentials"), 400, "permission_denied"),
        (error("not_found"), 404, "not_found"),
        (error("unknown_connection"), 400, "not_found"),
    ],
)
async def test_a_connection_that_is_gone_or_broken_is_told_apart(body, status, failure):
    failed = await refused(body, status)
    assert isinstance(failed, ConnectionGone)
    assert (failed.failure, failed.retryable) == (failure, False)


@pytest.mark.parametrize("code", ["not_found", "invalid_credentials"])
async def test_only_of_one_connection_it_can_be_said_that_it_is_gone(code):
    """At an address where no Nango is, everything is not found: no user has to be asked for that."""
    nango = Answers(error(code), 404).nango()
    for asked in (nango.connection_of("ann", "github"), nango.start("ann", "github")):
        with pytest.raises(NangoFailed, match="TOOLYARD_NANGO_URL") as failed:
            await asked
        assert type(failed.value) is NangoFailed


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("x", None), ("-1", None), ("9" * 40, 604800.0), ("²", None)]
)
async def test_how_long_nango_asks_to_wait(header, seconds):
    handle = lambda request: response(429, b"", **{"retry-after": header})  # noqa: E731
    with pytest.raises(NangoFailed) as failed:
        await nango_of(handle).credentials(OWN)
    assert failed.value.retry_after == seconds


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (httpx.ConnectError("10.0.0.7 refused"), "could not be reached"),
        (httpx.ReadTimeout("slow"), "did not answer within"),
        (httpx.RemoteProtocolError("odd"), "connection to Nango broke"),
    ],
)
async def test_nango_that_is_away_may_be_there_later(raised, said):
    def fail(request: httpx.Request) -> httpx.Response:
        raise raised

    with pytest.raises(NangoFailed, match=said) as failed:
        await nango_of(fail).credentials(OWN)
    assert failed.value.retryable
    assert "10.0.0.7" not in str(failed.value)


# ---- consent --------------------------------------------------------------------------------------


def session(**changed: Any) -> dict[str, Any]:
    link = "https://connect.nango.dev/?session_token=nango_connect_session_1"
    return {"data": {"token": "t", "connect_link": link, "expires_at": "2026-01-01T00:30:00.000Z"} | changed}


async def test_a_consent_is_asked_for_in_the_name_of_the_user():
    answers = Answers(session(), 201)
    started = await answers.nango().start("ann", "github")
    (request,) = answers.requests
    assert (request.method, request.url.path) == ("POST", "/connect/sessions")
    assert json.loads(request.content) == {"tags": TAGS, "allowed_integrations": ["github"]}
    assert started.url.startswith("https://connect.nango.dev/")
    assert (started.provider, started.scopes, started.expires_at) == ("nango/github", (), 1767227400.0)
    assert started.authorization_id == authorization_id("acme", "ann", "github")


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "https://", "https://a b", "https://[", "/connect", f"https://a/{'x' * 4096}", ""]
)
async def test_a_link_that_nobody_should_follow_is_not_passed_on(link):
    with pytest.raises(NangoFailed, match="a link that cannot be followed"):
        await Answers(session(connect_link=link), 201).nango().start("ann", "github")


def test_a_consent_is_found_again_by_whose_it_is_and_for_what():
    known = authorization_id("acme", "ann", "github")
    assert known == "nango:" + known.removeprefix("nango:")
    assert len(known) == 46
    others = [
        ("acme", "ann", "gitlab"),
        ("acme", "bob", "github"),
        ("other", "ann", "github"),
        ("acmea", "nn", "github"),
    ]
    assert known not in {authorization_id(*other) for other in others}


def test_the_provider_names_the_integration():
    assert integration_of(provider_of("github")) == "github"
    assert integration_of("arcade/github") is None


class Environment:
    """Lists these connections, and answers for each with this."""

    def __init__(self, connections: list[dict[str, Any]], body: Any, status: int = 200) -> None:
        self.connections, self.body, self.status = connections, body, status

    def nango(self) -> Nango:
        def handle(request: httpx.Request) -> httpx.Response:
            if request.url.path == "/connections":
                return response(200, {"connections": self.connections})
            return response(self.status, self.body)

        return nango_of(handle)


@pytest.mark.parametrize(
    ("connections", "body", "status", "state"),
    [
        ([], {}, 200, "absent"),
        ([listed(tags=TAGS | {"end_user_id": "bob"})], full(), 200, "absent"),
        ([listed(errors=[{"type": "auth", "log_id": "l"}])], full(), 200, "broken"),
        ([listed()], error("invalid_credentials"), 424, "broken"),
        ([listed()], error("not_found"), 404, "absent"),
        ([listed()], full(), 200, "connected"),
        ([listed()], listed() | {"credentials": {}}, 200, "connected"),
    ],
    ids=["none", "another's", "noted", "found out", "deleted meanwhile", "works", "works, seen without credentials"],
)
async def test_whether_a_consent_was_given_is_asked_of_nango(connections, body, status, state):
    assert await Environment(connections, body, status).nango().status("ann", "github") == state


async def test_what_is_not_known_is_not_taken_for_a_consent():
    with pytest.raises(NangoFailed):
        await Environment([listed()], error("server_error"), 500).nango().status("ann", "github")
