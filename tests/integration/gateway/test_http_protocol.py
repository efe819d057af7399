"""Connections before a request is known: bounded in bytes and time, and told why in a problem document."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from toolyard_gateway import http_protocol
from toolyard_gateway.http_protocol import MAX_HEAD, BoundedHttp
from toolyard_gateway.serving import Server, listen

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"


async def _length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """A handler that is left behind takes Ctrl-C from all tests that come after."""
    found = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is found


@pytest.fixture
async def port() -> AsyncIterator[int]:
    sock = listen("127.0.0.1", 0)
    app = Starlette(routes=[Route("/", _length, methods=["GET", "POST"])])
    config = uvicorn.Config(app, http=BoundedHttp, lifespan="off", log_config=None, access_log=False)
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    yield sock.getsockname()[1]
    server.should_exit = True
    await serving


async def _sent(port: int, *pieces: bytes) -> bytes:
    """What comes back until the other side closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await reader.read()
    finally:
        writer.close()


def _problem(answer: bytes) -> dict[str, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in head
    document: dict[str, str] = json.loads(body)
    return document


async def test_headers_without_an_end_are_cut_off(port: int):
    endless = b"X-A: " + b"a" * (MAX_HEAD + 1000)

    problem = _problem(await _sent(port, GET + endless))

    assert problem["code"] == "parse_error"
    assert "64 KiB" in problem["detail"]


async def test_headers_that_do_not_come_are_not_waited_for(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_protocol, "HEAD_WITHIN", 0.05)

    assert "did not arrive" in _problem(await _sent(port, GET))["detail"]
    assert "did not arrive" in _problem(await _sent(port))["detail"]


async def test_what_is_no_http_is_told_so_in_a_problem_document(port: int):
    assert _problem(await _sent(port, b"\x16\x03\x01 hello\r\n\r\n"))["code"] == "parse_error"


async def test_bodies_are_no_heads_and_connections_serve_again(port: int):
    body = b"b" * (3 * MAX_HEAD)
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)

    answer = await _sent(port, post + body, post + body, GET + b"Connection: close\r\n\r\n")

    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(str(len(body)).encode()) == 2
