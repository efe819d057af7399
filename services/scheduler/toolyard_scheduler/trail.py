"""What the ledger applies, in the log: for whoever has set the level ``debug`` for a tool or an org.

Called by `ledger`; where nobody wants it, nothing is done.
"""

from collections.abc import Sequence

from toolyard.contracts.calls import Call, CallMessage
from toolyard.contracts.control import Claim
from toolyard.contracts.events import CallEvent
from toolyard.telemetry import logs
from toolyard.telemetry.levels import LEVELS
from toolyard_scheduler.entries import Entry

log = logs.logger("ledger")


def applied(entries: Sequence[Entry]) -> None:
    """These were applied; records that do not say which tool they are about are not told."""
    if LEVELS.detail:
        for entry in entries:
            if (named := _named(entry)) is not None:
                log.debug(
                    "a record was applied", **logs.of(named), record=type(entry.content).__name__, offset=entry.offset
                )


def _named(entry: Entry) -> Call | CallEvent | Claim | None:
    content = entry.content
    if isinstance(content, CallMessage):
        return content.call
    return content if isinstance(content, CallEvent | Claim) else None
