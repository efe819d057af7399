"""How records come to the ledger: gathered for a moment, because a transaction costs the same for one as for hundreds.

Where somebody waits for an answer the moment ends early.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final

from toolyard.transport.base import LogReader, Record

#: Records of a batch after which the next one is gathered for longer, and how many times: the more calls begin and end
#: within one batch, the fewer rows are written twice.
_MANY: Final = 100
_LONGER: Final = 6


class Intake:
    """Reads ahead of the ledger, by one batch and one of its reader's at the most. Reads while it is entered.

    Args:
        records: those that were read already.
        most: records that are taken at a time.
        largest: bytes of these records; a single one may be larger.
        pace: seconds between two batches that nobody waits for and that are not full; six times that behind one of
            many records.
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
        self._loop = asyncio.get_running_loop()
        #: Ends when what is waited for has come, and when reading has failed.
        self._come: asyncio.Future[None] | None = None
        self._taken = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Intake":
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(lambda _: self._tell())
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
        while not self._records:
            if not await self._comes(beat):
                await idle()
        while not self._due:
            rest = self._next_at - self._loop.time()
            if rest <= 0 or not await self._comes(rest):
                break
        end = self._end()
        taken, self._records = self._records[:end], self._records[end:]
        self._next_at = self._loop.time() + self._pace * (_LONGER if len(taken) >= _MANY else 1)
        self._bytes -= _bytes_of(taken)
        self._waits = any(map(self._urgent, self._records))
        self._taken.set()
        return taken

    @property
    def _due(self) -> bool:
        """Whether what there is may be taken before its time."""
        return self._waits or self._full

    @property
    def _full(self) -> bool:
        return len(self._records) >= self._most or self._bytes > self._largest

    def _end(self) -> int:
        """How many of the records are a batch."""
        if self._bytes > self._largest:
            bytes_ = 0
            for number, record in enumerate(self._records[: self._most]):
                bytes_ += len(record.body)
                if bytes_ > self._largest:
                    return max(number, 1)
        return self._most

    async def _comes(self, within: float) -> bool:
        """Whether the first record, or one that makes it due, came in this time; one alone that does not wakes nobody.

        Raises:
            Unavailable: the log cannot be read any more.
        """
        if self._reading is not None and self._reading.done():
            self._reading.result()
        self._come = self._loop.create_future()
        try:
            async with asyncio.timeout(within):
                await self._come
        except TimeoutError:
            return False
        finally:
            self._come = None
        return True

    async def _read(self) -> None:
        while True:
            while self._full:
                self._taken.clear()
                await self._taken.wait()
            more = await self._reader.batch(self._most)
            first = not self._records
            self._records += more
            self._bytes += _bytes_of(more)
            self._waits = self._waits or any(map(self._urgent, more))
            if first or self._due:
                self._tell()

    def _tell(self) -> None:
        if self._come is not None and not self._come.done():
            self._come.set_result(None)


def _bytes_of(records: Sequence[Record]) -> int:
    return sum(len(record.body) for record in records)
