"""The composition root: every part of a gateway is put together here, and started and stopped by the app's lifespan.

`build` is called by this package's `__main__`, by `toolyard_embedded`, and by tests.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from toolyard.clock import SYSTEM, Clock
from toolyard.errors import StoreError
from toolyard.sandbox.jail.levels import Level
from toolyard.security.egress import AllowList
from toolyard.security.keys import SecretKeys
from toolyard.store.base import CallRow
from toolyard.store.crossing import Crossing
from toolyard.store.vault import Vault
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Transport
from toolyard.transport.envelope import Envelope
from toolyard_gateway.admission import Door
from toolyard_gateway.api import (
    calls,
    cancels,
    dead_letters,
    health,
    keys,
    live,
    openapi,
    pools,
    problems,
    schedules,
    secrets,
    sockets,
    streams,
    tools,
    turns,
)
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.api.replays import Replays
from toolyard_gateway.authentication import Authenticator, seed_first_key
from toolyard_gateway.code_check import Checker, CodeCheck, OwnRunner
from toolyard_gateway.correlation import Correlator, LookUp
from toolyard_gateway.inbox import Inbox
from toolyard_gateway.live.asking import Asker
from toolyard_gateway.live.bounds import DEFAULT, Bounds
from toolyard_gateway.live.following import Live
from toolyard_gateway.metrics import Metrics
from toolyard_gateway.position import LedgerWatch
from toolyard_gateway.publishing import Publisher
from toolyard_gateway.reading import Calls
from toolyard_gateway.recall import Recall
from toolyard_gateway.registry import Registry
from toolyard_gateway.stores import StoreAccess, Stores
from toolyard_gateway.turns import Turns

log = logger("gateway")

#: Seconds that waiters are given when the gateway stops.
DRAIN: Final = 10.0
#: The operations, in the order in which they are described.
GROUPS: Final = (calls, cancels, turns, streams, live, tools, schedules, secrets, pools, dead_letters, keys, health)
_SEED_AGAIN: Final = 1.0
_NO_EGRESS: Final = AllowList()
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build(
    *,
    transport: Transport,
    envelope: Envelope,
    store: Stores,
    crossing: Crossing,
    gateway_id: str,
    clock: Clock = SYSTEM,
    egress_allow: AllowList = _NO_EGRESS,
    first_key: str | None = None,
    log_max_lag: float = 900.0,
    max_open: int = 10_000,
    own_transport: bool = True,
    live_bounds: Bounds = DEFAULT,
    code_check: Checker | None = None,
    sandbox_minimum: Level = Level.CONTAINER,
    secret_keys: SecretKeys | None = None,
) -> FastAPI:
    """A gateway as an ASGI app.

    Args:
        transport: carries calls and answers.
        envelope: seals and opens messages.
        store: tools, keys and calls.
        crossing: brings the store to the loop.
        gateway_id: the word of its reply queue.
        clock: of this gateway.
        egress_allow: private destinations that tools may name, as the executors have them.
        first_key: becomes the admin key where there is none yet.
        log_max_lag: seconds that the ledger may be behind before calls are refused.
        max_open: calls open at a time.
        own_transport: the app opens and closes the transport; if not, whoever made it does.
        live_bounds: how much live events may take.
        code_check: looks at the code of tools; whoever made it starts and stops it. Where none is given, the app has
            one of its own, from the first definition that needs it.
        sandbox_minimum: the isolation below which that one looks at nothing.
        secret_keys: what secrets are sealed with; without them none can be set here.
    """
    access = StoreAccess(store, crossing, clock)
    correlator = Correlator(look_up=_look_up(access), clock=clock, max_open=max_open)
    registry = Registry(access, clock)
    publisher = Publisher(transport, envelope, clock, gateway_id)
    ledger = LedgerWatch(clock, max_lag=log_max_lag)
    metrics = _metrics(correlator, ledger)
    asker = Asker(
        gateway_id=gateway_id, transport=transport, envelope=envelope, publisher=publisher, bounds=live_bounds
    )
    following = Live(asker, access, metrics, live_bounds)
    metrics.gauge("toolyard_gateway_followers", "Followers of live events.", lambda: following.followers)
    door = Door(
        gateway_id=gateway_id,
        registry=registry,
        recall=Recall(access, correlator, clock),
        correlator=correlator,
        publisher=publisher,
        ledger=ledger,
        clock=clock,
    )
    own_checker = OwnRunner(sandbox_minimum, clock)  # nothing of it runs until it is asked
    parts = Parts(
        gateway_id=gateway_id,
        transport=transport,
        store=access,
        authenticator=Authenticator(access, clock),
        registry=registry,
        door=door,
        calls=Calls(access, correlator, clock),
        turns=Turns(door=door, registry=registry, correlator=correlator, metrics=metrics, clock=clock),
        correlator=correlator,
        inbox=Inbox(
            gateway_id=gateway_id,
            transport=transport,
            envelope=envelope,
            correlator=correlator,
            registry=registry,
            ledger=ledger,
            publisher=publisher,
        ),
        live=following,
        publisher=publisher,
        metrics=metrics,
        replays=Replays(clock),
        code_check=CodeCheck(code_check or own_checker),
        vault=None if secret_keys is None else Vault(store.secrets, secret_keys),
        allow=egress_allow,
        clock=clock,
    )
    return _app(parts, _lifespan(parts, first_key, own_checker, own_transport=own_transport))


def _look_up(access: StoreAccess) -> LookUp:
    async def ended(call_ids: Sequence[str]) -> Sequence[CallRow]:
        return await access.ask(access.calls.ended, call_ids)

    return ended


def _metrics(correlator: Correlator, ledger: LedgerWatch) -> Metrics:
    metrics = Metrics()
    metrics.gauge("toolyard_gateway_open_calls", "Calls that have not ended.", lambda: correlator.open)
    metrics.gauge("toolyard_gateway_waiting", "Requests that wait for an end.", lambda: correlator.waiting)
    metrics.gauge("toolyard_gateway_ledger_lag_seconds", "How old the ledger's position is.", lambda: ledger.lag)
    return metrics


class _App(FastAPI):
    """The app with one short cut: making a call, the path that everything else is rare beside, is a bare route."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == calls.PATH and scope["method"] == "POST":
            scope["app"] = self
            await calls.serve_post_call(scope, receive, send)
        elif scope["type"] == "websocket" and scope["path"] != sockets.PATH:
            await sockets.refuse_elsewhere(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _app(parts: Parts, lifespan: Lifespan) -> FastAPI:
    app = _App(
        title="Toolyard",
        version=version("toolyard"),
        summary="Runs the tool calls of LLM applications.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.parts = parts
    problems.install(app)
    for group in GROUPS:
        app.include_router(group.router)
    app.include_router(sockets.router)
    openapi.install(app)
    return app


# ---- its life -----------------------------------------------------------------------------------


def _lifespan(parts: Parts, first_key: str | None, own_checker: OwnRunner, *, own_transport: bool) -> Lifespan:
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
            if first_key is not None:
                await _seed_once(parts, first_key)
            stack.push_async_callback(_end, _begin(parts, first_key))
            log.info("the gateway is open", gateway=parts.gateway_id)
            yield
            await drain(parts)

    return lifespan


def _begin(parts: Parts, first_key: str | None) -> list[asyncio.Task[None]]:
    duties = [parts.correlator.run(), parts.inbox.watch(), parts.live.watch()]
    if parts.keyless and first_key is not None:
        duties.append(_seed(parts, first_key))
    return [asyncio.create_task(duty) for duty in duties]


async def _end(running: list[asyncio.Task[None]]) -> None:
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def _seed(parts: Parts, first_key: str) -> None:
    """Make the first key, as soon as the store can be asked."""
    while parts.keyless:
        await asyncio.sleep(_SEED_AGAIN)  # nobody tells when the store is back
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


async def drain(parts: Parts, *, patience: float = DRAIN) -> None:
    """Take no more calls, and let those who wait have their answers, as far as that goes within ``patience``."""
    if not parts.draining:
        parts.draining = parts.door.closed = True
        parts.live.release()
        await parts.correlator.all_left(patience)
        parts.correlator.release()
