"""What a scheduler does while it leads: duties, run side by side until one of them cannot go on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol


class Duty(Protocol):
    """One thing that is done while this scheduler leads."""

    async def run(self) -> None:
        """Do it until cancelled; an error ends the term, and with it all duties."""


async def run_together(duties: Sequence[Duty]) -> None:
    """Run these until one ends or fails, then stop the others; raises what the first one raised."""
    await until_first(*(asyncio.create_task(duty.run(), name=type(duty).__name__) for duty in duties))


async def until_first(*those: Awaitable[object]) -> None:
    """Run these until the first ends, then cancel the others; raises what it raised."""
    tasks = [asyncio.ensure_future(each) for each in those]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def in_background(those: Iterable[Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Do these beside the block, and stop with it what has not ended."""
    tasks = [asyncio.create_task(each) for each in those]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
