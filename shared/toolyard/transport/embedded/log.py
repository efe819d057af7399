"""The log of the embedded transport: group commit through one writer thread, and readers that follow it.

Used by `EmbeddedTransport`. The two threads here are the one place where the loop and the synchronous journal meet.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from toolyard.errors import StoreError, StoreLost, TransportError, Unavailable, Unconfirmed
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Message, Record
from toolyard.transport.embedded.journal import Journal, Kept

_log = logger("transport")

#: Seconds after a failure of the journal until the next message may try it again as if nothing had been.
_PROBE_AFTER = 1.0
#: Seconds between two looks at whether what the journal kept is still there.
_LOOK_EVERY = 1.0


@dataclass(slots=True)
class _Item:
    message: Message
    logged: bool
    future: "asyncio.Future[None]"


@dataclass(slots=True, eq=False)
class _Batch:
    """What goes into one transaction; its first message starts the timer for all of it."""

    timer: asyncio.TimerHandle
    items: list[_Item] = field(default_factory=list)
    handed_over: bool = False


class Log:
    """The journal, from the loop's side.

    Args:
        route: called on the loop for each message that is durable, in the order of publishing.
        recovered: called when new work may be started again after a failure.
        timeout: seconds within which every publish is answered.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        route: Callable[[Message], None],
        recovered: Callable[[], None],
        timeout: float,
    ) -> None:
        self._journal = journal
        self._route = route
        self._recovered = recovered
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._writer = ThreadPoolExecutor(1, "toolyard-journal-writer")
        self._reader = ThreadPoolExecutor(1, "toolyard-journal-reader")
        self._waiting: _Batch | None = None
        self._committing: asyncio.Task[None] | None = None
        self._grown = asyncio.Event()
        self._probe: asyncio.TimerHandle | None = None
        self._watching: asyncio.Task[None] | None = None
        self.last = 0
        self.closed = False
        self.lost = False
        self.problem = ""

    async def open(self) -> None:
        """Look where the journal ends.

        Raises:
            StoreError: it cannot be read.
        """
        last = await self._loop.run_in_executor(self._writer, self._journal.last)
        self.last = last or 0
        self._watching = self._loop.create_task(self._watch())

    async def close(self, *, within: float) -> None:
        """Commit what was handed over, if that goes in time; the rest is refused."""
        if self._committing is not None:
            await asyncio.wait({self._committing}, timeout=within)
        self.closed = True
        if self._waiting is not None:
            _refuse(self._waiting, Unavailable("the process is ending"))
            self._waiting = None
        if self._probe is not None:
            self._probe.cancel()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        self._announce()
        self._writer.shutdown(wait=False, cancel_futures=True)
        self._reader.shutdown(wait=False, cancel_futures=True)

    @property
    def failing(self) -> bool:
        """Whether the journal failed a moment ago, or for good."""
        return self.lost or self._probe is not None

    # -- writing --------------------------------------------------------------------------------
    @property
    def idle(self) -> bool:
        """Whether nothing is on its way, so that nothing can be overtaken."""
        return self._waiting is None and self._committing is None

    def append(self, message: Message, *, logged: bool) -> "asyncio.Future[None]":
        """Hand over a message; the future ends once it is durable and routed. Unlogged ones only keep their place."""
        future: asyncio.Future[None] = self._loop.create_future()
        if self.lost and logged:
            future.set_exception(Unavailable(self.problem))
            return future
        if self._waiting is None:
            self._waiting = self._new_batch()
        self._waiting.items.append(_Item(message, logged, future))
        if self._committing is None:
            self._committing = self._loop.create_task(self._commit_all())
        return future

    def _new_batch(self) -> _Batch:
        def overdue() -> None:
            self._overdue(batch)

        batch = _Batch(self._loop.call_later(self._timeout, overdue))
        return batch

    async def _commit_all(self) -> None:
        """Commit batch after batch: what is handed over meanwhile makes the next one."""
        while (batch := self._waiting) is not None:
            self._waiting = None
            await self._commit(batch)
        self._committing = None

    async def _commit(self, batch: _Batch) -> None:
        records = [item.message for item in batch.items if item.logged]
        batch.handed_over = True
        error: TransportError | None = None
        try:
            if records:
                offsets = await self._loop.run_in_executor(self._writer, self._journal.append, records)
                self.last = offsets[-1]
        except Exception as caught:  # noqa: BLE001 - whatever the journal raises, each publisher must be answered
            error = self._failed(caught)
        else:
            self._worked()
        batch.timer.cancel()
        for item in batch.items:
            self._end(item, error)
        if records and error is None:
            self._announce()

    def _end(self, item: _Item, error: TransportError | None) -> None:
        """Durable is durable: it is routed even where its publisher was already told that no confirm came."""
        if error is None or not item.logged:
            self._route(item.message)
        if item.future.done():
            return
        if error is None or not item.logged:
            item.future.set_result(None)
        else:
            item.future.set_exception(error)

    def _overdue(self, batch: _Batch) -> None:
        waited = f"the journal did not answer within {self._timeout:g} s"
        self._note(waited)
        if batch.handed_over:
            _refuse(batch, Unconfirmed(waited))
            return
        self._waiting = None
        _refuse(batch, Unavailable(waited))

    # -- its health -----------------------------------------------------------------------------
    async def _watch(self) -> None:
        """Find out that what was kept is gone, also while nobody writes."""
        while not self.lost:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                await self._loop.run_in_executor(self._writer, self._journal.check)
            except StoreLost as error:
                self._lose(error)

    def _lose(self, error: StoreLost) -> TransportError:
        """Nothing is taken any more: whoever is told to try later would try for ever."""
        if not self.lost:
            _log.error("the journal is lost: nothing more is taken until a new process is started", reason=str(error))
        self.lost, self.problem = True, str(error)
        return Unavailable(self.problem)

    def _failed(self, caught: Exception) -> TransportError:
        if isinstance(caught, StoreLost):
            return self._lose(caught)
        reason = f"the journal cannot be written: {caught}"
        if not isinstance(caught, StoreError | TransportError | OSError):
            _log.error("the journal failed in an unforeseen way", exc_info=caught)
        self._note(reason)
        return Unconfirmed(reason) if isinstance(caught, Unconfirmed) else Unavailable(reason)

    def _note(self, problem: str) -> None:
        if self.lost:
            return
        if not self.problem:
            _log.error("the journal fails", reason=problem)
        self.problem = problem
        if self._probe is not None:
            self._probe.cancel()
        self._probe = self._loop.call_later(_PROBE_AFTER, self._try_again)

    def _worked(self) -> None:
        if self.lost or not self.problem:
            return
        _log.info("the journal works again")
        self.problem = ""
        self._try_again()

    def _try_again(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
        self._probe = None
        self._recovered()

    # -- reading --------------------------------------------------------------------------------
    async def read(self, offset: int, limit: int) -> Sequence[Record]:
        """Records from this offset on; none at the end.

        Raises:
            Unavailable: the journal cannot be read.
        """
        try:
            kept = await self._loop.run_in_executor(self._reader, self._journal.read, offset, limit)
        except (StoreError, OSError) as error:
            raise Unavailable(f"the journal cannot be read: {error}") from error
        return [_record(each) for each in kept]

    async def growth(self) -> None:
        """Wait for the next commit, or the end."""
        await self._grown.wait()

    def _announce(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()


def _refuse(batch: _Batch, error: TransportError) -> None:
    batch.timer.cancel()
    for item in batch.items:
        if not item.future.done():
            item.future.set_exception(error)


def _record(kept: Kept) -> Record:
    return Record(kept.offset, kept.exchange, kept.key, kept.body, kept.message_id, kept.headers, kept.expiration)


class JournalReader:
    """Reads the log in order, from one offset on."""

    def __init__(self, log: Log, offset: int) -> None:
        self._log = log
        self._next = offset
        self._open = True

    async def batch(self, limit: int) -> Sequence[Record]:
        """The next records, at least one; waits until there is one.

        Raises:
            Unavailable: the journal cannot be read, or this has been closed.
        """
        while True:
            if not self._open or self._log.closed:
                raise Unavailable("the log is closed")
            last = self._log.last
            records = await self._log.read(self._next, limit) if self._next <= last else ()
            if records:
                self._next = records[-1].offset + 1
                return records
            if self._log.last == last and not self._log.closed:
                await self._log.growth()

    async def close(self) -> None:
        """Stop reading."""
        self._open = False
