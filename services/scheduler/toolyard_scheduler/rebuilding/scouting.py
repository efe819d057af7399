"""The first walk over the log: which decisions stand in it. They come behind what they are about.

A rebuild folds them and makes none of its own: what a claim was told, which attempt was to come and when, which call
went over to its fallback, and which one the ledger ended.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from toolyard.contracts.calls import CallMessage
from toolyard.contracts.control import ClaimRefused, Granted, LedgerPosition, Pause, Paused, Resume, control_name
from toolyard.contracts.events import Ended, Event, Parked
from toolyard.errors import BadSignature, ContractError
from toolyard.store.decisions import Told
from toolyard.transport import topology
from toolyard.transport.base import Record
from toolyard.transport.envelope import Envelope

#: How the scheduler's own word looks in an outcome: others are not even opened.
_BY_SCHEDULER: Final = b'"by":"scheduler"'
_DIVERTED: Final = b'"diverted":true'
_PARKED: Final = "call.parked."
_CONTROL: Final = frozenset({"granted", "refused", "pause", "resume", "ledger_position"})


@dataclass(slots=True)
class Scouted:
    """What some records tell.

    Attributes:
        told: the decisions among them.
        position: the place of a ledger that was told last; -1 where none was.
    """

    told: Told = field(default_factory=Told)
    position: int = -1


def scout(envelope: Envelope, records: Sequence[Record]) -> Scouted:
    """What these records tell of decisions. What does not verify or decode is passed over, as by the ledger."""
    scouted = Scouted()
    for record in records:
        with suppress(ContractError):
            _look_at(envelope, record, scouted)
    return scouted


def unknown_keys(envelope: Envelope, records: Sequence[Record]) -> Counter[str]:
    """How many of these were signed with a key that is not here, by its id."""
    found: Counter[str] = Counter()
    for record in records:
        try:
            _open(envelope, record)
        except BadSignature as error:
            if error.reason == "unknown_key":
                found[error.key_id] += 1
        except ContractError:
            continue
    return found


def _open(envelope: Envelope, record: Record) -> object:
    if record.exchange == topology.CALLS:
        return envelope.open_call(record)
    return envelope.open_events(record) if record.exchange == topology.EVENTS else envelope.open_control(record)


def _look_at(envelope: Envelope, record: Record, scouted: Scouted) -> None:
    if record.exchange == topology.CALLS:
        if _DIVERTED in record.body:
            _call(envelope.open_call(record), scouted.told)
    elif record.exchange == topology.EVENTS:
        if record.key.startswith(_PARKED) or _BY_SCHEDULER in record.body:
            for event in envelope.open_events(record):
                _event(event, scouted.told)
    elif (word := "".join(record.key.split(".", 2)[1:2])) in _CONTROL:
        control = envelope.open_control(record)
        if control_name(control) == word:
            _CONTROLS[type(control)](control, scouted)


def _call(message: CallMessage, told: Told) -> None:
    if message.diverted:
        _diverted(told, message.call.call_id, message.attempt)


def _event(event: Event, told: Told) -> None:
    if isinstance(event, Ended) and event.by == "scheduler":
        told.ended[event.call_id] = event.attempt
    elif isinstance(event, Parked) and event.by == "scheduler" and event.reason in ("retry", "authorization"):
        told.parked[event.call_id, event.attempt] = event.time
        if event.diverted:
            _diverted(told, event.call_id, event.attempt)


def _diverted(told: Told, call_id: str, attempt: int) -> None:
    told.diverted[call_id] = min(attempt, told.diverted.get(call_id, attempt))


def _granted(message: Granted, scouted: Scouted) -> None:
    scouted.told.claims[message.claim_id] = message.time, True


def _refused(message: ClaimRefused, scouted: Scouted) -> None:
    claims = scouted.told.claims
    if not claims.get(message.claim_id, (0.0, False))[1]:
        claims[message.claim_id] = message.time, False


def _paused(message: Pause | Resume, scouted: Scouted) -> None:
    paused = Paused(kind=message.kind, org=message.org, name=message.name)
    scouted.told.pauses.setdefault(paused, isinstance(message, Pause))


def _position(message: LedgerPosition, scouted: Scouted) -> None:
    scouted.position = max(scouted.position, message.offset)


_CONTROLS: Final[dict[type, Callable[..., None]]] = {
    Granted: _granted,
    ClaimRefused: _refused,
    Pause: _paused,
    Resume: _paused,
    LedgerPosition: _position,
}
