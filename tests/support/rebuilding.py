"""A ledger made anew of a log, beside the one that a test's schedulers have kept."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.support.ledger import ENVELOPE

from toolyard.store import rebuilt
from toolyard.store.crossing import Crossing
from toolyard.store.database import Database
from toolyard.store.rebuilt import Comparison
from toolyard.transport.base import Record, Transport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler.rebuilding.building import Builder, Log


class Anew(NamedTuple):
    """A rebuilt ledger, with the file that holds it."""

    builder: Builder
    fresh: Database


@asynccontextmanager
async def made_anew(
    transport: Transport, database: Database, *, last: int, upto: int | None = None, envelope: Envelope = ENVELOPE
) -> AsyncIterator[Anew]:
    """The ledger that the log comes to, from its first record to the one at ``last``."""

    def is_last(record: Record) -> bool:
        return record.offset >= last

    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        crossing = Crossing(1)
        stack.push_async_callback(crossing.close)
        builder = Builder(folder, Log(transport, is_last), envelope, crossing, rebuilt.pauses_in(database))
        stack.callback(builder.close)
        fresh = Database(f"sqlite:///{folder / 'fresh.db'}")
        stack.callback(fresh.close)
        await builder.scout()
        await builder.fold(last if upto is None else upto)
        yield Anew(builder, fresh)


async def compared(transport: Transport, database: Database, last: Callable[[], int]) -> Comparison:
    """What differs between the ledger as it is kept at this moment and the one that the log comes to up to there."""
    with rebuilt.looked_at(database) as old:
        upto = rebuilt.position_in(old)
        async with made_anew(transport, database, last=last(), upto=upto) as anew:
            built, told = anew.builder.built, anew.builder.decisions
            return rebuilt.compare(old, anew.fresh, told, first=built.first, since=built.since, dropped=0.0)
