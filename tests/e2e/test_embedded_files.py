"""Somebody removes the data of a running `toolyard dev`: it takes nothing more, and says what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.embedded import Dev
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("uncounted")

Remove = Callable[[Path], object]


def lose(dev: Dev, remove: Remove) -> None:
    """Remove something of its data, and wait until it has noticed."""
    remove(dev.folder / ".toolyard")
    wait_until(lambda: dev.client.get("/readyz").status_code == 503, within=60, what="the loss to be noticed")


def refusal(dev: Dev) -> str:
    answer = dev.client.post("/v1/calls", json={"tool": "weather", "arguments": {"city": "Oslo"}})
    assert answer.status_code == 503, answer.text
    detail: str = answer.json()["detail"]
    return detail


@pytest.mark.parametrize(
    "remove", [lambda data: (data / "toolyard.db").unlink(), shutil.rmtree], ids=["database", "folder"]
)
def test_without_its_database_it_takes_no_more_calls(tmp_path: Path, remove: Remove):
    with Dev(tmp_path) as dev:
        call_id = dev.call("weather", {"city": "Rome"}, wait=30)["call_id"]
        lose(dev, remove)
        assert "toolyard.db was removed or replaced while it was in use; what it held can be read here" in refusal(dev)
        assert "toolyard.db was removed" in dev.client.get("/readyz").json()["detail"]
        assert dev.end_of(call_id)["state"] == "succeeded"
        told = json.loads(dev.process.wait_for_line(r"^\{.*the journal is lost: nothing more is taken.*\}$")[0])
        assert (told["level"], "begin anew" in told["reason"]) == ("error", True)
        assert dev.process.terminate() == 0
        assert "Traceback" not in dev.process.output()
    assert not (tmp_path / ".toolyard" / "toolyard.db").exists()


@pytest.mark.proof
def test_without_its_write_ahead_log_it_saves_what_it_has_at_its_end(tmp_path: Path):
    with Dev(tmp_path) as dev:
        call_id = dev.call("weather", {"city": "Rome"}, wait=30)["call_id"]
        lose(dev, lambda data: (data / "toolyard.db-wal").unlink())
        assert "end this process in good order" in refusal(dev)
        assert dev.process.terminate() == 0
    with Dev(tmp_path) as dev:
        assert dev.end_of(call_id)["state"] == "succeeded"
