"""The life of a gateway: what is started before the first request, in which order, and what is left when it stops."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final

from fastapi import FastAPI

from toolyard.errors import StoreError, StoreUnavailable
from toolyard.telemetry.logs import logger
from toolyard.timing import GATEWAY_DRAIN
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.authentication import seed_first_key
from toolyard_gateway.code_check import OwnRunner

_AGAIN: Final = 1.0
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
log = logger("gateway")


def lifespan_of(parts: Parts, first_key: str | None, own_checker: OwnRunner, *, own_transport: bool) -> Lifespan:
    """The lifespan of an app with these parts.

    Args:
        parts: of this gateway.
        first_key: becomes the admin key where there is none yet.
        own_checker: ends with it.
        own_transport: open and close the transport; if not, whoever made it does.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if own_transport:
                await parts.transport.open()
                stack.push_async_callback(parts.transport.close)
            stack.push_async_callback(parts.publisher.finish)  # last: the others leave it what is to be put away
            stack.push_async_callback(own_checker.stop)
            await parts.inbox.start()
            stack.push_async_callback(parts.inbox.stop)
            stack.push_async_callback(parts.live.stop)
            await _look_at_tables(parts)
            if first_key is not None:
                await _seed_once(parts, first_key)
            if parts.front is not None:
                await parts.front.start()
                stack.push_async_callback(parts.front.stop)
            stack.push_async_callback(_end, _begin(parts, first_key))
            log.info("the gateway is open", gateway=parts.gateway_id)
            yield
            await drain(parts)

    return lifespan


def _begin(parts: Parts, first_key: str | None) -> list[asyncio.Task[None]]:
    duties = [parts.correlator.run(), parts.inbox.watch(), parts.live.watch()]
    if parts.front is not None:
        duties.append(parts.front.watch())
    if not parts.tables_known:
        duties.append(_wait_for_tables(parts))
    if parts.keyless and first_key is not None:
        duties.append(_seed(parts, first_key))
    return [asyncio.create_task(duty) for duty in duties]


async def _end(running: list[asyncio.Task[None]]) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _wait_for_tables(parts: Parts) -> None:
    """Look until it is known that the tables serve; somebody brings them up to date, or starts the database."""
    while not parts.tables_known:
        await asyncio.sleep(_AGAIN)
        await _look_at_tables(parts)


async def _look_at_tables(parts: Parts) -> None:
    """Whether this build can work with the tables: if not, an upgrade has begun at the wrong end."""
    try:
        await parts.store.ask(parts.store.check)
    except StoreUnavailable as error:
        log.debug("whether the tables serve is not known yet", reason=str(error))
    except StoreError as error:
        if str(error) != parts.misfit:
            log.warning("the gateway waits for the tables of its version", reason=str(error))
        parts.misfit = str(error)
    else:
        parts.misfit, parts.tables_known = "", True


async def _seed(parts: Parts, first_key: str) -> None:
    """Make the first key, as soon as the store can be asked."""
    while parts.keyless:
        await asyncio.sleep(_AGAIN)  # nobody tells when the store is back
        await _seed_once(parts, first_key)


async def _seed_once(parts: Parts, first_key: str) -> None:
    try:
        if await seed_first_key(parts.store, first_key, parts.clock):
            log.info("the first admin key was made")
    except StoreError as error:
        parts.keyless = True
        log.warning("the first key is not made yet", error=str(error))
    else:
        parts.keyless = False


async def drain(parts: Parts, *, patience: float = GATEWAY_DRAIN) -> None:
    """Take no more calls, and let those who wait have their answers, as far as that goes within ``patience``."""
    if not parts.draining:
        parts.draining = parts.door.closed = True
        parts.live.release()
        if parts.front is not None:
            parts.front.leave()
        await parts.correlator.all_left(patience)
        parts.correlator.release()
        if parts.front is not None:
            await parts.front.stop()
