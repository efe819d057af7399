"""The whole system under a load, every part a process as it ships, and what each of them uses.

Used by `scaling` and `million`. Broker and database are private to the run, on the same machine; PostgreSQL has the
settings that it comes with, so what it writes is synced. The upstream answers after 50 ms.
"""

import contextlib
import json
import os
import pathlib
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final, Self

import processes

from tests.support.postgres import PostgresNode
from tests.support.processes import free_port
from tests.support.rabbit import RabbitNode
from tests.support.system import KEY, System, http_tool

HERE: Final = pathlib.Path(__file__).resolve().parent
#: What PostgreSQL has by itself; the tests' own settings spare it the disk.
_AS_IT_COMES: Final = {
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "min_wal_size": "80MB",
    "autovacuum_naptime": "1min",
    "fsync": "on",
    "full_page_writes": "on",
}
#: A quorum queue's write-ahead log is kept in memory up to this size; the broker's own is 512 MiB, and fills so slowly
#: that its memory would rise for half a million calls.
_BROKER: Final = {"raft.wal_max_size_bytes": str(64 << 20)}
#: Seconds that a phase of a load may take beyond its length.
_PATIENCE: Final = 120.0
TOOL: Final = "look"
#: The kinds of processes, in the order in which tables have them.
KINDS: Final = ("gateway", "worker", "scheduler", "broker", "database", "load")


class Whole:
    """Broker, database, upstream and the parts; a context manager.

    Args:
        folder: where the processes run and log.
        env: variables of all parts.
    """

    def __init__(self, folder: pathlib.Path, **env: str) -> None:
        self._folder = folder
        self._env = env
        self._stack = contextlib.ExitStack()
        self._loads: list[int] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.broker = stack.enter_context(RabbitNode(config=_BROKER, schedulers=os.cpu_count() or 1))
            self.postgres = stack.enter_context(PostgresNode(config=_AS_IT_COMES))
            self.database = self.postgres.create_database()
            upstream, self._upstream = stack.enter_context(_upstream())
            system = System(self._folder, amqp=self.broker.url(), database=self.database, allow="127.0.0.1")
            system.env |= {"TOOLYARD_LOG_LEVEL": "warning", **self._env}
            self.system = stack.enter_context(system)
            self.start("scheduler", "scheduler")
            self.start("gateway1", "gateway")
            with self.system.client() as client:
                client.post("/v1/tools", json=http_tool(TOOL, "GET", upstream)).raise_for_status()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, name: str, *command: str, **env: str) -> None:
        """Start a part and wait until it is ready; its name begins with its kind."""
        self.system.start(name, *command, env=env)
        self.system.ready(name)

    def stop(self, *names: str) -> None:
        """Ask parts to end, and wait for it."""
        for name in names:
            self.system.processes.pop(name).terminate()

    @contextlib.contextmanager
    def load(self, in_flight: int, *gateways: str) -> "Iterator[Load]":
        """A load on these gateways, connected."""
        urls = [self.system.url(name) for name in gateways]
        with (self._folder / "load.log").open("a") as errors:
            process = subprocess.Popen(
                [sys.executable, "posts.py", TOOL, str(in_flight), KEY, *urls],
                cwd=HERE,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._loads.append(process.pid)
        try:
            yield Load(process)
        finally:
            process.kill()
            process.communicate()
            self._loads.remove(process.pid)

    def pids(self) -> dict[str, list[int]]:
        """The processes by kind; what they started belongs to them."""
        found: dict[str, list[int]] = {kind: [] for kind in KINDS}
        for name, process in self.system.processes.items():
            found[name.rstrip("0123456789")].append(process.pid)
        found["broker"], found["database"] = [self.broker.pid], [self.postgres.pid]
        found["load"] = [self._upstream, *self._loads]
        return found

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU that each kind has used so far."""
        return {kind: sum(map(processes.cpu, pids)) for kind, pids in self.pids().items()}

    def machine(self) -> str:
        """What was measured on: cores, memory, kernel, versions."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
        return f"{os.cpu_count()} cores, {memory:.0f} GiB, {system}, RabbitMQ {self.broker.ctl('version').strip()}"


class Load:
    """The process that makes the calls."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        if self._line(_PATIENCE) != "READY":
            raise RuntimeError("the load did not start; see load.log")

    def run(self, *, calls: int = sys.maxsize, seconds: float = 1e9) -> dict[str, Any]:
        """A phase of so many calls, or of so many seconds.

        Raises:
            RuntimeError: a call did not succeed.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(f"{calls} {seconds}\n")
        self._process.stdin.flush()
        report: dict[str, Any] = json.loads(self._line(min(seconds, 3600.0) + _PATIENCE))
        if report["errors"]:
            raise RuntimeError(f"{report['errors']} calls did not succeed; see load.log")
        return report

    def _line(self, within: float) -> str:
        assert self._process.stdout is not None
        limit = threading.Timer(within, self._process.kill)  # a system that hangs ends the run, not the evening
        limit.start()
        line = self._process.stdout.readline().strip()
        limit.cancel()
        if not line:
            raise RuntimeError("the load died; see load.log")
        return line


@contextlib.contextmanager
def _upstream() -> Iterator[tuple[str, int]]:
    port = free_port()
    command = [sys.executable, str(HERE / "upstream.py"), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield f"http://127.0.0.1:{port}/tool", process.pid
        finally:
            process.terminate()
