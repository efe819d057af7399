"""A board in the words of OpenTelemetry: the same numbers, and read on the loop that counts."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.collector import Collector
from tests.support.waiting import async_wait_until

from toolyard.telemetry import catalogue
from toolyard.telemetry.metric_export import MetricExport
from toolyard.telemetry.metrics import Board, Reading


@pytest.fixture
def _to_the_collector(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)


@pytest.fixture
def board() -> Board:
    found = Board()
    found.counter(catalogue.EXECUTIONS).add("http", "lookup", "succeeded", by=3)
    histogram = found.histogram(catalogue.RUN_SECONDS)
    for seconds in (0.02, 0.02, 100.0):
        histogram.observe(seconds, "http", "lookup")
    found.ask(catalogue.LAG, lambda: 0.25)
    return found


@pytest.mark.usefixtures("_to_the_collector")
async def test_counters_gauges_and_histograms_arrive_as_they_are(board: Board):
    export = MetricExport("part", "one", board, every=1_000)
    (resource,) = export.data().resource_metrics
    (scope,) = resource.scope_metrics
    found: dict[str, Any] = {metric.name: metric for metric in scope.metrics}
    assert found.keys() == {"tool_executions", "tool_execution_duration_seconds", "toolyard_ledger_lag_seconds"}
    (count,) = found["tool_executions"].data.data_points
    assert (count.value, dict(count.attributes)) == (3, {"pool": "http", "tool": "lookup", "state": "succeeded"})
    (fallen,) = found["tool_execution_duration_seconds"].data.data_points
    assert (fallen.count, fallen.sum, sum(fallen.bucket_counts)) == (3, 100.04, 3)
    assert len(fallen.bucket_counts) == len(fallen.explicit_bounds) + 1
    assert found["tool_execution_duration_seconds"].unit == "s"
    assert found["toolyard_ledger_lag_seconds"].data.data_points[0].value == 0.25
    await asyncio.to_thread(export.close)


@pytest.mark.usefixtures("_to_the_collector")
async def test_they_are_sent_again_and_again_and_once_more_at_the_end(collector: Collector, board: Board):
    threads: set[int] = set()

    def asked() -> Iterator[Reading]:
        threads.add(threading.get_ident())
        yield Reading(catalogue.FOLLOWERS, (), 7)

    board.watch(asked, catalogue.FOLLOWERS)
    board.ask(catalogue.LEADING, lambda: True)
    export = MetricExport("part", "one", board, every=0.01)
    await async_wait_until(lambda: asyncio.to_thread(_arrived, collector), within=60, what="the numbers to arrive")
    assert threads == {threading.get_ident()}, "read by the loop that counts"
    board.ask(catalogue.WAITING, lambda: 1)
    export.close()
    assert "toolyard_gateway_waiting" in collector.metrics()


def _arrived(collector: Collector) -> bool:
    return {"tool_executions", "toolyard_gateway_followers", "toolyard_ledger_leading"} <= collector.metrics()
