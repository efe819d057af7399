"""The place where a peer is broken: a private broker and Redis, an upstream, its workers behind proxies, its callers.

Everything is private to it and started by it, as in `tests.chaos.yard`.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.chaos.peers.journal import Journal
from tests.chaos.proxy import AmqpProxy
from tests.support.peers import BIN
from tests.support.processes import Process, ServerMissingError, free_port
from tests.support.rabbit import RabbitNode
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

APPS: Final = Path(__file__).resolve().parent / "apps"
WORKERS: Final = ("worker1", "worker2")


@dataclass(frozen=True)
class Subject:
    """A peer: what starts its worker (as many tasks at once as ours are given), and its caller."""

    name: str
    worker: tuple[str, ...]
    producer: tuple[str, ...]


SUBJECTS: Final = (
    Subject(
        "dramatiq + Redis results",
        (str(BIN / "dramatiq"), "dramatiq_app", "-p", "1", "-t", "16"),
        (str(BIN / "python"), "dramatiq_app.py", "producer"),
    ),
    Subject(
        "Celery + Redis results",
        (str(BIN / "celery"), "-A", "celery_app", "worker", "-P", "prefork", "-c", "16", "-l", "WARNING"),
        (str(BIN / "python"), "celery_app.py", "producer"),
    ),
)


class PeerYard:
    """One peer and its surroundings, as a context manager; one drill each."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject, self.folder = subject, folder
        self.node = RabbitNode()
        self.upstream = Upstream(effects=folder / "effects.jsonl")
        self.journal = Journal(folder / "journal.jsonl")
        self.proxies: dict[str, AmqpProxy] = {}
        self.processes: dict[str, Process] = {}
        self._stack = contextlib.ExitStack()
        self._producers: list[subprocess.Popen[str]] = []
        self._probes = 0

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _open(self) -> None:
        self._stack.callback(self.node.discard)
        self.node.start()
        self._stack.enter_context(self.upstream)
        for name in WORKERS:
            self.proxies[name] = self._stack.enter_context(AmqpProxy(self.node.port))
        self.redis = self._redis()
        self.start("worker1")
        self.new_producer()
        self.probe()

    def _close(self) -> None:
        for process in self.processes.values():
            process.kill()
        for producer in self._producers:
            _end(producer)
        self._stack.close()

    def _redis(self) -> str:
        program = shutil.which("redis-server")
        if program is None:
            raise ServerMissingError("no Redis server on this machine; install one: apt-get install redis-server")
        port = free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self.processes["redis"] = Process(command, log=self.folder / "redis.log")
        self.processes["redis"].wait_for_line("Ready to accept connections")
        return f"redis://127.0.0.1:{port}/0"

    def _env(self, amqp: str) -> dict[str, str]:
        own = {"CHAOS_AMQP_URL": amqp, "CHAOS_REDIS_URL": self.redis, "CHAOS_UPSTREAM": self.upstream.url}
        return {**own, "CHAOS_JOURNAL": str(self.journal.path), "PYTHONPATH": str(APPS)}

    # ---- its parts ------------------------------------------------------------------------------
    def start(self, name: str) -> None:
        """Start a worker behind its proxy; `probe` tells when one serves."""
        host = f"{name}@chaos{self.node.port}"
        command = [*self.subject.worker, *(["-n", host] if "celery_app" in self.subject.worker else [])]
        env = self._env(self.proxies[name].url())
        self.processes[name] = Process(command, env=env, cwd=self.folder, log=self.folder / f"{name}.log")

    def wait_for_consumer(self, name: str) -> None:
        """Until the broker has a consumer of this worker."""
        counts = self.proxies[name].counts["to_broker"]
        wait_until(lambda: counts["basic.consume"] > 0, within=60, what=f"{name} to consume")

    def kill(self, name: str) -> None:
        self.processes[name].kill()

    def stop(self, name: str) -> int:
        return self.processes[name].terminate(within=90)

    def new_producer(self) -> None:
        """Another caller; the orders go to the newest."""
        number = self.journal.read().ready
        with (self.folder / "producer.log").open("a") as errors:
            producer = subprocess.Popen(
                self.subject.producer,
                env={**os.environ, **self._env(self.node.url())},
                cwd=APPS,
                stdin=subprocess.PIPE,
                stdout=errors,
                stderr=errors,
                text=True,
            )
        self._producers.append(producer)
        wait_until(lambda: self.journal.read().ready > number, within=30, what="a caller to be ready")

    def kill_producer(self, number: int) -> None:
        """SIGKILL."""
        self._producers[number].kill()
        self._producers[number].wait()

    def order(self, **order: Any) -> None:
        """Give the newest caller something to do."""
        pipe = self._producers[-1].stdin
        assert pipe is not None
        pipe.write(f"{json.dumps(order)}\n")
        pipe.flush()

    # ---- what drills see ------------------------------------------------------------------------
    def probe(self, *, within: float = 120) -> float:
        """Seconds until a call that is made from now on succeeds."""
        self._probes += 1
        name, begun = f"probe{self._probes}", time.monotonic()
        self.order(do="probe", name=name)
        wait_until(lambda: name in self.journal.read().probed, within=within, what="a first success", every=0.02)
        return time.monotonic() - begun

    def wait_for_unacked(self, number: int, *names: str) -> int:
        """Until these workers hold as many deliveries; returns how many."""

        def held() -> int:
            return sum(self.proxies[name].unacked for name in names)

        what = f"{number} unacked deliveries at {names}"
        return wait_until(lambda: held() if held() >= number else 0, within=60, what=what)

    def wait_for_over(self, number: int) -> None:
        wait_until(lambda: self.journal.over() >= number, within=90, what=f"{number} calls to end")


def _end(producer: "subprocess.Popen[str]") -> None:
    producer.kill()
    producer.wait()
    if producer.stdin is not None:
        with contextlib.suppress(BrokenPipeError):  # what it was not told any more
            producer.stdin.close()
