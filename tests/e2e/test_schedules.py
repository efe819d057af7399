"""A schedule in the whole system: its runs happen by themselves, and go on after the process was killed."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.embedded import Dev
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("uncounted")

OFTEN = {"name": "often", "tool": "weather", "arguments": {"city": "Bern"}, "every": 1}


@pytest.mark.proof
def test_a_schedule_runs_its_calls_and_goes_on_after_a_kill(tmp_path: Path):
    with Dev(tmp_path) as dev:
        made = dev.client.post("/v1/schedules", json=OFTEN)
        assert made.status_code == 201, made.text
        before = _ended(dev.client, 3)
        dev.process.kill()
    with Dev(tmp_path) as dev:
        after = _ended(dev.client, len(before) + 2)
        shown = dev.client.get("/v1/schedules/often").json()

    assert {call["state"] for call in after} == {"succeeded"}
    assert {call["call_id"] for call in before} <= {call["call_id"] for call in after}
    assert {call["attempts"] for call in after} <= {1, 2}
    assert shown["last"]["call_id"]
    assert "last_error" not in shown


def _ended(client: httpx.Client, count: int) -> list[dict[str, Any]]:
    """The calls of the tool that have ended, once there are so many."""

    def enough() -> list[dict[str, Any]]:
        items = client.get("/v1/calls", params={"tool": "weather", "limit": 200}).json()["items"]
        ended: list[dict[str, Any]] = [call for call in items if "finished_at" in call]
        return ended if len(ended) >= count else []

    return wait_until(enough, within=60, what=f"{count} runs")
