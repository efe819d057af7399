"""The embedded transport over a journal in memory passes the suite that every transport must pass."""

from collections.abc import AsyncIterator

import pytest

pytest.register_assert_rewrite("toolyard.testing.transport_suite")

from toolyard.testing.fakes import MemoryJournal  # noqa: E402 - after the rewrite is asked for
from toolyard.testing.transport_suite import Make, TransportSuite  # noqa: E402
from toolyard.transport.base import Transport  # noqa: E402
from toolyard.transport.embedded import EmbeddedTransport  # noqa: E402


class TestEmbedded(TransportSuite):
    @pytest.fixture
    async def make(self) -> AsyncIterator[Make]:
        journal = MemoryJournal()
        opened: list[EmbeddedTransport] = []

        async def make() -> Transport:
            """The one object of a process, or the next process on the same journal."""
            if not opened or not opened[-1].health.connected:
                opened.append(EmbeddedTransport(journal))
                await opened[-1].open()
            return opened[-1]

        yield make
        for transport in opened:
            await transport.close()
