"""One scheduler process over RabbitMQ, put together from its settings, until a signal comes."""

import asyncio
import signal
from typing import Final

from toolyard import ids
from toolyard.errors import StoreUnavailable
from toolyard.process import settle
from toolyard.security.keyfile import local_keyring
from toolyard.store.connect import Store, open_store
from toolyard.store.crossing import Crossing
from toolyard.telemetry import logs
from toolyard.telemetry.health import HealthServer, Verdict
from toolyard.transport.connect import connect
from toolyard.transport.envelope import Envelope
from toolyard_scheduler.app import Options, Scheduler
from toolyard_scheduler.duty import until_first
from toolyard_scheduler.settings import SchedulerSettings

_PORT: Final = 8082
#: Seconds that one statement of a batch may take.
_TIMEOUT: Final = 15.0
_THREADS: Final = 4
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
        self._reason = "it is starting"

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT; raises as `serve` of this module does."""
        settings, stop = self._settings, asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        health = HealthServer(
            host=settings.host, port=settings.port, default=_PORT, ready=self._ready, metrics=self._metrics
        )
        store, crossing = open_store(settings.database, timeout=_TIMEOUT, connections=_THREADS), Crossing(_THREADS)
        await health.start()
        try:
            await until_first(stop.wait(), self._run(store, crossing))
        finally:
            await health.stop()
            await crossing.close()
            store.close()
        log.info("the scheduler has ended")

    async def _run(self, store: Store, crossing: Crossing) -> None:
        settings = self._settings
        await self._prepared(store, crossing)
        transport = connect(
            settings.transport_url, name=f"scheduler-{ids.new_id()[-12:]}", declare=settings.topology == "declare"
        )
        envelope = Envelope(settings.signing_keys or local_keyring(settings.data))
        scheduler = Scheduler(transport, envelope, store, crossing, options=Options(retention=settings.retention))
        try:
            await transport.open()
            self._scheduler = scheduler
            settle()
            await scheduler.run()
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

    def _ready(self) -> Verdict:
        return Verdict(ok=False, reason=self._reason) if self._scheduler is None else self._scheduler.health()

    def _metrics(self) -> str:
        return "" if self._scheduler is None else self._scheduler.metrics()
