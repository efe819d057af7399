"""What needs a real connection and a real ledger: a client that goes away, a pause that holds, a time that comes."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.support.processes import Process, free_port, python_module
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until
from tests.unit.gateway.rig import KEY

from toolyard.clock import SYSTEM, rfc3339

_AUTH = {"Authorization": f"Bearer {KEY}"}
SLOW: dict[str, Any] = {"tool": "slow_report", "arguments": {"seconds": 45}}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Asks a whole system in one process, with its sample tools."""
    folder, port = tmp_path_factory.mktemp("embedded"), free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOOLYARD_")}
    ours = {"TOOLYARD_DATA": str(folder / "data"), "TOOLYARD_API_KEY": KEY, "TOOLYARD_PORT": str(port)}
    ours["TOOLYARD_EGRESS_ALLOW"] = "127.0.0.1"
    url = f"http://127.0.0.1:{port}"
    with (
        Process(python_module("toolyard_embedded"), cwd=folder, env=kept | ours) as process,
        httpx.Client(base_url=url, headers=_AUTH, timeout=40) as asking,
    ):
        process.wait_for_http(f"{url}/readyz", status=200)
        yield asking


def only_call(client: httpx.Client, conversation: str) -> dict[str, Any]:
    """The call of a conversation, once the ledger has it."""

    def found() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = client.get("/v1/calls", params={"conversation": conversation}).json()["items"]
        return items

    (call,) = wait_until(found, within=60, what="the ledger does not have the call")
    return call


def leave(client: httpx.Client, **more: Any) -> str:
    """Make a call and go away once it runs; gives its id."""
    place = str(client.base_url.host), client.base_url.port
    made = client.build_request("POST", "/v1/calls", json=SLOW | more)
    head = "\r\n".join(["POST /v1/calls HTTP/1.1", *(f"{name}: {value}" for name, value in made.headers.items())])
    with socket.create_connection(place) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode() + made.content)
        call_id = str(only_call(client, more["conversation"])["call_id"])
        is_soon(client, call_id, "running")
    return call_id


def is_soon(client: httpx.Client, call_id: str, state: str) -> None:
    """Look again and again, and do not wait for its end: who waits for a call keeps it from going with its client."""

    def there() -> bool:
        return bool(client.get(f"/v1/calls/{call_id}").json()["state"] == state)

    wait_until(there, within=60, what=f"the call is not {state}")


def test_a_client_that_goes_away_takes_its_call_along_where_it_said_so(client):
    call_id = leave(client, conversation="along", cancel_on_disconnect=True)

    is_soon(client, call_id, "cancelled")


def test_a_client_that_goes_away_loses_nothing_where_it_did_not(client):
    call_id = leave(client, conversation="alone")

    assert client.get(f"/v1/calls/{call_id}", params={"wait": 3}).json()["state"] == "running"
    cancelled = client.post(f"/v1/calls/{call_id}/cancel", headers={"Prefer": "wait=20"})
    assert cancelled.json()["state"] == "cancelled"


def test_a_conversation_is_cancelled_wherever_its_calls_are(client):
    calls = [SLOW | {"conversation": "all"}, SLOW | {"conversation": "all"}, SLOW | {"conversation": "other"}]
    made = client.post("/v1/calls/batch", json={"calls": calls}, headers={"Prefer": "wait=0"}).json()["calls"]

    told = client.post("/v1/calls/cancel", json={"conversation": "all"}).json()
    ended = [client.get(f"/v1/calls/{call['call_id']}", params={"wait": 20}).json()["state"] for call in made[:2]]
    other = client.get(f"/v1/calls/{made[2]['call_id']}").json()["state"]
    client.post(f"/v1/calls/{made[2]['call_id']}/cancel")

    assert told == {"cancelled": 2}
    assert ended == ["cancelled", "cancelled"]
    assert other in ("accepted", "queued", "running")


def test_a_stream_tells_that_a_call_waits_for_the_end_of_a_pause(client):
    client.post("/v1/tools/weather/pause").raise_for_status()

    def shown() -> bool:
        return bool(client.get("/v1/tools/weather").json()["paused"])

    wait_until(shown, within=60, what="the ledger does not show the pause")
    wanted = {"tool": "weather", "arguments": {"city": "Bern"}}
    made = client.post("/v1/calls", json=wanted, headers={"Prefer": "wait=0"})
    events = []
    with client.stream("GET", made.headers["Location"] + "/events") as stream:
        for line in stream.iter_lines():
            if line.startswith("event: "):
                events.append(line.removeprefix("event: "))
                if events[-1] == "parked":
                    client.post("/v1/tools/weather/resume").raise_for_status()

    assert events == ["accepted", "parked", "started", "succeeded"]


def test_a_call_that_is_put_off_runs_when_its_time_has_come(client):
    wanted = {"tool": "weather", "arguments": {"city": "Bern"}, "not_before": rfc3339(SYSTEM.now() + 3)}

    ended = client.post("/v1/calls", json=wanted, headers={"Prefer": "wait=20"}).json()

    assert ended["state"] == "succeeded"
    assert ended["started_at"] >= wanted["not_before"]


def post(url: str) -> dict[str, Any]:
    return {"type": "http", "method": "POST", "url": url, "body": {"id": "${call_id}"}}


def test_what_is_turned_away_is_done_by_the_fallback(client, upstream: Upstream):
    bindings = {
        "binding": post(f"{upstream.url}/status/429"),
        "fallback": post(f"{upstream.url}/effects"),
    }
    tool = {"name": "paid_twice_over", "description": "d", "parameters": {"type": "object"}, **bindings}
    saved = client.post("/v1/tools", json=tool)
    assert saved.status_code == 201, saved.text
    assert saved.json()["fallback"]["url"].endswith("/effects")

    ended = client.post("/v1/calls", json={"tool": tool["name"], "arguments": {}}, headers={"Prefer": "wait=20"}).json()

    assert (ended["state"], ended["effect"], ended["attempts"]) == ("succeeded", "done", 2)
    assert upstream.count(ended["call_id"]) == 1


def test_what_may_have_happened_is_not_done_by_the_fallback(client, upstream: Upstream):
    bindings = {
        "binding": post(f"{upstream.url}/status/503"),
        "fallback": post(f"{upstream.url}/effects"),
    }
    tool = {"name": "paid_once", "description": "d", "parameters": {"type": "object"}, **bindings}
    assert client.post("/v1/tools", json=tool).status_code == 201

    ended = client.post("/v1/calls", json={"tool": tool["name"], "arguments": {}}, headers={"Prefer": "wait=20"}).json()

    assert (ended["state"], ended["effect"], ended["attempts"]) == ("failed", "unknown", 1)
    assert upstream.count(ended["call_id"]) == 0
