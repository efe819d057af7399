"""What a worker noted of a call, for people: what the tool printed, and what it used."""

from collections.abc import Iterator
from textwrap import indent
from typing import Any, Final

from toolyard.cli.output import Output

#: Lines of what a tool printed that are shown where somebody looks at its answer.
_SHOWN: Final = 20
_KIB: Final = 1024


def rows(call: dict[str, Any]) -> list[tuple[str, object]]:
    """Names and values for the view of one call."""
    report = call.get("report") or {}
    return [
        ("isolation", report.get("isolation")),
        ("request", report.get("request_id")),
        ("ran version", report.get("executed_version")),
        ("used", ", ".join(_used(report))),
        ("logs", _logs(report)),
    ]


def say_logs(out: Output, call: dict[str, Any]) -> None:
    """The last lines of what a tool printed, beside its answer."""
    lines = _logs(call.get("report") or {}).splitlines()
    if not lines:
        return
    if (more := len(lines) - _SHOWN) > 0:
        out.say(f"It printed {len(lines)} lines (all of them: `toolyard calls get {call['call_id']}`), last:")
    else:
        out.say("It printed:")
    out.say(indent("\n".join(lines[max(more, 0) :]), "  "))


def _logs(report: dict[str, Any]) -> str:
    return str(report.get("logs") or "").rstrip()


def _used(report: dict[str, Any]) -> Iterator[str]:
    for name, what in (("cpu_seconds", "of CPU"), ("run_seconds", "of running"), ("init_seconds", "of starting")):
        if (seconds := report.get(name)) is not None:
            yield f"{_time(seconds)} {what}"
    if (seconds := report.get("billed_seconds")) is not None:
        yield f"{_time(seconds)} billed"
    if (peak := report.get("peak_memory_bytes")) is not None:
        limit = report.get("memory_limit_bytes")
        yield f"{_size(peak)} of memory" if limit is None else f"{_size(peak)} of {_size(limit)} of memory"
    if (output := report.get("output_bytes")) is not None:
        yield f"{_size(output)} of output"
    if (requests := report.get("requests")) is not None:
        yield "1 request" if requests == 1 else f"{requests} requests"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _size(number: int) -> str:
    if number < _KIB:
        return f"{number} bytes"
    return f"{number / _KIB:.1f} KiB" if number < _KIB**2 else f"{number / _KIB**2:.1f} MiB"
