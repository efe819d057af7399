"""What the one process keeps open: stores, journal and transport, each closed again by its context.

Used by `app` alone. On SQLite everything that callers were promised is durable; the ledger follows from the log, so
that it need not be.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.store.journal import SqlJournal
from toolyard.transport.embedded import EmbeddedTransport

_THREADS: Final = 8
_LEDGER_THREADS: Final = 4
#: Seconds that one statement of the ledger may take; people do not wait for it.
_LEDGER_TIMEOUT: Final = 15.0


@dataclass(frozen=True, slots=True)
class Shelf:
    """A store, and the way to it."""

    store: Store
    crossing: Crossing


@asynccontextmanager
async def front_shelf(url: str) -> AsyncIterator[Shelf]:
    """What the gateway and the start of the process use; its tables are brought up to date.

    Raises:
        StoreError: the database is away, or newer than this build.
    """
    async with _shelf(open_store(url, durable=True, connections=_THREADS), _THREADS) as shelf:
        await shelf.crossing.run(shelf.store.migrate)
        yield shelf


@asynccontextmanager
async def ledger_shelf(url: str) -> AsyncIterator[Shelf]:
    """What the scheduler uses."""
    store = open_store(url, timeout=_LEDGER_TIMEOUT, connections=_LEDGER_THREADS)
    async with _shelf(store, _LEDGER_THREADS) as shelf:
        yield shelf


@asynccontextmanager
async def _shelf(store: Store, threads: int) -> AsyncIterator[Shelf]:
    crossing = Crossing(threads)
    try:
        yield Shelf(store, crossing)
    finally:
        await crossing.close()
        await asyncio.to_thread(store.close)


@dataclass(frozen=True, slots=True)
class Carrier:
    """The transport and the journal behind it."""

    transport: EmbeddedTransport
    journal: SqlJournal


@asynccontextmanager
async def carrier(url: str) -> AsyncIterator[Carrier]:
    """The transport over the log table of a database.

    Raises:
        Unavailable: the log cannot be read.
    """
    journal = SqlJournal(url)
    transport = EmbeddedTransport(journal)
    try:
        await transport.open()
        yield Carrier(transport, journal)
    finally:
        await transport.close()
        await asyncio.to_thread(journal.close)
