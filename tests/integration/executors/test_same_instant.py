"""One request at two gateways at the same instant: it runs once, and both clients are told the same end."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support import upstream as upstream_server
from tests.support.system import System, http_tool

pytestmark = [pytest.mark.proof, pytest.mark.usefixtures("uncounted")]

ROUNDS = 40


@pytest.fixture
def system(tmp_path: Path, amqp_url: str, database_url: str) -> Iterator[System]:
    process, address = upstream_server.spawn(tmp_path / "effects.jsonl")
    allow = address.removeprefix("http://")
    with process, System(tmp_path, amqp=amqp_url, database=database_url, allow=allow) as running:
        running.start_all(gateways=2)
        with running.client() as client:
            client.post("/v1/tools", json=http_tool("pay", "POST", f"{address}/effects")).raise_for_status()
        yield running


def _call(client: httpx.Client, together: threading.Barrier, key: str) -> dict[str, Any]:
    together.wait()
    answer = client.post("/v1/calls", json={"tool": "pay", "arguments": {}}, headers={"Idempotency-Key": key})
    assert answer.status_code == 200, answer.text
    view: dict[str, Any] = answer.json()
    return {name: view.get(name) for name in ("call_id", "state", "effect", "attempts", "result", "error")}


def test_the_same_key_at_two_gateways_at_the_same_instant_runs_once(system: System, tmp_path: Path):
    together = threading.Barrier(2, timeout=60)
    with system.client("gateway1") as one, system.client("gateway2") as two, ThreadPoolExecutor(2) as threads:
        for client in (one, two):
            client.get("/v1/tools").raise_for_status()
        for number in range(ROUNDS):
            asked = [threads.submit(_call, client, together, f"key-{number}") for client in (one, two)]
            here, there = (answer.result() for answer in asked)
            assert here == there
            assert here["state"] == "succeeded"
    effects = upstream_server.read_effects(tmp_path / "effects.jsonl")
    assert set(Counter(effect.key for effect in effects).values()) == {1}
    assert len(effects) == ROUNDS
