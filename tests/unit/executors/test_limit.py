"""The limit of an attempt ends what its task does, and nothing else."""

import asyncio
from collections.abc import Callable

import pytest

from toolyard_executors.limit import Limit


def limit_of_this_task() -> Limit:
    task = asyncio.current_task()
    assert task is not None
    return Limit(asyncio.get_running_loop(), task)


async def work_for_ever(limit: Limit, end: Callable[[Limit], object]) -> None:
    with limit:
        end(limit)
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    "end",
    [Limit.now, lambda limit: limit.at(0.0), lambda limit: (limit.at(1e9), limit.now())],
    ids=["at once", "in the past", "sooner than said before"],
)
async def test_what_is_over_ends_with_a_timeout_and_leaves_the_task_as_it_was(end: Callable[[Limit], object]):
    limit = limit_of_this_task()
    with pytest.raises(TimeoutError):
        await work_for_ever(limit, end)
    task = asyncio.current_task()
    assert task is not None
    assert (limit.over, task.cancelling()) == (True, 0)


async def test_what_ended_before_is_not_ended_afterwards():
    with limit_of_this_task() as limit:
        limit.now()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not limit.over


async def test_a_limit_that_was_put_off_does_not_end_it_earlier():
    with limit_of_this_task() as limit:
        limit.at(0.0)
        limit.at(asyncio.get_running_loop().time() + 3_600)
        for _ in range(3):
            await asyncio.sleep(0)
    assert not limit.over


async def test_another_error_stays_what_it_is():
    async def fails() -> None:
        with limit_of_this_task() as limit:
            try:
                limit.now()
                await asyncio.Event().wait()
            finally:
                raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        await fails()
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("also_over", [False, True])
async def test_whoever_cancels_the_task_itself_has_the_last_word(also_over: bool):
    entered = asyncio.Event()

    async def work() -> None:
        with limit_of_this_task() as limit:
            if also_over:
                limit.now()
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
