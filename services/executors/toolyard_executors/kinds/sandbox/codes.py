"""The code of tools, made once of each source and kept: many calls of a tool share what one check of it gave."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from toolyard.sandbox.runner import Checked
from toolyard_executors.kinds.sandbox.plans import Plan

#: Sources, and bytes of the code of all of them, that are kept; what was not asked for longest goes first.
_SOURCES: Final = 512
_BYTES: Final = 64 << 20

#: `toolyard.sandbox.runner.Runner.check`.
Check = Callable[[str, Sequence[str] | None], Awaitable[Checked]]


class Refused(Exception):  # noqa: N818
    """The code of a tool does not run here, though it did where it was saved: says why."""


class Codes:
    """The code of tools.

    Args:
        check: looks at a source and makes code of it.
    """

    def __init__(self, check: Check) -> None:
        self._check = check
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0
        self._making: dict[bytes, asyncio.Task[bytes]] = {}

    def kept(self, plan: Plan) -> bytes | None:
        """The code of a tool, where it was made already."""
        found = self._kept.get(plan.key)
        if found is not None:
            self._kept.move_to_end(plan.key)
        return found

    async def get(self, plan: Plan) -> bytes:
        """The code of a tool. Whoever asks while it is being made gets the same.

        Raises:
            Refused: it does not pass here.
            ServerLost: nobody could look at it.
        """
        found = self.kept(plan)
        if found is not None:
            return found
        making = self._making.get(plan.key)
        if making is None:
            making = self._making[plan.key] = asyncio.create_task(self._make(plan))
            making.add_done_callback(lambda made: self._made(plan.key, made))
        return await asyncio.shield(making)  # who is cancelled does not take the others along

    async def close(self) -> None:
        """Make no more."""
        for making in list(self._making.values()):
            making.cancel()
        await asyncio.gather(*self._making.values(), return_exceptions=True)

    async def _make(self, plan: Plan) -> bytes:
        checked = await self._check(plan.source, plan.allowed_imports)
        if checked.code is None:
            problem = checked.problems[0]
            where = f"line {problem.line}, column {problem.column}: " if problem.line else ""
            raise Refused(f"{where}{problem.message}")
        return checked.code

    def _made(self, key: bytes, making: "asyncio.Task[bytes]") -> None:
        del self._making[key]
        if making.cancelled() or making.exception() is not None:  # asked for, or nobody would have looked at it
            return
        self._kept[key] = code = making.result()
        self._bytes += len(code)
        while len(self._kept) > _SOURCES or self._bytes > _BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= len(oldest)
