"""Connections that last: written to until one side has enough, and never left to a reader that does not read."""

import asyncio
from collections.abc import Coroutine
from typing import Final

from starlette.types import Scope

from toolyard_gateway.live.bounds import Bounds
from toolyard_gateway.live.outbox import Outbox

#: Where the protocols of `serving` put how to drop a connection with all that waits in it.
ABORT: Final = "toolyard.abort"


async def written(
    outbox: Outbox, writing: Coroutine[None, None, None], gone: Coroutine[None, None, None], bounds: Bounds
) -> bool:
    """Write until there is nothing more to write, or the client is gone; whether the writer came to its end.

    Once the connection is to end, the writer has `Bounds.last_words` seconds: it may be stuck in a socket that nobody
    reads.
    """
    writer, leaving = asyncio.create_task(writing), asyncio.create_task(gone)
    over = asyncio.create_task(_over(outbox))
    try:
        await asyncio.wait({writer, leaving, over}, return_when=asyncio.FIRST_COMPLETED)
        if not (writer.done() or leaving.done()):
            await asyncio.wait({writer, leaving}, timeout=bounds.last_words, return_when=asyncio.FIRST_COMPLETED)
        for task in (writer, leaving):
            if task.done():
                task.result()  # raises what was wrong in it
        return writer.done()
    finally:
        for task in (writer, leaving, over):
            task.cancel()
        await asyncio.gather(writer, leaving, over, return_exceptions=True)


async def _over(outbox: Outbox) -> None:
    await outbox.over.wait()


def drop(scope: Scope, *, after: float = 0.0) -> None:
    """Drop the connection, if it is still there after so many seconds."""
    abort = scope.get(ABORT)
    if abort is not None:
        asyncio.get_running_loop().call_later(after, abort)
