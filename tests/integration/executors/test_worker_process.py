"""`toolyard worker http` as a process over a real RabbitMQ: calls through it, and its end in each way it may come.

All tests have one broker and one system: whoever needs a scheduler or a worker is given the one that is there. A test
that ends one leaves it to the next to start it again.
"""

import asyncio
import json
import re
import secrets
import signal
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx
import pytest
from tests.integration.executors.door import WITHIN, Door
from tests.support.clocks import shifted
from tests.support.processes import Process
from tests.support.system import System
from tests.support.upstream import Upstream
from tests.support.waiting import async_wait_until
from tests.unit.executors.making import a_call, a_message, a_tool, json_of

from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import Cancel, Pause, Resume
from toolyard.contracts.events import Cancelled, Ended, Failed, Started, Succeeded
from toolyard.contracts.tools import Authentication, HttpBinding
from toolyard.security.signing import Keyring
from toolyard.transport import topology
from toolyard.transport.envelope import Envelope
from toolyard_executors.judgement import MARGIN

pytestmark = pytest.mark.usefixtures("uncounted")

#: Seconds that an answer may take on a busy machine: so exact is a clock that is put right by it.
SLOW = 60.0


@pytest.fixture(scope="module")
def kept_system(tmp_path_factory: pytest.TempPathFactory, amqp_url_module: str) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    database = f"sqlite:///{folder / 'ledger.db'}"
    with System(folder, amqp=amqp_url_module, database=database, allow="127.0.0.1") as kept:
        yield kept


@pytest.fixture
def system(kept_system: System) -> Iterator[System]:
    """With a scheduler, which answers claims; of workers only the one called ``worker`` is kept for the next test."""
    scheduler = kept_system.processes.get("scheduler")
    if scheduler is None or not scheduler.running:
        kept_system.start("scheduler", "scheduler")
    kept_system.ready("scheduler")
    yield kept_system
    for name in kept_system.processes.keys() - {"scheduler", "worker"}:
        kept_system.processes[name].kill()


@pytest.fixture
async def door(system: System, amqp_url_module: str) -> AsyncIterator[Door]:
    made = Door(amqp_url_module, str(system.env["TOOLYARD_SIGNING_KEYS"]))
    await made.open()
    yield made
    await made.transport.close()


def start_worker(system: System, name: str = "worker", env: Mapping[str, str | None] | None = None) -> Process:
    (system.folder / f"{name}.log").unlink(missing_ok=True)  # of one that has ended
    process = system.start(name, "worker", "http", env={"TOOLYARD_SECRET_TOKEN": "s3cret-value", **(env or {})})
    system.ready(name)
    return process


@pytest.fixture
async def worker(system: System) -> Process:
    """The one worker that takes calls."""
    found = system.processes.get("worker")
    return found if found and found.running else await asyncio.to_thread(start_worker, system)


async def nothing_left(system: System, door: Door) -> None:
    """The pool's queue and its worker hold nothing, not even what an earlier test left."""

    async def empty() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{system.url('worker')}/readyz")
        return answer.json()["running"] == 0 and await door.transport.backlog(topology.pool_queue("http")) == 0

    await async_wait_until(empty, within=WITHIN, what="an empty pool")


def post(url: str, **fields: Any) -> HttpBinding:
    return HttpBinding(method="POST", url=url, **fields)


def unclaimed() -> float:
    """When a call must have been accepted to need no claim of a worker that has just begun."""
    return time.time() + 2 * MARGIN


async def arrived(upstream: Upstream, path: str) -> None:
    async def seen() -> bool:
        return any(request.path == path for request in upstream.requests)

    await async_wait_until(seen, within=WITHIN, what=f"a request to {path}")


async def test_a_call_comes_back(worker, door, upstream):
    sent = await door.call(post(f"{upstream.url}/echo", body={"city": "${arguments.city}"}), arguments={"city": "Bern"})
    end = await door.end_of(sent)
    assert isinstance(end, Succeeded)
    assert json.loads(json_of(end.result)["body"]) == {"city": "Bern"}
    [request] = upstream.requests
    assert request.headers["idempotency-key"] == sent.call_id


async def test_it_says_what_it_is_and_no_secret(worker, door, upstream):
    binding = post(f"{upstream.url}/echo", authentication=Authentication(type="bearer", secret="TOKEN"))
    end = await door.end_of(await door.call(binding))
    assert upstream.requests[0].headers["authorization"] == "Bearer s3cret-value"
    assert json_of(end.result)["headers"]["authorization"] == "Bearer [redacted:TOKEN]"
    line = json.loads(worker.wait_for_line(r".*worker started.*").group())
    assert (line["pool"], line["concurrency"], line["egress_allow_entries"]) == ("http", 256, 1)
    assert "s3cret" not in worker.output()


async def test_a_long_call_is_told_to_have_started_and_is_cancelled(worker, door, upstream):
    sent = await door.call(post(f"{upstream.url}/sleep/60"))

    async def started() -> bool:
        return any(isinstance(event, Started) for event in door.events)

    await async_wait_until(started, within=WITHIN, what="started")
    cancel = Cancel(v=VERSION, sender=door.name, time=0, call_id=sent.call_id, org=sent.org)
    await door.transport.publish(door.envelope.control(cancel, org=sent.org))
    end = await door.end_of(sent)
    assert isinstance(end, Cancelled)
    assert end.effect == "unknown"


async def test_a_message_of_a_stranger_is_quarantined(worker, system, door, upstream):
    await asyncio.to_thread(system.processes["scheduler"].terminate)  # which would take it from there
    stranger = Envelope(Keyring({"test": secrets.token_bytes(32)}))
    call = a_call(gateway=door.name)
    await door.transport.publish(stranger.call(a_message(call, a_tool(post(f"{upstream.url}/echo")))))

    async def kept() -> bool:
        return bool(await door.transport.backlog(topology.QUARANTINE))

    await async_wait_until(kept, within=WITHIN, what="a quarantined message")
    assert upstream.requests == []
    assert await door.transport.backlog(topology.pool_queue("http")) == 0


async def test_it_lets_calls_end_before_it_stops(worker, door, upstream):
    sent = await door.call(post(f"{upstream.url}/sleep/1"))
    await arrived(upstream, "/sleep/1")
    assert await asyncio.to_thread(worker.terminate) == 0
    assert isinstance(await door.end_of(sent), Succeeded)


async def test_a_second_signal_ends_it_at_once(worker, door, upstream):
    await door.call(post(f"{upstream.url}/sleep/60"))
    await arrived(upstream, "/sleep/60")
    worker.send(signal.SIGTERM)
    worker.wait_for_line(r"worker stops")
    worker.send(signal.SIGTERM)
    assert await asyncio.to_thread(worker.wait) == 1


@pytest.mark.proof
async def test_of_what_a_killed_worker_had_only_what_may_run_twice_runs_again(worker, system, door, upstream):
    once = await door.call(post(f"{upstream.url}/effects?after=60"))
    get = HttpBinding(method="GET", url=f"{upstream.url}/sleep/3")
    read = await door.call(get, rerunnable=True, now=unclaimed())
    await arrived(upstream, "/effects")
    await arrived(upstream, "/sleep/3")
    worker.kill()
    await asyncio.to_thread(start_worker, system)
    again = await door.end_of(read)
    assert isinstance(again, Succeeded)
    lost = await door.end_of(once)
    assert isinstance(lost, Failed)
    assert lost.error is not None
    assert (lost.error.code, lost.effect, lost.by) == ("outcome_unknown", "unknown", "scheduler")
    assert upstream.count(once.call_id) == 1


async def test_copies_of_what_must_not_run_twice_start_once_whichever_workers_get_them(worker, system, door, upstream):
    await asyncio.to_thread(start_worker, system, "worker2")
    sent = await door.call(post(f"{upstream.url}/effects"))
    copies = [door.again(sent, post(f"{upstream.url}/effects")) for _ in range(20)]
    await asyncio.gather(*copies)
    assert isinstance(await door.end_of(sent), Succeeded)
    await asyncio.gather(*(door.again(sent, post(f"{upstream.url}/effects")) for _ in range(20)))

    async def taken() -> bool:
        return not await door.transport.backlog(topology.pool_queue("http"))

    await async_wait_until(taken, within=WITHIN, what="an empty queue")
    last = await door.call(post(f"{upstream.url}/echo"))
    assert isinstance(await door.end_of(last), Succeeded)
    assert upstream.count(sent.call_id) == 1


async def test_without_a_scheduler_what_needs_no_claim_goes_on(worker, system, door, upstream):
    get = HttpBinding(method="GET", url=f"{upstream.url}/text")
    system.processes["scheduler"].kill()
    held = [await door.call(post(f"{upstream.url}/echo")) for _ in range(10)]
    free = [await door.call(get, rerunnable=True, now=unclaimed()) for _ in range(100)]
    for call in free:
        assert isinstance(await door.end_of(call), Succeeded)
    assert {event.call_id for event in door.events if isinstance(event, Ended)} == {call.call_id for call in free}
    system.start("scheduler", "scheduler")
    for call in held:
        assert isinstance(await door.end_of(call), Succeeded)


async def test_a_worker_that_no_scheduler_answers_takes_no_calls_and_says_so(worker, system, door, upstream):
    await nothing_left(system, door)
    worker.kill()
    system.processes["scheduler"].kill()
    system.start("worker", "worker", "http").wait_for_http(f"{system.url('worker')}/livez", status=200, within=WITHIN)
    sent = await door.call(HttpBinding(method="GET", url=f"{upstream.url}/text"), rerunnable=True)

    async def told() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{system.url('worker')}/readyz")
        return answer.status_code == 503 and "no scheduler has said yet what is paused" in answer.text

    await async_wait_until(told, within=WITHIN, what="the reason")
    assert await door.transport.backlog(topology.pool_queue("http")) == 1
    system.start("scheduler", "scheduler")
    assert isinstance(await door.end_of(sent), Succeeded)


async def test_a_paused_pool_takes_no_calls_until_it_goes_on(worker, system, door, upstream):
    await nothing_left(system, door)
    common = {"v": VERSION, "sender": door.name, "time": time.time(), "kind": "pool", "org": "-", "name": "http"}
    await door.transport.publish(door.envelope.control(Pause(**common), pool="http"))
    try:
        worker.wait_for_line(r".*the pool is paused.*", within=WITHIN)
        sent = await door.call(HttpBinding(method="GET", url=f"{upstream.url}/text"), rerunnable=True)

        async def waits() -> bool:
            return bool(await door.transport.backlog(topology.pool_queue("http")) == 1)

        await async_wait_until(waits, within=WITHIN, what="a call that waits")
        await asyncio.to_thread(start_worker, system, "worker2")  # it knows of the pause, and is ready
        assert await waits()
    finally:
        await door.transport.publish(door.envelope.control(Resume(**common), pool="http"))
    assert isinstance(await door.end_of(sent), Succeeded)


@pytest.mark.parametrize("seconds", [300, -300], ids=["ahead", "behind"])
async def test_a_worker_whose_clock_is_wrong_goes_by_the_schedulers(system, door, upstream, seconds: int):
    get, post_once = HttpBinding(method="GET", url=f"{upstream.url}/text"), post(f"{upstream.url}/echo")
    if "worker" in system.processes:
        system.processes["worker"].kill()
    before = await door.call(get, rerunnable=True)  # it also tells the scheduler that its clock is right
    wrong = await asyncio.to_thread(start_worker, system, "wrong", shifted(seconds))
    told = json.loads(wrong.wait_for_line(r".*this machine's clock is wrong.*").group())
    assert told["way"] == ("ahead" if seconds > 0 else "behind")
    assert told["seconds"] == pytest.approx(abs(seconds), abs=SLOW)
    unclaimed_call = await door.call(get, rerunnable=True, now=unclaimed(), timeout=10.0, deadline=unclaimed() + 60.0)
    for call in (before, await door.call(post_once), unclaimed_call):
        end = await door.end_of(call)
        assert isinstance(end, Succeeded)
        assert end.started_at == pytest.approx(time.time(), abs=SLOW)
    async with httpx.AsyncClient(trust_env=False) as client:
        metrics = await client.get(f"{system.url('wrong')}/metrics")
    offset = re.search(r"^toolyard_worker_clock_offset_seconds (\S+)$", metrics.text, re.MULTILINE)
    assert offset is not None
    assert float(offset.group(1)) == pytest.approx(-seconds, abs=SLOW)
