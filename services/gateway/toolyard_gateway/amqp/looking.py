"""Many calls looked up together: those of tickets that come back at the same moment, in one query."""

import asyncio
from typing import Final

from toolyard.store.base import CallRow
from toolyard_gateway.stores import StoreAccess

#: Seconds for which look-ups are collected, and calls in one of them.
COLLECT: Final = 0.05
MOST: Final = 500


class Looks:
    """Asks the store for calls that have ended or wait for their users."""

    def __init__(self, store: StoreAccess) -> None:
        self._store = store
        self._asked: dict[str, asyncio.Future[CallRow | None]] = {}
        self._asking: set[asyncio.Task[None]] = set()

    async def row(self, call_id: str) -> CallRow | None:
        """The call, where it has ended or waits for its user; None of all others.

        Raises:
            StoreUnavailable: the store is away.
        """
        if not self._asked:
            self._later()
        future = self._asked.setdefault(call_id, asyncio.get_running_loop().create_future())
        return await asyncio.shield(future)

    def _later(self) -> None:
        task = asyncio.ensure_future(self._ask())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self) -> None:
        await asyncio.sleep(COLLECT)
        asked, self._asked = self._asked, {}
        wanted = list(asked)
        for start in range(0, len(wanted), MOST):
            await self._ask_for({call_id: asked[call_id] for call_id in wanted[start : start + MOST]})

    async def _ask_for(self, asked: "dict[str, asyncio.Future[CallRow | None]]") -> None:
        try:
            rows = await self._store.ask(self._store.calls.ended, list(asked), or_asking=True)
        except Exception as error:  # noqa: BLE001 - it is whose who asked; nobody else looks at this task
            for future in asked.values():
                future.set_exception(error)
                future.exception()  # one who left is no defect
            return
        known = {row.call.call_id: row for row in rows}
        for call_id, future in asked.items():
            future.set_result(known.get(call_id))
