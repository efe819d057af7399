"""`/v1/ws` over real sockets: signing in, subscriptions, what is refused, and how it ends."""

import asyncio
import json
from typing import Any

import pytest
import websockets
from tests.integration.gateway.live_rig import Gateway, Site, Socket
from tests.support.waiting import async_wait_until
from tests.unit.gateway.rig import KEY

from toolyard.errors import CODES
from toolyard_gateway.api import sockets
from toolyard_gateway.live.bounds import Bounds


@pytest.fixture
async def gateway(site: Site) -> Gateway:
    return await site.gateway()


# ---- signing in ---------------------------------------------------------------------------------


async def test_a_key_may_come_with_the_first_message(gateway: Gateway):
    async with gateway.socket(key=None) as socket:
        early = await socket.ask("ping")
        assert (early["type"], early["error"]["code"]) == ("error", "unauthenticated")
        assert (await socket.ask("authenticate", key=5))["error"]["code"] == "validation_failed"
        assert await socket.ask("authenticate", key=KEY) == {"type": "ready"}
        assert (await socket.ask("authenticate", key=KEY))["error"]["code"] == "conflict"
        assert await socket.ask("ping") == {"type": "pong"}


@pytest.mark.parametrize("where", ["in the handshake", "in a message"])
@pytest.mark.parametrize(
    ("roles", "close", "code"),
    [(None, 4401, "unauthenticated"), ([], 4403, "permission_denied")],
    ids=["none", "no role"],
)
async def test_who_may_not_follow_is_told_so_and_let_go(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, where, roles, close, code
):
    key = "ty_nobody_0123456789abcdef" if roles is None else await gateway.key("caller")
    if roles is not None:
        monkeypatch.setattr("toolyard_gateway.principals.MAY", {"read_calls": frozenset({"operator"})})
    headers = {"Authorization": f"Bearer {key}"} if where == "in the handshake" else {}
    url = gateway.url.replace("http", "ws") + sockets.PATH
    async with websockets.connect(url, additional_headers=headers, proxy=None) as connection:
        socket = Socket(connection)
        if not headers:
            await socket.say("authenticate", key=key)
        told = await socket.hear()

        assert (told["type"], told["error"]["code"]) == ("error", code)
        assert (await socket.closed())[0] == close


async def test_who_does_not_say_who_it_is_is_let_go(gateway: Gateway, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sockets, "SIGN_IN_WITHIN", 0.05)
    async with gateway.socket(key=None) as socket:
        assert (await socket.hear())["error"]["code"] == "unauthenticated"
        assert (await socket.closed())[0] == 4401


async def test_who_says_other_things_before_is_let_go(gateway: Gateway):
    async with gateway.socket(key=None) as socket:
        for _ in range(sockets.MAX_BAD):
            await socket.say("ping")
        assert (await socket.closed())[0] == 4401


async def test_plain_http_is_told_what_is_spoken_here(gateway: Gateway):
    for method in ("GET", "POST", "DELETE"):
        refused = await gateway.client.request(method, "/v1/ws")
        assert (refused.status_code, refused.json()["status"]) == (426, 426)
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert refused.headers["Upgrade"] == "websocket"


@pytest.mark.parametrize(("path", "status"), [("/v1/events", 404), ("/v2/ws", 404), ("/v1/ws?since=0-0", 422)])
async def test_a_handshake_that_makes_no_sense_is_refused_with_a_problem(gateway: Gateway, path, status):
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with websockets.connect(gateway.url.replace("http", "ws") + path, proxy=None):
            pass

    response = refused.value.response
    assert response.status_code == status
    assert json.loads(response.body or b"")["status"] == status


# ---- subscriptions ------------------------------------------------------------------------------


async def test_each_subscription_is_told_what_it_wants(site: Site, gateway: Gateway):
    async with gateway.socket() as socket:
        assert await socket.ask("subscribe", id="all") == {"type": "subscribed", "id": "all", "cursor": "1-0"}
        await socket.ask("subscribe", id='"talk"', conversation="talk", states=["failed", "succeeded"])
        first = site.tell(conversation="talk", state="failed")
        second = site.tell(conversation="talk")
        told = [await socket.hear() for _ in range(3)]

        assert [(each["id"], each["cursor"]) for each in told] == [("all", first), ('"talk"', first), ("all", second)]
        assert {each["type"] for each in told} == {"event"}
        assert told[0]["event"]["id"] == told[1]["event"]["id"] == "call-1/1/2"


async def test_a_subscription_goes_on_behind_its_cursor_and_says_first_that_it_does(site: Site, gateway: Gateway):
    told = [site.tell() for _ in range(5)]
    async with gateway.socket() as socket:
        await socket.say("subscribe", id="a", since=told[1])
        assert await socket.hear() == {"type": "subscribed", "id": "a", "cursor": told[1]}
        assert [(await socket.hear())["cursor"] for _ in range(3)] == told[2:]
        site.scheduler.log.kept = site.scheduler.log.items["default"][2].cursor
        await socket.say("subscribe", id="b", since=told[0])
        heard = [await socket.hear() for _ in range(4)]

    assert [each["type"] for each in heard] == ["subscribed", "gap", "event", "event"]
    assert set(heard[1]) == {"type", "id", "cursor"}


async def test_what_was_unsubscribed_is_told_no_more(site: Site, gateway: Gateway):
    async with gateway.socket() as socket:
        await socket.ask("subscribe", id="a")
        assert await socket.ask("unsubscribe", id="a") == {"type": "unsubscribed", "id": "a"}
        assert gateway.parts.live.followers == 0
        await socket.ask("subscribe", id="b")
        cursor = site.tell()

        assert (await socket.hear())["id"] == "b"
        again = await socket.ask("subscribe", id="a", since=cursor)
        assert again["type"] == "subscribed"


async def test_each_org_hears_its_own(site: Site, gateway: Gateway):
    key = await gateway.key("caller", org="other")
    async with gateway.socket() as ours, gateway.socket(key=key) as theirs:
        await ours.ask("subscribe", id="a")
        await theirs.ask("subscribe", id="a")
        told = [site.tell("other"), site.tell()]

        assert (await ours.hear())["cursor"] == told[1]
        assert (await theirs.hear())["cursor"] == told[0]


#: name -> message, code, field
BAD: dict[str, tuple[Any, str, str | None]] = {
    "no JSON": (b"hello", "parse_error", None),
    "no UTF-8": (b"\xff\xfe", "parse_error", None),
    "a key twice": (b'{"type":"ping","type":"ping"}', "parse_error", "type"),
    "nested deep": (b"[" * 10_000, "parse_error", None),
    "a list": ([], "validation_failed", ""),
    "null": (None, "validation_failed", ""),
    "no type": ({}, "validation_failed", "type"),
    "a type that is a list": ({"type": ["ping"]}, "validation_failed", "type"),
    "an unknown type": ({"type": "publish"}, "validation_failed", "type"),
    "an unknown field": ({"type": "ping", "id": "a"}, "validation_failed", "id"),
    "no id": ({"type": "subscribe"}, "validation_failed", "id"),
    "an id that is a number": ({"type": "subscribe", "id": 7}, "validation_failed", "id"),
    "an empty id": ({"type": "subscribe", "id": ""}, "validation_failed", "id"),
    "a long id": ({"type": "subscribe", "id": "a" * 129}, "validation_failed", "id"),
    "an id twice": ({"type": "subscribe", "id": "there"}, "validation_failed", "id"),
    "a state that is a text": ({"type": "subscribe", "id": "a", "states": "failed"}, "validation_failed", "states"),
    "a state that there is not": ({"type": "subscribe", "id": "a", "states": ["x"]}, "validation_failed", "states.0"),
    "a long conversation": (
        {"type": "subscribe", "id": "a", "conversation": "c" * 256},
        "validation_failed",
        "conversation",
    ),
    "NUL": (b'{"type":"subscribe","id":"a","conversation":"\\u0000"}', "validation_failed", "conversation"),
    "a tool that can not be": ({"type": "subscribe", "id": "a", "tool": "../x"}, "validation_failed", "tool"),
    "a call that can not be": ({"type": "subscribe", "id": "a", "call_id": "x"}, "validation_failed", "call_id"),
    "a cursor that is none": ({"type": "subscribe", "id": "a", "since": "soon"}, "validation_failed", "since"),
    "a cursor that is a number": ({"type": "subscribe", "id": "a", "since": 4711}, "validation_failed", "since"),
    "a cursor ahead of the log": ({"type": "subscribe", "id": "a", "since": "4711-0"}, "validation_failed", "since"),
    "nothing to unsubscribe": ({"type": "unsubscribe", "id": "a"}, "not_found", None),
    "large": ({"type": "ping", "fill": "x" * 64 * 1024}, "payload_too_large", None),
}


async def test_a_bad_message_is_refused_and_the_socket_goes_on(site: Site, gateway: Gateway):
    async with gateway.socket() as socket:
        await socket.ask("subscribe", id="there")
        for name, (message, code, field) in BAD.items():
            sent = message if isinstance(message, bytes) else json.dumps(message)
            await socket.connection.send(sent)
            told = await socket.hear()

            assert (told["type"], told["error"]["code"]) == ("error", code), (name, told)
            assert told["error"]["status"] == CODES[code].status
            if field is not None:
                assert [each["path"] for each in told["error"]["errors"]] == [field], name
            assert await socket.ask("ping") == {"type": "pong"}, name
        cursor = site.tell()
        assert (await socket.hear())["cursor"] == cursor


async def test_an_error_names_the_subscription_that_it_is_about(gateway: Gateway):
    async with gateway.socket() as socket:
        assert (await socket.ask("subscribe", id="a", since="soon"))["id"] == "a"
        assert (await socket.ask("unsubscribe", id="b"))["id"] == "b"
        assert "id" not in await socket.ask("ping", id="c")


async def test_bad_messages_in_a_row_end_the_socket(gateway: Gateway):
    async with gateway.socket() as socket:
        for number in range(sockets.MAX_BAD):
            assert (await socket.ask("nonsense"))["type"] == "error", number

        assert await socket.closed() == (1008, "20 bad messages in a row")


async def test_a_socket_has_so_many_subscriptions_and_a_gateway_so_many_followers(site: Site):
    gateway = await site.gateway(Bounds(followers=sockets.MAX_SUBSCRIPTIONS + 1))
    async with gateway.socket() as socket, gateway.socket() as other:
        for number in range(sockets.MAX_SUBSCRIPTIONS):
            assert (await socket.ask("subscribe", id=str(number)))["type"] == "subscribed"
        assert (await socket.ask("subscribe", id="more"))["error"]["code"] == "rate_limited"
        assert (await other.ask("subscribe", id="a"))["type"] == "subscribed"
        assert (await other.ask("subscribe", id="b"))["error"]["code"] == "unavailable"
        cursor = site.tell()
        assert {(await socket.hear())["cursor"] for _ in range(sockets.MAX_SUBSCRIPTIONS)} == {cursor}


# ---- how it ends --------------------------------------------------------------------------------


async def test_a_gateway_that_stops_closes_its_sockets(gateway: Gateway):
    async with gateway.socket() as socket, gateway.socket() as idle:
        await socket.ask("subscribe", id="a")
        stopping = asyncio.create_task(gateway.stop())

        assert (await socket.closed())[0] == 1001
        assert (await idle.closed())[0] == 1001
        await stopping


async def test_a_socket_ends_where_its_key_was_revoked(site: Site):
    gateway = await site.gateway(Bounds(recheck=0.05))
    key = await gateway.key("caller")
    async with gateway.socket(key=None) as socket:
        await socket.ask("authenticate", key=key)
        await gateway.client.delete(f"/v1/keys/{key.split('_')[1]}")

        assert await socket.closed() == (4401, "the key was revoked")


async def test_who_goes_away_is_followed_no_more(gateway: Gateway):
    async with gateway.socket() as socket:
        await socket.ask("subscribe", id="a")
        await socket.ask("subscribe", id="b")
    async with gateway.socket() as socket:
        await socket.ask("subscribe", id="a")
        socket.connection.transport.abort()

        async def nobody() -> bool:
            return gateway.parts.live.followers == 0 and not gateway.parts.live._outboxes

        await async_wait_until(nobody, within=60, what="somebody is still followed")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_half_a_handshake_is_refused_as_http(gateway: Gateway, method: str):
    refused = await gateway.client.request(method, "/v1/ws", headers={"Connection": "Upgrade", "Upgrade": "websocket"})

    assert 400 <= refused.status_code < 500
