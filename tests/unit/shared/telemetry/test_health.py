"""The health server: what probes and scrapers get to see, and that strangers cannot hurt it."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.support.waiting import async_wait_until

from toolyard.errors import SettingsError
from toolyard.telemetry import catalogue, health
from toolyard.telemetry.health import HealthServer, Verdict
from toolyard.telemetry.metrics import Board, Reading


class Process:
    """What a process would report."""

    def __init__(self) -> None:
        self.verdict = Verdict(ok=True, details={"lag_seconds": 0.2})

    def ready(self) -> Verdict:
        return self.verdict


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
async def server(process: Process) -> AsyncIterator[HealthServer]:
    board = Board()
    board.ask(catalogue.LEADING, lambda: True)
    found = HealthServer(host="127.0.0.1", port=0, default=0, ready=process.ready, metrics=board)
    await found.start()
    yield found
    await found.stop()


async def get(server: HealthServer, path: str, method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.request(method, f"http://127.0.0.1:{server.port}{path}")


async def test_a_ready_process_answers_200_with_its_details(server: HealthServer):
    answer = await get(server, "/readyz")

    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "reason": "", "lag_seconds": 0.2}


async def test_a_process_that_is_not_ready_answers_503_and_says_why(server: HealthServer, process: Process):
    process.verdict = Verdict(ok=False, reason="the broker is away")

    answer = await get(server, "/readyz")

    assert answer.status_code == 503
    assert answer.json()["reason"] == "the broker is away"


async def test_whoever_asks_for_openmetrics_is_given_it(server: HealthServer):
    async with httpx.AsyncClient(trust_env=False) as client:
        wanted = {"ACCEPT": "application/openmetrics-text;version=1.0.0"}
        answer = await client.get(f"http://127.0.0.1:{server.port}/metrics", headers=wanted)

    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("\ntoolyard_ledger_leading 1\n# EOF\n")


async def test_an_unready_process_is_still_alive(server: HealthServer, process: Process):
    process.verdict = Verdict(ok=False, reason="the broker is away")

    assert (await get(server, "/livez")).status_code == 200


async def test_metrics_are_served_as_prometheus_reads_them(server: HealthServer):
    answer = await get(server, "/metrics?name=up")

    assert "\ntoolyard_ledger_leading 1\n" in answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_an_unknown_path_names_the_known_ones(server: HealthServer):
    answer = await get(server, "/health")

    assert answer.status_code == 404
    assert "/readyz" in answer.json()["paths"]


async def test_only_reading_is_allowed(server: HealthServer):
    assert (await get(server, "/readyz", "POST")).status_code == 405
    head = await get(server, "/readyz", "HEAD")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize("sent", [b"\r\n\r\n", b"GET /livez\r\n\r\n", b"x" * 20_000 + b"\r\n\r\n"])
async def test_what_is_no_request_does_not_stop_it(server: HealthServer, sent: bytes):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    answer = await reader.read()
    writer.close()

    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert (await get(server, "/livez")).status_code == 200


async def test_a_client_that_asks_for_nothing_is_sent_away_by_the_stop(
    server: HealthServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(health, "_PATIENCE", 3_600.0)  # with a request that does not come
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    assert (await get(server, "/livez")).status_code == 200  # it is served behind the silent one

    async with asyncio.timeout(60):
        await server.stop()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()


async def test_a_client_that_does_not_read_its_answer_is_not_waited_for(
    process: Process, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(health, "_PATIENCE", 0.2)
    board, long = Board(), "x" * 50_000_000
    board.watch(lambda: (Reading(catalogue.WALL, (long,), 1),))
    server = HealthServer(host="127.0.0.1", port=0, default=0, ready=process.ready, metrics=board)
    with socket.create_connection(("127.0.0.1", await server.start())) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        await async_wait_until(lambda: _are(server, 1), within=60, what="the request to be served")
        await async_wait_until(lambda: _are(server, 0), within=60, what="the client to be given up")
    await server.stop()


async def _are(server: HealthServer, number: int) -> bool:
    return len(server._serving) == number


async def test_a_default_port_that_is_taken_is_replaced_by_a_free_one(process: Process):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        default = taken.getsockname()[1]
        server = HealthServer(host="127.0.0.1", port=None, default=default, ready=process.ready)
        port = await server.start()
        await server.stop()

    assert port not in (0, default)


async def test_a_port_that_was_asked_for_and_is_taken_stops_the_start(process: Process):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = HealthServer(host="127.0.0.1", port=port, default=0, ready=process.ready)

        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}"):
            await server.start()


async def test_details_are_json(server: HealthServer):
    assert json.loads((await get(server, "/livez")).text) == {"status": "ok", "reason": ""}
