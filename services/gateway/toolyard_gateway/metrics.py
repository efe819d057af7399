"""What this gateway counts, as Prometheus text. Written to by the edge, read by `/metrics`."""

from collections import Counter
from collections.abc import Callable
from typing import Final

KIND: Final = "text/plain; version=0.0.4; charset=utf-8"
Gauge = Callable[[], float]


class Metrics:
    """A few counters by label, and gauges that are asked when somebody looks."""

    def __init__(self) -> None:
        self._counters: Counter[tuple[str, str]] = Counter()
        self._gauges: dict[str, tuple[str, Gauge]] = {}

    def gauge(self, name: str, meaning: str, ask: Gauge) -> None:
        """Show what ``ask`` says."""
        self._gauges[name] = (meaning, ask)

    def accepted(self) -> None:
        """A call was accepted."""
        self._counters["toolyard_gateway_calls_accepted_total", ""] += 1

    def refused(self, code: str) -> None:
        """A request was refused."""
        self._counters["toolyard_gateway_refused_total", f'{{code="{code}"}}'] += 1

    def cut_off(self, followers: int) -> None:
        """Followers of live events were too slow."""
        self._counters["toolyard_gateway_followers_cut_off_total", ""] += followers

    def text(self) -> str:
        """All of it."""
        lines = []
        for name in sorted({name for name, _ in self._counters}):
            lines.append(f"# TYPE {name} counter")
            lines += [f"{name}{label} {count}" for (one, label), count in sorted(self._counters.items()) if one == name]
        for name, (meaning, ask) in self._gauges.items():
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge", f"{name} {ask():g}"]
        return "\n".join([*lines, ""])
