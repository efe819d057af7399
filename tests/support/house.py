"""Schedulers over the embedded transport and a real store, and what tests say to them and see of them."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

from tests.support.ledger import ENVELOPE, Said, Story, message_of
from tests.support.waiting import async_wait_until

from toolyard.clock import SYSTEM, Clock
from toolyard.contracts.events import Event
from toolyard.store.base import CallRow
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.testing.fakes import MemoryJournal
from toolyard.transport import topology
from toolyard.transport.base import Message
from toolyard.transport.embedded import EmbeddedTransport
from toolyard_scheduler.app import Options, Scheduler
from toolyard_scheduler.consent_desk import Starts
from toolyard_scheduler.duties.consents import Asked

#: Seconds that the tests wait for what must come.
WITHIN = 60.0
QUICK = Options(takeover=0.2, watch=0.02, grace=0.2, pace=0.0)


class House:
    """A transport, a store, and schedulers upon them."""

    def __init__(self, store: Store) -> None:
        self.journal = MemoryJournal()
        self.transport = EmbeddedTransport(self.journal, publish_timeout=WITHIN)
        self.store = store
        self.url = store.url
        self.crossing = Crossing(4)
        self.schedulers: list[Scheduler] = []

    async def scheduler(
        self,
        options: Options = QUICK,
        clock: Clock | None = None,
        consents: Asked | None = None,
        starts: Starts | None = None,
    ) -> Scheduler:
        parts = (self.transport, ENVELOPE, self.store, self.crossing, clock or SYSTEM, options)
        scheduler = Scheduler(*parts, consents, starts)
        self.schedulers.append(scheduler)
        await scheduler.start()
        return scheduler

    async def leader(
        self,
        options: Options = QUICK,
        clock: Clock | None = None,
        consents: Asked | None = None,
        starts: Starts | None = None,
    ) -> Scheduler:
        scheduler = await self.scheduler(options, clock, consents, starts)
        await until(lambda: scheduler.leading, "the scheduler to lead")
        return scheduler

    async def trusted_leader(self, consents: Asked | None = None) -> Scheduler:
        """One that knows, by a call that has just come in, that its clock is right."""
        scheduler = await self.leader(consents=consents)
        await until(lambda: self.store.ledger.position().record_time > 0, "its position to come back")
        await self.say(a_story("news").accepted())
        await until(lambda: self.row("news"), "the call")
        return scheduler

    async def say(self, *contents: Said | Message) -> None:
        for content in contents:
            await self.transport.publish(content if isinstance(content, Message) else message_of(content))

    def said(self) -> list[Event]:
        """All events of calls in the log."""
        records = self.journal.read(1, 100_000)
        return [event for each in records if each.exchange == topology.EVENTS for event in ENVELOPE.open_events(each)]

    def row(self, call_id: str = "c1") -> CallRow | None:
        return self.store.calls.get("default", call_id)

    async def ended(self, call_id: str = "c1") -> CallRow:
        await until(lambda: self.store.calls.ended([call_id]), f"the end of {call_id}")
        (row,) = self.store.calls.ended([call_id])
        return row

    async def close(self) -> None:
        for scheduler in self.schedulers:
            await scheduler.stop()
        await self.transport.close()
        await self.crossing.close()


async def until(check: Callable[[], object], what: str) -> None:
    async def look() -> object:
        return check()

    await async_wait_until(look, within=WITHIN, what=what)


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[House]:
    house = House(store)
    await house.transport.open()
    try:
        yield house
    finally:
        await house.close()


@asynccontextmanager
async def opened_at(url: str) -> AsyncIterator[House]:
    with closing(open_store(url)) as store:
        store.migrate()
        async with opened(store) as house:
            yield house


def a_story(call_id: str = "c1", deadline: float = 300.0, **fields: Any) -> Story:
    now = time.time()
    return Story(call_id, **({"accepted_at": now, "deadline": now + deadline} | fields))
