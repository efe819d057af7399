"""The bell that wakes duties: it rings for who waits or will wait, and keeps nobody from ending."""

import asyncio

import pytest

from toolyard_scheduler.told import Bell


async def test_a_bell_that_rang_before_is_heard_once():
    bell = Bell()
    bell.ring()
    await asyncio.wait_for(bell.wait(60.0), 60)

    assert not bell._rung.is_set()
    await asyncio.wait_for(bell.wait(0.01), 60)


@pytest.mark.parametrize("steps", range(6))
async def test_it_ends_however_the_ringing_and_the_cancelling_meet(steps: int):
    bell = Bell()

    async def wait_for_ever() -> None:
        while True:
            await bell.wait(60.0)

    waiting = asyncio.create_task(wait_for_ever())
    await asyncio.sleep(0)
    bell.ring()
    for _ in range(steps):
        await asyncio.sleep(0)
    waiting.cancel()
    done, _ = await asyncio.wait({waiting}, timeout=5)

    assert done
    assert waiting.cancelled()
