"""Every part is replaced by another version's under a load of every kind: no call fails, in any order, and back."""

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.support import all_ways, previous
from tests.support import later as later_version
from tests.support.all_ways import Client, Load
from tests.support.processes import WITHIN, console_script
from tests.support.system import System
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

from toolyard.contracts.calls import Call
from toolyard.ids import new_id

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.timeout(900)]

SCHEDULERS, GATEWAYS = ("scheduler1", "scheduler2"), ("gateway1", "gateway2")
WORKERS: Final = ("http1", "http2", "sandbox1", "sandbox2")
PARTS: Final = (*SCHEDULERS, *GATEWAYS, *WORKERS)
#: A database that the older version made is brought up to date first; then anything may come first.
ORDERS: Final = {
    "schedulers first": (*SCHEDULERS, *GATEWAYS, *WORKERS),
    "gateways first": (*GATEWAYS, *WORKERS, *SCHEDULERS),
    "workers first": (*WORKERS, *SCHEDULERS, *GATEWAYS),
}
#: Those of the older version that go back on the new tables; its schedulers do not know that these serve them.
BACK: Final = ("gateway1", "http1", "sandbox1")
#: What no part may have in its log: a defect, or a message of another version that it did not get along with.
COMPLAINTS: Final = ("Traceback", "is not believed", "was passed over", "not understood", "was quarantined", "put away")


class Upgraded(System):
    """A system whose parts are of one version or of the other."""

    @property
    def amqp(self) -> str:
        """The broker's address."""
        return str(self.env["TOOLYARD_TRANSPORT_URL"])

    def gateway_id(self, name: str) -> str:
        """What this gateway calls itself."""
        return str(httpx.get(f"{self.url(name)}/readyz", trust_env=False).json()["gateway"])

    def run_all(self, program: list[str]) -> None:
        """Start all parts, of this version."""
        for name in PARTS:
            self._begin(name, program)
        self.ready(*PARTS)

    def replace(self, name: str, program: list[str]) -> None:
        """Drain this part, and start it anew, of this version."""
        before = self.processes[name]
        assert before.terminate(within=90) == 0, before.tail()
        self._begin(name, program)
        self.ready(name, within=90)

    def _begin(self, name: str, program: list[str]) -> None:
        kind = name.rstrip("12")
        command = [kind] if name in (*SCHEDULERS, *GATEWAYS) else ["worker", kind]
        self.start(name, *command, program=program)

    def migrate(self, program: list[str]) -> None:
        """Bring the database to this version, as the page says."""
        process = self.start("migrate", "scheduler", "--migrate", program=program)
        assert process.wait(within=WITHIN) == 0, process.tail()


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return previous.program(tmp_path_factory.mktemp("previous"))


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    with Upstream(effects=tmp_path / "effects.jsonl") as running:
        yield running


@pytest.fixture
def system(tmp_path: Path, amqp_url: str, postgres_url: str, upstream: Upstream) -> Iterator[Upgraded]:
    allow = upstream.url.removeprefix("http://")
    with Upgraded(tmp_path, amqp=amqp_url, database=postgres_url, allow=allow) as made:
        yield made


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_every_part_is_replaced_under_load_without_a_failed_call(
    system: Upgraded, upstream: Upstream, old: list[str], order: tuple[str, ...]
):
    new = console_script("toolyard")
    system.migrate(old)
    system.run_all(old)
    with Client(_endless(system)) as client:
        _prepare(client, upstream)
        with Load([system.url(name) for name in GATEWAYS]) as load:
            load.goes_on()
            system.migrate(new)
            load.goes_on()
            for name in order:
                system.replace(name, new)
                load.goes_on()
            for name in BACK:
                system.replace(name, old)
            load.goes_on()
        _end_the_schedule(system)
        _all_is_well(system, load, client, upstream)


def test_a_later_minor_version_comes_and_goes_and_another_major_one_harms_nobody(
    system: Upgraded, upstream: Upstream, tmp_path: Path
):
    """From this version to one that is not written yet (a fake) and back, and what neither can read."""
    now, later = console_script("toolyard"), later_version.program(tmp_path / "later")
    first, second = PARTS[::2], PARTS[1::2]
    system.migrate(now)
    system.run_all(now)
    keys = str(system.env["TOOLYARD_SIGNING_KEYS"])
    with Client(_endless(system)) as client, later_version.speaker(system.amqp, keys) as speaker:
        _prepare(client, upstream)
        with Load([system.url(name) for name in GATEWAYS]) as load:
            load.goes_on()
            system.migrate(later)
            for name in first:
                system.replace(name, later)
            load.goes_on()
            speaker.later_things([system.gateway_id(name) for name in GATEWAYS])
            for name in second:  # those of this version start again on the later tables, and so would go back
                system.replace(name, now)
            load.goes_on()
            for name in first:
                system.replace(name, now)
            system.migrate(now)  # which leaves the later tables as they are
            speaker.later_things([system.gateway_id(name) for name in GATEWAYS])
            load.goes_on()
        _end_the_schedule(system)
        _all_is_well(system, load, client, upstream)
        passed_over = [name for name in PARTS if "what only newer versions know" in system.processes[name].output()]
        assert {*GATEWAYS, *WORKERS} <= {*passed_over}
        assert {*SCHEDULERS} & {*passed_over}  # the one that leads

        message_id = speaker.call_of_another_major_version(_a_call())
        (letter,) = wait_until(
            lambda: client.ask("GET", "/v1/dead-letters")["items"], within=WITHIN, what="the call of v2 was put away"
        )
        assert letter["message_id"] == message_id
        assert letter["reason"].startswith("version_gone: version 2; this build reads 1")
        assert client.call({"tool": "reads", "arguments": {}}, "after it")["state"] == "succeeded"


def _a_call() -> Call:
    now = time.time()
    return Call(
        call_id=new_id(), org="default", tool="reads", version=1, pool="http", gateway="gw-later", principal="key",
        arguments={}, body_hash="h", accepted_at=now, deadline=now + 60, timeout=30, rerunnable=True,
    )  # fmt: skip


def _prepare(client: Client, upstream: Upstream) -> None:
    for tool in all_ways.tools(upstream.url):
        client.ask("POST", "/v1/tools", json=tool)
    client.ask("POST", "/v1/schedules", json={"name": "often", "tool": all_ways.TICKS, "arguments": {}, "every": 1})


def _all_is_well(system: Upgraded, load: Load, client: Client, upstream: Upstream) -> None:
    assert load.failed == []
    for one in load.ended:
        if one.request is not None:  # the one answer, however often it is asked for
            again = client.end_of(client.call(one.request, one.key))
            assert (again["call_id"], again["state"]) == (one.call["call_id"], one.call["state"])
            assert again.get("result") == one.call.get("result")
    for filters in (f"conversation={all_ways.CONVERSATION}", f"tool={all_ways.TICKS}"):
        listed = _listed(client, filters)
        assert Counter(call["state"] for call in listed.values()).keys() <= {"succeeded", "cancelled"}
    calls = {one.call["call_id"] for one in load.ended}
    assert calls <= _listed(client, f"conversation={all_ways.CONVERSATION}").keys()
    effects = Counter(effect.key for effect in upstream.effects())
    assert max(effects.values()) == 1
    assert {one.call["call_id"] for one in load.ended if one.call["tool"] == "pays"} <= effects.keys()
    assert client.ask("GET", "/v1/dead-letters")["items"] == []
    for name in PARTS:
        lines = system.processes[name].output().splitlines()
        assert [line for line in lines if any(words in line for words in COMPLAINTS)] == []


def _listed(client: Client, filters: str) -> dict[str, dict[str, object]]:
    """All calls that the ledger shows, once it has read all and they have ended."""
    found: dict[str, dict[str, object]] = {}

    def ended() -> bool:
        found.clear()
        page = client.ask("GET", f"/v1/calls?limit=200&{filters}")
        found.update({call["call_id"]: call for call in page["items"]})
        while page["next_cursor"]:
            page = client.ask("GET", f"/v1/calls?limit=200&{filters}&cursor={page['next_cursor']}")
            found.update({call["call_id"]: call for call in page["items"]})
        return all(call.get("finished_at") for call in found.values())

    wait_until(
        ended,
        within=WITHIN,
        what=lambda: f"all have ended: {[c for c in found.values() if not c.get('finished_at')][:3]}",
    )
    return found


def _end_the_schedule(system: Upgraded) -> None:
    with system.client() as client:
        etag = client.get("/v1/schedules/often").headers["etag"]
        assert client.delete("/v1/schedules/often", headers={"If-Match": etag}).is_success


def _endless(system: Upgraded) -> "itertools.cycle[str]":
    return itertools.cycle([system.url(name) for name in GATEWAYS])
