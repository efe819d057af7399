"""What an attempt says of its progress: how often it is told, without secrets, never after its end, in nobody's way."""

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from tests.support.waiting import async_wait_until
from tests.unit.executors.fakes import settled, succeed
from tests.unit.executors.house import House

from toolyard.contracts.events import sequence
from toolyard.errors import Unavailable
from toolyard_executors import progress
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished


async def run(house: House, act: Callable[[Attempt], Awaitable[Finished]]) -> None:
    house.executor.act = act
    delivery = house.delivery()
    await house.runtime.run(delivery)
    assert settled(delivery) == ["ack"]


async def test_the_first_and_the_last_are_told_and_of_those_between_one_in_a_while() -> None:
    house = House()

    async def act(attempt: Attempt) -> Finished:
        for done in range(100):
            attempt.progress(done, 100)
        return await succeed(attempt)

    await run(house, act)
    events = house.transport.progress()
    assert [(event.done, event.total) for event in events] == [(0, 100), (99, 100)]
    assert [event.sequence for event in events] == [sequence(1, 2), sequence(1, 3)]
    assert house.ends()[-1].sequence > events[-1].sequence


async def test_the_newest_is_told_after_each_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PAUSE", 0.01)
    house = House()

    async def newest_is(done: int) -> bool:
        return house.transport.progress()[-1].done == done

    async def act(attempt: Attempt) -> Finished:
        for done in range(3):
            attempt.progress(2 * done)
            attempt.progress(2 * done + 1)
            await async_wait_until(partial(newest_is, 2 * done + 1), within=60, what="the newest to be told")
        return await succeed(attempt)

    await run(house, act)
    assert [event.done for event in house.transport.progress()][-1] == 5
    assert {1, 3, 5} <= {event.done for event in house.transport.progress()}


async def test_a_message_is_told_without_secrets_and_cut() -> None:
    house = House()

    async def act(attempt: Attempt) -> Finished:
        attempt.part_of_secret("TOKEN", "part", "s3cret-value")
        attempt.progress(1, None, "x" * 290 + " s3cret-value and more")
        return await succeed(attempt)

    await run(house, act)
    (event,) = house.transport.progress()
    assert "s3cret" not in (event.message or "")
    assert len(event.message or "") == 300


async def test_what_cannot_be_told_changes_nothing_and_after_the_end_nothing_is_told() -> None:
    house = House()
    kept: list[Attempt] = []

    async def act(attempt: Attempt) -> Finished:
        kept.append(attempt)
        house.transport.failures.append(Unavailable("away"))
        attempt.progress(1)
        return await succeed(attempt)

    await run(house, act)
    before = len(house.transport.published)
    kept[0].progress(2)
    assert len(house.transport.published) == before
    assert house.transport.progress() == []
