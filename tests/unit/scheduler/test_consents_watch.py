"""How the duty looks after consents: how often, how many side by side, and what makes it slow down."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.ledger import ENVELOPE, NOW, HandClock

from toolyard.store.authorizations import PendingAuthorization
from toolyard.store.crossing import Crossing
from toolyard.transport.base import Message
from toolyard_scheduler.consents import Status
from toolyard_scheduler.duties.consents import ConsentsWatch


class FakeStore:
    """A fake of the table: what is pending, as the test says."""

    def __init__(self) -> None:
        self.rows: list[PendingAuthorization] = []

    def pending(self, limit: int) -> list[PendingAuthorization]:
        return self.rows[:limit]


class FakeProvider:
    """A fake of who is asked: answers as the test says, or never."""

    def __init__(self) -> None:
        self.answer: Status | None = "pending"
        self.asked: list[str] = []
        self.awaited = 0
        self.enough = asyncio.Event()

    async def status(self, asked: PendingAuthorization) -> Status:
        self.asked.append(asked.authorization_id)
        if len(self.asked) == self.awaited:
            self.enough.set()
        if self.answer is None:
            await asyncio.Event().wait()
        return self.answer or "pending"


class FakeTransport:
    """A fake that confirms everything."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def publish(self, message: Message) -> "asyncio.Future[None]":
        self.sent.append(message)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class Watched:
    """The duty among fakes."""

    def __init__(self, crossing: Crossing) -> None:
        self.store, self.provider, self.clock = FakeStore(), FakeProvider(), HandClock()
        self.transport = FakeTransport()
        transport: Any = self.transport
        store: Any = self.store
        self.watch = ConsentsWatch(transport, ENVELOPE, store, self.provider, crossing, self.clock)

    async def sweep(self) -> list[str]:
        """Whom one sweep asks for; all of them are answered."""
        self.provider.asked.clear()
        await self.watch.sweep()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        return list(self.provider.asked)

    def asks(self, name: str, provider: str = "arcade/google", lasts: float = 600.0) -> PendingAuthorization:
        now = self.clock.now()
        return PendingAuthorization("default", provider, name, "ada", NOW, now, now + lasts)


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    crossing = Crossing(1)
    yield Watched(crossing)
    await crossing.close()


async def rounds(watched: Watched, seconds: float) -> int:
    """How often a call goes round within these seconds, if it is asked anew as soon as its consent is told."""
    told, ends = 0, watched.clock.monotonic() + seconds
    watched.store.rows = [watched.asks("a1")]
    while watched.clock.monotonic() < ends:
        await watched.sweep()
        if len(watched.transport.sent) > told:
            told = len(watched.transport.sent)
            watched.clock.advance(0.5)
            watched.store.rows = [watched.asks("a1")]
        watched.clock.advance(0.5)
    return told


async def test_a_provider_that_says_again_and_again_that_it_is_given_is_believed_ever_more_slowly(watched: Watched):
    watched.provider.answer = "completed"

    assert await rounds(watched, 30.0) == 5
    assert await rounds(watched, 600.0) < 20


async def test_who_takes_the_time_of_a_person_never_waits_for_that(watched: Watched):
    for _ in range(5):
        watched.provider.answer = "pending"
        watched.store.rows = [watched.asks("a1")]
        assert await watched.sweep() == ["a1"]
        watched.clock.advance(20.0)
        watched.provider.answer = "completed"
        assert await watched.sweep() == ["a1"]
    assert len(watched.transport.sent) == 5


async def test_after_a_while_it_is_forgiven(watched: Watched):
    watched.provider.answer = "completed"
    await rounds(watched, 30.0)
    watched.store.rows = []
    watched.clock.advance(700.0)

    watched.store.rows = [watched.asks("a1")]
    assert await watched.sweep() == ["a1"]


async def test_a_service_that_does_not_answer_keeps_nobody_from_asking_another(watched: Watched):
    watched.provider.answer, watched.provider.awaited = None, 51
    watched.store.rows = [watched.asks(f"a{number}") for number in range(200)]
    watched.store.rows.append(watched.asks("n1", "nango/github", lasts=900.0))
    running = asyncio.ensure_future(watched.watch.run())
    await asyncio.wait_for(watched.provider.enough.wait(), 60)

    assert "n1" in watched.provider.asked
    assert watched.watch.looking == 51
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_an_org_that_asks_for_much_lets_others_have_their_turn(watched: Watched):
    mine = watched.asks("mine", lasts=900.0)._replace(org="small")
    watched.store.rows = [*(watched.asks(f"a{number}") for number in range(200)), mine]

    assert "mine" in await watched.sweep()


async def test_who_was_asked_for_longest_ago_comes_first(watched: Watched):
    watched.store.rows = [watched.asks(f"a{number}") for number in range(120)]
    seen: list[str] = []
    for _ in range(3):
        seen += await watched.sweep()
        watched.clock.advance(2.0)

    assert len(set(seen)) == 120
