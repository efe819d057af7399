"""The feed of a log in a list: its records applied as the ledger does, and made into items as the relay does."""

from collections.abc import Sequence

from tests.support.ledger import ENVELOPE, NOW, Story

from toolyard.contracts.feed import FeedItem
from toolyard.store.calls import CallOutline
from toolyard.store.ledger_rows import LedgerRow
from toolyard.transport.base import Record
from toolyard_scheduler import feed
from toolyard_scheduler.entries import Entry, Folded
from toolyard_scheduler.folding import fold
from toolyard_scheduler.reading import Opened, open_records
from toolyard_scheduler.rows import Around


class Reader:
    """Applies records as the ledger does, and makes items of them as the relay does."""

    def __init__(self) -> None:
        self.rows: dict[str, LedgerRow] = {}
        self._repeats = feed.Repeats()

    def read(self, records: Sequence[Record]) -> list[FeedItem]:
        entries = opened(records)
        for row in self.rows.values():
            row.known = row.call
        fold(entries, Folded(self.rows), Around(NOW + 10_000.0, "s1"))
        return self.made(entries)

    def made(self, entries: Sequence[Entry]) -> list[FeedItem]:
        told = [entry for entry in entries if feed.followed_org(entry) == "default"]
        return list(feed.items(told, {name: outline(row) for name, row in self.rows.items()}, self._repeats))


def opened(records: Sequence[Record]) -> list[Entry]:
    into = Opened()
    open_records(ENVELOPE, records, into)
    return into.entries


def outline(row: LedgerRow) -> CallOutline:
    call = row.call or Story().call
    return CallOutline(
        row.call_id,
        call.org,
        row.gateway,
        row.body_hash,
        call.conversation,
        call.user,
        row.state,
        row.attempt,
        row.finished_at,
        row.end_sequence,
        row.late_results,
        row.settled,
        row.doomed,
    )
