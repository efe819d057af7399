"""A clock of this process that a test sets forward: for what happens minutes or hours later."""

from toolyard.clock import SYSTEM


class SetForward:
    """The system's clock, set forward by a test."""

    def __init__(self) -> None:
        self.by = 0.0

    def now(self) -> float:
        return SYSTEM.now() + self.by

    def monotonic(self) -> float:
        return SYSTEM.monotonic() + self.by
