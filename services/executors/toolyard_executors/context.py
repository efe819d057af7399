"""What a running attempt may see and do: its call, its tool, its time, its secrets. Handed to a kind by `runtime`."""

from collections.abc import Callable
from typing import Any

from toolyard.clock import Clock
from toolyard.contracts.calls import Call
from toolyard.contracts.tools import PinnedTool
from toolyard.security.redaction import NOTHING, Redactor
from toolyard.telemetry.tracing import Span
from toolyard.templates import SecretMissing
from toolyard_executors.progress import Said

#: The value of an org's secret, or None where there is none of that name.
GetSecret = Callable[[str, str], str | None]


class Attempt:
    """One try of a call by this worker.

    Attributes:
        call: what was asked for.
        tool: its pinned version.
        plan: what the kind's ``prepare`` made of the tool.
        number: 1 for the first attempt.
        ends_at: when it must be over, on the monotonic clock.
        touched: whether the world may have seen something of it.
        span: of the run, where its trace is recorded; ``call`` has its context then.
        hear: is told how far it has come; None where nobody wants to know.
    """

    __slots__ = (
        *("_clock", "_get_secret", "_given", "_redactor"),
        *("call", "ends_at", "hear", "number", "plan", "span", "tool", "touched"),
    )

    def __init__(
        self,
        *,
        call: Call,
        tool: PinnedTool,
        plan: Any,
        number: int,
        ends_at: float,
        clock: Clock,
        get_secret: GetSecret,
    ) -> None:
        self.call = call
        self.tool = tool
        self.plan = plan
        self.number = number
        self.ends_at = ends_at
        self.touched = False
        self.span: Span | None = None
        self.hear: Callable[[Said], None] | None = None
        self._clock = clock
        self._get_secret = get_secret
        self._given: dict[str, str] = {}
        self._redactor: Redactor | None = NOTHING

    @property
    def remaining(self) -> float:
        """Seconds that are left."""
        return self.ends_at - self._clock.monotonic()

    def reached_out(self) -> None:
        """From here on the world may see something of this attempt."""
        self.touched = True

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Tell followers how far it has come; whoever says so waits for nothing, and may say it often."""
        if (hear := self.hear) is not None:
            hear(Said(done, total, message))

    def secret(self, name: str) -> str:
        """The value of a secret of the call's org; remembered, so that it is redacted from the outcome.

        Raises:
            SecretMissing: there is none of that name.
        """
        value = self._get_secret(self.call.org, name)
        if value is None:
            raise SecretMissing(name)
        if self._given.get(name) != value:
            self._given[name] = value
            self._redactor = None
        return value

    def part_of_secret(self, name: str, part: str, value: str) -> None:
        """A part of a secret's value that others may tell alone: it is redacted as well, as ``NAME.part``."""
        self._given[f"{name}.{part}"] = value
        self._redactor = None

    @property
    def redactor(self) -> Redactor:
        """Takes out the values of all secrets given out so far."""
        if self._redactor is None:
            self._redactor = Redactor(self._given)
        return self._redactor
