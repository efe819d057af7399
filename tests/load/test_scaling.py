"""A pool grows from no worker to four and shrinks to none again, as KEDA would have it, under a load that changes.

Workers are real and end by SIGTERM, the queue is counted by the broker's management API, and the numbers are those of
`deploy/k8s` for the pool `http`, in which one second passes for twenty. How long calls waited is printed;
what is judged are states: no call is lost, refused, expired or answered twice, and none has an effect twice.
"""

import asyncio
import contextlib
import itertools
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from tests.chaos.checker import judge, log_ends, settled
from tests.chaos.load import Attempt
from tests.support import keda
from tests.support import upstream as upstream_server
from tests.support.processes import Process, http_status
from tests.support.rabbit import RabbitNode
from tests.support.services import installed
from tests.support.system import KEY, System, http_tool
from tests.support.waiting import async_wait_until

pytestmark = [pytest.mark.usefixtures("uncounted"), pytest.mark.timeout(600)]

#: Seconds of the manifest that pass in one of ours; milliseconds in which the broker counts anew, which are 5,000.
FASTER: Final = 20.0
COUNTED: Final = 5_000 / FASTER
#: The pool may be empty, and no larger than this.
MOST: Final = 4
#: Calls in flight, and seconds that the upstream takes: more than three workers are for, and less than one is for.
BURST: Final = (900, 5.0)
STEADY: Final = (60, 2.0)
#: Calls that must end while the pool is as large as it gets.
AT_MOST: Final = 1_000
#: Seconds in which a call must start, on whatever machine: the broker's counting, KEDA's look, the start of a worker,
#: the autoscaler's look and the start of three more are some eight seconds here. One that has not ends `expired`.
START_WITHIN: Final = 90.0
PATIENCE: Final = 180.0
CONVERSATION: Final = "scaling"


@dataclass
class Pool:
    """The workers as a Deployment has them.

    Attributes:
        running, ending: those that are wanted, and those that were asked to end.
        course: how many were wanted, one after the other.
        grown: seconds from the first call until all that it was given were ready.
    """

    system: System
    running: dict[str, Process] = field(default_factory=dict)
    ending: list[Process] = field(default_factory=list)
    grown: float = 0.0
    course: list[int] = field(default_factory=lambda: [0])
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def size(self) -> int:
        return len(self.running)

    def scale(self, wanted: int) -> None:
        """Start workers, or ask the youngest to end."""
        while self.size < wanted:
            name = f"worker{next(self._numbers)}"
            self.running[name] = self.system.start(name, "worker", "http")
        while self.size > wanted:
            _, worker = self.running.popitem()
            worker.send(signal.SIGTERM)
            self.ending.append(worker)
        if wanted != self.course[-1]:
            self.course.append(wanted)

    async def all_ready(self) -> bool:
        """Whether all of them take calls."""
        urls = [f"{self.system.url(name)}/readyz" for name in self.running]
        return {await asyncio.to_thread(http_status, url) for url in urls} == {200}


class Load:
    """Calls without a pause, so many in flight as was said last; half of them must not run twice."""

    def __init__(self, client: aiohttp.ClientSession, group: asyncio.TaskGroup) -> None:
        self._client = client
        self._group = group
        self._numbers = itertools.count()
        self._wanted = self._callers = 0
        self._delay = 0.0
        self.attempts: list[Attempt] = []
        self.refused: list[str] = []

    @property
    def ended(self) -> int:
        return sum(attempt.over for attempt in self.attempts)

    def change(self, in_flight: int, delay: float = 0.0) -> None:
        """From now on so many in flight, each as long as that."""
        self._wanted, self._delay = in_flight, delay
        for _ in range(in_flight - self._callers):
            self._callers += 1
            self._group.create_task(self._call_on())

    async def _call_on(self) -> None:
        while self._callers <= self._wanted:
            await self._call(next(self._numbers))
        self._callers -= 1

    async def _call(self, number: int) -> None:
        attempt = Attempt(f"{CONVERSATION}-{number}", "pay" if number % 2 else "look", keyed=False)
        attempt.sent_at = time.monotonic()
        self.attempts.append(attempt)
        asked = {
            "tool": attempt.kind,
            "arguments": {"key": attempt.key, "delay": self._delay},
            "conversation": CONVERSATION,
            "queue_timeout": START_WITHIN,
        }
        request = self._client.post("/v1/calls", json=asked, headers={"Prefer": "wait=60"})
        while not await self._hear(attempt, request):
            request = self._client.get(f"/v1/calls/{attempt.call_id}", params={"wait": 60})

    async def _hear(self, attempt: Attempt, request: Any) -> bool:
        async with request as answer:
            if answer.status in (200, 202):
                attempt.over = attempt.hear(await answer.json())
            else:
                self.refused.append(await answer.text())
                attempt.over = True
        return attempt.over


@pytest.fixture
def broker() -> Iterator[RabbitNode]:
    """One that counts its queues as much faster as time passes here, and tells the counts over HTTP."""
    config = {"collect_statistics_interval": f"{COUNTED:.0f}"}
    with installed(lambda: RabbitNode(config=config, management=True)) as node:
        node.evaluate(f"application:set_env(rabbit, quorum_tick_interval, {COUNTED:.0f})")
        yield node


@contextlib.asynccontextmanager
async def _autoscaled(pool: Pool, count: Callable[[], int], scaling: keda.Scaling) -> AsyncIterator[None]:
    """The pool is as large as KEDA would have it."""
    autoscaler = keda.Autoscaler(scaling, minimum=0, maximum=MOST, sync=keda.SYNC / FASTER)

    async def look() -> None:
        while True:
            calls = await asyncio.to_thread(count)
            pool.scale(autoscaler.decide(time.monotonic(), pool.size, calls))
            await asyncio.sleep(scaling.polling)

    async with asyncio.TaskGroup() as group:
        looking = group.create_task(look())
        yield
        looking.cancel()


async def test_a_pool_grows_from_none_to_four_and_shrinks_to_none_and_no_call_is_lost(
    tmp_path: Path, broker: RabbitNode, postgres_url: str
) -> None:
    scaling = keda.read("http").faster(FASTER)
    effects = tmp_path / "effects.jsonl"
    process, upstream = upstream_server.spawn(effects)
    amqp = broker.add_vhost(scaling.vhost)
    allow = upstream.removeprefix("http://")
    with process, System(tmp_path, amqp=amqp, database=postgres_url, allow=allow) as system:
        await asyncio.to_thread(_start, system, upstream)
        pool = Pool(system)
        count = lambda: keda.calls_of(broker.management_url, broker.user, broker.password, scaling)  # noqa: E731
        async with _client(system) as client, _autoscaled(pool, count, scaling), asyncio.TaskGroup() as calling:
            load = Load(client, calling)
            await _course(pool, load)
        codes = [await asyncio.to_thread(worker.wait) for worker in pool.ending]
        with system.client() as asking:
            stored = await asyncio.to_thread(settled, asking, CONVERSATION, load.attempts, within=PATIENCE)
        ends = await asyncio.to_thread(log_ends, amqp)

    _print(pool, stored)
    assert pool.course[0] == pool.course[-1] == 0
    assert max(pool.course) == MOST
    assert codes == [0] * len(pool.ending)
    assert load.refused == []
    assert judge(load.attempts, stored, ends, effects).failures() == []
    assert Counter(call["state"] for call in stored.values()) == {"succeeded": len(load.attempts)}
    happened = Counter(effect.key for effect in upstream_server.read_effects(effects))
    assert happened == {attempt.call_id: 1 for attempt in load.attempts if attempt.kind == "pay"}


async def _course(pool: Pool, load: Load) -> None:
    """Nothing, a burst, a steady load, nothing; each goes on until the pool is as large as it should be."""
    assert pool.size == 0
    begun = time.monotonic()
    load.change(*BURST)
    await _until(lambda: pool.size == MOST, "four workers")
    await async_wait_until(pool.all_ready, within=PATIENCE, what="all of them are ready")
    pool.grown = time.monotonic() - begun
    upto = load.ended + AT_MOST
    await _until(lambda: load.ended >= upto, f"{AT_MOST} calls end")
    assert pool.size == MOST
    load.change(*STEADY)
    await _until(lambda: pool.size == 1, "one worker is enough")
    load.change(0)
    await _until(lambda: pool.size == 0, "none is needed")


async def _until(check: Callable[[], bool], what: str) -> None:
    async def look() -> bool:
        return check()

    await async_wait_until(look, within=PATIENCE, what=what)


def _start(system: System, upstream: str) -> None:
    system.start("scheduler", "scheduler")
    system.ready("scheduler")
    system.start("gateway1", "gateway")
    system.ready("gateway1")
    parameters = {"type": "object", "properties": {"key": {"type": "string"}, "delay": {"type": "number"}}}
    look, pay = f"{upstream}/sleep/${{arguments.delay}}", f"{upstream}/effects?delay=${{arguments.delay}}"
    with system.client() as client:
        for tool in (http_tool("look", "GET", look), http_tool("pay", "POST", pay)):
            client.post("/v1/tools", json={**tool, "parameters": parameters}).raise_for_status()


def _client(system: System) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        system.url(),
        headers={"Authorization": f"Bearer {KEY}"},
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=120),
    )


def _print(pool: Pool, stored: dict[str, dict[str, Any]]) -> None:
    waited = sorted(
        (datetime.fromisoformat(call["started_at"]) - datetime.fromisoformat(call["created_at"])).total_seconds()
        for call in stored.values()
        if call["started_at"]
    )
    middle, late = waited[len(waited) // 2], waited[len(waited) * 99 // 100]
    print(
        f"\n{len(stored)} calls; workers {' '.join(map(str, pool.course))}, the most of them ready {pool.grown:.1f} s"
        f" after the first call; a call waited {middle:.2f} s for its start in the middle, {late:.1f} s at the 99th"
        f" percentile, {waited[-1]:.1f} s at most"
    )
