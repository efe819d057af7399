"""Work that several ask for is done once, goes on without those who leave, and is done anew after its end."""

import asyncio

import pytest

from toolyard_executors.kinds.http.once import Once


class Work:
    """Counts how often it was begun, and ends when the test says so."""

    def __init__(self) -> None:
        self.begun = 0
        self.go_on = asyncio.Event()
        self.fails = False

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        await self.go_on.wait()
        if self.fails:
            raise LookupError(number)
        return number


@pytest.fixture
def once() -> Once:
    return Once()


async def asked(once: Once, work: Work, *keys: str) -> "list[asyncio.Task[int]]":
    """Several who ask, each at the point where it waits."""
    tasks = [asyncio.create_task(once.do(key, work)) for key in keys]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_all_who_ask_for_the_same_get_the_same(once):
    work = Work()
    tasks = await asked(once, work, "a", "a", "b")
    work.go_on.set()
    assert await asyncio.gather(*tasks) == [1, 1, 2]


async def test_after_its_end_it_is_done_anew(once):
    work = Work()
    work.go_on.set()
    assert [await once.do("a", work), await once.do("a", work)] == [1, 2]


async def test_a_failure_is_told_to_all_of_them_and_not_kept(once):
    work = Work()
    work.fails = True
    tasks = await asked(once, work, "a", "a")
    work.go_on.set()
    failures = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in failures] == [LookupError, LookupError]
    work.fails = False
    assert await once.do("a", work) == 2


async def test_who_leaves_takes_it_from_nobody(once):
    work = Work()
    first, second = await asked(once, work, "a", "a")
    first.cancel()
    work.go_on.set()
    assert await second == 1
    assert first.cancelled()


async def test_a_failure_that_nobody_waits_for_any_more_is_no_noise(once):
    """An exception that is never looked at would be told by the loop."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    work = Work()
    work.fails = True
    (only,) = await asked(once, work, "a")
    only.cancel()
    work.go_on.set()
    await asyncio.gather(only, return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
    assert (told, work.begun) == ([], 1)


async def test_what_is_under_way_ends_with_it(once):
    (task,) = await asked(once, Work(), "a")
    await once.close()
    with pytest.raises(asyncio.CancelledError):
        await task
