"""A whole gateway for tests: the embedded transport, a SQLite store, a worker that answers as told, and a client.

Only the ledger is a stand-in: `MemoryCalls` holds what a test says it has.
"""

import asyncio
import contextlib
import dataclasses
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from msgspec import Raw

from toolyard.clock import SYSTEM, Clock
from toolyard.contracts.calls import CallMessage, Result, error_info
from toolyard.contracts.codec import encode_json
from toolyard.contracts.events import Ended, Event, Failed, Started, Succeeded, about, sequence
from toolyard.errors import StoreUnavailable
from toolyard.security.egress import AllowList
from toolyard.security.keys import SecretKeys
from toolyard.security.signing import Keyring
from toolyard.store.base import CallFilter, CallRow, Page, PauseRow, PoolLoad
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.testing.fakes import MemoryJournal
from toolyard.transport.base import Delivery
from toolyard.transport.embedded.transport import EmbeddedTransport
from toolyard.transport.envelope import Envelope
from toolyard_gateway import stores as store_module
from toolyard_gateway.app import build
from toolyard_gateway.assembly import Given

KEY = "ty_admin_0123456789abcdef0123456789abcdef"
START = 1_800_000_000.0
KEYRING = Keyring({"test": b"k" * 32})
SECRET_KEYS = SecretKeys({"test": b"s" * 32})
ECHO: dict[str, Any] = {
    "name": "echo",
    "description": "Says it again.",
    "parameters": {
        "type": "object",
        "properties": {"text": {"type": "string"}, "n": {"type": "integer", "minimum": 1}},
        "required": ["text"],
        "additionalProperties": False,
    },
    "binding": {"type": "http", "method": "POST", "url": "https://api.example.com/echo", "body": "${arguments.text}"},
}
#: What a worker does with a call: gives its end, or nothing.
Answer = Callable[["Worker", CallMessage], Awaitable[Event | None]]


@dataclasses.dataclass
class SetClock:
    """Time stands still until a test moves it."""

    time: float = START

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time - START

    def move(self, seconds: float) -> None:
        self.time += seconds


class MemoryCalls:
    """The ledger's calls, as a test says they are."""

    def __init__(self) -> None:
        self.rows: dict[str, CallRow] = {}
        self.loads: list[PoolLoad] = []
        self.offsets: dict[str, int] = {}
        self.away = False
        self.asked: list[Sequence[str]] = []

    def get(self, org: str, call_id: str) -> CallRow | None:
        self._check()
        row = self.rows.get(call_id)
        return row if row is not None and row.call.org == org else None

    def ended(self, call_ids: Sequence[str], *, or_asking: bool = False) -> Sequence[CallRow]:
        self._check()
        self.asked.append(list(call_ids))
        known = [self.rows[one] for one in call_ids if one in self.rows]
        return [row for row in known if row.finished_at is not None or (or_asking and row.authorization is not None)]

    def some(self, org: str, call_ids: Sequence[str]) -> Sequence[CallRow]:
        return [row for one in call_ids if (row := self.get(org, one)) is not None]

    def open_ids(self, org: str, conversation: str, *, limit: int) -> Sequence[str]:
        self._check()
        open_ = [row.call for row in self.rows.values() if row.finished_at is None and row.call.org == org]
        return [call.call_id for call in open_ if call.conversation == conversation][:limit]

    def pools(self, org: str) -> Sequence[PoolLoad]:
        self._check()
        return self.loads

    def offset_before(self, org: str, moment: float) -> int | None:
        self._check()
        return self.offsets.get(org)

    def list(self, org: str, wanted: CallFilter, *, cursor: str | None, limit: int) -> Page[CallRow]:
        self._check()
        if cursor is not None:
            raise ValueError(cursor)
        rows = [row for row in self.rows.values() if row.call.org == org and wanted.tool in (None, row.call.tool)]
        return Page(rows[:limit], None)

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("the database is away")


class MemoryPauses:
    """What is paused, as a test says."""

    def __init__(self) -> None:
        self.rows: list[PauseRow] = []
        self.away = False

    def list(self, org: str) -> Sequence[PauseRow]:
        if self.away:
            raise StoreUnavailable("the database is away")
        return [row for row in self.rows if row.kind == "pool" or row.org == org]


@dataclasses.dataclass
class Stores:
    calls: Any
    tools: Any
    keys: Any
    pauses: Any
    schedules: Any
    dead_letters: Any
    secrets: Any
    authorizations: Any
    webhooks: Any
    whole: Any

    def check(self) -> None:
        self.whole.check()

    def away(self, away: bool = True) -> None:
        for part in vars(self).values():
            part.away = away


class Away:
    """A part of the store that can be away."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.away = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)

        def asked(*args: Any, **kwargs: Any) -> Any:
            if self.away:
                raise StoreUnavailable("the database is away")
            return method(*args, **kwargs)

        return asked


async def succeed(worker: "Worker", message: CallMessage) -> Event:
    """Answers with the arguments."""
    return worker.succeeded(message, message.call.arguments)


async def fail(worker: "Worker", message: CallMessage) -> Event:
    """Fails as a tool does."""
    return worker.failed(message)


async def never(_worker: "Worker", _message: CallMessage) -> None:
    """Gives no answer."""


class Worker:
    """Runs the calls of the http pool.

    Attributes:
        seen: every call that reached its queue.
    """

    def __init__(self, transport: EmbeddedTransport, envelope: Envelope, answer: Answer, clock: Clock) -> None:
        self._transport = transport
        self._envelope = envelope
        self._clock = clock
        self.answer = answer
        self.seen: list[CallMessage] = []
        self.took = asyncio.Event()

    async def run(self, delivery: Delivery) -> None:
        message = self._envelope.open_call(delivery)
        self.seen.append(message)
        self.took.set()
        event = await self.answer(self, message)
        if event is not None:
            await self.tell(event)
        delivery.ack()

    async def tell(self, event: Event) -> None:
        await self._transport.publish(self._envelope.event(event))

    def started(self, message: CallMessage) -> Started:
        common = about(message.call)
        return Started(**common, attempt=1, sequence=sequence(1, 1), time=self._clock.now(), worker="w")

    def succeeded(self, message: CallMessage, value: Any = None, **more: Any) -> Succeeded:
        return Succeeded(**self._end(message, **more), effect="done", result=Result(structured=Raw(encode_json(value))))

    def failed(self, message: CallMessage, code: str = "tool_error", **more: Any) -> Failed:
        return Failed(**self._end(message, **more), effect="unknown", error=error_info(code, "it broke"))

    def _end(self, message: CallMessage, **more: Any) -> dict[str, Any]:
        now = self._clock.now()
        said = {"attempt": 1, "sequence": sequence(1, 2), "time": now, "finished_at": now, "started_at": now}
        return about(message.call) | said | more


def row_of(message: CallMessage, end: Ended | None = None, **more: Any) -> CallRow:
    """What the ledger makes of a call and its end."""
    said: dict[str, Any] = {"state": "queued", "effect": "none", "attempts": 0}
    if end is not None:
        said = {
            "state": str(end.__struct_config__.tag),
            "effect": end.effect,
            "attempts": end.attempt,
            "started_at": end.started_at,
            "finished_at": end.finished_at,
            "result": end.result,
            "error": end.error,
        }
    return CallRow(message.call, **said | more)


@dataclasses.dataclass
class Rig:
    """A running gateway and what is around it."""

    app: FastAPI
    client: httpx.AsyncClient
    transport: EmbeddedTransport
    envelope: Envelope
    journal: MemoryJournal
    stores: Stores
    worker: Worker
    store: Store

    @property
    def parts(self) -> Any:
        return self.app.state.parts

    async def tool(self, definition: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
        """Save a tool."""
        response = await self.client.post("/v1/tools", json=(definition or ECHO) | changed)
        assert response.status_code == 201, response.text
        saved: dict[str, Any] = response.json()
        return saved

    async def call(self, tool: str = "echo", **more: Any) -> httpx.Response:
        """Make a call."""
        sent = more.pop("headers", {})
        return await self.client.post(
            "/v1/calls", json={"tool": tool, "arguments": {"text": "hi"}} | more, headers=sent
        )

    async def key(self, *roles: str, org: str | None = None) -> dict[str, str]:
        """The headers of a new key with these roles."""
        wanted = {"name": "of a test", "roles": roles} | ({"org": org} if org else {})
        response = await self.client.post("/v1/keys", json=wanted)
        assert response.status_code == 201, response.text
        return {"Authorization": f"Bearer {response.json()['key']}"}


@contextlib.asynccontextmanager
async def running(
    template: Path,
    folder: Path,
    *,
    answer: Answer = succeed,
    clock: Clock = SYSTEM,
    away: bool = False,
    publish_timeout: float = 60.0,
    **settings: Any,
) -> AsyncIterator[Rig]:
    """A gateway with its worker, until the block ends; it starts while the store is ``away``.

    A publish and a question to the store have more time than any machine needs, except where a test is about it.
    """
    database = folder / "store.db"
    shutil.copy(template, database)
    store, crossing = open_store(f"sqlite:///{database}"), Crossing(2)
    parts = (store.tools, store.keys, store.schedules, store.dead_letters, store.secrets, store.authorizations)
    real = [Away(part) for part in (*parts, store.webhooks, store)]
    stores = Stores(MemoryCalls(), real[0], real[1], MemoryPauses(), *real[2:])
    stores.away(away)
    journal, envelope = MemoryJournal(), Envelope(KEYRING)
    transport = EmbeddedTransport(journal, publish_timeout=publish_timeout)
    said: dict[str, Any] = {"gateway_id": "gw-1", "first_key": KEY, "egress_allow": AllowList.parse("10.0.0.1")}
    said["secret_keys"] = SECRET_KEYS
    said |= settings
    app = build(Given(transport=transport, envelope=envelope, store=stores, crossing=crossing, clock=clock, **said))
    worker = Worker(transport, envelope, answer, clock)
    try:
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(pytest.MonkeyPatch.context()).setattr(store_module, "PATIENCE", 60.0)
            await transport.open()
            await stack.enter_async_context(app.router.lifespan_context(app))
            pool = await transport.work("http", worker.run, slots=64)
            stack.push_async_callback(pool.close)
            carrier = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            headers = {"Authorization": f"Bearer {KEY}"}
            client = httpx.AsyncClient(transport=carrier, base_url="http://gateway", headers=headers, timeout=90)
            await stack.enter_async_context(client)
            yield Rig(app, client, transport, envelope, journal, stores, worker, store)
    finally:
        await crossing.close()
        store.close()
