"""Exporting: off unless the standard variables ask for it, then loaded; what they cannot have is refused by name."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from toolyard.errors import SettingsError
from toolyard.telemetry import export, tracing
from toolyard.telemetry.metrics import Board

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#: What a part imports to run.
PARTS = {
    "worker": "toolyard_executors.__main__, toolyard_executors.kinds.http, toolyard_executors.kinds.sandbox",
    "scheduler": "toolyard_scheduler.process",
    "gateway": "toolyard_gateway.process",
    "dev": "toolyard_embedded.process",
}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    yield
    assert not tracing.recording()


def loaded(part: str, **env: str) -> set[str]:
    """The modules of OpenTelemetry that a part has loaded, once it has made a span of what came recorded, or not."""
    code = (
        f"import {PARTS[part]}, json, sys\n"
        "from toolyard.telemetry import export, metrics, spans\n"
        "with export.exporting('part', 'one', metrics.Board()):\n"
        f"    _, span = spans.serve('POST', '/v1/calls', '{GIVEN}')\n"
        "    found = [name for name in sys.modules if name.partition('.')[0] == 'opentelemetry']\n"
        "print(json.dumps([found, span is not None]))"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "OTEL_"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean | env)
    modules, recorded = json.loads(done.stdout.splitlines()[-1])
    assert recorded is (bool(env) and "OTEL_SDK_DISABLED" not in env)
    return set(modules)


@pytest.mark.parametrize("part", ["worker", "scheduler"])
def test_where_nothing_is_exported_no_module_of_opentelemetry_is_loaded(part: str):
    assert loaded(part) == set()


@pytest.mark.parametrize("part", ["gateway", "dev"])
def test_where_nothing_is_exported_a_gateway_loads_what_its_framework_does_and_no_sdk(part: str):
    found = loaded(part)

    assert found  # the interface, which FastAPI imports
    assert not {name for name in found if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))}


def test_an_sdk_that_is_disabled_is_not_loaded():
    assert loaded("worker", **{ENDPOINT: "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"}) == set()


def test_the_sdk_is_loaded_where_a_collector_is_named():
    found = loaded("worker", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://127.0.0.1:1/v1/traces")

    assert {"opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter"} <= found


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({}, False),
        ({ENDPOINT: ""}, False),
        ({ENDPOINT: "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://collector/v1/metrics"}, False),
        ({ENDPOINT: "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({ENDPOINT: "http://collector:4318", "OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({ENDPOINT: "http://collector:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        ({ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
    ],
)
def test_traces_are_exported_where_the_standard_variables_say_so(env: dict[str, str], wanted: bool):
    assert export.wanted("traces", env) is wanted


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({}, False),
        ({ENDPOINT: "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://collector/v1/metrics"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector/v1/traces"}, False),
        ({ENDPOINT: "http://collector:4318", "OTEL_METRICS_EXPORTER": "none"}, False),
        ({ENDPOINT: "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_metrics_are_exported_where_the_standard_variables_say_so(env: dict[str, str], wanted: bool):
    assert export.wanted("metrics", env) is wanted


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        (ENDPOINT, "collector:4318"),
        ("OTEL_TRACES_SAMPLER", "xray"),
        ("OTEL_METRICS_EXPORTER", "prometheus"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "often"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
    ],
)
async def test_what_there_is_not_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str):
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=f"^{name}: "), export.exporting("part", "one", Board()):
        pytest.fail("it started")


async def test_what_the_sdk_refuses_is_no_defect_of_ours(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-5")

    with (
        pytest.raises(SettingsError, match=r"OTEL_BSP_\* is wrong: max_queue_size"),
        export.exporting("p", "1", Board()),
    ):
        pytest.fail("it began")


def ended(before: set[threading.Thread]) -> None:
    """Waits for the threads that have come since then."""
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive(), thread.name


async def test_a_collector_that_never_answers_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(export, "FLUSH", 0.1)
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with capture_logs() as logs, export.exporting("part", "one", Board()):
            span = tracing.start("send", "producer", GIVEN)
            assert span is not None
            span.end()

    assert [line["event"] for line in logs][-1] == "not all that was recorded was exported"
    ended(before)  # what they log when the collector goes away is no other test's
