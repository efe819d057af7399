"""Threads for calls that block: how many there are, what is told, and what becomes of what nobody wants any more."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.waiting import async_wait_until

from toolyard_executors.kinds.aws_lambda.threads import GivenUp, Job, Threads

WITHIN = 30.0


class Gate:
    """Work that stands still until it is let go; says how often it was begun."""

    def __init__(self) -> None:
        self.begun = 0
        self.opened = threading.Event()

    def __call__(self, job: Job[Any]) -> str:
        self.begun += 1
        assert self.opened.wait(WITHIN)
        return "through"


@contextlib.contextmanager
def no_more_threads() -> Iterator[None]:
    """The machine gives none: nobody has memory for such a stack."""
    threading.stack_size(1 << 46)
    try:
        yield
    finally:
        threading.stack_size(0)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.opened.set()


@pytest.fixture
def alive() -> Callable[[], int]:
    """How many threads there are of those that this test has started."""
    before = set(threading.enumerate())
    return lambda: sum(one.name.startswith("lambda-") for one in set(threading.enumerate()) - before)


async def until(check: Callable[[], bool], what: str) -> None:
    async def look() -> bool:
        return check()

    await async_wait_until(look, within=WITHIN, what=what)


async def test_what_the_work_answers_or_raises_is_told():
    threads = Threads(2)

    async def fails() -> None:
        await threads.run(lambda job: [][0])

    assert await threads.run(lambda job: 42) == 42
    with pytest.raises(IndexError):
        await fails()
    assert (threads.taken, threads.left_behind) == (0, 0)
    threads.close()


async def test_there_are_never_more_threads_than_were_allowed(gate: Gate, alive: Callable[[], int]):
    threads = Threads(3)
    running = [asyncio.create_task(threads.run(gate)) for _ in range(20)]
    await until(lambda: gate.begun == 3, "three at work")
    assert (alive(), threads.taken) == (3, 20)
    gate.opened.set()
    assert await asyncio.gather(*running) == ["through"] * 20
    assert (alive(), threads.taken) == (3, 0)
    threads.close()


async def test_where_the_machine_gives_no_more_threads_jobs_wait_for_those_that_there_are(
    gate: Gate, alive: Callable[[], int]
):
    threads = Threads(3)
    running = [asyncio.create_task(threads.run(gate))]
    await until(lambda: gate.begun == 1, "one at work")
    with no_more_threads():
        running += [asyncio.create_task(threads.run(gate)) for _ in range(4)]
        await until(lambda: threads.taken == 5, "all asked for")
    assert (alive(), gate.begun) == (1, 1)
    running += [asyncio.create_task(threads.run(gate)) for _ in range(4)]
    await until(lambda: gate.begun == 3, "three at work, now that there are threads")
    gate.opened.set()
    assert await asyncio.gather(*running) == ["through"] * 9
    assert (alive(), threads.taken) == (3, 0)
    threads.close()


async def test_where_there_is_no_thread_at_all_the_job_fails_and_is_not_counted():
    threads = Threads(3)
    with no_more_threads(), pytest.raises(RuntimeError, match="thread"):
        await threads.run(lambda job: 42)
    assert threads.taken == 0
    assert await threads.run(lambda job: 42) == 42
    threads.close()


async def test_who_asks_first_is_served_first(gate: Gate):
    threads, begun = Threads(1), list[int]()

    def note(number: int) -> Callable[[Job[None]], None]:
        return lambda job: begun.append(number)

    holding = asyncio.create_task(threads.run(gate))
    waiting = [asyncio.create_task(threads.run(note(number))) for number in range(20)]
    await until(lambda: gate.begun == 1, "one at work")
    gate.opened.set()
    await asyncio.gather(holding, *waiting)
    assert begun == list(range(20))
    threads.close()


async def test_one_thread_serves_those_who_come_one_after_the_other(alive: Callable[[], int]):
    threads = Threads(50)
    for _ in range(10):
        assert await threads.run(lambda job: "served") == "served"
    assert alive() == 1
    threads.close()


async def test_what_was_given_up_before_it_began_is_never_begun(gate: Gate):
    threads, ran = Threads(1), []
    holding = asyncio.create_task(threads.run(gate))
    waiting = asyncio.create_task(threads.run(lambda job: ran.append(1)))
    await until(lambda: gate.begun == 1, "one at work")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    gate.opened.set()
    assert await holding == "through"
    assert await threads.run(lambda job: "after") == "after"
    assert (ran, threads.taken, threads.left_behind) == ([], 0, 0)
    threads.close()


async def test_what_was_given_up_before_it_committed_does_not_happen(gate: Gate):
    threads, happened = Threads(1), []

    def work(job: Job[str]) -> str:
        gate(job)
        job.commit(lambda: happened.append("left"))
        return "sent"

    running = asyncio.create_task(threads.run(work))
    await until(lambda: gate.begun == 1, "it at work")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (threads.taken, threads.left_behind) == (1, 1)
    gate.opened.set()
    await until(lambda: threads.taken == 0, "its end")
    assert (happened, threads.left_behind) == ([], 0)
    threads.close()


async def test_what_has_committed_goes_on_with_its_thread_and_its_answer_is_dropped(gate: Gate):
    threads, happened = Threads(2), []

    def work(job: Job[str]) -> str:
        job.commit(lambda: happened.append("left"))
        return gate(job)

    running = asyncio.create_task(threads.run(work))
    await until(lambda: gate.begun == 1, "it at work")
    running.cancel()
    assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], asyncio.CancelledError)
    assert (happened, threads.taken, threads.left_behind) == (["left"], 1, 1)
    assert await threads.run(lambda job: "beside it") == "beside it"
    gate.opened.set()
    await until(lambda: threads.taken == 0, "its end")
    assert threads.left_behind == 0
    threads.close()


async def test_a_job_can_ask_whether_it_is_still_wanted(gate: Gate):
    threads, seen = Threads(1), []

    def work(job: Job[None]) -> None:
        gate(job)
        seen.append(job.given_up)
        with pytest.raises(GivenUp):
            job.check()

    running = asyncio.create_task(threads.run(work))
    await until(lambda: gate.begun == 1, "it at work")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    gate.opened.set()
    await until(lambda: threads.taken == 0, "its end")
    assert seen == [True]
    threads.close()


async def test_who_is_cancelled_with_the_answer_at_hand_leaves_nothing_behind():
    threads = Threads(1)
    running = asyncio.create_task(threads.run(lambda job: 1))
    await asyncio.sleep(0)
    tell, told = threads._tell, []

    def told_and_cancelled() -> None:
        tell()
        told.append(running.cancel())  # its future has a result, and the task has not gone on

    threads._tell = told_and_cancelled  # type: ignore[method-assign]
    assert isinstance((await asyncio.gather(running, return_exceptions=True))[0], asyncio.CancelledError)
    assert (told, threads.taken, threads.left_behind) == ([True], 0, 0)
    threads.close()


async def test_threads_end_when_they_are_closed_and_those_at_work_when_that_has_ended(
    gate: Gate, alive: Callable[[], int]
):
    threads = Threads(2)
    running = asyncio.create_task(threads.run(gate))
    await until(lambda: gate.begun == 1, "it at work")
    assert await threads.run(lambda job: 1) == 1
    threads.close()
    await until(lambda: alive() == 1, "one thread")
    gate.opened.set()
    assert await running == "through"
    await until(lambda: alive() == 0, "no thread")


def test_an_answer_after_the_end_of_everything_is_told_to_nobody(gate: Gate, alive: Callable[[], int]):
    async def main() -> None:
        threads = Threads(1)
        running = asyncio.create_task(threads.run(gate))
        await until(lambda: gate.begun == 1, "it at work")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        threads.close()

    asyncio.run(main())
    gate.opened.set()
    for thread in [one for one in threading.enumerate() if one.name.startswith("lambda-")]:
        thread.join(WITHIN)
    assert alive() == 0


async def test_a_thread_keeps_no_process_alive():
    threads = Threads(1)
    await threads.run(lambda job: None)
    assert all(one.daemon for one in threading.enumerate() if one.name.startswith("lambda-"))
    threads.close()
