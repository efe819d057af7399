"""The end of a function's log as Lambda gives it: what the function printed, and what it says of time and memory. Pure.

Called by `verdicts`. Lambda writes lines of its own between those of the function, as texts or, where the function logs
JSON, as JSON.
"""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any, Final

from toolyard_executors.outbound.cleaning import clean

#: Bytes of a log that is longer than what is given of it.
_WHOLE: Final = 4096
_MIB: Final = 1 << 20
_OWN: Final = re.compile(r"(?:START|END|REPORT) RequestId: |INIT_START |INIT_REPORT |XRAY TraceId: ")
_OWN_TYPES: Final = frozenset(
    {"platform.start", "platform.end", "platform.report", "platform.runtimeDone", "platform.initStart"}
    | {"platform.initRuntimeDone", "platform.initReport"}
)
_REPORT: Final = re.compile(r"REPORT RequestId: .*", re.DOTALL)
#: What a report says -> our word, and how much of ours one of it is.
_TEXTS: Final = {
    "run_seconds": (re.compile(r"(?<!\w )Duration: ([0-9.]+) ms"), 0.001),
    "billed_seconds": (re.compile(r"Billed Duration: ([0-9.]+) ms"), 0.001),
    "init_seconds": (re.compile(r"(?:Init|Restore) Duration: ([0-9.]+) ms"), 0.001),
    "memory_limit_bytes": (re.compile(r"Memory Size: ([0-9]+) MB"), _MIB),
    "peak_memory_bytes": (re.compile(r"Max Memory Used: ([0-9]+) MB"), _MIB),
}
_FIELDS: Final = {
    "run_seconds": ("durationMs", 0.001),
    "billed_seconds": ("billedDurationMs", 0.001),
    "init_seconds": ("initDurationMs", 0.001),
    "memory_limit_bytes": ("memorySizeMB", _MIB),
    "peak_memory_bytes": ("maxMemoryUsedMB", _MIB),
}
#: More than any of these can be; what is more is not believed.
_MOST: Final = 1 << 50


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a log.

    Attributes:
        logs: what the function printed.
        numbers: by the names of `toolyard.contracts.calls.Report`; those that are not there are left out.
    """

    logs: str
    numbers: dict[str, Any]


NOTHING: Final = Tail("", {})


def read_tail(encoded: str | None) -> Tail:
    """What the end of a log says, as it comes with an answer (base64)."""
    if not encoded:
        return NOTHING
    try:
        raw = base64.b64decode(encoded)
    except (binascii.Error, ValueError):
        return NOTHING
    text = raw.decode(errors="replace")
    if len(raw) >= _WHOLE:  # it is cut, and the first line may hold the end of a secret, which nobody would find
        _, _, text = text.partition("\n")
    kept: list[str] = []
    numbers: dict[str, Any] = {}
    for line in text.splitlines():  # a runtime ends the lines of a traceback by \r, so that they stay together
        numbers = _numbers(line) or numbers  # the last one is Lambda's own, whatever the function printed before
        if not _is_own(line):
            kept.append(f"{line}\n")
    return Tail(clean("".join(kept)), numbers)


def _is_own(line: str) -> bool:
    if _OWN.match(line):
        return True
    record = _record(line)
    return record is not None and record.get("type") in _OWN_TYPES


def _numbers(line: str) -> dict[str, Any]:
    if _REPORT.match(line):
        found = {name: (pattern.search(line), scale) for name, (pattern, scale) in _TEXTS.items()}
        return _scaled({name: (match and float(match[1]), scale) for name, (match, scale) in found.items()})
    record = _record(line)
    if record is None or record.get("type") != "platform.report":
        return {}
    inner = record.get("record")
    metrics = inner.get("metrics") if isinstance(inner, dict) else None
    if not isinstance(metrics, dict):
        return {}
    return _scaled({name: (metrics.get(field), scale) for name, (field, scale) in _FIELDS.items()})


def _scaled(found: dict[str, tuple[Any, float]]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for name, (value, scale) in found.items():
        if type(value) in (int, float) and 0 <= value < _MOST:
            numbers[name] = int(value * scale) if name.endswith("_bytes") else round(value * scale, 6)
    return numbers


def _record(line: str) -> dict[str, Any] | None:
    if not line.startswith("{") or '"platform.' not in line:
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
