"""The health check of the images: what it says of a process that is ready, of one that is not, and of none."""

import asyncio

import pytest
from tests.support.processes import free_port

from toolyard import healthcheck
from toolyard.telemetry.health import HealthServer, Verdict

READY, AWAY = Verdict(ok=True), Verdict(ok=False, reason="the broker is away")


@pytest.mark.parametrize(("verdict", "code", "told"), [(READY, 0, '"ok"'), (AWAY, 1, "the broker is away")])
async def test_it_says_what_readyz_says(
    verdict: Verdict,
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    server = HealthServer(host="127.0.0.1", port=None, default=free_port(), ready=lambda: verdict)
    monkeypatch.setenv("TOOLYARD_HOST", "0.0.0.0")
    monkeypatch.setenv("TOOLYARD_PORT", str(await server.start()))
    try:
        assert await asyncio.to_thread(healthcheck.main) == code
    finally:
        await server.stop()
    assert told in capsys.readouterr().out


def test_where_nothing_answers_it_fails_and_says_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    port = free_port()
    monkeypatch.delenv("TOOLYARD_HOST", raising=False)
    monkeypatch.setenv("TOOLYARD_PORT", str(port))
    assert healthcheck.main() == 1
    assert f"nothing answers at http://127.0.0.1:{port}/readyz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "url"),
    [("", "http://127.0.0.1:8080"), ("::", "http://[::1]:8080"), ("10.0.0.7", "http://10.0.0.7:8080")],
)
def test_it_asks_where_the_process_listens(host: str, url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOOLYARD_HOST", host)
    monkeypatch.delenv("TOOLYARD_PORT", raising=False)
    assert healthcheck.here() == url


def test_an_address_that_is_none_fails_it_and_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("TOOLYARD_HOST", "[::")
    assert healthcheck.main() == 1
    assert "nothing answers at" in capsys.readouterr().err
