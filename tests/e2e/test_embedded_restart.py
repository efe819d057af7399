"""The one-process system is killed while attempts wait that the scheduler dispatched: the next process runs them."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.embedded import Dev
from tests.support.waiting import wait_until

from toolyard.clock import rfc3339

pytestmark = [pytest.mark.proof, pytest.mark.usefixtures("uncounted")]

WITHIN = 60.0
TRY_LATER = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """An upstream whose answers the test gives itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WITHIN)
        yield listener


@pytest.fixture
def start(tmp_path: Path, listener: socket.socket):
    """Starts the system in the same folder each time."""
    port = listener.getsockname()[1]

    def start() -> Dev:
        return Dev(tmp_path, "--no-upstream", env={"TOOLYARD_EGRESS_ALLOW": f"127.0.0.1:{port}"})

    return start


def make_tool(dev: Dev, listener: socket.socket) -> None:
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    dev.create_tool("act", {"type": "http", "method": "POST", "url": url}, retry={"max_attempts": 3})


def request_of(listener: socket.socket) -> socket.socket:
    """Waits for the next request; returns the connection on which it is to be answered."""
    connection, _ = listener.accept()
    connection.settimeout(WITHIN)
    assert connection.recv(1 << 16)
    return connection


def pool(dev: Dev, change: str) -> None:
    assert dev.client.post(f"/v1/pools/http/{change}").status_code == 200


def wait_until_dispatched(dev: Dev, call_id: str) -> None:
    """The attempt that the scheduler dispatched waits in its queue, and the ledger knows that."""

    def waits() -> bool:
        backlog = {item["name"]: item["backlog"] for item in dev.client.get("/v1/pools").json()["items"]}["http"]
        queued = dev.client.get("/v1/calls", params={"state": "queued"}).json()["items"]
        return backlog == 1 and [call["call_id"] for call in queued] == [call_id]

    wait_until(waits, within=WITHIN, what="the dispatched attempt to wait in its queue")


def end_after_a_kill(start, listener: socket.socket, call_id: str):
    with start() as dev:
        pool(dev, "resume")
        with request_of(listener) as again:
            again.sendall(DONE)
        return dev.end_of(call_id)


def test_a_retry_that_waited_in_its_queue_runs_after_a_kill(start, listener: socket.socket):
    with start() as dev:
        make_tool(dev, listener)
        call_id = dev.call("act", deadline=300)["call_id"]
        with request_of(listener) as first:
            pool(dev, "pause")
            first.sendall(TRY_LATER)
        wait_until_dispatched(dev, call_id)
        dev.process.kill()
    call = end_after_a_kill(start, listener, call_id)
    assert (call["state"], call["attempts"]) == ("succeeded", 2)


def test_a_call_whose_time_had_come_runs_after_a_kill(start, listener: socket.socket):
    with start() as dev:
        make_tool(dev, listener)
        pool(dev, "pause")
        call_id = dev.call("act", not_before=rfc3339(time.time() + 4), deadline=300)["call_id"]
        wait_until_dispatched(dev, call_id)
        dev.process.kill()
    call = end_after_a_kill(start, listener, call_id)
    assert (call["state"], call["attempts"]) == ("succeeded", 1)
