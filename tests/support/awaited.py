"""The asynchronous client as tests of the synchronous one can use it, so that both pass the same tests."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Self, TypeVar

from toolyard.client import AsyncClient

T = TypeVar("T")


class Awaited:
    """An `AsyncClient` on a loop of its own: each method is run to its end, events up to the last one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncClient(*args, **options)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def run(*args: Any, **options: Any) -> Any:
            asked = method(*args, **options)
            if isinstance(asked, AbstractAsyncContextManager):
                return self._entered(asked)
            return self._runner.run(asked if inspect.iscoroutine(asked) else _listed(asked))

        return run

    @contextmanager
    def _entered(self, block: AbstractAsyncContextManager[AsyncIterator[Any]]) -> Iterator[Iterator[Any]]:
        """The block, with what comes in it one by one."""
        coming = self._runner.run(_awaited(block.__aenter__()))
        try:
            yield self._one_by_one(coming)
        finally:
            self._runner.run(_awaited(block.__aexit__(None, None, None)))

    def _one_by_one(self, coming: AsyncIterator[Any]) -> Iterator[Any]:
        while True:
            try:
                yield self._runner.run(_awaited(anext(coming)))
            except StopAsyncIteration:
                return

    def __enter__(self) -> Self:
        self._runner.run(self._client.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.__aexit__(None, None, None))
        self._runner.close()


async def _awaited(one: Awaitable[T]) -> T:
    return await one


async def _listed(events: AsyncIterator[Any]) -> list[Any]:
    return [event async for event in events]
