"""Webhooks of a system of processes: what a scheduler had in hand when it was killed, the next one delivers."""

import secrets
from pathlib import Path
from typing import Any

import pytest
from tests.support.receiver import Receiver, receiving
from tests.support.system import System, http_tool
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.proof, pytest.mark.timeout(300)]

ENDS = ["io.toolyard.call.succeeded.v1"]


def test_a_scheduler_that_is_killed_in_the_middle_loses_no_delivery(tmp_path: Path, amqp_url: str, postgres_url: str):
    with (
        receiving() as receiver,
        receiving() as dead,
        Upstream(effects=tmp_path / "effects.jsonl") as upstream,
        System(tmp_path, amqp=amqp_url, database=postgres_url, allow="127.0.0.1") as system,
    ):
        system.env["TOOLYARD_SECRETS_KEY"] = f"test:{secrets.token_hex(32)}"
        system.start_all()
        with system.client() as client:
            client.post("/v1/tools", json=http_tool("echo", "GET", f"{upstream.url}/echo")).raise_for_status()
            dead.go_on.clear()
            client.post("/v1/webhooks", json={"url": dead.url}).raise_for_status()
            webhook = client.post("/v1/webhooks", json={"url": receiver.url, "events": ENDS}).json()

            made = [call(client) for _ in range(10)]
            receiver.wait_for(5)
            receiver.go_on.clear()
            made += [call(client) for _ in range(40)]
            wait_until(lambda: len(receiver.got) > 10, within=60, what="deliveries that nobody answers")
            system.processes["scheduler"].kill()
            receiver.go_on.set()
            made += [call(client) for _ in range(10)]
            system.start("scheduler", "scheduler")
            system.ready("scheduler")
            wait_until(lambda: ended(receiver, webhook) >= set(made), within=120, what="every end")
        assert ended(receiver, webhook) == set(made)
        dead.go_on.set()


def call(client: Any) -> str:
    answer = client.post("/v1/calls", json={"tool": "echo", "arguments": {}})
    assert answer.json()["state"] == "succeeded", answer.text
    return str(answer.json()["call_id"])


def ended(receiver: Receiver, webhook: dict[str, Any]) -> set[str]:
    """The calls whose ends were delivered, and verified."""
    return {call_id for call_id, _ in receiver.events(webhook["secret"])}
