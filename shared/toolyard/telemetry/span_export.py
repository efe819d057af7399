"""Ended spans in the words of the SDK, and to its batch processor, which sends them. Loads the SDK; see `export`."""

import logging
import time
from functools import lru_cache
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from toolyard import __version__
from toolyard.telemetry.logs import logger
from toolyard.telemetry.resource import resource_of
from toolyard.telemetry.tracing import Span

_KINDS: Final = {kind.name.lower(): kind for kind in SpanKind}
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_SCOPE: Final = InstrumentationScope("toolyard", __version__)
_WELL: Final = Status(StatusCode.UNSET)
_FAILED: Final = Status(StatusCode.ERROR)
#: Seconds between two warnings of what the SDK says.
_EVERY: Final = 60.0
#: Characters of it.
_SAID: Final = 300
log = logger("telemetry")


class SpanExport:
    """Sends ended spans in batches, from a thread of its own; its queue is bounded, and what is too much is lost."""

    def __init__(self, service: str, instance: str) -> None:
        self._resource = resource_of(service, instance)
        self._processor = BatchSpanProcessor(OTLPSpanExporter())
        speak_seldom()

    def take(self, span: Span) -> None:
        """Queue a span; never waits."""
        self._processor.on_end(self._readable(span))

    def close(self) -> None:
        """Send what is left; waits for that."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: Span) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=_context(span.traceparent),
            parent=_context(span.parent, remote=span.kind in ("server", "consumer")) if span.parent else None,
            resource=self._resource,
            attributes=span.attributes,
            events=[Event(name, attributes, at) for at, name, attributes in span.events],
            links=[Link(_context(link, remote=True)) for link in span.links],
            kind=_KINDS[span.kind],
            status=_FAILED if span.error else _WELL,
            start_time=span.started_at,
            end_time=span.ended_at,
            instrumentation_scope=_SCOPE,
        )


def _context(traceparent: str, *, remote: bool = False) -> SpanContext:
    return SpanContext(int(traceparent[3:35], 16), int(traceparent[36:52], 16), remote, _SAMPLED)


@lru_cache(maxsize=1)
def speak_seldom() -> None:
    """Let the SDK's loggers speak through ours, and not more than once a minute."""
    theirs = logging.getLogger("opentelemetry")
    theirs.addHandler(_Seldom(logging.WARNING))
    theirs.propagate = False


class _Seldom(logging.Handler):
    """Tells of what the SDK says once a minute, and how often it spoke."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._next, self._times = 0.0, 0

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`."""
        self._times += 1
        if (now := time.monotonic()) >= self._next:
            said = record.getMessage()[:_SAID]
            log.warning("telemetry is not exported", reason=said, times=self._times)
            self._next, self._times = now + _EVERY, 0
