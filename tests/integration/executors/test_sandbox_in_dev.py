"""The sandbox of `toolyard dev`: it says where it has fewer places than was asked for."""

import pytest
from structlog.testing import capture_logs

from toolyard_embedded.sandbox import Sandbox
from toolyard_embedded.settings import EmbeddedSettings


@pytest.mark.parametrize(("asked", "told"), [(None, False), (3, False), (4, True)])
async def test_places_that_are_not_given_are_told_once(asked: int | None, told: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("toolyard_embedded.sandbox._MOST_PROCESSES", 3 if asked else 64)
    sandbox = Sandbox(EmbeddedSettings(concurrency=asked, sandbox_minimum="degraded"))
    with capture_logs() as logs:
        await sandbox.open()
    await sandbox._runner.stop()
    expected = [("the sandbox has fewer places than TOOLYARD_CONCURRENCY", 3)] if told else []
    assert [(line["event"], line["places"]) for line in logs if "places" in line] == expected
