"""The composition root of the one process: store, journal, transport, scheduler, worker and gateway on one loop.

`process` runs it. The order of its start is a promise: the ledger catches up with the log, what an earlier process
left unfinished goes back into its queue, the worker takes calls, and only then the gateway answers.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

import httpx

from toolyard import ids
from toolyard.clock import SYSTEM
from toolyard.contracts.tools import POOLS, ToolSpec
from toolyard.errors import ToolyardError
from toolyard.security.egress import AllowList
from toolyard.security.keyfile import local_keyring, local_secret_keys
from toolyard.security.secrets import EnvironmentSecrets, FileSecrets, Secrets
from toolyard.store.vault import Vault, check_keys
from toolyard.telemetry import machine
from toolyard.telemetry.logs import logger
from toolyard.telemetry.metrics import PARTS, Board
from toolyard.transport import topology
from toolyard.transport.alarm import Alarm
from toolyard.transport.embedded import EmbeddedTransport
from toolyard.transport.envelope import Envelope
from toolyard_embedded import pools, samples
from toolyard_embedded.folder import DataFolder
from toolyard_embedded.keys import working_key
from toolyard_embedded.listening import Server, address, bind_free
from toolyard_embedded.lost_key import check_key
from toolyard_embedded.opening import Carrier, Shelf, carrier, front_shelf, ledger_shelf
from toolyard_embedded.sandbox import Sandbox
from toolyard_embedded.settings import EmbeddedSettings
from toolyard_embedded.unfinished import GoodOrder, find
from toolyard_embedded.upstream import upstream
from toolyard_executors.breaker import USUAL
from toolyard_executors.kinds.http import HttpExecutor
from toolyard_executors.worker import Worker
from toolyard_gateway.app import build
from toolyard_gateway.assembly import Given
from toolyard_gateway.principals import FIRST_ORG
from toolyard_gateway.serving import Serving
from toolyard_scheduler.app import Options, Scheduler
from toolyard_scheduler.consents import Consents
from toolyard_scheduler.resealing import reseal
from toolyard_scheduler.secrets_desk import SecretsDesk, providers
from toolyard_scheduler.webhooks.delivering import Means, means
from toolyard_scheduler.webhooks.sending import Sender

#: The gateway's name: always the same, so that it hears of the calls that it accepted before it was restarted.
GATEWAY: Final = "embedded"
#: Seconds that running calls are given when the process is asked to end.
DRAIN: Final = 10.0
#: Seconds within which the gateway must say that it is ready, and between two questions.
_READY_WITHIN: Final = 30.0
_ASK_AGAIN: Final = 0.02
_LOOPBACK: Final = "127.0.0.1"

log = logger("embedded")


@dataclass(frozen=True, slots=True)
class Ready:
    """What a first call needs.

    Attributes:
        tools: the sample tools; none where there is no upstream for them.
        isolation: how well sandboxed tools are locked up; empty where they are not run, and ``left_out`` says why.
        offered: the other pools, and what they need.
    """

    address: str
    api_key: str
    tools: tuple[str, ...]
    isolation: str
    left_out: str
    offered: tuple[pools.Offered, ...] = ()


class Embedded:
    """The whole system in one process.

    Args:
        folder: held by this process.
        bound: where the gateway will listen.
        with_samples: start the small upstream, and keep tools for it.
        more_samples: tools that are kept beside them.
        accept_lost_key: sign anew what the log holds under a key that is not here any more.
    """

    def __init__(
        self,
        settings: EmbeddedSettings,
        folder: DataFolder,
        bound: socket.socket,
        *,
        with_samples: bool,
        more_samples: Sequence[ToolSpec] = (),
        accept_lost_key: bool = False,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._bound = bound
        self._with_samples = with_samples
        self._more_samples = more_samples
        self._accept_lost_key = accept_lost_key
        self._url = settings.database_url or folder.database_url()
        self._envelope = Envelope(settings.signing_keys or local_keyring(folder.path))
        self._secret_keys = settings.secret_keys or local_secret_keys(folder.path)
        self._allow = settings.egress_allow
        self._secrets = _own_secrets(settings)
        self._sandbox = Sandbox(settings)
        self._tools: tuple[str, ...] = ()
        self._before: dict[str, int] = {}
        self._good_order = GoodOrder(folder.path)
        self.board = Board()
        machine.show(self.board, *PARTS)

    async def serve(self, stop: asyncio.Event, on_ready: Callable[[Ready], None]) -> None:
        """Run until ``stop`` is set, then let what runs end.

        Raises:
            ToolyardError: a part could not start, or came to its end by itself.
        """
        async with AsyncExitStack() as stack:
            front = await stack.enter_async_context(front_shelf(self._url))
            key = await front.crossing.run(
                working_key, front.store.keys, self._folder.path, self._settings.api_key, SYSTEM
            )
            carried = await stack.enter_async_context(carrier(self._url))
            await self._check_keys(front, carried)
            await self._sandbox.open()
            if self._with_samples:
                await self._keep_samples(front, stack)
            vault = Vault(front.store.secrets, self._secret_keys)
            consents = self._consents(front, vault)
            stack.push_async_callback(consents.close)
            ledger = await stack.enter_async_context(ledger_shelf(self._url))
            sender = Sender(self._allow, SYSTEM)
            stack.push_async_callback(sender.close)
            deliveries = means(front.store, vault, front.crossing, sender, self.board)
            scheduler = self._scheduler(carried.transport, ledger, consents, deliveries)
            kept = await _begin(scheduler.run(), stack)
            stack.push_async_callback(scheduler.stop)
            told = await _begin(self._desk(front, carried.transport, vault).run(), stack)
            await _begin(reseal(vault, front.crossing), stack)
            await _unless_ended([kept], self._catch_up(scheduler, carried))
            await self._redeliver(front, carried)
            worker = self._worker(carried.transport)
            await worker.start()
            serving = self._serving(front, carried.transport)
            served = await _begin(_served(serving), stack)
            await _unless_ended([kept, told, served], self._until_ready())
            on_ready(await self._told(front, key))
            await _unless_ended([kept, told, served], stop.wait())
            serving.stop()
            await asyncio.gather(served, worker.stop(DRAIN))
            await scheduler.stop()
            await carried.transport.close()
            waiting = [one for pool in POOLS for one in carried.transport.waiting(topology.pool_queue(pool))]
            self._good_order.leave(waiting, self._before)

    async def _told(self, front: Shelf, key: str) -> Ready:
        def has(name: str) -> bool:
            known = self._secrets.get(FIRST_ORG, name) is not None
            return known or front.store.secrets.get(FIRST_ORG, name) is not None

        at, sandbox = address(self._bound), self._sandbox
        offered = await front.crossing.run(pools.offered, has)
        return Ready(at, key, self._tools, sandbox.level, sandbox.left_out, offered)

    # -- before anything runs -------------------------------------------------------------------
    async def _check_keys(self, front: Shelf, carried: Carrier) -> None:
        await front.crossing.run(check_key, front.store, carried.journal, self._envelope, accept=self._accept_lost_key)
        Alarm(carried.transport, self._envelope, sender=GATEWAY, board=self.board)
        own = self._settings.secret_keys is None
        await front.crossing.run(check_keys, front.store.secrets, self._secret_keys, own=own)

    async def _keep_samples(self, front: Shelf, stack: AsyncExitStack) -> None:
        """Start the upstream, on its former port if that is free, and open exactly it to tools."""
        tools = front.store.tools
        bound = bind_free(_LOOPBACK, await front.crossing.run(samples.former_port, tools, FIRST_ORG))
        port = bound.getsockname()[1]
        own = AllowList.parse(f"{_LOOPBACK}:{port}")
        self._allow = AllowList(self._allow.hosts | own.hosts, (*self._allow.networks, *own.networks))
        server = Server(upstream, bound)
        await server.start()
        stack.push_async_callback(server.stop)
        specs = samples.sample_tools(address(bound), with_sandbox=not self._sandbox.left_out)
        specs += (*self._more_samples,)
        await front.crossing.run(samples.save, tools, FIRST_ORG, specs)
        self._tools = tuple(spec.name for spec in specs)

    async def _catch_up(self, scheduler: Scheduler, carried: Carrier) -> None:
        last = await asyncio.to_thread(carried.journal.last)
        if last is not None:
            await scheduler.reached(last)

    async def _redeliver(self, front: Shelf, carried: Carrier) -> None:
        """Put back what an earlier process accepted and did not end."""
        never_started = self._good_order.take()
        found = await front.crossing.run(find, front.store.calls, carried.journal, never_started)
        for each in found:
            self._before[each.message.message_id] = each.count
            carried.transport.redeliver(each.message, each.count)
        if found:
            log.info("unfinished calls are back in their queue", calls=len(found))

    # -- the parts ------------------------------------------------------------------------------
    def _scheduler(
        self, transport: EmbeddedTransport, ledger: Shelf, consents: Consents, deliveries: Means
    ) -> Scheduler:
        """Alone where the database is in the folder that this process holds: nobody else can keep its ledger."""
        options = Options(alone=self._settings.database_url is None, retention=self._settings.retention)
        parts = (transport, self._envelope, ledger.store, ledger.crossing)
        return Scheduler(
            *parts, options=options, consents=consents, starts=consents, board=self.board, deliveries=deliveries
        )

    def _consents(self, front: Shelf, vault: Vault) -> Consents:
        keys = Secrets([self._secrets, providers(vault, self._settings.secrets_aws_prefix)])
        settings = self._settings
        return Consents(keys, front.crossing, arcade_url=settings.arcade_url, nango_url=settings.nango_url)

    def _desk(self, front: Shelf, transport: EmbeddedTransport, vault: Vault) -> SecretsDesk:
        secrets = providers(vault, self._settings.secrets_aws_prefix)
        return SecretsDesk(transport, self._envelope, front.store, front.crossing, secrets, board=self.board)

    def _worker(self, transport: EmbeddedTransport) -> Worker:
        return Worker(
            transport=transport,
            envelope=self._envelope,
            executors=[
                HttpExecutor(allow=self._allow, nango_url=self._settings.nango_url),
                *self._sandbox.executors(self._allow),
                *pools.executors(self._settings),
            ],
            secrets=self._secrets,
            worker_id=ids.new_id()[-12:],
            concurrency=self._settings.concurrency,
            breaker=USUAL if self._settings.breaker == "on" else None,
            board=self.board,
        )

    def _serving(self, front: Shelf, transport: EmbeddedTransport) -> Serving:
        app = build(
            Given(
                transport=transport,
                envelope=self._envelope,
                store=front.store,
                crossing=front.crossing,
                gateway_id=GATEWAY,
                egress_allow=self._allow,
                log_max_lag=self._settings.log_max_lag,
                own_transport=False,
                code_check=self._sandbox,
                secret_keys=self._secret_keys,
                board=self.board,
            )
        )
        return Serving(app, self._bound)

    async def _until_ready(self) -> None:
        """Ask the gateway as its callers will, until it says that it takes calls."""
        url = f"{address(self._bound)}/readyz"
        plain = httpx.AsyncClient(
            trust_env=False, timeout=_READY_WITHIN, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        )
        async with asyncio.timeout(_READY_WITHIN), plain as client:
            while (await client.get(url)).status_code != httpx.codes.OK:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(_ASK_AGAIN)


def _own_secrets(settings: EmbeddedSettings) -> Secrets:
    environment, folder = EnvironmentSecrets(), settings.secrets_dir
    return Secrets([environment] if folder is None else [FileSecrets(folder), environment])


async def _begin(work: Coroutine[object, object, None], stack: AsyncExitStack) -> "asyncio.Task[None]":
    """Run it beside everything else, until the stack is left."""
    task = asyncio.create_task(work)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
    return task


async def _unless_ended(watched: "Sequence[asyncio.Task[None]]", work: Coroutine[object, object, object]) -> None:
    """Do this, unless one of the parts ends meanwhile: then raise what ended it."""
    task = asyncio.create_task(work)
    try:
        done, _ = await asyncio.wait([task, *watched], return_when=asyncio.FIRST_COMPLETED)
        for ended in done:
            ended.result()
        if task not in done:
            raise ToolyardError("a part of the system came to its end by itself; the log says why")
    finally:
        task.cancel()


async def _served(serving: Serving) -> None:
    try:
        await serving.run(signals=False)
    except SystemExit:  # uvicorn's way to say that the application did not start
        raise ToolyardError("the gateway did not start; the log says why") from None
