"""Stand-ins that keep the seams in memory: for unit tests of the parts behind them."""

import threading
from collections.abc import Sequence

from toolyard.errors import StoreError, StoreLost
from toolyard.transport.base import Message, Record


class MemoryJournal:
    """A journal in a list; it outlives the transports that are opened on it, as a file would.

    Attributes:
        failure: raised by every write and read while it is set.
        gate: clear it, and writes wait until it is set again.
        transactions: how many records each transaction kept.
    """

    def __init__(self) -> None:
        self.failure: StoreError | OSError | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.transactions: list[int] = []
        self._records: list[Record] = []

    def append(self, records: Sequence[Message], /) -> Sequence[int]:
        """Keep them all; see `toolyard.transport.embedded.Journal`."""
        self.gate.wait()
        if self.failure is not None:
            raise self.failure
        first = len(self._records) + 1
        for offset, message in enumerate(records, start=first):
            self._records.append(
                Record(
                    offset=offset,
                    exchange=message.exchange,
                    key=message.key,
                    body=message.body,
                    message_id=message.message_id,
                    headers=dict(message.headers),
                    expiration=message.expiration,
                )
            )
        self.transactions.append(len(records))
        return range(first, first + len(records))

    def read(self, offset: int, limit: int) -> Sequence[Record]:
        """Records from this offset on."""
        if self.failure is not None:
            raise self.failure
        start = max(offset - 1, 0)
        return self._records[start : start + limit]

    def check(self) -> None:
        """Whether it still keeps what is written."""
        if isinstance(self.failure, StoreLost):
            raise self.failure

    def last(self) -> int | None:
        """The newest offset."""
        return len(self._records) or None
