"""The command ``toolyard worker <pool>``: reads the settings, builds a worker over RabbitMQ, runs it until a signal."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from toolyard import __version__, ids
from toolyard.clock import Clock
from toolyard.errors import ToolyardError
from toolyard.process import settle
from toolyard.security.keyfile import local_keyring
from toolyard.security.secrets import EnvironmentSecrets, FileSecrets, SecretProvider, Secrets
from toolyard.telemetry import machine
from toolyard.telemetry.export import exporting
from toolyard.telemetry.health import HealthServer
from toolyard.telemetry.logs import configure, logger
from toolyard.telemetry.metrics import Board
from toolyard.transport.alarm import Alarm
from toolyard.transport.connect import connect
from toolyard.transport.envelope import Envelope
from toolyard_executors.clock import WorkerClock
from toolyard_executors.executor import Executor
from toolyard_executors.settings import WorkerSettings, read_settings
from toolyard_executors.worker import Worker

#: Where a worker serves its health, if nobody says otherwise.
HEALTH_PORT: Final = 8081

log = logger("worker")


def _http(settings: WorkerSettings, clock: Clock) -> Executor:
    from toolyard_executors.kinds.http import HttpExecutor  # here, because each pool needs its own libraries

    return HttpExecutor(allow=settings.egress_allow, clock=clock, nango_url=settings.nango_url)


def _sandbox(settings: WorkerSettings, _clock: Clock) -> Executor:
    from toolyard.sandbox.runner import Level, Runner
    from toolyard_executors.kinds.sandbox import SandboxExecutor

    runner = Runner(
        children=settings.places("sandbox"),
        memory=settings.sandbox_memory << 20,
        minimum=Level(settings.sandbox_minimum),
    )
    return SandboxExecutor(runner, allow=settings.egress_allow)


def _lambda(settings: WorkerSettings, clock: Clock) -> Executor:
    from toolyard_executors.kinds.aws_lambda import LambdaExecutor

    return LambdaExecutor(concurrency=settings.places("lambda"), clock=clock)


def _arcade(settings: WorkerSettings, clock: Clock) -> Executor:
    from toolyard_executors.kinds.arcade import ArcadeExecutor

    return ArcadeExecutor(concurrency=settings.places("arcade"), url=settings.arcade_url, clock=clock)


#: Pool -> what makes its executor.
_KINDS: Final[dict[str, Callable[[WorkerSettings, Clock], Executor]]] = {
    "http": _http,
    "sandbox": _sandbox,
    "lambda": _lambda,
    "arcade": _arcade,
}


def main() -> int:
    """Run a worker; returns the exit code. ``SIGTERM`` drains, a second one ends at once."""
    options = _parse(sys.argv[1:])
    try:
        settings = read_settings(options.pool)
        configure(service=f"worker-{options.pool}", level=settings.log_level, form=settings.log_format)
        _loop(_run(options.pool, settings))
    except ToolyardError as error:
        print(f"toolyard worker: {error}", file=sys.stderr)
        return 1
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="toolyard worker", description="Run a worker of one pool until SIGTERM.")
    parser.add_argument("pool", nargs="?", help=f"the pool whose calls it runs: {', '.join(_KINDS)}")
    options = parser.parse_args(argv)
    there_is = f"there is: {', '.join(_KINDS)}"
    if options.pool is None:
        parser.error(f"which pool? {there_is}; as in: toolyard worker http")
    if options.pool not in _KINDS:
        parser.error(f"there is no pool {options.pool!r}; {there_is}")
    return options


async def _run(pool: str, settings: WorkerSettings) -> None:
    stop = _signals()
    worker_id = ids.new_id()[-12:]
    board = Board()
    machine.show(board, "worker")
    with exporting(f"worker-{pool}", worker_id, board):
        await _serve(pool, settings, worker_id, stop, board)


async def _serve(pool: str, settings: WorkerSettings, worker_id: str, stop: asyncio.Event, board: Board) -> None:
    transport = connect(
        settings.transport_url, name=f"worker {pool} {worker_id}", declare=settings.topology == "declare"
    )
    clock = WorkerClock()
    envelope = Envelope(settings.signing_keys or local_keyring(settings.data))
    worker = Worker(
        transport=transport,
        envelope=envelope,
        executors=[_KINDS[pool](settings, clock)],
        secrets=Secrets(_providers(settings)),
        worker_id=worker_id,
        clock=clock,
        concurrency=settings.places(pool),
        breaker=settings.breaker_policy,
        board=board,
    )
    Alarm(transport, envelope, sender=worker_id, board=board, pool=pool, clock=clock)
    health = HealthServer(
        host=settings.host, port=settings.port, default=HEALTH_PORT, ready=worker.ready, metrics=board
    )
    port = await health.start()
    try:
        await worker.open()
        await transport.open()
        await worker.start()
        settle()
        allow = settings.egress_allow
        log.info(
            "worker started",
            pool=pool,
            worker=worker_id,
            version=__version__,
            concurrency=settings.places(pool),
            egress_allow_entries=len(allow.hosts) + len(allow.networks),
            health_port=port,
            **worker.details,
        )
        await stop.wait()
        log.info("worker stops", worker=worker_id, running=worker.running, drain_seconds=settings.drain)
        await worker.stop(settings.drain)
    finally:
        await worker.close()
        await transport.close()
        await health.stop()
    log.info("worker stopped", worker=worker_id)


def _providers(settings: WorkerSettings) -> list[SecretProvider]:
    environment = EnvironmentSecrets()
    return [environment] if settings.secrets_dir is None else [FileSecrets(settings.secrets_dir), environment]


def _signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the second one ends the process."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def stopped() -> None:
        if stop.is_set():
            log.warning("stopped at once: what ran is left to the broker")
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped)
    return stop


def _loop(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:  # no uvloop on this platform: the standard loop does the same, more slowly
        asyncio.run(main)
    else:
        uvloop.run(main)


if __name__ == "__main__":
    sys.exit(main())
