"""The crossing: results and errors come over as they are, and not without bound."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from toolyard.errors import StoreUnavailable
from toolyard.store.crossing import Crossing


@pytest.fixture
async def crossing() -> AsyncIterator[Crossing]:
    found = Crossing(threads=1)
    yield found
    await found.close()


async def test_what_a_function_returns_comes_over(crossing: Crossing):
    assert await crossing.run(lambda *args, **kwargs: (args, kwargs), 1, b=2) == ((1,), {"b": 2})


async def test_what_a_function_raises_comes_over_as_it_is(crossing: Crossing):
    error = KeyError("as it is")

    def fail() -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        await crossing.run(fail)
    assert caught.value is error


async def test_the_loop_goes_on_meanwhile(crossing: Crossing):
    gate = threading.Event()
    waiting = asyncio.create_task(crossing.run(gate.wait, 10))
    await asyncio.sleep(0)
    gate.set()

    assert await waiting


async def test_too_many_waiting_are_refused_and_room_comes_back(crossing: Crossing):
    gate = threading.Event()
    waiting = [asyncio.create_task(crossing.run(gate.wait, 10)) for _ in range(65)]
    await asyncio.sleep(0)

    with pytest.raises(StoreUnavailable, match="too many"):
        await crossing.run(int)
    gate.set()
    await asyncio.gather(*waiting)
    assert await crossing.run(int) == 0


async def test_one_who_is_cancelled_leaves_the_room_to_others(crossing: Crossing):
    gate = threading.Event()
    first = asyncio.create_task(crossing.run(gate.wait, 10))
    others = [asyncio.create_task(crossing.run(int)) for _ in range(64)]
    await asyncio.sleep(0)
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)

    late = asyncio.create_task(crossing.run(int))
    await asyncio.sleep(0)
    gate.set()
    assert await late == 0
    assert await first
