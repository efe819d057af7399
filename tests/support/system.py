"""Toolyard as ops run it: gateways, a worker and a scheduler, each a process, over a broker and a database.

Used by the e2e tests and the drills; it starts the commands that the documentation names.
"""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
from tests.support.processes import WITHIN, Process, console_script, free_port

KEY = "ty_tests_" + "k" * 32


class System:
    """The processes of one system; a context manager that ends what it started.

    Args:
        folder: where the processes run and log.
        allow: what tools may reach (`TOOLYARD_EGRESS_ALLOW`).
    """

    def __init__(self, folder: Path, *, amqp: str, database: str, allow: str) -> None:
        self.folder = folder
        self.env: dict[str, str | None] = {
            "TOOLYARD_TRANSPORT_URL": amqp,
            "TOOLYARD_DATABASE_URL": database,
            "TOOLYARD_EGRESS_ALLOW": allow,
            "TOOLYARD_API_KEY": KEY,
            "TOOLYARD_SIGNING_KEYS": f"test:{secrets.token_hex(32)}",
            "TOOLYARD_LOG_FORMAT": "json",
        }
        self.processes: dict[str, Process] = {}
        self.ports: dict[str, int] = {}

    def start(
        self,
        name: str,
        *command: str,
        env: Mapping[str, str | None] | None = None,
        program: Sequence[str] | None = None,
    ) -> Process:
        """Start a part under a name of the test's choice; it is given the port that it had before.

        ``program``: the command line of another version's `toolyard`.
        """
        port = self.ports.setdefault(name, free_port())
        variables = {**self.env, "TOOLYARD_PORT": str(port), **(env or {})}
        line = [*(program or console_script("toolyard")), *command]
        process = Process(line, env=variables, cwd=self.folder, log=self.folder / f"{name}.log")
        self.processes[name] = process
        return process

    def ready(self, *names: str, within: float = WITHIN) -> None:
        """Wait until these parts say that they are ready."""
        for name in names:
            self.processes[name].wait_for_http(f"{self.url(name)}/readyz", status=200, within=within)

    def start_all(self, *, gateways: int = 1, pool: str = "http") -> Self:
        """Scheduler, a worker of this pool and gateways, all ready."""
        self.start("scheduler", "scheduler")
        self.ready("scheduler")
        names = [f"gateway{number}" for number in range(1, gateways + 1)]
        for name in names:
            self.start(name, "gateway")
        self.start("worker", "worker", pool)
        self.ready(*names, "worker")
        return self

    def url(self, name: str = "gateway1") -> str:
        """The address of a part."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def client(self, name: str = "gateway1", **options: Any) -> httpx.Client:
        """A client of a gateway that is signed in."""
        headers = {"Authorization": f"Bearer {KEY}"}
        return httpx.Client(base_url=self.url(name), headers=headers, trust_env=False, timeout=90, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()


def http_tool(name: str, method: str, url: str, **fields: Any) -> dict[str, Any]:
    """The definition of an http tool that takes any arguments."""
    return {
        "name": name,
        "description": f"{method} {url}",
        "parameters": {"type": "object"},
        "binding": {"type": "http", "method": method, "url": url},
        **fields,
    }
