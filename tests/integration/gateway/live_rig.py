"""Gateways on real sockets over one embedded transport and one store, with a stand-in for the scheduler; clients."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import websockets
from tests.support.stores import empty_file
from tests.support.waiting import async_wait_until
from tests.unit.gateway.live_feed import FakeScheduler
from tests.unit.gateway.rig import KEY, KEYRING, MemoryCalls, MemoryPauses, Stores

from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.testing.fakes import MemoryJournal
from toolyard.transport.embedded.transport import EmbeddedTransport
from toolyard.transport.envelope import Envelope
from toolyard_gateway.app import build
from toolyard_gateway.assembly import Given
from toolyard_gateway.live.bounds import DEFAULT, Bounds
from toolyard_gateway.serving import Serving, listen

AUTH = {"Authorization": f"Bearer {KEY}"}
WITHIN = 60.0


@dataclasses.dataclass
class Gateway:
    """One that serves."""

    url: str
    client: httpx.AsyncClient
    parts: Any
    serving: Serving
    served: "asyncio.Task[None]"

    async def key(self, *roles: str, org: str = "default") -> str:
        """A new key."""
        response = await self.client.post("/v1/keys", json={"name": "of a test", "roles": roles, "org": org})
        assert response.status_code == 201, response.text
        return str(response.json()["key"])

    @contextlib.asynccontextmanager
    async def stream(self, *, key: str = KEY, last: str | None = None, **query: Any) -> AsyncIterator["Stream"]:
        """A stream that follows."""
        headers = {"Authorization": f"Bearer {key}"} | ({"Last-Event-ID": last} if last is not None else {})
        async with self.client.stream("GET", "/v1/events", params=query, headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            stream = Stream(response)
            assert (await stream.block()).comment == "following"
            yield stream

    @contextlib.asynccontextmanager
    async def socket(self, *, key: str | None = KEY, **options: Any) -> AsyncIterator["Socket"]:
        """A websocket, signed in by its handshake unless there is no key."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        url = self.url.replace("http://", "ws://") + "/v1/ws"
        async with websockets.connect(url, additional_headers=headers, proxy=None, **options) as connection:
            socket = Socket(connection)
            if key is not None:
                assert await socket.hear() == {"type": "ready"}
            yield socket

    async def stop(self) -> None:
        """Drain and end."""
        self.serving.stop()
        await self.served


@dataclasses.dataclass
class Site:
    """What gateways stand on.

    Attributes:
        scheduler: the stand-in.
        calls: the ledger's rows, as a test says they are.
    """

    scheduler: FakeScheduler
    calls: MemoryCalls
    transport: EmbeddedTransport
    envelope: Envelope
    store: Store
    crossing: Crossing
    running: list[Gateway]

    async def gateway(self, bounds: Bounds = DEFAULT) -> Gateway:
        """A gateway that is ready."""
        store = self.store
        parts = (store.schedules, store.dead_letters, store.secrets, store.authorizations, store.webhooks, store)
        stores = Stores(self.calls, store.tools, store.keys, MemoryPauses(), *parts)
        app = build(
            Given(
                transport=self.transport,
                envelope=self.envelope,
                store=stores,
                crossing=self.crossing,
                gateway_id=f"gw-{len(self.running)}",
                first_key=KEY,
                own_transport=False,
                live_bounds=bounds,
            )
        )
        serving = Serving(app, listen("127.0.0.1", 0))
        served = asyncio.create_task(serving.run(signals=False))
        client = httpx.AsyncClient(base_url=serving.url, headers=AUTH, timeout=WITHIN, trust_env=False)
        made = Gateway(serving.url, client, app.state.parts, serving, served)
        self.running.append(made)

        async def ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await async_wait_until(ready, within=WITHIN, what="the gateway is not ready")
        return made

    def tell(self, org: str = "default", **said: Any) -> str:
        """Something happens; gives its cursor."""
        return str(self.scheduler.tell(org, **said).cursor)


@contextlib.asynccontextmanager
async def a_site(folder: Path) -> AsyncIterator[Site]:
    """Everything that gateways need; they are stopped with it."""
    (folder / "store.db").write_bytes(empty_file())
    store, crossing = open_store(f"sqlite:///{folder / 'store.db'}"), Crossing(2)
    transport, envelope = EmbeddedTransport(MemoryJournal()), Envelope(KEYRING)
    await transport.open()
    scheduler = FakeScheduler(transport, envelope)
    await scheduler.start()
    site = Site(scheduler, MemoryCalls(), transport, envelope, store, crossing, [])
    try:
        yield site
    finally:
        for gateway in site.running:
            await gateway.client.aclose()
            await gateway.stop()
        await scheduler.stop()
        await transport.close()
        await crossing.close()
        store.close()


class Block(NamedTuple):
    """What stands between two empty lines of a stream."""

    comment: str = ""
    id: str = ""
    event: str = ""
    data: Any = None


class Stream:
    """Reads server-sent events."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def block(self) -> Block:
        """The next one; raises `StopAsyncIteration` at the end of the stream."""
        read: dict[str, Any] = {}
        async with asyncio.timeout(WITHIN):
            while line := await anext(self._lines):
                name, _, value = line.partition(":")
                read[name or "comment"] = value.strip()
        if "data" in read:
            read["data"] = json.loads(read["data"])
        return Block(**read)

    async def event(self) -> Block:
        """The next one that is no sign of life."""
        while not (block := await self.block()).event:
            pass
        return block

    async def cursors(self, number: int) -> list[str]:
        """The ids of so many events."""
        return [(await self.event()).id for _ in range(number)]

    async def rest(self) -> list[Block]:
        """All that comes until the gateway ends it."""
        blocks = []
        with contextlib.suppress(StopAsyncIteration):
            while True:
                blocks.append(await self.block())
        return blocks


class Socket:
    """Says and hears JSON."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self.connection = connection

    async def say(self, kind: str, /, **said: Any) -> None:
        """Send a message."""
        await self.connection.send(json.dumps({"type": kind, **said}))

    async def hear(self) -> dict[str, Any]:
        """The next message."""
        async with asyncio.timeout(WITHIN):
            message: dict[str, Any] = json.loads(await self.connection.recv())
        return message

    async def ask(self, kind: str, /, **said: Any) -> dict[str, Any]:
        """Send a message; the next one that is heard."""
        await self.say(kind, **said)
        return await self.hear()

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the end, whatever is heard before."""
        async with asyncio.timeout(WITHIN):
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    await self.connection.recv()
        return self.connection.close_code or 0, self.connection.close_reason or ""
