"""What a worker counts, as Prometheus text: by pool and tool, never by user. Written to by `runtime`."""

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from toolyard.contracts.calls import Call
from toolyard.contracts.events import End, end_state

#: Upper bounds of the buckets, in seconds.
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
#: Tools that are told apart; further ones are counted together, so that a worker's memory is bounded.
TOOLS_TOLD: Final = 500
_OTHERS: Final = "others"


class Histogram:
    """How long something took, in buckets."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect.bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """The lines of one set of labels."""
        total = 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {total}'
        yield f"{name}_sum{{{labels}}} {self._sum:.6f}"
        yield f"{name}_count{{{labels}}} {total}"


class Metrics:
    """The numbers of one worker process. They are counted by plain tuples and written out when somebody looks."""

    def __init__(self) -> None:
        self._ended: Counter[tuple[str, ...]] = Counter()
        self._failed: Counter[tuple[str, ...]] = Counter()
        self._quarantined: Counter[tuple[str, ...]] = Counter()
        self._took: defaultdict[tuple[str, ...], Histogram] = defaultdict(Histogram)
        self._waited: defaultdict[tuple[str, ...], Histogram] = defaultdict(Histogram)
        self._answers: Counter[tuple[str, ...]] = Counter()
        self._asked: defaultdict[tuple[str, ...], Histogram] = defaultdict(Histogram)
        self._tools: set[tuple[str, str]] = set()

    def quarantined(self, pool: str) -> None:
        """A message was none of ours."""
        self._quarantined[(pool,)] += 1

    def answered(self, pool: str, answer: str, seconds: float) -> None:
        """A claim was answered, or given up without an answer, after so many seconds."""
        self._answers[pool, answer] += 1
        self._asked[(pool,)].observe(seconds)

    def ended(self, call: Call, end: End) -> None:
        """An attempt ended, or a call did without one."""
        pool, tool = call.pool, self._tool(call)
        self._ended[pool, tool, end_state(end)] += 1
        if end.error is not None:
            self._failed[pool, tool, end.error.code] += 1
        if end.started_at is not None:
            self._took[pool, tool].observe(max(0.0, end.finished_at - end.started_at))
            self._waited[(pool,)].observe(max(0.0, end.started_at - call.accepted_at))

    def text(self, *, running: int, waiting: int, clock_offset: float = 0.0) -> str:
        """All of it; ``waiting`` for the ledger's answer to a repeated claim, ``clock_offset`` as in `WorkerClock`."""
        lines = ["# TYPE toolyard_worker_running gauge", f"toolyard_worker_running {running}"]
        lines += ["# TYPE toolyard_worker_waiting gauge", f"toolyard_worker_waiting {waiting}"]
        lines += ["# TYPE toolyard_worker_clock_offset_seconds gauge"]
        lines += [f"toolyard_worker_clock_offset_seconds {clock_offset:.3f}"]
        lines += _counter("tool_executions_total", ("pool", "tool", "state"), self._ended)
        lines += _counter("tool_execution_failures_total", ("pool", "tool", "code"), self._failed)
        lines += _counter("toolyard_worker_quarantined_total", ("pool",), self._quarantined)
        lines += _counter("toolyard_claims_total", ("pool", "answer"), self._answers)
        lines += _histogram("toolyard_claim_seconds", ("pool",), self._asked)
        lines += _histogram("tool_execution_duration_seconds", ("pool", "tool"), self._took)
        lines += _histogram("toolyard_queue_wait_seconds", ("pool",), self._waited)
        return "\n".join([*lines, ""])

    def _tool(self, call: Call) -> str:
        key = call.pool, call.tool
        if key not in self._tools:
            if len(self._tools) >= TOOLS_TOLD:
                return _OTHERS
            self._tools.add(key)
        return call.tool


def _counter(name: str, labels: tuple[str, ...], counts: Mapping[tuple[str, ...], int]) -> Iterator[str]:
    yield f"# TYPE {name} counter"
    for values, count in counts.items():
        yield f"{name}{{{_labels(labels, values)}}} {count}"


def _histogram(name: str, labels: tuple[str, ...], kept: Mapping[tuple[str, ...], Histogram]) -> Iterator[str]:
    yield f"# TYPE {name} histogram"
    for values, histogram in kept.items():
        yield from histogram.lines(name, _labels(labels, values))


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in zip(names, values, strict=True))
