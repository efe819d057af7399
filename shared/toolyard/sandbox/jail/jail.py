"""The jail: runs what is asked of it in processes that can do nothing but compute, each used once.

Built by whoever has untrusted code to run or to look at, on its event loop. It takes a locked child from the `pool`,
talks with it (`conversation`), and says how that ended (`judging`); it keeps the memory of all runs together under a
bound.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from toolyard.sandbox.jail.budget import Budget
from toolyard.sandbox.jail.control import Died
from toolyard.sandbox.jail.conversation import Answer, Channel, Ending, Hear, NotBegun, converse
from toolyard.sandbox.jail.descriptors import provide
from toolyard.sandbox.jail.forkserver import Child, NoPlace, ServerLost
from toolyard.sandbox.jail.judging import judge
from toolyard.sandbox.jail.levels import Isolation, Level
from toolyard.sandbox.jail.pool import TRIES, Pool
from toolyard.sandbox.jail.runs import Limits, Verdict

__all__ = ["Isolation", "Jail", "Level", "Limits", "NoPlace", "ServerLost", "Verdict"]

_MEMORY: Final = 1 << 30
_RENEW_AFTER: Final = 5_000
_SECONDS_TO_DIE: Final = 5.0
#: Seconds that a run which has its place waits for a child, however long it may last.
_LONGEST_WAIT: Final = 15.0


class Jail:
    """A pool of locked, single-use processes.

    Args:
        guest: the module that runs in them, see `child.Guest`.
        children: runs at the same time; about as many processes wait locked.
        minimum: the worst level at which it may start.
        memory: bytes that the memory limits of all runs at a time may add up to.
        folders: where the guest module is, if not where Python looks anyway.
        renew_after: children of one fork server, until another takes its place.
    """

    def __init__(
        self,
        guest: str,
        *,
        children: int,
        minimum: Level = Level.CONTAINER,
        memory: int = _MEMORY,
        folders: Sequence[str] = (),
        renew_after: int = _RENEW_AFTER,
    ) -> None:
        self._pool = Pool(guest, folders, alive=children + 1, minimum=minimum, renew_after=renew_after)
        self._budget = Budget(children, memory)
        self._places = children
        self.memory = memory

    @property
    def isolation(self) -> Isolation | None:
        """What the newest fork server has proved; None before the first, and after the last."""
        return self._pool.isolation

    @property
    def servers(self) -> int:
        """Fork servers that were started so far."""
        return self._pool.servers

    @property
    def trouble(self) -> str:
        """Why nothing can be run, and not for a moment only; empty where all is well."""
        return self._pool.trouble

    async def start(self) -> Isolation:
        """Starts the fork server, which proves its walls by attempts.

        Raises:
            SettingsError: a wall is missing here that is asked for, or this process may not have enough descriptors; it
                says which, and what to do.
            ServerLost: the server did not come up.
        """
        provide(self._places)
        return await self._pool.start()

    async def run(
        self,
        operation: str,
        payload: bytes,
        *,
        limits: Limits,
        answer: Answer | None = None,
        hear: Hear | None = None,
    ) -> Verdict:
        """Runs one request in a process of its own, as soon as there is place for it.

        Cancelling it kills the process at once.

        Args:
            operation: what the guest is to do.
            payload: what it gets for it.
            limits: what it may use.
            answer: answers the guest's requests to the worker; without it the guest may make none.
            hear: is told what it says on its way; without it the guest may say nothing.

        Raises:
            ValueError: its memory limit is more than all runs together have.
            NoPlace: there was none for it in its time. ServerLost: there was no process for it; the guest saw nothing
                of the request.
            Exception: what `answer` or `hear` raised, but for `Untrue`.
        """
        asked = time.monotonic()
        await self._place(limits)
        child: Child | None = None
        try:
            for _ in range(TRIES):
                child, channel = await self._child(limits, asked)
                left = limits.after(time.monotonic() - asked)
                with contextlib.suppress(NotBegun):
                    return await self._in_child(
                        child, partial(converse, channel, operation, payload, left, answer, hear), left
                    )
            raise ServerLost(f"{TRIES} processes of the sandbox died before they began")
        finally:
            self._give_back(child, limits.memory)

    async def stop(self) -> None:
        """Ends everything: runs that are under way end as `lost`, runs that wait with `ServerLost`."""
        await self._pool.stop()

    async def _place(self, limits: Limits) -> None:
        if self._budget.take_at_once(limits.memory):
            return
        try:
            async with asyncio.timeout(limits.total):
                await self._budget.take(limits.memory)
        except TimeoutError:
            if trouble := self._pool.trouble:  # nobody gives a place back then
                raise ServerLost(trouble) from None
            raise NoPlace(f"no place in the sandbox came free within {limits.total:.1f} s") from None

    async def _child(self, limits: Limits, asked: float) -> tuple[Child, Channel]:
        """A child for a run that was asked for at this time, as long as it has any left."""
        left = math.inf if limits.total is None else limits.total - (time.monotonic() - asked)
        if left > 0 and (at_hand := self._pool.at_hand()) is not None:
            return at_hand
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(_LONGEST_WAIT, left)):
                child, channel = await self._pool.take()
                if left > 0:
                    return child, channel
                child.discard()
        raise ServerLost(f"no process of the sandbox was there for it within {time.monotonic() - asked:.1f} s")

    async def _in_child(self, child: Child, talk: Callable[[], Awaitable[Ending]], limits: Limits) -> Verdict:
        born = child.cpu()
        try:
            ending = await talk()
            used = child.used()
        finally:
            child.discard()
        if ending.how is not None and used is not None:
            return judge(ending, Died(child.serial, 0, *used), limits, child.base_memory, born)
        await asyncio.wait({child.died}, timeout=_SECONDS_TO_DIE)
        died = child.died.result() if child.died.done() else None
        return judge(ending, died, limits, child.base_memory, born)

    def _give_back(self, child: Child | None, memory: int) -> None:
        """The memory of a run is free when its process is gone, not when it is told to go."""
        if child is None:
            self._budget.give_back(memory)
        else:
            child.died.add_done_callback(lambda _: self._budget.give_back(memory))
