"""A log whose signing key is gone: nothing of it is passed over before somebody has decided that."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from toolyard.clock import SYSTEM
from toolyard.contracts.calls import VERSION, CallMessage
from toolyard.contracts.control import LedgerPosition
from toolyard.errors import SettingsError
from toolyard.security.signing import Keyring
from toolyard.states import State
from toolyard.store.connect import Store, open_store
from toolyard.store.journal import SqlJournal
from toolyard.testing.store_suite import a_row
from toolyard.testing.transport_parts import signed_call
from toolyard.transport.base import Message, Record
from toolyard.transport.envelope import Envelope
from toolyard_embedded.lost_key import check_key

LOST = Envelope(Keyring({"local": b"1" * 32}))
NEW = Envelope(Keyring({"local": b"2" * 32}))
ROTATED = Envelope(Keyring({"new": b"2" * 32, "local": b"1" * 32}))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(f"sqlite:///{tmp_path / 'a.db'}")) as store:
        store.migrate()
        yield store


@pytest.fixture
def journal(tmp_path: Path, store: Store) -> Iterator[SqlJournal]:
    with closing(SqlJournal(f"sqlite:///{tmp_path / 'a.db'}")) as journal:
        yield journal


def position() -> Message:
    return LOST.control(LedgerPosition(v=VERSION, sender="s", time=SYSTEM.now(), offset=1, record_time=1.0))


def accept(store: Store, journal: SqlJournal, state: State | None = None) -> CallMessage:
    """A call in the log; with a state, the ledger has read it."""
    message = signed_call()
    (offset,) = journal.append([LOST.call(message)])
    if state is not None:
        apply(store, offset, a_row(message.call, log_offset=offset, state=state))
    return message


def apply(store: Store, offset: int, *rows) -> None:
    place = store.ledger.position()
    with store.ledger.batch(place.epoch, place.offset, offset, "record", 5.0) as batch:
        batch.save(rows)


def verified(journal: SqlJournal, envelope: Envelope) -> Sequence[bool]:
    rows = journal.read(0, 100)
    return [
        envelope.verifies(Record(row.offset, row.exchange, row.key, row.body, row.message_id, row.headers))
        for row in rows
    ]


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("queued", "1 calls that have not ended and 0 records that were not read yet"),
        ("running", "1 calls that have not ended and 0 records"),
        (None, "0 calls that have not ended and 1 records that were not read yet"),
    ],
    ids=["waits", "runs", "unread"],
)
def test_what_cannot_be_verified_any_more_stops_the_start(store, journal, state: State | None, told: str):
    accept(store, journal, state)
    with pytest.raises(SettingsError, match=rf"{told} .* Put the key back; .* --accept-lost-key"):
        check_key(store, journal, NEW, accept=False)
    assert verified(journal, LOST) == [True]


@pytest.mark.parametrize("state", ["queued", None], ids=["waits", "unread"])
def test_it_is_signed_anew_if_that_is_asked_for(store, journal, state: State | None):
    message = accept(store, journal, state)
    check_key(store, journal, NEW, accept=True)
    (row,) = journal.read(0, 100)
    record = Record(row.offset, row.exchange, row.key, row.body, row.message_id, row.headers)
    assert NEW.open_call(record).call == message.call
    check_key(store, journal, NEW, accept=False)


@pytest.mark.parametrize("envelope", [LOST, ROTATED], ids=["same", "rotated"])
@pytest.mark.parametrize("accepted", [False, True])
def test_with_the_key_nothing_is_touched(store, journal, envelope: Envelope, accepted: bool):
    accept(store, journal, "queued")
    accept(store, journal)
    check_key(store, journal, envelope, accept=accepted)
    assert verified(journal, LOST) == [True, True]


def test_a_bad_record_among_good_ones_is_no_lost_key(store, journal):
    journal.append([position()])
    journal.append([NEW.call(signed_call())])
    check_key(store, journal, LOST, accept=True)
    assert verified(journal, LOST) == [True, False]


@pytest.mark.parametrize("state", ["succeeded", "retrying", "scheduled"])
def test_a_log_of_which_nothing_is_needed_needs_no_key(store, journal, state: State):
    message = accept(store, journal)
    finished = 5.0 if state == "succeeded" else None
    apply(store, 1, a_row(message.call, log_offset=1, state=state, finished_at=finished))
    journal.append([position()])
    check_key(store, journal, NEW, accept=False)


def test_an_empty_log_needs_no_key(store, journal):
    check_key(store, journal, NEW, accept=False)


def test_a_call_whose_message_is_gone_needs_no_key(store, journal):
    journal.append([position()])
    apply(store, 1, a_row(signed_call().call, log_offset=99), a_row(signed_call().call, log_offset=None))
    check_key(store, journal, NEW, accept=False)
