"""What every drill is made of: its load, the proof that the fault hit work under way, its end and its row.

`drills` holds the drills themselves; `run` and the tests call `run_drill`.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.checker import Verdict, judge, log_ends, settled
from tests.chaos.load import Load
from tests.chaos.yard import Yard

#: Seconds after the load's end in which every call must have ended.
SETTLE: Final = 60.0


@dataclass
class Row:
    """One line of the table."""

    drill: str
    calls: int
    in_flight: int
    lost: int
    doubled: int
    outcome_unknown: int
    recovery: float | None
    seconds: float
    failures: list[str] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        return not self.failures


@dataclass
class Drill:
    """A drill on its way: the drill's function fills it, `finish` judges it.

    Attributes:
        short: fewer calls and shorter faults, for the short selection.
        in_flight: calls that were under way when the fault hit; the largest of several faults.
        recovery: seconds from the end of the fault to the first success of a call made after it.
        explained: error codes that the fault explains.
        log_lost: the fault takes records of the log.
        wants_late: the fault makes outcomes come after the end of their calls; if none does, it proves nothing.
    """

    name: str
    yard: Yard
    seed: int
    short: bool
    in_flight: int = 0
    recovery: float | None = None
    explained: tuple[str, ...] = ()
    wants_late: bool = False
    log_lost: bool = False
    failures: list[str] = field(default_factory=list)
    load: Load | None = None

    @contextlib.contextmanager
    def under_load(self, *, calls: int, in_flight: int, **plan: Any) -> Iterator[Load]:
        """The load runs inside the `with`; at its end all that was sent is followed to its end."""
        with self.yard.load(self.name, self.seed, calls=calls, in_flight=in_flight, **plan) as load:
            self.load = load
            yield load
            load.join()

    def hit(self, number: int, what: str) -> None:
        """The fault comes now, upon so many calls under way; a fault that hits nothing proves nothing."""
        if number <= 0:
            raise AssertionError(f"the fault of {self.name} hit nothing: no {what}")
        self.in_flight = max(self.in_flight, number)

    def recovered(self, *, stored: bool = False, gateway: str = "gateway1") -> None:
        """The fault is over now: measure the time to the first success; of several, the longest counts."""
        self.recovery = max(self.recovery or 0.0, self.yard.first_success(stored=stored, gateway=gateway))

    def must(self, held: object, what: str) -> None:
        """A promise of this drill beside the laws of all."""
        if not held:
            self.failures.append(what)


Act = Callable[[Drill], None]


def run_drill(name: str, act: Act, yard: Yard, seed: int, *, short: bool) -> Row:
    """Make the yard whole, run one drill, and judge it."""
    yard.heal()
    yard.complaints()
    begun = time.monotonic()
    drill = Drill(name, yard, seed, short)
    act(drill)
    yard.heal()
    verdict, failures = _judge(drill)
    load = drill.load
    return Row(
        drill=name,
        calls=0 if load is None else load.sent,
        in_flight=drill.in_flight,
        lost=len(verdict.lost),
        doubled=len(verdict.doubled) + len(verdict.two_ends),
        outcome_unknown=verdict.outcome_unknown,
        recovery=drill.recovery,
        seconds=time.monotonic() - begun,
        failures=failures,
        codes=dict(verdict.codes.most_common()),
    )


def _judge(drill: Drill) -> tuple[Verdict, list[str]]:
    yard, load = drill.yard, drill.load
    if load is None:
        raise AssertionError(f"{drill.name} had no load")
    with yard.system.client("gateway2") as client:
        stored = settled(client, load.plan.name, load.attempts, within=SETTLE)
    ends, effects = log_ends(yard.node.url()), yard.upstream.effects_file
    verdict = judge(load.attempts, stored, ends, effects, explained=drill.explained, log_lost=drill.log_lost)
    drill.must(verdict.late or not drill.wants_late, "no outcome came late")
    return verdict, [*drill.failures, *verdict.failures(), *yard.complaints()]


HEADER: Final = (
    "drill",
    "calls",
    "in flight at the fault",
    "lost",
    "doubled",
    "outcome_unknown",
    "seconds to recovery",
)


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [HEADER, tuple("---" for _ in HEADER), *(cells(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(row: Row) -> tuple[str, ...]:
    """A row as it is printed."""
    recovery = "-" if row.recovery is None else f"{row.recovery:.2f}"
    counts = (row.calls, row.in_flight, row.lost, row.doubled, row.outcome_unknown)
    return row.drill.replace("_", " "), *(str(count) for count in counts), recovery
