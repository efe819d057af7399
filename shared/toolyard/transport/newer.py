"""What a newer minor version says and this build does not know: it is passed over, and told once.

Used by all who read messages of more than one kind. What must not be passed over is of another major version.
"""

from typing import Final

from toolyard.errors import UnknownKind
from toolyard.telemetry.logs import logger

#: Kinds that are told of; whoever signs our messages may make up any number.
_MOST: Final = 100
log = logger("transport")


class NewerKinds:
    """The kinds of messages that one reader has passed over."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def passed_over(self, error: UnknownKind) -> None:
        """Tell of this one, if it is the first of its kind."""
        kind = str(error)
        if kind not in self._told and len(self._told) < _MOST:
            self._told.add(kind)
            log.info("what only newer versions know is passed over", kind=kind)
