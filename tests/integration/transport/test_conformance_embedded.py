"""The embedded transport over the journal in a real database passes the suite that every transport must pass."""

from collections.abc import AsyncIterator

import pytest

pytest.register_assert_rewrite("toolyard.testing.transport_suite")

from toolyard.store.journal import SqlJournal  # noqa: E402 - after the rewrite is asked for
from toolyard.store.migrate import migrate  # noqa: E402
from toolyard.testing.transport_parts import WAIT  # noqa: E402
from toolyard.testing.transport_suite import Make, TransportSuite  # noqa: E402
from toolyard.transport.base import Transport  # noqa: E402
from toolyard.transport.embedded import EmbeddedTransport  # noqa: E402


class TestEmbedded(TransportSuite):
    @pytest.fixture
    async def make(self, database_url: str) -> AsyncIterator[Make]:
        migrate(database_url)
        opened: list[tuple[EmbeddedTransport, SqlJournal]] = []

        async def make() -> Transport:
            """The one object of a process, or the next process on the same database."""
            if not opened or not opened[-1][0].health.connected:
                journal = SqlJournal(database_url)
                opened.append((EmbeddedTransport(journal, publish_timeout=WAIT), journal))
                await opened[-1][0].open()
            return opened[-1][0]

        yield make
        for transport, journal in opened:
            await transport.close()
            journal.close()
