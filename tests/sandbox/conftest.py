"""A jail for the tests of this folder, with a guest that runs whatever it is given."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from tests.support import leash
from tests.support.jail.yard import GUESTS
from tests.support.waiting import async_wait_until, wait_until

from toolyard.sandbox.jail.jail import Jail, Level


@pytest.fixture(scope="module")
def family() -> Iterator[set[int]]:
    """Processes of which none may be left after the module's tests; the kernel takes its time with their namespaces."""
    pids: set[int] = set()
    yield pids
    wait_until(lambda: not any(map(leash.alive, pids)), within=60, what="none of the jails' processes is left")


@pytest_asyncio.fixture
async def jail(family: set[int]) -> AsyncIterator[Jail]:
    """A started jail for three runs at a time."""
    jail = Jail("raw_guest", children=3, minimum=Level.CONTAINER, folders=[GUESTS], memory=1 << 30)
    await jail.start()
    family |= leash.members(pid_of(jail))
    yield jail
    if jail._pool._server is not None:
        family |= leash.members(pid_of(jail))
    await jail.stop()


def pid_of(jail: Jail) -> int:
    """The process of the fork server."""
    assert jail._pool._server is not None
    assert jail._pool._server.pid is not None
    return jail._pool._server.pid


def children_of(jail: Jail) -> set[int]:
    """The children that live, as far as the worker knows."""
    assert jail._pool._server is not None
    return {child.pid for child in jail._pool._server.children.values()}


async def ended(*pids: int) -> None:
    """Waits until these processes are no more."""

    async def check() -> bool:
        return not any(map(leash.alive, pids))

    await async_wait_until(check, within=60, what=f"none of {pids} is left")
