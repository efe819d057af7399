"""The place that drills break: a private broker and database, an upstream, and the three services behind proxies.

Everything is private to it and started by it; addresses of the environment are never used. `heal` makes it whole again
between two drills.
"""

import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

import httpx
from tests.chaos.faults import Faults
from tests.chaos.load import Load, Plan
from tests.chaos.proxy import AmqpProxy
from tests.support.postgres import PostgresNode
from tests.support.processes import Process
from tests.support.rabbit import RabbitNode
from tests.support.system import System, http_tool
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

#: Name of a part -> the command that it is.
PARTS: Final[dict[str, tuple[str, ...]]] = {
    "scheduler1": ("scheduler",),
    "scheduler2": ("scheduler",),
    "gateway1": ("gateway",),
    "gateway2": ("gateway",),
    "worker1": ("worker", "http"),
    "worker2": ("worker", "http"),
}
#: What runs when a drill begins.
BASELINE: Final = ("scheduler1", "gateway1", "gateway2", "worker1")
GATEWAYS: Final = ("gateway1", "gateway2")
READY_WITHIN: Final = 60.0
_PARAMETERS: Final = {
    "type": "object",
    "properties": {"key": {"type": "string"}, "delay": {"type": "number"}, "after": {"type": "number"}},
}
#: What no process may ever write into its log.
_COMPLAINT: Final = re.compile(r"Traceback|defect|never awaited|never retrieved|Unhandled|exception was never")
#: pika's own tracebacks about a connection that was reset in the moment in which it was made; it tries again.
_HARMLESS: Final = re.compile(
    r"Transport endpoint is not connected|getpeername\(\) failed|During handling of the above"
)


class Yard(Faults):
    """One whole system and its surroundings, as a context manager.

    Args:
        folder: for logs, databases of the processes, and the effects.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.node, self.database = RabbitNode(), PostgresNode()
        self.upstream = Upstream(effects=folder / "effects.jsonl")
        self.proxies: dict[str, AmqpProxy] = {}
        self._stack = contextlib.ExitStack()
        self._read: dict[str, int] = {}
        self._loads = 0
        self._unlike: set[str] = set()  # parts that were started in another way than the baseline's

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self) -> None:
        self._stack.callback(self.node.discard)
        self._stack.callback(self.database.discard)
        with ThreadPoolExecutor(2) as starting:
            node, database = starting.submit(self.node.start), starting.submit(self.database.start)
        node.result()
        database.result()
        self.database_url = self.database.create_database()
        self._stack.enter_context(self.upstream)
        for name in PARTS:
            self.proxies[name] = self._stack.enter_context(AmqpProxy(self.node.port))
        url, allow = self.database_url, self.upstream.url.removeprefix("http://")
        self.system = self._stack.enter_context(System(self.folder, amqp=self.node.url(), database=url, allow=allow))
        self.heal()
        self._make_tools()

    def _make_tools(self) -> None:
        """``look`` may run twice (GET); ``pay`` must not (POST), and its effects are counted."""
        where = self.upstream.url
        look = f"{where}/sleep/${{arguments.delay}}?key=${{arguments.key}}"
        pay = f"{where}/effects?delay=${{arguments.delay}}&after=${{arguments.after}}"
        with self.system.client() as client:
            for tool in (
                http_tool("look", "GET", look, parameters=_PARAMETERS),
                http_tool("pay", "POST", pay, parameters=_PARAMETERS),
            ):
                client.post("/v1/tools", json=tool).raise_for_status()

    # ---- its parts ------------------------------------------------------------------------------
    def start(self, name: str, *, env: Mapping[str, str | None] | None = None) -> Process:
        """Start a part behind its proxy."""
        (self._unlike.add if env else self._unlike.discard)(name)
        address = {"TOOLYARD_TRANSPORT_URL": self.proxies[name].url()}
        return self.system.start(name, *PARTS[name], env={**address, **(env or {})})

    def ready(self, *names: str, within: float = READY_WITHIN) -> None:
        self.system.ready(*names, within=within)

    def part(self, name: str) -> Process:
        return self.system.processes[name]

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.part(name).kill()

    def stop(self, name: str, *, within: float = 45) -> int:
        """SIGTERM, as a supervisor does; the exit code."""
        return self.part(name).terminate(within=within)

    def running(self, name: str) -> bool:
        process = self.system.processes.get(name)
        return process is not None and process.running

    def heal(self) -> None:
        """The baseline, whatever the last drill left: all of it running and ready, nothing else."""
        self._heal_surroundings()
        for name in PARTS:
            if self.running(name) and (name not in BASELINE or name in self._unlike):
                self.kill(name)
            if name in BASELINE and not self.running(name):
                self.start(name)
        self.ready(*BASELINE)

    def _heal_surroundings(self) -> None:
        if self.node.running:
            self.node.resume()
            self.node.unblock()
        else:
            self.node.start()
        if self.database.running:
            self.database.resume()
        else:
            self.database.start()
        for name, proxy in self.proxies.items():
            proxy.disarm()
            proxy.delay(0)
            proxy.shuffle(None)
            proxy.go_on()
            if self.running(name):
                self.part(name).resume()

    # ---- what drills do and see -----------------------------------------------------------------
    def load(self, name: str, seed: int, **plan: Any) -> Load:
        """A load on both gateways, ready to be entered."""
        urls = [self.system.url(gateway) for gateway in GATEWAYS]
        self._loads += 1
        return Load(urls, Plan(name=f"{name}-{seed}-{self._loads}", seed=seed, **plan))

    def unacked(self) -> int:
        """Deliveries of the pool that workers hold, as their proxies count them."""
        return self.proxies["worker1"].unacked + self.proxies["worker2"].unacked

    def wait_for_unacked(self, number: int, *names: str, within: float = 60) -> int:
        """Until these workers hold as many deliveries; returns how many."""

        def held() -> int:
            return sum(self.proxies[name].unacked for name in names)

        what = f"{number} unacked deliveries at {names}"
        return wait_until(lambda: held() if held() >= number else 0, within=within, what=what)

    def first_success(self, *, stored: bool = False, within: float = 60, gateway: str = "gateway1") -> float:
        """Seconds until a call that is made from now on succeeds; ``stored``: and the ledger has it."""
        begun = time.monotonic()
        with self.system.client(gateway) as client:
            wait_until(
                lambda: _succeeds(client, stored=stored),
                within=within,
                what="a first success after the fault",
                every=0.05,
            )
        return time.monotonic() - begun

    def complaints(self) -> list[str]:
        """What the processes' logs hold since the last question and no log may hold, with the file's name."""
        found: list[str] = []
        for name in self.system.processes:
            log = self.folder / f"{name}.log"
            text = log.read_bytes()[self._read.get(name, 0) :]
            self._read[name] = self._read.get(name, 0) + len(text)
            found += [f"{log.name}: {line[:400]}" for line in _complaints(text.decode(errors="replace"))]
        return found


def _complaints(text: str) -> list[str]:
    """Lines that tell of a defect; of a traceback its last line, the error."""
    lines, found = text.splitlines(), []
    for number, line in enumerate(lines):
        if _COMPLAINT.search(line):
            following = (each for each in lines[number + 1 :] if not each.startswith((" ", "\t")))
            found.append(next(following, line) if line.startswith("Traceback") else line)
    return [line for line in found if not _HARMLESS.search(line)]


def _succeeds(client: httpx.Client, *, stored: bool) -> bool:
    body = {
        "tool": "look",
        "arguments": {"key": "probe", "delay": 0, "after": 0},
        "conversation": "probe",
        "deadline": 30,
    }
    try:
        call = client.post("/v1/calls", json=body, headers={"Prefer": "wait=2"}, timeout=5).json()
        if call.get("state") != "succeeded":
            return False
        return not stored or _is_stored(client, call["call_id"])
    except httpx.HTTPError:
        return False


def _is_stored(client: httpx.Client, call_id: str) -> bool:
    def look() -> bool:
        try:
            page = client.get("/v1/calls", params={"conversation": "probe", "limit": 50}, timeout=5)
        except httpx.HTTPError:
            return False
        return page.status_code == 200 and any(
            call["call_id"] == call_id and call["state"] == "succeeded" for call in page.json()["items"]
        )

    try:
        return wait_until(look, within=60, what="the probe in the store", every=0.1)
    except TimeoutError:
        return False


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Yard]:
    """A yard with its tools made, in this folder."""
    with Yard(folder) as yard:
        yield yard
