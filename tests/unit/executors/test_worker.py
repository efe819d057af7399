"""The worker around the runtime: what it hears, when it is ready, and how it ends."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.support.numbers import text
from tests.unit.executors.fakes import ENVELOPE, settled
from tests.unit.executors.house import until
from tests.unit.executors.making import a_call
from tests.unit.executors.worker_house import QUEUE, House

from toolyard.contracts.calls import VERSION, Result
from toolyard.contracts.control import Cancel, Control, LedgerPosition, Pause, Paused, Resume
from toolyard.contracts.events import Cancelled, Ended, Started, Succeeded, Withdrawn, about
from toolyard.security.signing import Keyring
from toolyard.telemetry import catalogue
from toolyard.telemetry.metrics import Reading
from toolyard.transport import topology
from toolyard.transport.base import Health, Message
from toolyard.transport.envelope import Envelope
from toolyard_executors import attendance, claims
from toolyard_executors import worker as worker_module
from toolyard_executors.cancellation import Cancellations
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished, Standing


def a_pause(kind, name: str, *, org: str = "-", over: bool = False) -> Control:
    return (Resume if over else Pause)(v=VERSION, sender="g", time=time.time(), kind=kind, org=org, name=name)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    await house.start()
    yield house
    if not house.executor.closed:
        await house.worker.stop(drain=0)


def running(house: House) -> "tuple[asyncio.Event, asyncio.Event]":
    """Lets attempts wait: set when one has begun; set it to let them end."""
    began, go_on = asyncio.Event(), asyncio.Event()

    async def act(attempt: Attempt) -> Finished:
        began.set()
        await go_on.wait()
        return Finished("done", Result(content="fine"))

    house.executor.act = act
    return began, go_on


async def test_it_hears_of_cancels_before_it_takes_calls(house):
    assert house.executor.opened
    assert house.transport.order == [f"declare {QUEUE}", f"consume {QUEUE}", "work http 8"]
    assert dict.fromkeys(house.transport.queues[QUEUE]) == dict.fromkeys(topology.worker_bindings("http", "w1"))


async def test_a_call_is_run_with_the_secrets_of_its_org(house):
    seen = []

    async def act(attempt: Attempt) -> Finished:
        seen.append(attempt.secret("A"))
        return Finished("done", Result(content="fine"))

    house.executor.act = act
    delivery, task = house.start_call()
    await task
    assert (settled(delivery), seen) == (["ack"], ["value of a"])


async def test_what_was_cancelled_does_not_start(house):
    heard = house.control(Cancel(v=VERSION, sender="g", time=0, call_id="c1", org="default"))
    _, task = house.start_call(call_id="c1")
    await task
    assert isinstance(house.transport.end(), Cancelled)
    assert (settled(heard), house.executor.attempts) == (["ack"], [])


async def test_what_runs_is_cancelled(house):
    began, _ = running(house)
    _, task = house.start_call(call_id="c1")
    await began.wait()
    house.control(Cancel(v=VERSION, sender="g", time=0, call_id="c1", org="default"))
    await task
    assert isinstance(house.transport.end(), Cancelled)


async def test_what_was_withdrawn_does_not_start(house):
    call = a_call(call_id="c1")
    heard = house.hear(ENVELOPE.event(Withdrawn(**about(call), attempt=0, sequence=1, time=0)))
    _, task = house.start_call(call_id="c1")
    await task
    end = house.transport.end()
    assert isinstance(end, Cancelled)
    assert (end.effect, settled(heard)) == ("none", ["ack"])


async def test_what_runs_is_not_withdrawn(house):
    began, go_on = running(house)
    call = a_call(call_id="c1")
    _, task = house.start_call(call_id="c1")
    await began.wait()
    house.hear(ENVELOPE.event(Withdrawn(**about(call), attempt=0, sequence=1, time=0)))
    go_on.set()
    await task
    assert isinstance(house.transport.end(), Succeeded)


async def test_what_it_hears_and_does_not_need_is_acked(house):
    position = house.control(LedgerPosition(v=VERSION, sender="s", time=0, offset=1, record_time=0))
    event = house.hear(ENVELOPE.event(Started(**about(a_call()), attempt=1, sequence=1, time=0, worker="w2")))
    assert (settled(position), settled(event)) == (["ack"], ["ack"])


@pytest.mark.parametrize("exchange", [topology.CONTROL, topology.EVENTS])
async def test_what_does_not_verify_is_not_acted_on(house, exchange):
    heard = house.hear(Message(exchange, "control.cancel.-.-.-.-", b"{}", "m1"))
    assert settled(heard) == ["ack"]


async def test_it_is_ready_as_long_as_it_consumes(house):
    assert house.worker.ready().ok
    house.transport.state = Health(connected=True, blocked=True)
    assert house.worker.ready().reason == "the broker blocks publishing"
    house.transport.state = Health(connected=False)
    assert house.worker.ready().reason == "no connection to the broker"
    house.transport.state = Health(connected=True, missing=("toolyard.call.http",))
    assert house.worker.ready().reason == "missing at the broker: toolyard.call.http"
    house.transport.state = Health(connected=True)
    await house.transport.subscriptions[1].pause()
    assert house.worker.ready().reason == "the pool http is not consumed"


async def test_a_kind_says_why_it_is_not_ready_and_what_is_worth_showing(house):
    house.executor.stands = Standing("no fork server", {"isolation": "full"}, (Reading(catalogue.SANDBOX_RUNS, (), 3),))
    assert house.worker.ready().reason == "no fork server"
    house.executor.stands = Standing("", {"isolation": "full"}, (Reading(catalogue.SANDBOX_RUNS, (), 3),))
    assert house.worker.ready().ok
    assert house.worker.ready().details["isolation"] == "full"
    assert "\ntoolyard_sandbox_runs_total 3\n" in text(house.worker.board)


async def test_its_kinds_are_opened_once_and_closed_once():
    house = House()
    await house.worker.open()
    assert (house.executor.opened, house.transport.order) == (1, [])
    await house.start()
    assert house.executor.opened == 1
    await house.worker.stop(drain=0)
    await house.worker.close()
    assert house.executor.closed == 1


async def test_it_is_not_ready_before_it_has_started():
    assert not House().worker.ready().ok


async def test_it_takes_no_calls_before_it_knows_what_is_paused_and_asks_until_it_does(monkeypatch):
    monkeypatch.setattr(attendance, "_LOOK", 0.0)
    house = House()
    house.transport.ledger.paused = None
    await house.worker.start()
    work = house.transport.subscriptions[1]
    await until(lambda: len(house.transport.controls) >= 3)
    assert (work.active, house.worker.ready().reason) == (False, "no scheduler has said yet what is paused")
    house.transport.ledger.paused = ()
    await work.resumed.wait()
    assert house.worker.ready().ok
    asked = len(house.transport.controls)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(house.transport.controls) == asked
    await house.worker.stop()


async def test_a_pool_that_is_paused_already_is_not_taken_up(house):
    later = House()
    later.transport.ledger.paused = (Paused(kind="pool", org="-", name="http"),)
    await later.worker.start()
    await until(lambda: later.worker.ready().ok)
    assert later.worker.ready().details["paused"] == ["http"]
    assert not later.transport.subscriptions[1].active
    later.control(a_pause("pool", "http", over=True))
    await later.transport.subscriptions[1].resumed.wait()
    await later.worker.stop()


async def test_a_pool_is_paused_and_goes_on(house):
    work = house.transport.subscriptions[1]
    work.resumed.clear()
    house.control(a_pause("pool", "other"))
    house.control(a_pause("pool", "http"))
    await work.paused.wait()
    assert (house.worker.ready().ok, house.worker.ready().details["paused"]) == (True, ["http"])
    house.control(a_pause("pool", "http", over=True))
    await work.resumed.wait()
    assert "paused" not in house.worker.ready().details


async def test_a_conversation_is_cancelled_up_to_that_moment(house):
    began, _ = running(house)
    _, task = house.start_call(call_id="c1", conversation="talk", rerunnable=True)
    await began.wait()
    house.control(Cancel(v=VERSION, sender="g", time=time.time() + 1, org="default", conversation="talk"))
    await task
    _, waiting = house.start_call(call_id="c2", conversation="talk")
    await waiting
    ends = [event for event in house.transport.events() if isinstance(event, Ended)]
    assert [(type(end), end.call_id) for end in ends] == [(Cancelled, "c1"), (Cancelled, "c2")]


async def test_grants_that_are_held_are_named_in_heartbeats_and_no_longer_after_their_end(house, monkeypatch):
    began, go_on = running(house)
    _, task = house.start_call()
    await began.wait()
    [claim] = house.transport.ledger.claims
    [runtime] = [pool.runtime for pool in house.worker._pools]
    runtime.claims.beat()
    go_on.set()
    await task
    runtime.claims.beat()
    assert house.transport.heartbeats[-2:] == [(claim.claim_id,), ()]


async def test_it_is_not_ready_while_claims_fill_its_window(house, monkeypatch):
    monkeypatch.setattr(worker_module, "_FULL_FOR", 0.0)
    monkeypatch.setattr(claims, "FIRST_PAUSE", 0.001)
    house.transport.ledger.answer = lambda claim: None
    _, task = house.start_call()
    await until(lambda: not house.worker.ready().ok)
    assert house.worker.ready().reason == "the window of http is full: 1 claims wait for a scheduler's answer"
    assert "toolyard_worker_waiting 1" in text(house.worker.board)
    await house.worker.stop()
    await task
    assert [released.claim_id for released in house.transport.ledger.released] == [
        house.transport.ledger.claims[0].claim_id
    ]


async def test_a_stop_lets_what_runs_end(house):
    began, go_on = running(house)
    delivery, task = house.start_call()
    await began.wait()
    assert house.worker.running == 1
    stopping = asyncio.create_task(house.worker.stop(drain=30))
    await asyncio.sleep(0)
    assert not house.worker.ready().ok
    go_on.set()
    await stopping
    await task
    assert settled(delivery) == ["ack"]
    assert house.executor.closed
    assert all(subscription.closed for subscription in house.transport.subscriptions)


async def test_a_stop_leaves_the_rest_to_the_broker(house):
    began, _ = running(house)
    delivery, task = house.start_call()
    await began.wait()
    await house.worker.stop(drain=0.01)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (settled(delivery), house.transport.published) == ([], [])


def test_the_oldest_cancel_is_forgotten_first():
    cancellations = Cancellations(limit=3)
    for number in itertools.chain(range(3), [0], [3]):
        cancellations.note("default", f"c{number}", "cancelled")
    known = [number for number in range(4) if cancellations.why(a_call(call_id=f"c{number}"))]
    assert known == [0, 2, 3]


def test_a_conversation_is_stopped_up_to_the_latest_cancel_and_the_oldest_is_forgotten_first():
    cancellations = Cancellations(limit=2)
    for conversation, at in [("a", 10.0), ("b", 10.0), ("b", 20.0), ("b", 5.0), ("c", 10.0)]:
        cancellations.note_conversation("default", conversation, at)

    def why(conversation, accepted_at, org="default"):
        return cancellations.why(a_call(now=accepted_at, conversation=conversation, org=org))

    assert [why("a", 1.0), why("b", 19.9), why("b", 20.0), why("b", 1.0, "other")] == [None, "cancelled", None, None]


# ---- what is not believed -----------------------------------------------------------------------


async def test_a_pause_that_is_played_again_pauses_nothing_and_is_put_away(house):
    work = house.transport.subscriptions[1]
    work.resumed.clear()
    paused, resumed = a_pause("pool", "http"), a_pause("pool", "http", over=True)
    message = ENVELOPE.control(paused)
    house.hear(message)
    await until(lambda: not work.active)
    house.control(resumed)
    await work.resumed.wait()
    assert settled(house.hear(message)) == ["ack"]
    await until(lambda: put_away(house))
    assert work.active
    assert "came before" in put_away(house)[0]


async def test_a_pause_of_long_ago_is_put_away(house):
    house.control(msgspec.structs.replace(a_pause("pool", "http"), time=time.time() - 3_600))
    await until(lambda: put_away(house))
    assert house.worker.ready().details.get("paused") is None


async def test_a_forged_cancel_is_put_away(house):
    forger = Envelope(Keyring({"k": b"f" * 32}))
    house.hear(forger.control(Cancel(v=VERSION, sender="g", time=0, call_id="c1", org="default")))
    await until(lambda: put_away(house))
    assert put_away(house) == ["the signature is not of this message"]


def put_away(house: House) -> list[str]:
    """Why messages were put away."""
    keyed = (message for message in house.transport.published if message.key.startswith("quarantine."))
    return [str(message.headers["toolyard-reason"]) for message in keyed]
