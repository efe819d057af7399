"""Records of the log into verified entries. What does not verify or decode is told and passed over, never in the way.

Used by the ledger, and by the relay where it reads again. What is not believed the ledger has put away: of some
messages it is the only reader.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from toolyard.contracts.calls import CallMessage
from toolyard.contracts.control import Cancel, LedgerPosition, LogLevelSet, Pause, Resume, control_name
from toolyard.errors import BadSignature, ContractError, UnknownKind
from toolyard.telemetry.logs import logger
from toolyard.transport import topology
from toolyard.transport.base import Record
from toolyard.transport.envelope import Envelope
from toolyard.transport.replays import Remembered, replayed
from toolyard.transport.trust import pool_of
from toolyard_scheduler.entries import Content, Entry

_POSITION: Final = "ledger_position"
#: Control messages that the ledger acts on; what it said itself and what is for others is not even opened.
_HEEDED: Final = frozenset(
    {
        "authorization_asked",
        "authorized",
        "claim",
        "released",
        "settled",
        "cancel",
        "pause",
        "resume",
        "pauses_asked",
        "log_level",
        _POSITION,
    }
)
#: Those that have an effect each time that they come, and seconds by which they may be older than the records before.
_MUST_BE_FRESH: Final = (Pause, Resume, Cancel)
STALE: Final = 600.0
#: Those whose sender waits for an answer, or for an end.
_URGENT: Final = tuple(f"control.{word}." for word in ("authorized", "cancel", "claim", "pauses_asked", "settled"))
log = logger("ledger")


@dataclass(slots=True)
class Opened:
    """What some records were.

    Attributes:
        entries: those that the ledger acts on.
        positions: what schedulers said of their own place, each with the offset of that record.
        times: offset and time of each accepted call: gateways publish at once, so these tell what time it is.
        before: the time of the newest record before these; 0 where none is known.
        levels: what is to be logged from now on.
        newest: the time of the newest record; 0 where none tells one.
        passed_over: how many did not verify or decode.
        refused: those of them that are not believed, and why.
        newer: what only newer versions know; not counted.
    """

    entries: list[Entry] = field(default_factory=list)
    positions: list[tuple[int, LedgerPosition]] = field(default_factory=list)
    times: list[tuple[int, float]] = field(default_factory=list)
    before: float = 0.0
    levels: list[LogLevelSet] = field(default_factory=list)
    newest: float = 0.0
    passed_over: int = 0
    refused: list[tuple[Record, BadSignature]] = field(default_factory=list)
    newer: list[UnknownKind] = field(default_factory=list)

    def newest_after(self, before: float, now: float) -> float:
        """The time of the newest record up to these. A clock that is ahead of ours hides no lag of the ledger."""
        return min(max(self.newest, before), now)


def is_urgent(record: Record) -> bool:
    """Whether somebody waits for what the ledger makes of it."""
    return record.key.startswith(_URGENT)


def open_records(envelope: Envelope, records: Sequence[Record], into: Opened, seen: Remembered | None = None) -> None:
    """Verify and decode these records, in order; one whose id was ``seen`` in another record is not believed."""
    for record in records:
        try:
            _open(envelope, record, into, seen)
        except UnknownKind as error:
            into.newer.append(error)
        except ContractError as error:
            into.passed_over += 1
            if isinstance(error, BadSignature):
                into.refused.append((record, error))
            if into.passed_over == 1:  # one line a batch: a flood of bad records must not become a flood of lines
                log.warning(
                    "a record of the log was passed over", offset=record.offset, key=record.key, reason=str(error)
                )


def _open(envelope: Envelope, record: Record, into: Opened, seen: Remembered | None) -> None:
    if record.exchange == topology.EVENTS:
        events = envelope.open_events(record)
        _check_first(envelope, record, seen)
        for place, event in enumerate(events):
            into.entries.append(Entry(record.offset, record.message_id, event, place))
            into.newest = max(into.newest, event.time)
    elif record.exchange == topology.CALLS:
        message: CallMessage = envelope.open_call(record)
        _check_first(envelope, record, seen)
        into.entries.append(Entry(record.offset, record.message_id, message))
        if message.attempt == 1 and message.claim == "if_needed":  # a dispatch tells what time it was at its gateway
            into.times.append((record.offset, message.call.accepted_at))
            into.newest = max(into.newest, message.call.accepted_at)
    elif (word := "".join(record.key.split(".", 2)[1:2])) in _HEEDED:
        control = envelope.open_control(record)
        if control_name(control) != word:
            raise ContractError(f"a message {control_name(control)!r} under the key of another")
        _check_first(envelope, record, seen)
        if isinstance(control, _MUST_BE_FRESH) and control.time < into.before - STALE:
            raise envelope.refused(record, replayed())
        into.newest = max(into.newest, control.time)
        if isinstance(control, LedgerPosition):
            into.positions.append((record.offset, control))
        elif isinstance(control, LogLevelSet):
            into.levels.append(control)
        else:
            pool = pool_of(record.key)
            into.entries.append(Entry(record.offset, record.message_id, cast("Content", control), pool=pool))


def _check_first(envelope: Envelope, record: Record, seen: Remembered | None) -> None:
    if seen is not None and not seen.first_time(record.message_id):
        raise envelope.refused(record, replayed())
