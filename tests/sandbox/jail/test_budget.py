"""The budget: never more than there is, first come, first served, and nothing is lost to those who give up."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.sandbox.jail.budget import Budget


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_finds_no_room_waits_until_there_is():
    budget = Budget(places=9, bytes_in_all=100)
    await budget.take(60)

    second = asyncio.create_task(budget.take(60))
    await settled()
    assert not second.done()
    budget.give_back(60)

    await second


async def test_places_bound_the_number_of_runs():
    budget = Budget(places=1, bytes_in_all=100)
    await budget.take(1)

    second = asyncio.create_task(budget.take(1))
    await settled()
    assert not second.done()
    budget.give_back(1)

    await second


async def test_a_large_run_is_not_passed_by_small_ones():
    budget = Budget(places=9, bytes_in_all=100)
    await budget.take(50)
    large = asyncio.create_task(budget.take(100))
    await settled()

    small = asyncio.create_task(budget.take(1))
    await settled()
    assert not small.done()
    budget.give_back(50)
    await large
    budget.give_back(100)

    await small


async def test_more_than_the_whole_is_refused_at_once():
    with pytest.raises(ValueError, match="memory limit of 101 bytes; all runs together have 100"):
        await Budget(places=1, bytes_in_all=100).take(101)


async def test_who_gives_up_lets_those_behind_pass():
    budget = Budget(places=9, bytes_in_all=100)
    await budget.take(50)
    large = asyncio.create_task(budget.take(100))
    await settled()
    small = asyncio.create_task(budget.take(10))
    await settled()

    large.cancel()

    await small


async def test_who_gives_up_in_the_moment_of_being_let_in_gives_back():
    budget = Budget(places=1, bytes_in_all=100)
    await budget.take(100)
    second = asyncio.create_task(budget.take(100))
    await settled()

    budget.give_back(100)
    second.cancel()
    await asyncio.wait({second})

    await asyncio.wait_for(budget.take(100), 60)


@given(st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=20))
def test_never_more_than_there_is(runs: list[tuple[int, bool]]):
    async def story() -> None:
        budget = Budget(places=3, bytes_in_all=100)
        inside: list[int] = []

        async def run(amount: int) -> None:
            await budget.take(amount)
            inside.append(amount)
            assert sum(inside) <= 100
            assert len(inside) <= 3
            try:
                await asyncio.sleep(0)
            finally:
                inside.remove(amount)
                budget.give_back(amount)

        tasks = [(asyncio.create_task(run(amount)), given_up) for amount, given_up in runs]
        await asyncio.sleep(0)
        for task, given_up in tasks:
            if given_up:
                task.cancel()
        if tasks:
            done, _ = await asyncio.wait([task for task, _ in tasks], timeout=5)
            assert all(task.cancelled() or task.exception() is None for task in done)
            assert len(done) == len(tasks)
        for _ in range(3):
            await asyncio.wait_for(budget.take(33), 60)

    asyncio.run(story())
