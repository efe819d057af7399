"""Executors of the one process: one that is made when it is first needed, and one for a pool that is left out.

Nothing waits for a pool that cannot run here: its calls end at once, and say why.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from toolyard.contracts.tools import PinnedTool
from toolyard.errors import ToolyardError
from toolyard.telemetry.logs import logger
from toolyard_executors.context import Attempt
from toolyard_executors.executor import WELL, Executor, Finished, Standing, failed

log = logger("embedded")


@dataclass(slots=True)
class _Later:
    """A tool whose plan is made once there is an executor to make it."""

    tool: PinnedTool
    plan: Any = None

    def made(self, executor: Executor) -> Any:
        """The plan; raises as `Executor.prepare` does."""
        if self.plan is None:
            self.plan = executor.prepare(self.tool)
        return self.plan


class Lazily:
    """An executor that is made and opened when the first attempt comes.

    Args:
        make: makes it, for so many ``places``; on a thread, as loading its libraries takes a while.
    """

    def __init__(self, pool: str, make: Callable[[int], Executor], places: int) -> None:
        self.pool = pool
        self._make = make
        self._places = places
        self._opening: asyncio.Task[Executor] | None = None

    async def open(self) -> None:
        """Do nothing yet."""

    async def close(self) -> None:
        """Close it, if it was opened."""
        if self._opening is not None:
            (opened,) = await asyncio.gather(self._opening, return_exceptions=True)
            if not isinstance(opened, BaseException):
                await opened.close()

    def standing(self) -> Standing:
        """How it stands, once it was opened."""
        opened = self._opened()
        return WELL if opened is None else opened.standing()

    def prepare(self, tool: PinnedTool) -> _Later:
        """Nothing is worked out before there is somebody to do it."""
        return _Later(tool)

    def circuit(self, attempt: Attempt) -> str | None:
        """What the attempt depends on; nothing for those that come before there is an executor."""
        opened = self._opened()
        if opened is None:
            return None
        try:
            attempt.plan = attempt.plan.made(opened)
        except ValueError:
            return None  # it is told when it is run
        return opened.circuit(attempt)

    async def run(self, attempt: Attempt) -> Finished:
        """Run one attempt; see `toolyard_executors.executor.Executor`."""
        try:
            executor = self._opened() or await self._open()
        except (ToolyardError, ImportError) as error:
            return failed("unavailable", f"the pool {self.pool} cannot run here: {error}", "none")
        if isinstance(attempt.plan, _Later):
            try:
                attempt.plan = attempt.plan.made(executor)
            except ValueError as error:
                return failed("internal", f"this worker cannot run it: {error}", "none")
        return await executor.run(attempt)

    def _opened(self) -> Executor | None:
        opening = self._opening
        if opening is None or not opening.done() or opening.cancelled() or opening.exception() is not None:
            return None
        return opening.result()

    async def _open(self) -> Executor:
        """Once for all who come meanwhile; whoever comes after a failure tries again."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._made())
        return await asyncio.shield(self._opening)

    async def _made(self) -> Executor:
        executor = await asyncio.to_thread(self._make, self._places)
        await executor.open()
        log.info("a pool was opened", pool=self.pool)
        return executor


class LeftOut:
    """Ends the calls of a pool that cannot run on this machine, so that they do not wait for it."""

    def __init__(self, pool: str, reason: str) -> None:
        self.pool = pool
        self._reason = reason

    async def open(self) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """There is nothing to close."""

    def standing(self) -> Standing:
        """Well: it does what it can."""
        return WELL

    def prepare(self, tool: PinnedTool) -> None:
        """Nothing."""

    def circuit(self, attempt: Attempt) -> None:
        """Nothing is asked of anybody."""

    async def run(self, attempt: Attempt) -> Finished:
        """Say why nothing is run."""
        return failed("unavailable", f"the pool {self.pool} is left out here: {self._reason}", "none")
