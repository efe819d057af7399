"""What a process tells a collector over OTLP/HTTP: on where the standard variables name one, off otherwise.

The processes call `exporting` around all they do. The SDK is loaded in there, and only where something is exported; it
is known to this folder alone.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal

from toolyard.errors import SettingsError
from toolyard.telemetry import tracing
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import Board
from toolyard.telemetry.sampling import sampler_of

#: Seconds that what is not exported yet has at the end of a process.
FLUSH: Final = 3.0
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
_INTERVAL: Final = "OTEL_METRIC_EXPORT_INTERVAL"
#: Milliseconds between two exports of metrics, where nobody says otherwise.
_USUAL_INTERVAL: Final = 60_000
Signal = Literal["traces", "metrics"]
log = logger("telemetry")


def wanted(signal: Signal, env: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for this.

    Raises:
        SettingsError: they ask for what is not there: another exporter, another protocol.
    """
    if env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    variable, endpoints = f"OTEL_{signal.upper()}_EXPORTER", (_of(signal, _ENDPOINT), _ENDPOINT)
    exporter = env.get(variable, "").strip() or "otlp"
    if exporter == "none" or not any(env.get(name) for name in endpoints):
        return False
    if exporter != "otlp":
        raise SettingsError(f"{variable}: there is no exporter {exporter!r} here; use otlp or none")
    name = next((name for name in (_of(signal, _PROTOCOL), _PROTOCOL) if env.get(name)), None)
    if name is not None and env[name] != "http/protobuf":
        raise SettingsError(f"{name}: there is no protocol {env[name]!r} here; use http/protobuf, or leave it out")
    for name in endpoints:
        if (url := env.get(name)) and not url.startswith(("http://", "https://")):
            raise SettingsError(f"{name}: is no URL of http or https, as in http://collector:4318")
    return True


def _of(signal: Signal, variable: str) -> str:
    """The name of a variable where it is for one signal alone."""
    return variable.replace("_OTLP_", f"_OTLP_{signal.upper()}_")


def interval_of(env: Mapping[str, str]) -> float:
    """Seconds between two exports of metrics.

    Raises:
        SettingsError: it is no number of milliseconds.
    """
    text = env.get(_INTERVAL, "").strip() or str(_USUAL_INTERVAL)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1_000_000_000):
        raise SettingsError(f"{_INTERVAL}: {text!r} is no number of milliseconds, as in {_USUAL_INTERVAL}")
    return int(text) / 1_000


@contextmanager
def exporting(service: str, instance: str, board: Board, *, messaging: str = "rabbitmq") -> Iterator[None]:
    """Export while this lasts, and at its end what is left, for at most `FLUSH` seconds.

    ``service`` names the process where ``OTEL_SERVICE_NAME`` does not, and ``instance`` it among those of that name;
    ``board`` shows its numbers, and ``messaging`` is what carries its messages. Called on the loop that counts.

    Raises:
        SettingsError: a variable of OpenTelemetry asks for what is not there.
    """
    ends: list[Callable[[], None]] = []
    every = interval_of(os.environ) if wanted("metrics", os.environ) else None
    if wanted("traces", os.environ):
        sampler = sampler_of(os.environ)
        from toolyard.telemetry.span_export import SpanExport  # here: it loads the SDK

        try:
            spans = SpanExport(service, instance)
        except ValueError as error:
            raise SettingsError(f"one of the variables OTEL_BSP_* is wrong: {error}") from None
        tracing.record(spans.take, sampler, messaging=messaging)
        ends.append(spans.close)
        log.info("traces are exported", sampler=str(sampler))
    if every is not None:
        from toolyard.telemetry.metric_export import MetricExport  # here: it loads the SDK

        ends.append(MetricExport(service, instance, board, every=every).close)
        log.info("metrics are exported", seconds=every)
    try:
        yield
    finally:
        tracing.record(None)
        _end(ends)


def _end(ends: list[Callable[[], None]]) -> None:
    """In threads that nobody waits for longer: a collector that is away does not hold up the end of a process."""
    threads = [threading.Thread(target=end, name="telemetry-flush", daemon=True) for end in ends]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(FLUSH)
    if any(thread.is_alive() for thread in threads):
        log.warning("not all that was recorded was exported", waited=FLUSH)
