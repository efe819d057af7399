"""All signing keys are changed under load, as the page on them says: no call fails, and nothing is put away."""

import itertools
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support import upstream as upstream_server
from tests.support.system import KEY, System, http_tool
from tests.support.waiting import wait_until

from toolyard.security.signing import CORE, new_keys

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.timeout(900)]

GATEWAYS, WORKERS = ("gateway1", "gateway2"), ("worker1", "worker2")
PARTS = ("scheduler", *GATEWAYS, *WORKERS)
#: Seconds in which a call must have been answered, whatever is restarted meanwhile.
PATIENCE = 120.0


class Load:
    """Calls without a pause; each is repeated under its key, at the other gateway, until it is answered."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = itertools.cycle(urls)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(tool,)) for tool in ("reads", "writes", "reads")]
        self.ended: list[dict[str, Any]] = []
        self.unanswered: list[str] = []

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, count: int) -> None:
        """Wait until so many more calls have ended, from now on."""
        upto = len(self.ended) + count
        wait_until(lambda: len(self.ended) >= upto or self.unanswered, within=PATIENCE, what=f"{count} more calls")

    def _run(self, tool: str) -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {KEY}"}, trust_env=False, timeout=PATIENCE) as client:
            while not self._stop.is_set():
                key = uuid.uuid4().hex
                try:
                    wait_until(lambda: self._ask(client, tool, key), within=PATIENCE, what=f"{tool} {key} is answered")  # noqa: B023
                except TimeoutError as error:
                    self.unanswered.append(str(error))

    def _ask(self, client: httpx.Client, tool: str, key: str) -> bool:
        headers = {"Idempotency-Key": key, "Prefer": "wait=30"}
        try:
            answer = client.post(f"{next(self._urls)}/v1/calls", json={"tool": tool, "arguments": {}}, headers=headers)
        except httpx.TransportError:  # this gateway is being restarted
            return False
        if answer.status_code != httpx.codes.OK:
            return False
        self.ended.append(answer.json())
        return True


class Rotated(System):
    """A system whose parts are given their keys."""

    upstream: str

    def start_with(self, name: str, core: str, http: str) -> None:
        """Start a part, or start it anew, with these keys."""
        before = self.processes.get(name)
        if before is not None:
            assert before.terminate(within=90) == 0
        kind = name.rstrip("12")
        keys = {"TOOLYARD_SIGNING_KEYS": http if kind == "worker" else core}
        self.start(name, kind, *(["http"] if kind == "worker" else []), env=keys)
        self.ready(name, within=90)

    def no_failures(self, name: str) -> None:
        """This part has believed all that it read so far."""
        lines = httpx.get(f"{self.url(name)}/metrics", trust_env=False).text.splitlines()
        counted = [line for line in lines if line.startswith("toolyard_signature_failures_total{")]
        assert counted, f"{name} does not count what it does not believe"
        assert {float(line.rpartition(" ")[2]) for line in counted} == {0.0}, counted


@pytest.fixture
def system(tmp_path: Path, amqp_url: str, postgres_url: str) -> Iterator[Rotated]:
    process, address = upstream_server.spawn(tmp_path / "effects.jsonl")
    with (
        process,
        Rotated(tmp_path, amqp=amqp_url, database=postgres_url, allow=address.removeprefix("http://")) as made,
    ):
        made.upstream = address
        yield made


def test_all_keys_are_changed_under_load_without_a_failed_call(system: Rotated):
    old, new = new_keys("old"), new_keys("new")
    steps = {
        "begin": (list(old.values()), [old["http"]]),
        "add": ([*old.values(), *new.values()], [old["http"], new["http"]]),
        "turn": ([*new.values(), *old.values()], [new["http"], old["http"]]),
        "remove": (list(new.values()), [new["http"]]),
    }
    begin = [",".join(keys) for keys in steps.pop("begin")]
    for name in PARTS:
        system.start_with(name, *begin)
    address = system.upstream
    with system.client() as client:
        for tool in (http_tool("reads", "GET", f"{address}/echo"), http_tool("writes", "POST", f"{address}/echo")):
            assert client.post("/v1/tools", json=tool).status_code == 201
    with Load([system.url(name) for name in GATEWAYS]) as load:
        load.more(20)
        for keys in steps.values():
            for name in PARTS:
                system.no_failures(name)
                system.start_with(name, *(",".join(each) for each in keys))
                load.more(5)
            load.more(20)  # so what was signed before this step is done with
            _read_by_the_ledger(system, load.ended[-1]["call_id"])
    for name in PARTS:
        system.no_failures(name)
        assert "is not believed" not in system.processes[name].output()

    assert load.unanswered == []
    assert {call["state"] for call in load.ended} == {"succeeded"}
    assert len(load.ended) >= 20 + len(steps) * (5 * len(PARTS) + 20)
    with system.client() as client:
        assert client.get("/v1/dead-letters").json()["items"] == []
    assert old[CORE] not in new.values()


def _read_by_the_ledger(system: Rotated, call_id: str) -> None:
    """Wait until the ledger has read this call's end, and so all that came before it."""
    with system.client() as client:
        wait_until(
            lambda: (
                call_id
                in {each["call_id"] for each in client.get("/v1/calls?limit=200&state=succeeded").json()["items"]}
            ),
            within=PATIENCE,
            what="the ledger has read it",
        )
