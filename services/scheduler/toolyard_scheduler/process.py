"""One scheduler process over RabbitMQ, put together from its settings, until a signal comes."""

import asyncio
import signal
from typing import Final

from toolyard import ids
from toolyard.errors import StoreUnavailable
from toolyard.process import settle
from toolyard.security.keyfile import local_keyring, local_secret_keys
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.store.vault import Locked, Vault, check_keys
from toolyard.telemetry import logs
from toolyard.telemetry.health import HealthServer, Verdict
from toolyard.transport.connect import connect
from toolyard.transport.envelope import Envelope
from toolyard_scheduler.app import Options, Scheduler
from toolyard_scheduler.duty import in_background, until_first
from toolyard_scheduler.resealing import reseal
from toolyard_scheduler.secrets_desk import SecretsDesk, providers
from toolyard_scheduler.settings import SchedulerSettings

_PORT: Final = 8082
#: Seconds that one statement of a batch may take.
_TIMEOUT: Final = 15.0
_THREADS: Final = 4
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
    await _Process(settings).serve()


class _Process:
    """One scheduler process, from its start to the signal that ends it."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self._settings = settings
        self._scheduler: Scheduler | None = None
        self._desk: SecretsDesk | None = None
        self._reason = "it is starting"

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT; raises as `serve` of this module does."""
        settings, stop = self._settings, asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        health = HealthServer(
            host=settings.host, port=settings.port, default=_PORT, ready=self._ready, metrics=self._metrics
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
        transport = connect(
            settings.transport_url, name=f"scheduler-{ids.new_id()[-12:]}", declare=settings.topology == "declare"
        )
        envelope = Envelope(settings.signing_keys or local_keyring(settings.data))
        scheduler = Scheduler(transport, envelope, store, crossing, options=Options(retention=settings.retention))
        secrets = providers(Locked(store.secrets) if vault is None else vault, settings.secrets_aws_prefix)
        desk = SecretsDesk(transport, envelope, store, beside, secrets)
        try:
            await transport.open()
            self._scheduler, self._desk = scheduler, desk
            settle()
            async with in_background(() if vault is None else [reseal(vault, beside)]):
                await until_first(scheduler.run(), desk.run())
        finally:
            await scheduler.stop()
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
            SettingsError: there are secrets, and no key.
        """
        keys = self._settings.secret_keys
        if keys is None and self._settings.profile != "production":
            keys = local_secret_keys(self._settings.data)
        await crossing.run(check_keys, store.secrets, keys)
        return None if keys is None else Vault(store.secrets, keys)

    def _ready(self) -> Verdict:
        return Verdict(ok=False, reason=self._reason) if self._scheduler is None else self._scheduler.health()

    def _metrics(self) -> str:
        if self._scheduler is None or self._desk is None:
            return ""
        return self._scheduler.metrics() + self._desk.metrics()
