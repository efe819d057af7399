"""Http tools that sign in through Nango, against a fake held to its API: whose token goes where, and how each ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence

import httpx
import pytest
from tests.integration.executors.nangos import KEY, OTHER_KEY, Rig, environments, told
from tests.support.http1 import Answer
from tests.support.nango.server import FakeNango, Fault, as_json, error
from tests.support.set_forward import SetForward
from tests.support.upstream import Upstream
from tests.unit.executors.making import value_of

from toolyard.consent.nango import WebhookRefused, authorization_id, verify
from toolyard_executors.faults import fault_of_provider
from toolyard_executors.kinds.http.nango import KEPT

MODES = ("token", "proxy")


@pytest.fixture(scope="module")
def server() -> Iterator[FakeNango]:
    with FakeNango() as fake:
        yield fake


@pytest.fixture
def nango(server: FakeNango) -> FakeNango:
    server.begin(*environments())
    return server


@pytest.fixture
def clock() -> SetForward:
    return SetForward()


@pytest.fixture
async def rig(nango: FakeNango, clock: SetForward) -> AsyncIterator[Rig]:
    made = Rig(nango, clock=clock)
    await made.executor.open()
    yield made
    await made.executor.close()


# ---- whose token goes where -----------------------------------------------------------------------


async def test_the_token_of_the_calls_user_is_sent(rig):
    token = rig.own.connect("ann").token
    rig.own.connect("bob")
    echoed = value_of(await rig.run())
    assert echoed["headers"]["authorization"] == f"Bearer {token}"
    assert KEY not in json.dumps(echoed)


async def test_the_proxy_sends_it_on_with_everything_that_was_asked_for(rig):
    connection = rig.own.connect("ann")
    tool = rig.tool(
        "/a%20b?x=1", method="POST", mode="proxy", headers={"X-Team": "a", "Retries": "9"}, body={"n": "${arguments.n}"}
    )
    echoed = value_of(await rig.run(tool, arguments={"n": 7}))
    assert (echoed["path"], echoed["body"]) == ("/provider/a b", '{"n":7}')
    passed = echoed["headers"]
    assert passed["authorization"] == f"Bearer {connection.token}"
    assert (passed["x-team"], passed["retries"], passed["content-type"]) == ("a", "9", "application/json")
    assert (passed["accept-encoding"], len(passed["idempotency-key"])) == ("gzip", 36)
    (proxied,) = rig.nango.asked("/proxy")
    assert proxied.target == "/proxy/provider/a%20b?x=1"
    assert proxied.headers["retries"] == "0"
    assert proxied.headers["connection-id"] == connection.connection_id
    assert proxied.headers["base-url-override"] == rig.nango.url
    assert "retry-on" not in proxied.headers


@pytest.mark.parametrize(
    ("kind", "header"), [("API_KEY", "Bearer {token}"), ("OAUTH2", "Bearer {token}"), ("BASIC", "Basic ")]
)
async def test_each_type_of_credentials_signs_in_its_way(rig, kind, header):
    connection = rig.own.connect("ann", kind=kind)
    await rig.run()
    assert rig.provider()[0].startswith(header.format(token=connection.token))


async def test_a_type_that_no_header_carries_is_told(rig):
    rig.own.connect("ann", kind="OAUTH1")
    finished = await rig.run()
    assert told(finished) == ("permission_denied", "none", False)
    assert "proxy" in finished.error.message
    assert rig.provider() == []


@pytest.mark.parametrize("mode", MODES)
async def test_nobody_elses_connection_is_used(rig, mode):
    rig.own.connect("bob")
    rig.own.connect("ann", org="other")
    rig.own.connect("ann", integration="crm")
    rig.own.connect(None)
    rig.other.connect("ann")
    finished = await rig.run(rig.tool(mode=mode))
    assert told(finished)[:2] == ("authorization_required", "none")
    assert rig.provider() == []


async def test_the_key_of_the_calls_org_is_used_and_no_other(rig):
    rig.own.connect("ann")
    await rig.run()
    used = {request.headers["authorization"] for request in rig.nango.asked("/connections")}
    assert used == {f"Bearer {KEY}"}
    finished = await rig.run(key=OTHER_KEY)
    assert told(finished)[0] == "authorization_required"  # what was remembered belongs to the other key
    assert len(rig.provider()) == 1


async def test_a_call_of_nobody_is_not_sent(rig):
    finished = await rig.run(user=None)
    assert told(finished) == ("validation_failed", "none", False)
    assert "user is missing" in finished.error.message
    assert rig.nango.requests == []


async def test_an_org_without_a_key_is_told_the_name_of_the_secret(rig):
    finished = await rig.run(key=None)
    assert told(finished) == ("tool_error", "none", False)
    assert "'NANGO_SECRET_KEY'" in finished.error.message


# ---- a connection that the application names --------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_the_application_may_name_a_connection_of_the_org(rig, mode):
    shared = rig.own.connect(None, org=None)
    tool = rig.tool(connection="${context.crm}", mode=mode)
    assert value_of(await rig.run(tool, user=None, context={"crm": shared.connection_id}))
    assert rig.provider() == [f"Bearer {shared.token}"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("user", "org"), [("bob", "default"), ("ann", "other"), ("bob", None), (None, "other")])
async def test_naming_somebody_elses_connection_is_like_naming_none(rig, mode, user, org):
    foreign = rig.own.connect(user, org=org)
    tool = rig.tool(connection="${context.crm}", mode=mode)
    finished = await rig.run(tool, context={"crm": foreign.connection_id})
    none = await rig.run(tool, context={"crm": "conn-of-nobody"})
    assert told(finished) == told(none) == ("not_found", "none", False)
    assert finished.error.message == none.error.message
    assert rig.provider() == []


async def test_a_named_connection_that_broke_is_nothing_that_its_user_could_mend_here(rig):
    named = rig.own.connect("ann", revoked=True)
    finished = await rig.run(rig.tool(connection=named.connection_id))
    assert told(finished) == ("permission_denied", "none", False)
    assert rig.nango.asked("/connect") == []


async def test_what_the_application_did_not_give_is_told(rig):
    finished = await rig.run(rig.tool(connection="${context.crm}"))
    assert told(finished) == ("context_required", "none", False)
    finished = await rig.run(rig.tool(connection="${context.crm}"), context={"crm": ""})
    assert told(finished) == ("validation_failed", "none", False)


# ---- tokens and their ends --------------------------------------------------------------------------


async def test_a_token_is_remembered_for_a_short_while(rig, clock):
    rig.own.connect("ann")
    for _ in range(3):
        value_of(await rig.run())
    assert len(rig.nango.asked("/connections")) == 2  # found, and fetched
    clock.by = KEPT + 1
    value_of(await rig.run())
    assert len(rig.nango.asked("/connections")) == 4


async def test_what_is_remembered_is_forgotten_with_its_time_and_shows_no_value(rig, clock):
    for user in ("ann", "bob"):
        rig.own.connect(user)
        value_of(await rig.run(user=user))
    kept = rig.executor._nango._kept
    assert [key.user for key in kept] == ["ann", "bob"]
    assert KEY not in repr(kept)
    assert "tok-" not in repr(kept)
    clock.by = KEPT + 1
    rig.own.connect("eve")
    value_of(await rig.run(user="eve"))
    assert [key.user for key in kept] == ["eve"]


async def test_a_token_that_ends_soon_is_fetched_each_time(rig):
    rig.own.connect("ann", expires_in=20.0)
    for _ in range(2):
        value_of(await rig.run())
    assert len(rig.nango.asked("/connections")) == 4


async def test_a_token_that_has_expired_is_refreshed_before_it_is_sent(rig):
    connection = rig.own.connect("ann", expires_in=0.0)
    old, connection.expires_in = connection.token, 3600.0
    value_of(await rig.run())
    assert rig.provider() == [f"Bearer {connection.token}"]
    assert connection.token != old


async def test_a_refused_token_is_refreshed_once_for_another_attempt(rig):
    connection = rig.own.connect("ann")
    value_of(await rig.run())
    connection.refresh()  # the provider knows another one by now, and we remember the old one
    asked = len(rig.provider())
    finished = await rig.run()
    assert told(finished) == ("upstream_error", "none", True)
    assert finished.error.details["status"] == 401
    assert len(rig.provider()) == asked + 1  # nothing was sent a second time
    value_of(await rig.run(number=2))
    assert connection.refreshed == 2
    assert rig.provider()[-1] == f"Bearer {connection.token}"


async def test_a_provider_that_refuses_every_token_is_not_asked_for_ever(rig, upstream: Upstream):
    connection = rig.own.connect("ann")
    tool = rig.tool(url=f"{upstream.url}/status/401")
    assert told(await rig.run(tool)) == ("upstream_error", "none", True)
    assert told(await rig.run(tool, number=2)) == ("upstream_error", "none", False)
    assert told(await rig.run(tool)) == ("upstream_error", "none", False)
    assert connection.refreshed == 1


async def test_a_token_that_cannot_be_changed_is_refused_for_good(rig, upstream: Upstream):
    rig.own.connect("ann", fixed=True)
    assert told(await rig.run(rig.tool(url=f"{upstream.url}/status/401"))) == ("upstream_error", "none", False)


async def test_the_token_that_was_refused_is_still_known_when_there_is_another(rig):
    """The answer that refuses it may tell it."""
    connection = rig.own.connect("ann")
    attempt = rig.attempt(rig.tool("/shout/401"))
    finished = await rig.executor.run(attempt)
    assert told(finished) == ("upstream_error", "none", True)
    assert rig.provider() != [f"Bearer {connection.token}"]
    assert "tok-" not in json.dumps(finished.error.details)
    assert "tok-" not in attempt.redactor.text(f"{rig.provider()[0]} {connection.token}")


async def test_a_refusal_is_told_although_nango_says_nothing(rig, upstream: Upstream):
    """What the provider answered is known, and stands."""
    rig.own.connect("ann")
    value_of(await rig.run())
    rig.nango.hold()
    attempt = rig.attempt(rig.tool(url=f"{upstream.url}/status/401"), timeout=6.0)
    async with asyncio.timeout(attempt.remaining):  # as the runtime does
        finished = await rig.executor.run(attempt)
    assert told(finished) == ("upstream_error", "none", True)
    assert len(upstream.requests) == 1


async def test_a_refresh_that_nango_cannot_do_now_may_be_done_by_another_attempt(rig, upstream: Upstream):
    rig.own.connect("ann")
    tool = rig.tool(url=f"{upstream.url}/status/200")
    await rig.run(tool)
    rig.nango.faults.append(Fault("/connections/", error(503, "server_error")))
    finished = await rig.run(rig.tool(url=f"{upstream.url}/status/401"))
    assert told(finished) == ("upstream_error", "none", True)


# ---- consent ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_who_has_no_connection_is_asked_and_goes_on_once_there_is_one(rig, mode):
    tool = rig.tool(mode=mode)
    finished = await rig.run(tool)
    assert told(finished) == ("authorization_required", "none", True)
    asked = finished.authorization
    assert asked.authorization_id == authorization_id("default", "ann", "github")
    assert (asked.provider, asked.scopes) == ("nango/github", ())
    assert asked.url.startswith(f"{rig.nango.url}/connect?session_token=nango_connect_session_")
    (session,) = rig.nango.asked("/connect/sessions")
    assert json.loads(session.body) == {
        "tags": {"end_user_id": "ann", "organization_id": "default"},
        "allowed_integrations": ["github"],
    }
    assert rig.provider() == []
    assert told(await rig.run(tool))[0] == "authorization_required"
    async with httpx.AsyncClient(trust_env=False) as browser:
        assert (await browser.get(asked.url)).text == "connected"
    assert value_of(await rig.run(tool))["path"] == "/provider/me"


@pytest.mark.parametrize("mode", MODES)
async def test_who_has_revoked_it_is_asked_again(rig, mode):
    connection = rig.own.connect("ann", revoked=True)
    tool = rig.tool(mode=mode)
    assert told(await rig.run(tool))[:2] == ("authorization_required", "none")
    assert connection.errors  # Nango knows by now
    assert told(await rig.run(tool))[:2] == ("authorization_required", "none")
    rig.own.connect("ann")
    assert value_of(await rig.run(tool))


async def test_a_token_that_was_revoked_meanwhile_asks_again(rig):
    connection = rig.own.connect("ann")
    value_of(await rig.run())
    connection.revoked = True
    finished = await rig.run()
    assert told(finished)[:2] == ("authorization_required", "none")
    assert len(rig.provider()) == 2


async def test_a_link_that_cannot_be_had_is_no_consent(rig):
    rig.nango.faults.append(Fault("/connect/sessions", as_json({"data": {"connect_link": "javascript:x"}}, 201)))
    assert told(await rig.run()) == ("upstream_error", "none", False)
    rig.own.scopes.discard("connect")
    assert told(await rig.run()) == ("permission_denied", "none", False)


async def test_the_webhook_about_a_new_connection_leads_to_the_consent_that_was_asked_for(rig, upstream: Upstream):
    asked = (await rig.run()).authorization
    rig.nango.webhook = f"{upstream.url}/echo"
    async with httpx.AsyncClient(trust_env=False) as browser:
        await browser.get(asked.url)
    rig.nango.webhook = ""
    (heard,) = upstream.requests
    event = verify(rig.own.signing_key, heard.body, heard.headers["x-nango-hmac-sha256"])
    assert (event.user, event.org, event.integration, event.success) == ("ann", "default", "github", True)
    assert (event.authorization_id, event.provider) == (asked.authorization_id, asked.provider)
    with pytest.raises(WebhookRefused):
        verify(rig.other.signing_key, heard.body, heard.headers["x-nango-hmac-sha256"])


async def test_calls_that_begin_together_ask_once(rig):
    absent = await asyncio.gather(*(rig.run() for _ in range(20)))
    assert {told(each)[0] for each in absent} == {"authorization_required"}
    assert len(rig.nango.asked("/connections")) == len(rig.nango.asked("/connect/sessions")) == 1
    rig.own.connect("ann")
    found = await asyncio.gather(*(rig.run() for _ in range(20)))
    assert all(value_of(each) for each in found)
    assert len(rig.nango.asked("/connections")) == 3


async def test_who_stops_waiting_does_not_stop_the_others(rig):
    rig.own.connect("ann")
    first, second = (asyncio.create_task(rig.run()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert value_of(await second)
    with pytest.raises(asyncio.CancelledError):
        await first


# ---- Nango itself fails -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/connections", "/connections/", "/connect/sessions"])
@pytest.mark.parametrize(
    ("answer", "expected", "retry_after"),
    [
        (
            as_json({"error": {"code": "too_many_request"}}, 429, **{"Retry-After": "7"}),
            ("rate_limited", "none", True),
            7.0,
        ),
        (error(500, "server_error"), ("upstream_error", "none", True), None),
        (Answer(502, {}, b"<html>bad gateway"), ("upstream_error", "none", True), None),
        (error(401, "unknown_api_key"), ("permission_denied", "none", False), None),
        (error(403, "forbidden"), ("permission_denied", "none", False), None),
        (error(400, "unknown_provider_config"), ("not_found", "none", False), None),
        (Answer(200, {}, b"x" * (2 << 20)), ("upstream_error", "none", False), None),
        (as_json({"connections": "many", "credentials": 7, "data": []}), ("upstream_error", "none", False), None),
        (Answer(302, {"Location": "http://127.0.0.1:1/"}, b""), ("upstream_error", "none", False), None),
    ],
    ids=["429", "500", "502", "401", "403", "no integration", "huge", "another shape", "a redirect"],
)
async def test_what_nango_does_not_do_had_no_effect(rig, path, answer, expected, retry_after):
    if path != "/connect/sessions":
        rig.own.connect("ann")
    rig.nango.faults.append(Fault(path, answer))
    attempt = rig.attempt()
    finished = await rig.executor.run(attempt)
    assert told(finished) == expected
    assert finished.error is not None
    assert not attempt.touched
    assert finished.error.retry_after == retry_after
    assert rig.provider() == []
    assert not rig.nango.faults
    if answer.status != 200:
        assert finished.error.details == {"status": answer.status}


@pytest.mark.parametrize("mode", MODES)
async def test_nango_that_hangs_up_may_be_there_later(rig, mode):
    rig.own.connect("ann")
    rig.nango.faults.append(Fault("/connections", drop=True))
    assert told(await rig.run(rig.tool(mode=mode))) == ("upstream_error", "none", True)


@pytest.mark.parametrize("mode", MODES)
async def test_nango_that_is_down_is_told_without_its_address(clock: SetForward, mode: str):
    with FakeNango(*environments()) as nango:
        rig = Rig(nango, clock=clock)
    await rig.executor.open()
    try:
        finished = await rig.run(rig.tool(mode=mode))
        assert told(finished) == ("upstream_error", "none", True)
        assert finished.error is not None
        assert finished.error.message == "Nango could not be reached"
        with FakeNango(*environments(), port=nango.port) as again:
            again.environments[KEY].connect("ann")
            assert value_of(await rig.run(rig.tool(mode=mode)))
    finally:
        await rig.executor.close()


@pytest.mark.parametrize(
    ("fault", "fault_of_nango"),
    [
        (Fault("/connections", error(503, "server_error")), True),
        (Fault("/connections", drop=True), True),
        (Fault("/connections", error(400, "invalid_query_params")), False),
        (Fault("/connections", error(401, "unknown_api_key")), False),
        (Fault("/connections", as_json({}, 429)), False),
        (None, None),
    ],
    ids=[
        "it failed",
        "it hung up",
        "it refused",
        "it refused the key",
        "it has too much to do",
        "nobody has connected",
    ],
)
async def test_a_breaker_opens_for_what_is_nangos_own_fault(rig, fault, fault_of_nango):
    rig.nango.faults.extend([] if fault is None else [fault])
    assert fault_of_provider(await rig.run()) is fault_of_nango


async def test_an_answer_with_somebody_elses_connection_is_not_believed(rig):
    rig.own.connect("ann")
    bobs = rig.own.connect("bob")
    rig.nango.faults.append(Fault("/connections/", as_json(bobs.full(credentials=True))))
    assert told(await rig.run()) == ("upstream_error", "none", False)
    rig.nango.faults.append(Fault("/connections", as_json({"connections": [bobs.listed()]})))
    assert told(await rig.run())[0] == "authorization_required"
    assert rig.provider() == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (500, ("upstream_error", "unknown", True)),
        (404, ("upstream_error", "none", False)),
        (429, ("upstream_error", "none", True)),
        (401, ("upstream_error", "none", False)),
        (400, ("upstream_error", "none", False)),
    ],
)
async def test_through_the_proxy_an_answer_means_what_it_means_without_it(rig, upstream: Upstream, status, expected):
    rig.own.connect("ann")
    assert told(await rig.run(rig.tool(url=f"{upstream.url}/status/{status}", mode="proxy"))) == expected
    assert len(upstream.requests) == 1


async def test_a_proxy_that_takes_no_more_says_when(rig):
    rig.own.connect("ann")
    rig.nango.faults.append(Fault("/proxy", as_json({"error": {"code": "x"}}, 429, **{"Retry-After": "9"})))
    finished = await rig.run(rig.tool(mode="proxy"))
    assert told(finished) == ("upstream_error", "none", True)
    assert finished.error.retry_after == 9.0


async def test_a_proxy_that_hangs_up_leaves_open_what_happened(rig):
    rig.own.connect("ann")
    rig.nango.faults.append(Fault("/proxy", drop=True))
    assert told(await rig.run(rig.tool(mode="proxy"))) == ("upstream_error", "unknown", True)


async def test_a_provider_cannot_talk_a_user_into_a_new_consent(rig, upstream: Upstream):
    """Its 400 may look like one of Nango's own; Nango is asked, and the connection works."""
    rig.own.connect("ann")
    body = '{"error":{"code":"server_error","message":"Failed to get connection"}}'
    tool = rig.tool(url=f"{upstream.url}/status/400", query={"body": body}, mode="proxy")
    assert told(await rig.run(tool)) == ("upstream_error", "none", False)
    assert rig.nango.asked("/connect") == []


# ---- where it may go --------------------------------------------------------------------------------


async def test_the_operators_nango_is_open_to_nango_alone(nango: FakeNango):
    rig = Rig(nango, allow="")
    await rig.executor.open()
    try:
        finished = await rig.run(rig.tool(url=f"{nango.url}/connections"))
    finally:
        await rig.executor.close()
    assert told(finished) == ("egress_denied", "none", False)
    assert nango.requests == []


@pytest.mark.parametrize("mode", MODES)
async def test_the_proxy_is_no_way_around_the_egress_policy(nango: FakeNango, mode: str):
    async def inside(host: str, port: int) -> Sequence[str]:
        return ["10.0.0.7"]

    rig = Rig(nango, allow="", resolve=inside)
    rig.own.connect("ann")
    await rig.executor.open()
    try:
        by_name = await rig.run(rig.tool(url="http://metrics.example/", mode=mode))
        by_address = await rig.run(rig.tool(url="http://169.254.169.254/latest", mode=mode))
    finally:
        await rig.executor.close()
    assert told(by_name) == told(by_address) == ("egress_denied", "none", False)
    assert nango.asked("/proxy") == []
