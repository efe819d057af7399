"""How records come to the ledger: gathered for a moment, because a transaction costs the same for one as for hundreds.

Where somebody waits for an answer the moment ends early.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType

from toolyard.transport.base import LogReader, Record


class Intake:
    """Reads ahead of the ledger, by one batch of its reader at the most.

    Args:
        records: those that were read already.
        most: records that are taken at a time.
        largest: bytes of these records; a single one may be larger.
        pace: seconds between two batches that nobody waits for and that are not full.
        urgent: whether somebody waits for what is made of a record.
    """

    def __init__(
        self,
        reader: LogReader,
        records: Sequence[Record],
        *,
        most: int,
        largest: int,
        pace: float,
        urgent: Callable[[Record], bool],
    ) -> None:
        self._reader = reader
        self._records = list(records)
        self._most = most
        self._largest = largest
        self._bytes = _bytes_of(records)
        self._pace = pace
        self._urgent = urgent
        self._waits = any(map(urgent, records))
        self._next_at = 0.0
        self._reading: asyncio.Task[Sequence[Record]] | None = None

    async def __aenter__(self) -> "Intake":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def take(self, beat: float, idle: Callable[[], Awaitable[None]]) -> Sequence[Record]:
        """The next records, at least one; ``idle`` is called each ``beat`` seconds while there are none.

        Raises:
            Unavailable: the log cannot be read any more.
        """
        loop = asyncio.get_running_loop()
        while not self._records:
            if not await self._read(beat):
                await idle()
        while not self._waits and len(self._records) < self._most and self._bytes <= self._largest:
            rest = self._next_at - loop.time()
            if rest <= 0 or not await self._read(rest):
                break
        self._next_at = loop.time() + self._pace
        end = self._end()
        taken, self._records = self._records[:end], self._records[end:]
        self._bytes -= _bytes_of(taken)
        self._waits = any(map(self._urgent, self._records))
        return taken

    def _end(self) -> int:
        """How many of the records are a batch."""
        if self._bytes > self._largest:
            bytes_ = 0
            for number, record in enumerate(self._records[: self._most]):
                bytes_ += len(record.body)
                if bytes_ > self._largest:
                    return max(number, 1)
        return self._most

    async def _read(self, within: float) -> bool:
        """Whether more came in this time."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._reader.batch(self._most))
        done, _ = await asyncio.wait({self._reading}, timeout=within)
        if not done:
            return False
        reading, self._reading = self._reading, None
        more = reading.result()
        self._records += more
        self._bytes += _bytes_of(more)
        self._waits = self._waits or any(map(self._urgent, more))
        return True


def _bytes_of(records: Sequence[Record]) -> int:
    return sum(len(record.body) for record in records)
