"""What is counted, measured and shown: counters, gauges and histograms, and the board on which a process shows them.

A part takes its instruments from its `Board`, by the descriptions of `catalogue`. Counting is an addition in a dict;
what a number looks like to Prometheus (`exposition`) or to a collector (`export`) is worked out when somebody looks.
"""

import bisect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]
Part = Literal["gateway", "worker", "scheduler"]
Values = tuple[str, ...]

PARTS: Final[tuple[Part, ...]] = ("gateway", "worker", "scheduler")
#: All labels that may ever be: none of them tells users, calls or orgs apart.
LABELS: Final = frozenset(
    {
        *("answer", "circuit", "code", "level", "part", "pool", "provider", "queue", "reason"),
        *("result", "route", "state", "status", "to", "tool", "type", "version", "wall"),
    }
)
#: Upper bounds of the buckets of a histogram of seconds, where nothing else is said.
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
#: What is counted together once a label has too many values.
OTHERS: Final = "others"
#: Sets of labels that one instrument tells apart: a last net, as labels are bounded where they are chosen.
MOST: Final = 20_000

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Metric:
    """The description of one metric.

    Attributes:
        parts: the kinds of processes that show it.
        bounds: of a histogram's buckets, rising.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    parts: tuple[Part, ...] = PARTS
    bounds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name of a metric: lower case, digits and underscores")
        if not self.meaning or set(self.meaning) & set('\\"\n'):
            raise ValueError(f"{self.name}: its meaning is one line without quotes and backslashes")
        if (self.kind == "counter") != self.name.endswith("_total"):
            raise ValueError(f"{self.name}: the names of counters, and no others, end in _total")
        if unknown := set(self.labels) - LABELS:
            raise ValueError(f"{self.name}: the labels {sorted(unknown)} are not among those that may be: LABELS")
        if (self.kind == "histogram") != bool(self.bounds) or list(self.bounds) != sorted(set(self.bounds)):
            raise ValueError(f"{self.name}: a histogram, and nothing else, has bounds, rising")


@dataclass(slots=True)
class Distribution:
    """How often something fell into each bucket, the last of which has no upper bound; and its sum."""

    counts: list[int]
    sum: float = 0.0


class Reading(NamedTuple):
    """One number, as it stands; ``values`` are those of the labels, in their order."""

    metric: Metric
    values: Values
    value: float | Distribution


#: Asked whenever somebody looks; must not block.
Source = Callable[[], Iterable[Reading]]


class Counter:
    """Counts what only grows.

    Args:
        known: values of its labels that are shown as 0 before anything was counted, so that a first one is a rise.
    """

    def __init__(self, metric: Metric, known: Iterable[str | Values] = ()) -> None:
        self.metric = metric
        shown = [(each,) if isinstance(each, str) else each for each in known] if metric.labels else [()]
        self._counts: dict[Values, float] = dict.fromkeys(shown, 0)

    def add(self, *values: str, by: float = 1) -> None:
        """Count one, or so many."""
        try:
            self._counts[values] += by
        except KeyError:
            values = _room(values, self._counts, self.metric)
            self._counts[values] = self._counts.get(values, 0) + by

    def __call__(self) -> Iterator[Reading]:
        """The readings."""
        return (Reading(self.metric, values, count) for values, count in list(self._counts.items()))


class Histogram:
    """Counts how long, or how much, in buckets."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._bounds = metric.bounds
        self._kept: dict[Values, Distribution] = {}
        if not metric.labels:
            self._begin(())

    def observe(self, amount: float, *values: str) -> None:
        """Count one."""
        try:
            kept = self._kept[values]
        except KeyError:
            kept = self._begin(values)
        kept.counts[bisect.bisect_left(self._bounds, amount)] += 1
        kept.sum += amount

    def __call__(self) -> Iterator[Reading]:
        """The readings."""
        return (Reading(self.metric, values, kept) for values, kept in list(self._kept.items()))

    def _begin(self, values: Values) -> Distribution:
        values = _room(values, self._kept, self.metric)
        return self._kept.setdefault(values, Distribution([0] * (len(self._bounds) + 1)))


def _room(values: Values, kept: Mapping[Values, object], metric: Metric) -> Values:
    """These values, which are new; or those under which what has no room is counted together."""
    if len(values) != len(metric.labels):
        raise ValueError(f"{metric.name} has the labels {metric.labels}, and was given {len(values)} values")
    return values if len(kept) < MOST or not values else (OTHERS,) * len(values)


class Told:
    """Values of a label that are told apart, as many as there is room for; further ones are `OTHERS`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._told: set[str] = set()

    def name(self, value: str) -> str:
        """The value, or `OTHERS`."""
        if value in self._told:
            return value
        if len(self._told) >= self._most:
            return OTHERS
        self._told.add(value)
        return value


class Board:
    """The metrics of one process: what is on it is shown."""

    def __init__(self) -> None:
        self._sources: list[Source] = []
        self._shown: dict[str, Metric] = {}

    def counter(self, metric: Metric, known: Iterable[str | Values] = ()) -> Counter:
        """A counter that is shown from now on; see `Counter`."""
        counter = Counter(metric, known)
        self.watch(counter, metric)
        return counter

    def histogram(self, metric: Metric) -> Histogram:
        """A histogram that is shown from now on."""
        histogram = Histogram(metric)
        self.watch(histogram, metric)
        return histogram

    def ask(self, metric: Metric, question: Callable[[], float]) -> None:
        """Show what a function says: a metric without labels."""
        self.watch(lambda: (Reading(metric, (), question()),), metric)

    def watch(self, source: Source, *metrics: Metric) -> None:
        """Show what a source says of these metrics, and that they exist before it says anything."""
        self._sources.append(source)
        for metric in metrics:
            self._shown[metric.name] = metric

    def families(self) -> list[tuple[Metric, dict[Values, float | Distribution]]]:
        """All metrics by name, with what is to be said of each now. Of two that say the same, the later one counts."""
        found: dict[str, dict[Values, float | Distribution]] = {name: {} for name in self._shown}
        for source in self._sources:
            for metric, values, value in source():
                self._shown.setdefault(metric.name, metric)
                found.setdefault(metric.name, {})[values] = value
        return [(self._shown[name], found[name]) for name in sorted(found)]
