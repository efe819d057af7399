"""Whether the client is still there while its calls are waited for. Where it asked so, they are cancelled with it.

Used by the operations that make calls, only for those that ask for it: all others lose nothing when their client goes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

from fastapi import Request

from toolyard.errors import Refused
from toolyard.telemetry import logs
from toolyard.telemetry.logs import logger
from toolyard_gateway.admission import Admission
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.pending import Answer, Pending

log = logger("presence")


T = TypeVar("T")
Outcome = Callable[[Admission, float], Awaitable[Answer]]


@contextlib.asynccontextmanager
async def watched(request: Request, known: Parts, *, watch: bool) -> AsyncIterator[Outcome]:
    """How outcomes are waited for: with an eye on the client, or as usual."""
    if not watch:
        yield known.calls.outcome
        return
    async with Presence(request, known) as presence:
        yield presence.outcome


class Presence:
    """Listens for the end of a request's connection; its body must have been read."""

    def __init__(self, request: Request, known: Parts) -> None:
        self._request = request
        self._known = known

    async def __aenter__(self) -> Self:
        self._gone = asyncio.create_task(self._until_it_goes())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _stop(self._gone)

    async def _until_it_goes(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass  # an empty rest of the body

    async def outcome(self, admission: Admission, wait: float) -> Answer:
        """As `Calls.outcome`; when the client goes first, the call is cancelled, unless somebody else waits for it."""
        waiting = asyncio.ensure_future(self._known.calls.outcome(admission, wait))
        try:
            await asyncio.wait({waiting, self._gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over = waiting.done()
            await _stop(waiting)
        if over or admission.pending is None:
            return waiting.result()
        await self._cancel(admission.pending)
        return admission.pending.now()

    async def _cancel(self, pending: Pending) -> None:
        if pending.waiting or pending.over.done():
            return
        try:
            await self._known.publisher.cancel_call(pending.call)
        except Refused as refused:
            log.warning("a call outlives its client", **logs.of(pending.call), error=refused.detail)


async def _stop(task: "asyncio.Future[T]") -> None:
    task.cancel()
    await asyncio.wait([task])
