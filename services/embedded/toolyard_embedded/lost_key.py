"""The log was signed with a key that is not here any more: found before the first record is passed over for that.

Used by the composition root, before the ledger reads. Without the key, calls that were accepted would be unknown for
ever, and others would wait for their deadlines.
"""

from collections.abc import Sequence
from typing import Final

from toolyard.errors import SettingsError
from toolyard.store.connect import Store
from toolyard.store.journal import SqlJournal
from toolyard.telemetry.logs import logger
from toolyard.transport import topology
from toolyard.transport.base import Record
from toolyard.transport.envelope import Envelope
from toolyard_embedded.unfinished import IN_HAND

#: How many of the newest records tell whether a key is the one of the log: some of them may be bad by themselves.
_TAIL: Final = 1_000
_PAGE: Final = 1_000
#: Says nothing that the next one does not say.
_POSITION: Final = topology.control_key("ledger_position")
_log = logger("embedded")


def check_key(store: Store, journal: SqlJournal, envelope: Envelope, *, accept: bool) -> None:
    """Stop where work stands in the log that was signed with a key which is lost, or sign that work anew.

    Args:
        store: knows what has not ended, and how far the ledger has read.
        journal: the log; nobody writes it yet.
        envelope: has the keys of this process.
        accept: sign it anew; whoever asks for that vouches for what is in the database.

    Raises:
        SettingsError: the key is lost, and needed; says for what, and what to do.
    """
    if not _is_lost(journal, envelope):
        return
    waiting = [record for record in _waiting(store, journal) if not envelope.verifies(record)]
    unread = [record for record in _unread(store, journal) if not envelope.verifies(record)]
    if not waiting and not unread:
        _log.warning("the log was signed with another key; nothing in it is needed any more")
    elif accept:
        journal.replace_headers({record.offset: envelope.signed_anew(record) for record in (*waiting, *unread)})
        _log.warning("what stands in the log was signed anew", calls=len(waiting), unread=len(unread))
    else:
        raise SettingsError(
            "the log was signed with a key that is not here: `signing` in the data folder was lost or replaced, or"
            f" TOOLYARD_SIGNING_KEYS was changed. {len(waiting)} calls that have not ended and {len(unread)} records"
            " that were not read yet cannot be verified without it. Put the key back; or, if it is lost for good and"
            " nobody but you can write to the database, let `toolyard dev --accept-lost-key` sign them anew"
        )


def _is_lost(journal: SqlJournal, envelope: Envelope) -> bool:
    last = journal.last()
    return last is not None and not any(map(envelope.verifies, _read(journal, last - _TAIL + 1, _TAIL)))


def _waiting(store: Store, journal: SqlJournal) -> Sequence[Record]:
    """The messages that go back into their queues."""
    offsets = [call.log_offset for call in store.calls.unfinished() if call.row.state in IN_HAND]
    found = [record for offset in offsets if offset is not None for record in _read(journal, offset, 1)]
    return [record for record in found if record.offset in offsets]


def _unread(store: Store, journal: SqlJournal) -> Sequence[Record]:
    """What the ledger has not applied yet."""
    found: list[Record] = []
    after = store.ledger.position().offset
    while page := _read(journal, after + 1, _PAGE):
        found += [record for record in page if record.key != _POSITION]
        after = page[-1].offset
    return found


def _read(journal: SqlJournal, offset: int, limit: int) -> Sequence[Record]:
    return [
        Record(row.offset, row.exchange, row.key, row.body, row.message_id, row.headers, row.expiration)
        for row in journal.read(offset, limit)
    ]
