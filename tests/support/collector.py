"""A receiver of OTLP over HTTP, as a process: it decodes what it gets with the official protos, and tells what it has.

Used by the tests of telemetry and by the benchmark: ``python -m tests.support.collector PORT``. It knows nothing of the
project. `GET /spans` is a JSON list of spans, `GET /metrics-seen` the names of metrics, `GET /raw` all that came.
"""

import gzip
import json
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanProto
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from tests.support.processes import Process, free_port, python_module
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Span:
    """A span as it was received.

    Attributes:
        service: the name of who recorded it; ``resource`` is all that is known of that.
        links: the ids of the linked spans, all of the same trace.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: str
    service: str
    start: int
    end: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    failed: bool = False
    events: tuple[tuple[str, dict[str, Any]], ...] = ()
    links: Sequence[str] = ()
    scope: str = ""


class Collector:
    """The process, and what is asked of it; a context manager."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_port()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def env(self, **more: str) -> dict[str, str | None]:
        """The variables that have a process export everything to it, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_TRACES_SAMPLER": "parentbased_always_on",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            **more,
        }

    def start(self) -> Self:
        self._process = Process(python_module("tests.support.collector", str(self.port)), cwd=ROOT)
        self._process.wait_for_http(f"{self.url}/spans", status=200)
        return self

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def spans(self, trace_id: str = "") -> list[Span]:
        """All spans, or those of a trace, in the order of their beginnings."""
        found = httpx.get(f"{self.url}/spans", params={"trace": trace_id}, trust_env=False).raise_for_status().json()
        return sorted(map(_read, found), key=lambda span: span.start)

    def trace(self, trace_id: str, names: Iterable[str], within: float = 60) -> dict[str, list[Span]]:
        """The spans of a trace by name, once there are as many of each as these names say."""
        wanted = sorted(names)
        seen: list[Span] = []

        def look() -> bool:
            seen[:] = self.spans(trace_id)
            return len(seen) >= len(wanted) and not _missing(wanted, seen)

        wait_until(look, within=within, what=lambda: f"the spans {_missing(wanted, seen)}; there are {_names(seen)}")
        by_name: dict[str, list[Span]] = {}
        for span in seen:
            by_name.setdefault(span.name, []).append(span)
        return by_name

    def raw(self) -> bytes:
        """Everything that was received, as it came."""
        return httpx.get(f"{self.url}/raw", trust_env=False).raise_for_status().content

    def metrics(self) -> set[str]:
        """The names of the metrics that were received."""
        return set(httpx.get(f"{self.url}/metrics-seen", trust_env=False).raise_for_status().json())


def _read(told: dict[str, Any]) -> Span:
    events = tuple((name, attributes) for name, attributes in told.pop("events"))
    return Span(**told, events=events)


def _missing(wanted: Sequence[str], seen: Iterable[Span]) -> list[str]:
    left = list(wanted)
    for span in seen:
        if span.name in left:
            left.remove(span.name)
    return left


def _names(seen: Iterable[Span]) -> list[str]:
    return [span.name for span in seen]


# ---- the process --------------------------------------------------------------------------------
@dataclass
class _Received:
    lock: threading.Lock = field(default_factory=threading.Lock)
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def spans(self, trace_id: str) -> list[dict[str, Any]]:
        every = (span for request in self.traces for group in request.resource_spans for span in _spans(group))
        return [span for span in every if trace_id in ("", span["trace_id"])]

    def names_of_metrics(self) -> list[str]:
        groups = (group for request in self.metrics for group in request.resource_metrics)
        return sorted({metric.name for group in groups for scope in group.scope_metrics for metric in scope.metrics})


_received = _Received()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.headers["Content-Type"] == "application/x-protobuf"
        with _received.lock:
            _received.bodies.append(body)
        if self.path == "/v1/traces":
            with _received.lock:
                _received.traces.append(ExportTraceServiceRequest.FromString(body))
            self._answer(ExportTraceServiceResponse().SerializeToString(), "application/x-protobuf")
        elif self.path == "/v1/metrics":
            with _received.lock:
                _received.metrics.append(ExportMetricsServiceRequest.FromString(body))
            self._answer(ExportMetricsServiceResponse().SerializeToString(), "application/x-protobuf")
        else:
            self.send_error(404)

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        wanted = query.removeprefix("trace=")
        with _received.lock:
            told: Any = {
                "/spans": lambda: _received.spans(wanted),
                "/metrics-seen": _received.names_of_metrics,
                "/raw": lambda: b"".join(_received.bodies),
            }[path]()
        self._answer(told if isinstance(told, bytes) else json.dumps(told).encode(), "application/json")

    def log_message(self, *_: object) -> None:
        """Nothing is told."""

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _spans(group: Any) -> Iterable[dict[str, Any]]:
    resource = _attributes(group.resource.attributes)
    for scope in group.scope_spans:
        for span in scope.spans:
            yield _span(span) | {
                "service": resource.get("service.name", ""),
                "resource": resource,
                "scope": scope.scope.name,
            }


def _span(span: Any) -> dict[str, Any]:
    assert all(link.trace_id == span.trace_id for link in span.links)
    return {
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex(),
        "name": span.name,
        "kind": SpanProto.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "attributes": _attributes(span.attributes),
        "failed": span.status.code == Status.STATUS_CODE_ERROR,
        "events": [[event.name, _attributes(event.attributes)] for event in span.events],
        "links": [link.span_id.hex() for link in span.links],
    }


def _attributes(found: Iterable[KeyValue]) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in found}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return None if kind is None else getattr(value, kind)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
