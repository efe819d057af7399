"""Clients that read too slowly, or flood: cut off, while all others are told everything and nothing piles up."""

import asyncio
import contextlib
import json
import socket as sockets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import websockets
from tests.integration.gateway.live_rig import Gateway, Site, Stream
from tests.support.waiting import async_wait_until
from tests.unit.gateway.rig import KEY

from toolyard_gateway.live.bounds import Bounds

KIB = 1024
MIB = 1024 * KIB
LARGE = 256 * KIB
#: Enough to fill whatever the system's own buffers take.
MANY = 80
SMALL = Bounds(ring_items=10, ring_bytes=4 * MIB, queue_bytes=MIB, socket_bytes=MIB, last_words=0.1, abort_after=0.1)


async def until(check: Callable[[], Any], what: str) -> None:
    async def checked() -> bool:
        return bool(check())

    await async_wait_until(checked, within=60, what=what)


def connections(gateway: Gateway) -> int:
    """Open ones, whatever is spoken on them."""
    return len(gateway.serving._server.server_state.connections)


@contextlib.asynccontextmanager
async def deaf(gateway: Gateway, request: bytes) -> AsyncIterator[sockets.socket]:
    """A client that sends something, reads the beginning of the answer, and then nothing more."""
    host, port = gateway.url.removeprefix("http://").split(":")
    client = sockets.socket()
    client.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4 * KIB)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(client, (host, int(port)))
        await loop.sock_sendall(client, request)
        await loop.sock_recv(client, 256)
        yield client
    finally:
        client.close()


GET = f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()


async def tell_much(site: Site, gateway: Gateway, stream: Stream) -> None:
    """One large event after the other, each read by who reads."""
    for _ in range(MANY):
        cursor = site.tell(size=LARGE)
        assert (await stream.event()).id == cursor
        ring = gateway.parts.live._channels["default"].ring
        assert (len(ring) <= SMALL.ring_items, ring.bytes <= SMALL.ring_bytes) == (True, True)


async def test_a_stream_that_is_not_read_is_cut_off_and_others_are_told_everything(site: Site):
    gateway = await site.gateway(SMALL)
    async with gateway.stream() as stream, deaf(gateway, GET):
        await until(lambda: gateway.parts.live.followers == 2, "nobody follows")
        held = connections(gateway)
        await tell_much(site, gateway, stream)
        await until(lambda: gateway.parts.live.followers == 1, "the deaf one is still followed")
        await until(lambda: connections(gateway) == held - 1, "the connection is still there")

        assert len(gateway.parts.live._outboxes) == 1
        assert "toolyard_gateway_followers_cut_off_total 1" in (await gateway.client.get("/metrics")).text


async def test_a_socket_that_is_not_read_is_cut_off_and_others_are_told_everything(site: Site):
    gateway = await site.gateway(SMALL)
    url = gateway.url.replace("http", "ws") + "/v1/ws"
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        gateway.stream() as stream,
        websockets.connect(url, additional_headers=headers, proxy=None, max_queue=1, close_timeout=0.1) as connection,
    ):
        for name in ("a", "b"):
            await connection.send(json.dumps({"type": "subscribe", "id": name}))
        await until(lambda: gateway.parts.live.followers == 3, "nobody follows")
        held = connections(gateway)
        await tell_much(site, gateway, stream)
        await until(lambda: gateway.parts.live.followers == 1, "the deaf one is still followed")
        await until(lambda: connections(gateway) == held - 1, "the connection is still there")


async def test_a_stream_that_is_stuck_when_the_gateway_stops_holds_nothing_up(site: Site):
    gateway = await site.gateway(Bounds(last_words=0.1, abort_after=0.1, queue_bytes=64 * MIB, socket_bytes=64 * MIB))
    async with gateway.stream() as stream, deaf(gateway, GET):
        await until(lambda: gateway.parts.live.followers == 2, "nobody follows")
        for _ in range(MANY):
            cursor = site.tell(size=LARGE)
            assert (await stream.event()).id == cursor
        await gateway.stop()

    assert gateway.parts.live.followers == 0


async def test_who_is_cut_off_is_told_its_cursor_and_misses_nothing(site: Site):
    gateway = await site.gateway(Bounds(queue_items=20))
    async with gateway.stream() as stream:
        told = [site.tell() for _ in range(2)]
        assert await stream.cursors(2) == told
        told += [site.tell() for _ in range(60)]  # in one page: nobody can read so fast
        rest = [block for block in await stream.rest() if block.event]
    assert rest[-1].event == "cut_off"
    last = rest[-1].data["cursor"]
    assert last == told[1]
    async with gateway.stream(since=last) as again:
        assert await again.cursors(60) == told[2:]


async def test_a_socket_that_is_cut_off_is_told_the_oldest_cursor_of_its_subscriptions(site: Site):
    gateway = await site.gateway(Bounds(queue_items=20))
    async with gateway.socket() as socket:
        await socket.ask("subscribe", id="quiet", call_id="01a1fe4b-c00b-7b00-a524-dbe7fc245b6c")
        cursor = site.tell()
        await socket.ask("subscribe", id="all", since="0-0")
        assert (await socket.hear())["cursor"] == cursor
        for _ in range(60):
            site.tell()  # all in one page
        code, reason = await socket.closed()

    assert code == 4008
    assert json.loads(reason) == {"cursor": cursor}


# ---- floods -------------------------------------------------------------------------------------


def frame(opcode: int, data: bytes = b"", *, last: bool = True) -> bytes:
    """A short frame of a client; its mask changes nothing."""
    assert len(data) < 126
    return bytes([opcode | (0x80 if last else 0), 0x80 | len(data)]) + b"\x00" * 4 + data


HANDSHAKE = (
    b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
TEXT, MORE, PING = 1, 0, 9


@pytest.mark.parametrize(
    "flood",
    [frame(TEXT, b"{}") * 30_000, frame(TEXT, b"", last=False) + frame(MORE, last=False) * 30_000],
    ids=["of messages", "of pieces of one message"],
)
async def test_a_flood_from_nobody_ends_its_connection(site: Site, flood: bytes, caplog: pytest.LogCaptureFixture):
    gateway = await site.gateway()
    before = connections(gateway)
    loop = asyncio.get_running_loop()
    async with deaf(gateway, HANDSHAKE) as client:
        with contextlib.suppress(ConnectionError):
            await loop.sock_sendall(client, flood)
        async with asyncio.timeout(60):
            with contextlib.suppress(ConnectionError):
                while await loop.sock_recv(client, 64 * KIB):
                    pass
    await until(lambda: connections(gateway) <= before, "the connection is still there")

    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_pings_of_who_reads_nothing_are_not_answered_for_ever(site: Site):
    gateway = await site.gateway()
    known = set(gateway.serving._server.server_state.connections)
    loop = asyncio.get_running_loop()
    async with deaf(gateway, HANDSHAKE) as client:
        (protocol,) = set(gateway.serving._server.server_state.connections) - known
        pings, buffered = frame(PING, b"p" * 125) * 1_000, 0
        while not (buffered := protocol.transport.get_write_buffer_size()):
            await loop.sock_sendall(client, pings)
        for _ in range(100):  # more than the system's own buffers take
            await loop.sock_sendall(client, pings)
            buffered = max(buffered, protocol.transport.get_write_buffer_size())

        assert 0 < buffered < MIB


async def test_a_message_beyond_all_bounds_ends_the_socket(site: Site):
    gateway = await site.gateway()
    async with gateway.socket() as socket:
        await socket.connection.send("x" * MIB)

        assert (await socket.closed())[0] == 1009
