"""Metrics as text: the format of Prometheus, and OpenMetrics for whoever asks for it. Pure; called by `/metrics`."""

from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from toolyard.telemetry.metrics import Board, Distribution, Metric, Values

PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_SPECIAL: Final = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}
_WANTED: Final = "application/openmetrics-text"


def answer(board: Board, accept: str = "") -> tuple[str, str]:
    """Media type and text, in the form that an ``Accept`` header asks for."""
    if _wants_openmetrics(accept):
        return OPENMETRICS, openmetrics(board)
    return PROMETHEUS, prometheus(board)


def prometheus(board: Board) -> str:
    """All metrics, in the format 0.0.4."""
    lines: list[str] = []
    for metric, samples in board.families():
        lines += _head(metric, metric.name)
        for values, value in samples.items():
            lines += _lines(metric, values, value)
    return "\n".join([*lines, ""])


def openmetrics(board: Board) -> str:
    """All metrics, in the format OpenMetrics 1.0: a counter's family has no ``_total``, and the end is marked."""
    lines: list[str] = []
    for metric, samples in board.families():
        lines += _head(metric, metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name)
        for values, value in samples.items():
            lines += _lines(metric, values, value)
    return "\n".join([*lines, "# EOF", ""])


def _wants_openmetrics(accept: str) -> bool:
    for each in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in each.split(";"))
        if kind == _WANTED and not any(word.replace("0", "").rstrip(".") == "q=" for word in parameters):
            return True
    return False


def _head(metric: Metric, family: str) -> Iterator[str]:
    yield f"# HELP {family} {metric.meaning}"
    yield f"# TYPE {family} {metric.kind}"


def _lines(metric: Metric, values: Values, value: float | Distribution) -> Iterator[str]:
    labels = [f'{name}="{_escaped(said)}"' for name, said in zip(metric.labels, values, strict=True)]
    if not isinstance(value, Distribution):
        yield f"{metric.name}{_braced(labels)} {number(value)}"
        return
    totals = list(accumulate(value.counts))
    for bound, total in zip((*map(_bound, metric.bounds), "+Inf"), totals, strict=True):
        within = [*labels, f'le="{bound}"']
        yield f"{metric.name}_bucket{_braced(within)} {total}"
    yield f"{metric.name}_sum{_braced(labels)} {number(value.sum)}"
    yield f"{metric.name}_count{_braced(labels)} {totals[-1]}"


def _braced(labels: list[str]) -> str:
    return f"{{{','.join(labels)}}}" if labels else ""


def _bound(bound: float) -> str:
    """As OpenMetrics wants it: ``1.0``, not ``1``."""
    return repr(float(bound))


def number(value: float) -> str:
    """A number, exactly."""
    if isinstance(value, int):
        return str(int(value))  # of True and False as well
    return _SPECIAL.get(str(value)) or repr(value)


def _escaped(said: str) -> str:
    """As it may stand between quotes."""
    return said.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
