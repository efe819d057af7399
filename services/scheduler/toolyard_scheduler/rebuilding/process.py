"""One run of `toolyard ledger`: opens log and database, has the log folded, and compares or puts in place.

While a ledger is replaced nobody else leads: this holds the lead, as a scheduler does, until it is done.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toolyard import ids
from toolyard.clock import SYSTEM
from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import PausesAsked
from toolyard.errors import LedgerMoved, LogGap, Refused, SettingsError
from toolyard.security.keyfile import local_keyring
from toolyard.store import rebuilt
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.store.database import Database
from toolyard.store.journal import SqlJournal
from toolyard.store.ledger import Position
from toolyard.store.rebuilt import Comparison
from toolyard.transport.base import Record, Transport
from toolyard.transport.connect import connect
from toolyard.transport.embedded import EmbeddedTransport
from toolyard.transport.envelope import Envelope
from toolyard_scheduler.duty import in_background
from toolyard_scheduler.rebuilding.building import Builder, Built, Log, Progress
from toolyard_scheduler.rebuilding.settings import LedgerSettings

#: Seconds that one statement may take.
_TIMEOUT: Final = 120.0
#: Seconds after which a scheduler without a sign of life is dead, and seconds between two of ours.
_SILENCE: Final = 4.0
_BEAT: Final = 1.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to.

    Attributes:
        built: what the log came to.
        offset: of the newest record that was folded.
        calls: in the rebuilt ledger that were put in place; 0 where it was only compared.
        comparison: with the database, where it was asked for.
    """

    built: Built
    offset: int
    calls: int = 0
    comparison: Comparison | None = None


def position(settings: LedgerSettings) -> Position:
    """Where the ledger stands.

    Raises:
        StoreError: the database is away, or of another version.
    """
    store = open_store(settings.database, timeout=_TIMEOUT)
    try:
        store.check()
        return store.ledger.position()
    finally:
        store.close()


async def check(settings: LedgerSettings, progress: Progress, *, pass_over: bool) -> Report:
    """Make a ledger of the log and compare it with the database's; nothing is written to that. Schedulers may run.

    Raises:
        LogGap: the log is not whole, or another one.
        SettingsError: it was signed with keys that are not here.
        ToolyardError: broker or database is away.
    """
    store, crossing = open_store(settings.database, timeout=_TIMEOUT), Crossing(2)
    database = Database(settings.database, timeout=_TIMEOUT)
    try:
        await crossing.run(store.check)
        with rebuilt.looked_at(database) as old:
            upto = rebuilt.position_in(old)
            async with _built(settings, database, crossing, progress, upto, pass_over=pass_over) as (builder, fresh):
                built, dropped = builder.built, SYSTEM.now() - settings.retention
                found = await crossing.run(
                    rebuilt.compare,
                    old,
                    fresh,
                    builder.decisions,
                    first=built.first,
                    since=built.since,
                    dropped=dropped,
                )
                return Report(builder.built, builder.place.offset, comparison=found)
    finally:
        await crossing.close()
        database.close()
        store.close()


async def rebuild(settings: LedgerSettings, progress: Progress, *, replace: bool, pass_over: bool) -> Report:
    """Make a ledger of the log, and put it into the database in one transaction.

    Raises:
        Refused: a scheduler leads, or the database has a ledger that is not to be replaced.
        LogGap, SettingsError, ToolyardError: as from `check`.
    """
    store, crossing = open_store(settings.database, timeout=_TIMEOUT), Crossing(2)
    database = Database(settings.database, timeout=_TIMEOUT)
    try:
        await crossing.run(store.migrate)
        await _look_for_a_ledger(store, database, crossing, replace=replace)
        lead = await _lead(store, crossing)
        try:
            return await _rebuild(settings, store, database, crossing, progress, lead, pass_over=pass_over)
        finally:
            await crossing.run(store.ledger.release, lead.epoch)
    finally:
        await crossing.close()
        database.close()
        store.close()


async def _rebuild(
    settings: LedgerSettings,
    store: Store,
    database: Database,
    crossing: Crossing,
    progress: Progress,
    lead: Position,
    *,
    pass_over: bool,
) -> Report:
    built = _built(settings, database, crossing, progress, lead.offset, pass_over=pass_over)
    async with in_background([_beat(store, crossing, lead)]), built as (builder, fresh):
        put = rebuilt.put_in_place
        calls = await crossing.run(put, database, fresh, builder.decisions, lead=lead, place=builder.place)
        return Report(builder.built, builder.place.offset, calls)


async def _look_for_a_ledger(store: Store, database: Database, crossing: Crossing, *, replace: bool) -> None:
    offset, calls = (await crossing.run(store.ledger.position)).offset, await crossing.run(rebuilt.calls_in, database)
    if not replace and (offset >= 0 or calls):
        raise Refused(
            "conflict",
            f"The database has a ledger, up to offset {offset}. Compare with --check, or put the rebuilt one in its"
            " place with --replace.",
        )


async def _lead(store: Store, crossing: Crossing) -> Position:
    """Hold the ledger, if nobody does."""
    seen = await crossing.run(store.ledger.position)
    if seen.owner is not None:
        await asyncio.sleep(_SILENCE)  # nothing tells of a death: who lives shows it within a second
        now = await crossing.run(store.ledger.position)
        if now != seen and now.owner is not None:
            raise Refused("conflict", "A scheduler leads. Stop all schedulers first; with --check they may run.")
        seen = now
    try:
        return await crossing.run(store.ledger.lead, seen, f"rebuild-{ids.new_id()[-12:]}")
    except LedgerMoved:
        raise Refused("conflict", "A scheduler has begun to lead. Stop all schedulers first.") from None


async def _beat(store: Store, crossing: Crossing, lead: Position) -> None:
    """Show that the ledger is held."""
    while True:
        await crossing.run(store.ledger.beat, lead.epoch)
        await asyncio.sleep(_BEAT)


# ---- the log ------------------------------------------------------------------------------------


@asynccontextmanager
async def _built(
    settings: LedgerSettings, database: Database, crossing: Crossing, progress: Progress, upto: int, *, pass_over: bool
) -> AsyncIterator[tuple[Builder, Database]]:
    """The ledger that the log comes to, and its file. Up to this offset, or as far as the log tells that one was."""
    envelope = Envelope(settings.signing_keys or local_keyring(settings.data))
    paused = await crossing.run(rebuilt.pauses_in, database)
    with tempfile.TemporaryDirectory(prefix="toolyard-ledger-") as name:
        folder = Path(name)
        async with _log(settings, envelope) as log:
            builder = Builder(folder, log, envelope, crossing, paused, progress)
            fresh = Database(f"sqlite:///{folder / 'fresh.db'}", timeout=_TIMEOUT)
            try:
                await builder.scout()
                await builder.fold(max(upto, builder.told_position))
                _judge(builder, upto, pass_over=pass_over)
                yield builder, fresh
            finally:
                fresh.close()
                builder.close()


def _judge(builder: Builder, upto: int, *, pass_over: bool) -> None:
    built = builder.built
    if builder.place.offset < upto:
        raise LogGap(
            f"the ledger stands at offset {upto}, which the log, from offset {built.first} to {builder.place.offset},"
            " does not reach: it was cut or made anew, or the database is another"
        )
    if built.unknown and not pass_over:
        keys = ", ".join(f"{key_id or '(none named)'} ({count} records)" for key_id, count in built.unknown.items())
        raise SettingsError(
            f"the log was signed with keys that are not in TOOLYARD_SIGNING_KEYS: {keys}. Add them behind the others;"
            " what nobody can vouch for is passed over with --pass-over-unknown-keys"
        )


@asynccontextmanager
async def _log(settings: LedgerSettings, envelope: Envelope) -> AsyncIterator[Log]:
    if settings.transport_url is None:
        async with _journal(settings) as log:
            yield log
        return
    transport = connect(settings.transport_url, name=f"ledger-{os.getpid()}", declare=settings.topology == "declare")
    await transport.open()
    try:
        yield Log(transport, await _marked(transport, envelope))
    finally:
        await transport.close()


async def _marked(transport: Transport, envelope: Envelope) -> Callable[[Record], bool]:
    """What tells the end of the log: a record of our own, which asks for something that nobody waits for."""
    asked = PausesAsked(v=VERSION, sender="ledger", time=SYSTEM.now(), reply="-")
    message = envelope.control(asked)
    await transport.publish(message)
    return lambda record: record.message_id == message.message_id


@asynccontextmanager
async def _journal(settings: LedgerSettings) -> AsyncIterator[Log]:
    journal = SqlJournal(settings.database)
    transport = EmbeddedTransport(journal)
    try:
        last = journal.last()
        if last is None:
            raise LogGap(f"there is no log in {settings.database}: nothing was ever accepted there")
        await transport.open()
        yield Log(transport, lambda record: record.offset >= last)
    finally:
        await transport.close()
        journal.close()
