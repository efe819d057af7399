"""What Toolyard must reach, line by line: the target, what this run measured, and whether that is enough. Pure.

`run` hands it what was measured, round by round; a ratio is the median of the ratios of the rounds.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

Row = Mapping[str, float]
#: By subject: for each round what each phase measured.
Results = Mapping[str, Sequence[Mapping[str, Row]]]

OURS: Final = "toolyard"
POSTED: Final = "toolyard, POST /v1/calls"
DRAMATIQ: Final = "dramatiq + Redis results"
CELERY: Final = "Celery + rpc results"
C_PAIR: Final = "C pair"
#: What one call costs, without the ledger: a gateway (here the client is one), a worker, the broker.
_PATH: Final = ("cpu client", "cpu worker", "cpu broker")
_POSTED_PATH: Final = ("cpu gateway", "cpu worker", "cpu broker")
_LEDGER: Final = ("cpu ledger", "cpu store")


class Line(NamedTuple):
    """One line of the table; ``reached`` is None where it was not measured in this run."""

    what: str
    target: str
    measured: str
    reached: bool | None


class Sandbox(NamedTuple):
    """What `sandbox.py` measured: medians in milliseconds, and the memory of fifty calls at once in MiB."""

    pool: float
    fork: float
    at_once: float


def lines(results: Results, sandbox: Sandbox | None) -> list[Line]:
    """The whole table."""
    looked = _Looked(results)
    return [
        looked.times("no-op calls over AMQP, 256 in flight, calls/s", "noop@256", "calls/s", DRAMATIQ, at_least=5.0),
        looked.times("the same", "noop@256", "calls/s", CELERY, at_least=12.0),
        looked.times("the same", "noop@256", "calls/s", C_PAIR, at_least=0.5),
        looked.cost_beside(DRAMATIQ, at_most=1 / 3),
        looked.cost("`POST /v1/calls`, CPU a call but for the ledger", POSTED, "noop@256", _POSTED_PATH, at_most=0.6),
        looked.cost("ledger with PostgreSQL, CPU a call at full rate", OURS, "noop@256", _LEDGER, at_most=0.2),
        looked.lag(at_most=1.0),
        looked.times("50 ms upstream, 256 in flight, calls/s", "http@256", "calls/s", C_PAIR, at_least=0.8),
        looked.times("one in flight, p50", "noop@1", "p50", C_PAIR, at_most=2.0),
        looked.claimed_latency(at_most=3.0),
        looked.claimed_rate(at_least=1_500.0),
        *_sandbox(sandbox),
    ]


def table(found: Sequence[Line]) -> str:
    """As Markdown."""
    words = {True: "reached", False: "**missed**", None: "not measured"}
    rows = [f"| {line.what} | {line.target} | {line.measured} | {words[line.reached]} |" for line in found]
    return "\n".join(["| what | target | measured | |", "|---|---|---|---|", *rows])


class _Looked:
    def __init__(self, results: Results) -> None:
        self._results = results

    def times(
        self, what: str, phase: str, column: str, other: str, *, at_least: float = 0.0, at_most: float = 0.0
    ) -> Line:
        """Ours as a multiple of another one's."""
        bound = f"≥ {at_least:g}" if at_least else f"≤ {at_most:g}"
        target = f"{bound} x {other}"
        ratio = self._ratio(phase, other, lambda row: row[column])
        ours, theirs = self._middle(OURS, phase, column), self._middle(other, phase, column)
        if ratio is None or ours is None or theirs is None:
            return Line(what, target, "-", None)
        digits = 0 if column == "calls/s" else 2
        reached = ratio >= at_least if at_least else ratio <= at_most
        return Line(what, target, f"{ours:.{digits}f} to {theirs:.{digits}f}: {ratio:.2f} x", reached)

    def cost_beside(self, other: str, *, at_most: float) -> Line:
        """The CPU of our path beside all that another one uses."""
        what = "the same, CPU a call of gateway, worker and broker"
        target = f"≤ 1/3 of {other}"
        pairs = [(_sum(ours, _PATH), theirs["cpu"]) for ours, theirs in self._pairs("noop@256", other)]
        if not pairs:
            return Line(what, target, "-", None)
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        ours, theirs = (statistics.median(each) for each in zip(*pairs, strict=True))
        return Line(what, target, f"{ours:.3f} to {theirs:.3f} ms: {ratio:.2f} x", ratio <= at_most)

    def cost(self, what: str, subject: str, phase: str, columns: Sequence[str], *, at_most: float) -> Line:
        """CPU a call of some parts."""
        rows = self._rows(subject, phase)
        if not rows:
            return Line(what, f"≤ {at_most:g} ms", "-", None)
        spent = statistics.median(_sum(row, columns) for row in rows)
        return Line(what, f"≤ {at_most:g} ms", f"{spent:.3f} ms", spent <= at_most)

    def lag(self, *, at_most: float) -> Line:
        """How far the ledger was behind, at the worst moment of any round."""
        what, target = "ledger, longest lag at full rate", f"< {at_most:g} s"
        found = [row["lag"] for row in self._rows(OURS, "noop@256") if "lag" in row]
        return (
            Line(what, target, f"{max(found):.2f} s", max(found) < at_most) if found else Line(what, target, "-", None)
        )

    def claimed_latency(self, *, at_most: float) -> Line:
        """A call by claim beside one without, both alone."""
        what, target = "claimed path, one in flight, p50", f"≤ {at_most:g} x unclaimed"
        claimed, plain = self._middle(OURS, "claimed@1", "p50"), self._middle(OURS, "noop@1", "p50")
        if claimed is None or plain is None:
            return Line(what, target, "-", None)
        ratio = claimed / plain
        return Line(what, target, f"{claimed:.2f} to {plain:.2f} ms: {ratio:.2f} x", ratio <= at_most)

    def claimed_rate(self, *, at_least: float) -> Line:
        """How many calls are claimed in a second."""
        what, target = "claimed path, 256 in flight", f"≥ {at_least:,.0f} calls/s"
        rate = self._middle(OURS, "claimed@256", "calls/s")
        return Line(what, target, "-", None) if rate is None else Line(what, target, f"{rate:.0f}", rate >= at_least)

    def _rows(self, subject: str, phase: str) -> list[Row]:
        return [rows[phase] for rows in self._results.get(subject, ()) if phase in rows]

    def _middle(self, subject: str, phase: str, column: str) -> float | None:
        found = [row[column] for row in self._rows(subject, phase) if row[column] is not None]
        return statistics.median(found) if found else None

    def _pairs(self, phase: str, other: str) -> list[tuple[Row, Row]]:
        rounds = zip(self._results.get(OURS, ()), self._results.get(other, ()), strict=False)
        return [(ours[phase], theirs[phase]) for ours, theirs in rounds if phase in ours and phase in theirs]

    def _ratio(self, phase: str, other: str, value: Callable[[Row], float]) -> float | None:
        found = [value(ours) / value(theirs) for ours, theirs in self._pairs(phase, other)]
        return statistics.median(found) if found else None


def _sum(row: Row, columns: Sequence[str]) -> float:
    return sum(row.get(column, 0.0) for column in columns)


def _sandbox(found: Sandbox | None) -> list[Line]:
    call, crowd = "sandbox, all layers, p50 of a call", "sandbox, 50 calls at once"
    near, within = "within 3 ms of a bare fork", "≤ 1,024 MiB"
    if found is None:
        return [Line(call, near, "-", None), Line(crowd, within, "-", None)]
    took = f"{found.pool:.2f} to {found.fork:.2f} ms"
    return [
        Line(call, near, took, found.pool <= found.fork + 3.0),
        Line(crowd, within, f"{found.at_once:.0f} MiB", found.at_once <= 1024),
    ]
