"""One scheduler process over RabbitMQ, put together from its settings, until a signal comes."""

import asyncio
import signal
from typing import Final

from toolyard import ids
from toolyard.clock import SYSTEM
from toolyard.errors import StoreUnavailable
from toolyard.process import settle
from toolyard.security.keyfile import local_keyring, local_secret_keys
from toolyard.security.secrets import EnvironmentSecrets, Secrets
from toolyard.settings import NO_KEY_OF_POOLS, pools_to_tell_of
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.store.vault import Locked, Vault, check_keys
from toolyard.telemetry import logs, machine
from toolyard.telemetry.export import exporting
from toolyard.telemetry.health import HealthServer, Verdict
from toolyard.telemetry.metrics import Board
from toolyard.timing import LONGEST_ATTEMPT
from toolyard.transport import topology
from toolyard.transport.alarm import Alarm
from toolyard.transport.base import Transport
from toolyard.transport.connect import connect
from toolyard.transport.envelope import Envelope
from toolyard_scheduler.app import Options, Scheduler
from toolyard_scheduler.consents import Consents
from toolyard_scheduler.duty import in_background, until_first
from toolyard_scheduler.resealing import reseal
from toolyard_scheduler.secrets_desk import SecretsDesk, providers
from toolyard_scheduler.settings import SchedulerSettings
from toolyard_scheduler.webhooks.delivering import means
from toolyard_scheduler.webhooks.sending import Sender

PORT: Final = 8082
#: Seconds that one statement of a batch may take.
_TIMEOUT: Final = 15.0
_THREADS: Final = 4
#: Seconds within which the queues of followers must have taken what is published for them.
_FOLLOWERS: Final = 5.0
#: Threads that look secrets up, beside those of the ledger.
_SECRET_THREADS: Final = 2
#: Seconds between two looks at a database that is away.
_PAUSE: Final = 1.0
log = logs.logger("scheduler")


def prepare(settings: SchedulerSettings, *, accept_log_gap: bool) -> None:
    """Bring the database up to date, and let its ledger go on at the first record that the log still has, if asked.

    Raises:
        StoreError: the database is away, or of a later version.
    """
    store = open_store(settings.database, timeout=_TIMEOUT)
    try:
        store.migrate()
        if accept_log_gap:
            store.ledger.forget()
            log.warning("the ledger begins anew at the first record of the log")
    finally:
        store.close()
    log.info("the database is up to date")


async def serve(settings: SchedulerSettings) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        LogGap: the log does not continue where the ledger stands.
        StoreError: the tables are of another version.
        SettingsError: what is at the broker contradicts the topology, or the port is taken.
    """
    process = _Process(settings)
    with exporting("scheduler", ids.new_id()[-12:], process.board):
        await process.serve()


class _Process:
    """One scheduler process, from its start to the signal that ends it."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self._settings = settings
        self._scheduler: Scheduler | None = None
        self.board = Board()
        machine.show(self.board, "scheduler")
        self._reason = "it is starting"

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT; raises as `serve` of this module does."""
        settings, stop = self._settings, asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        health = HealthServer(
            host=settings.host, port=settings.port, default=PORT, ready=self._ready, metrics=self.board
        )
        store = open_store(settings.database, timeout=_TIMEOUT, connections=_THREADS + _SECRET_THREADS)
        crossing, beside = Crossing(_THREADS), Crossing(_SECRET_THREADS)
        await health.start()
        try:
            await until_first(stop.wait(), self._run(store, crossing, beside))
        finally:
            await health.stop()
            await crossing.close()
            await beside.close()
            store.close()
        log.info("the scheduler has ended")

    async def _run(self, store: Store, crossing: Crossing, beside: Crossing) -> None:
        settings = self._settings
        await self._prepared(store, crossing)
        vault = await self._vault(store, crossing)
        name, declare = f"scheduler-{ids.new_id()[-12:]}", settings.topology == "declare"
        transport = connect(settings.transport_url, name=name, declare=declare)
        followers = _to_followers(settings, name)
        envelope = Envelope(settings.signing_keys or local_keyring(settings.data))
        secrets = providers(Locked(store.secrets) if vault is None else vault, settings.secrets_aws_prefix)
        keys = Secrets([EnvironmentSecrets(), secrets])
        consents = Consents(keys, beside, arcade_url=settings.arcade_url, nango_url=settings.nango_url)
        options = Options(retention=settings.retention, longest_attempt=settings.longest_attempt or LONGEST_ATTEMPT)
        parts, board = (transport, envelope, store, crossing), self.board
        sender = Sender(settings.egress_allow, SYSTEM)
        Alarm(transport, envelope, sender=name, board=board)
        if missing := pools_to_tell_of(settings.signing_keys, settings.profile):
            log.warning(NO_KEY_OF_POOLS, pools=missing)
        scheduler = Scheduler(
            *parts,
            options=options,
            consents=consents,
            starts=consents,
            board=board,
            followers=followers,
            deliveries=None if vault is None else means(store, vault, beside, sender, board),
        )
        desk = SecretsDesk(transport, envelope, store, beside, secrets, board=board)
        try:
            await transport.open()
            if followers is not None:
                await followers.open()
            self._scheduler = scheduler
            settle()
            async with in_background(() if vault is None else [reseal(vault, beside)]):
                await until_first(scheduler.run(), desk.run())
        finally:
            await scheduler.stop()
            await consents.close()
            await sender.close()
            if followers is not None:
                await followers.close()
            await transport.close()

    async def _prepared(self, store: Store, crossing: Crossing) -> None:
        """Wait until the database is there and of this version; in the profile ``dev`` bring it to it."""
        while True:
            try:
                await crossing.run(store.migrate if self._settings.profile == "dev" else store.check)
            except StoreUnavailable as error:
                self._reason = str(error)
                log.warning("the scheduler waits for the database", reason=self._reason)
                await asyncio.sleep(_PAUSE)
            else:
                return

    async def _vault(self, store: Store, crossing: Crossing) -> Vault | None:
        """The secrets of the store; none where production has neither a key nor secrets.

        Raises:
            SettingsError: there are secrets, and no key, or another one.
        """
        keys = self._settings.secret_keys
        if keys is None and self._settings.profile != "production":
            keys = local_secret_keys(self._settings.data)
        await crossing.run(check_keys, store.secrets, keys, own=self._settings.secret_keys is None)
        return None if keys is None else Vault(store.secrets, keys)

    def _ready(self) -> Verdict:
        return Verdict(ok=False, reason=self._reason) if self._scheduler is None else self._scheduler.health()


def _to_followers(settings: SchedulerSettings, name: str) -> Transport | None:
    """A way to the broker of their own, so that what holds them up holds up nobody else."""
    if settings.feed == "off":
        return None
    streams = [topology.feed_stream(org, int(settings.feed_kept)) for org in settings.feed_streams]
    return connect(
        settings.transport_url,
        name=f"{name} feed",
        declare=settings.topology == "declare",
        beside=[topology.queue(topology.RELAY), *streams],
        publish_timeout=_FOLLOWERS,
    )
