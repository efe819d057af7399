"""The numbers of a board in the words of the SDK, and to its exporter, once in a while. Loads the SDK; see `export`.

Whoever counts knows nothing of it: the board is read when it is time, on the loop that counts, and sent from a thread.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from typing import Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from toolyard import __version__
from toolyard.clock import SYSTEM, Clock
from toolyard.telemetry.metrics import Board, Distribution, Metric, Values
from toolyard.telemetry.resource import resource_of
from toolyard.telemetry.span_export import speak_seldom

_SCOPE: Final = InstrumentationScope("toolyard", __version__)
_CUMULATIVE: Final = sdk.AggregationTemporality.CUMULATIVE
#: How the names of metrics end that have a unit, and the unit.
_UNITS: Final = {"_seconds": "s", "_seconds_total": "s", "_bytes": "By"}


class MetricExport:
    """Sends what a board shows every so many seconds, and once more at the end.

    Args:
        every: seconds.
    """

    def __init__(self, service: str, instance: str, board: Board, *, every: float, clock: Clock = SYSTEM) -> None:
        self._resource = resource_of(service, instance)
        self._board = board
        self._every = every
        self._clock = clock
        self._began = _nanoseconds(clock.now())
        self._exporter = OTLPMetricExporter()
        self._loop = asyncio.get_running_loop()
        self._over = threading.Event()
        speak_seldom()
        self._thread = threading.Thread(target=self._run, name="telemetry-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what is there; waits for that. The loop must wait for it too: the board is read here."""
        self._over.set()
        self._thread.join()
        self._exporter.export(self.data())
        self._exporter.shutdown()

    def _run(self) -> None:
        while not self._over.wait(self._every):
            if (found := self._read_on_the_loop()) is not None:
                self._exporter.export(found)

    def _read_on_the_loop(self) -> sdk.MetricsData | None:
        """What the board shows; None where the process ends meanwhile."""
        found: list[sdk.MetricsData] = []
        read = threading.Event()

        def look() -> None:
            try:
                found.append(self.data())
            finally:
                read.set()

        self._loop.call_soon_threadsafe(look)
        while not read.wait(0.1):
            if self._over.is_set():
                return None
        return found[0] if found else None

    def data(self) -> sdk.MetricsData:
        """What the board shows now."""
        now = _nanoseconds(self._clock.now())
        metrics = [self._metric(metric, samples, now) for metric, samples in self._board.families() if samples]
        scope = sdk.ScopeMetrics(_SCOPE, metrics, "")
        return sdk.MetricsData([sdk.ResourceMetrics(self._resource, [scope], "")])

    def _metric(self, metric: Metric, samples: Mapping[Values, float | Distribution], now: int) -> sdk.Metric:
        """Counters have their names without ``_total``: whoever writes them for Prometheus puts it on again."""
        unit = next((unit for end, unit in _UNITS.items() if metric.name.endswith(end)), "1")
        return sdk.Metric(metric.name.removesuffix("_total"), metric.meaning, unit, self._points(metric, samples, now))

    def _points(
        self, metric: Metric, samples: Mapping[Values, float | Distribution], now: int
    ) -> sdk.Sum | sdk.Gauge | sdk.Histogram:
        if metric.kind == "histogram":
            return sdk.Histogram(list(self._fallen(metric, samples, now)), _CUMULATIVE)
        numbers = [
            sdk.NumberDataPoint(_labels(metric, values), self._began, now, +value)  # a bool has no form there
            for values, value in samples.items()
            if not isinstance(value, Distribution)
        ]
        return sdk.Gauge(numbers) if metric.kind == "gauge" else sdk.Sum(numbers, _CUMULATIVE, is_monotonic=True)

    def _fallen(
        self, metric: Metric, samples: Mapping[Values, float | Distribution], now: int
    ) -> Iterator[sdk.HistogramDataPoint]:
        for values, kept in samples.items():
            if isinstance(kept, Distribution):
                yield sdk.HistogramDataPoint(
                    attributes=_labels(metric, values),
                    start_time_unix_nano=self._began,
                    time_unix_nano=now,
                    count=sum(kept.counts),
                    sum=kept.sum,
                    bucket_counts=tuple(kept.counts),
                    explicit_bounds=metric.bounds,
                    min=None,  # type: ignore[arg-type]  # not known, and left out
                    max=None,  # type: ignore[arg-type]
                )


def _labels(metric: Metric, values: Values) -> dict[str, str]:
    return dict(zip(metric.labels, values, strict=True))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
