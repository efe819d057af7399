"""Pools over HTTP, and pauses of tools, pools and an org. A pause is published; the ledger and the workers keep it."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Request, Response

from toolyard.clock import rfc3339
from toolyard.contracts.codec import encode_json
from toolyard.contracts.tools import POOLS
from toolyard.errors import Refused
from toolyard.store.base import PauseRow, PoolLoad
from toolyard.transport import topology
from toolyard_gateway.api import body, problems
from toolyard_gateway.api.auth import Caller, Known
from toolyard_gateway.api.calls import JSON
from toolyard_gateway.api.models import PauseModel, PoolPage
from toolyard_gateway.api.parts import Parts
from toolyard_gateway.principals import FIRST_ORG, Principal

router = APIRouter(tags=["pools"])

Name = Annotated[str, Path(max_length=200)]
Kind = Literal["tool", "pool", "org"]
_ANSWERS: Final = problems.document(403, 413, 415)
_NAMED: Final = problems.document(403, 404, 413, 415)


async def _may_pause(request: Request, principal: Caller) -> None:
    principal.require("pause")
    await body.read_nothing(request)


_PAUSES: Final = [Depends(_may_pause)]


@router.get(
    "/v1/pools",
    operation_id="list_pools",
    summary="List pools",
    response_model=PoolPage,
    responses=problems.document(403),
)
async def list_pools(principal: Caller, known: Known) -> Response:
    """What waits and runs in each pool. `backlog` is of the whole pool; all else is of the org's own calls."""
    principal.require("read_calls")
    store, org = known.store, principal.org
    loads = {load.pool: load for load in await store.ask(store.calls.pools, org)}
    paused = await store.ask(store.pauses.list, org)
    backlogs = await asyncio.gather(*(known.transport.backlog(topology.pool_queue(pool)) for pool in POOLS))
    now, breakers = known.clock.now(), known.breakers.of(org)
    items = [
        _pool(pool, backlog, loads.get(pool), now)
        | {"paused": is_paused(paused, "pool", pool), "breakers": breakers.get(pool, [])}
        | {"isolation": known.isolation.of(pool)}
        for pool, backlog in zip(POOLS, backlogs, strict=True)
    ]
    page = {"items": items, "next_cursor": None, "org_paused": is_paused(paused, "org", org)}
    return Response(encode_json(page), 200, media_type=JSON)


def _pool(pool: str, backlog: int, load: PoolLoad | None, now: float) -> dict[str, Any]:
    oldest = None if load is None or load.oldest is None else round(max(now - load.oldest, 0.0), 3)
    success = None if load is None or load.last_success is None else rfc3339(load.last_success)
    running = 0 if load is None else load.running
    return {"name": pool, "backlog": backlog, "oldest": oldest, "running": running, "last_success": success}


def is_paused(rows: Sequence[PauseRow], kind: Kind, name: str) -> bool:
    """Whether these pauses hold that thing itself."""
    return any((row.kind, row.name) == (kind, name) for row in rows)


# ---- pausing ------------------------------------------------------------------------------------


@router.post(
    "/v1/tools/{name}/pause",
    operation_id="pause_tool",
    summary="Pause a tool",
    response_model=PauseModel,
    dependencies=_PAUSES,
    responses=_NAMED,
)
async def pause_tool(name: Name, principal: Caller, known: Known) -> Response:
    """Start no call of a tool until it is resumed. Its calls are accepted and wait; what runs ends."""
    await known.registry.get(principal.org, name)
    return await _change(known, "tool", principal.org, name, paused=True)


@router.post(
    "/v1/tools/{name}/resume",
    operation_id="resume_tool",
    summary="Resume a tool",
    response_model=PauseModel,
    dependencies=_PAUSES,
    responses=_NAMED,
)
async def resume_tool(name: Name, principal: Caller, known: Known) -> Response:
    """End the pause of a tool: what waited starts."""
    if not is_paused(await known.store.ask(known.store.pauses.list, principal.org), "tool", name):
        await known.registry.get(principal.org, name)  # it may have been deleted while it was paused
    return await _change(known, "tool", principal.org, name, paused=False)


@router.post(
    "/v1/pools/{name}/pause",
    operation_id="pause_pool",
    summary="Pause a pool",
    response_model=PauseModel,
    dependencies=_PAUSES,
    responses=_NAMED,
)
async def pause_pool(name: Name, principal: Caller, known: Known) -> Response:
    """Let the workers of a pool start nothing until it is resumed. For operators of the org `default`."""
    _check_pool(principal, name)
    return await _change(known, "pool", "-", name, paused=True)


@router.post(
    "/v1/pools/{name}/resume",
    operation_id="resume_pool",
    summary="Resume a pool",
    response_model=PauseModel,
    dependencies=_PAUSES,
    responses=_NAMED,
)
async def resume_pool(name: Name, principal: Caller, known: Known) -> Response:
    """End the pause of a pool. For operators of the org `default`."""
    _check_pool(principal, name)
    return await _change(known, "pool", "-", name, paused=False)


@router.post(
    "/v1/pause",
    operation_id="pause_org",
    summary="Pause the org",
    response_model=PauseModel,
    dependencies=_PAUSES,
    responses=_ANSWERS,
)
async def pause_org(principal: Caller, known: Known) -> Response:
    """Start no call of the key's org until it is resumed."""
    return await _change(known, "org", principal.org, principal.org, paused=True)


@router.post(
    "/v1/resume",
    operation_id="resume_org",
    summary="Resume the org",
    response_model=PauseModel,
    dependencies=_PAUSES,
    responses=_ANSWERS,
)
async def resume_org(principal: Caller, known: Known) -> Response:
    """End the pause of the key's org."""
    return await _change(known, "org", principal.org, principal.org, paused=False)


def _check_pool(principal: Principal, name: str) -> None:
    if principal.org != FIRST_ORG:
        raise Refused("permission_denied", f"Pools are shared: only operators of the org {FIRST_ORG!r} pause them.")
    if name not in POOLS:
        raise Refused("not_found", f"There is no pool {name[:64]!r}; there are {', '.join(POOLS)}.")


async def _change(known: Parts, kind: Kind, org: str, name: str, *, paused: bool) -> Response:
    await known.publisher.pause(kind, org, name, paused=paused)
    return Response(encode_json({"kind": kind, "name": name, "paused": paused}), 200, media_type=JSON)
