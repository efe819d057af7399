"""Claims, retries, parking, cancels and silence in a running scheduler, told by hand-made workers."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from tests.support.house import House, a_story, until
from tests.support.ledger import ENVELOPE, NOW, Story, pause, resume
from tests.support.set_forward import SetForward

from toolyard.contracts.calls import VERSION, CallMessage, error_info
from toolyard.contracts.control import ClaimRefused, Granted, Heartbeat
from toolyard.contracts.events import Cancelled, Claimed, Ended, Ending, Failed, Parked
from toolyard.contracts.tools import RetryPolicy
from toolyard.testing.store_suite import a_spec
from toolyard.transport import topology
from toolyard.transport.base import Delivery
from toolyard_scheduler.app import Options
from toolyard_scheduler.duties import lost_calls

BROKE = error_info("upstream_error", "500", retryable=True)
SHORT = Options(takeover=0.2, watch=0.02, grace=0.2, pace=0.0, lease=0.6)


class Worker:
    """Takes calls and asks for them by hand."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.calls: list[CallMessage] = []
        self.told: list[Granted | ClaimRefused] = []

    async def begin(self) -> "Worker":
        transport = self._house.transport
        await transport.own_queue("toolyard.worker.http.w1", topology.worker_bindings("http", "w1"))
        await transport.consume("toolyard.worker.http.w1", self._hear, prefetch=10)
        await transport.consume(topology.pool_queue("http"), self._take, prefetch=5_000)
        return self

    def _hear(self, delivery: Delivery) -> None:
        message = ENVELOPE.open_control(delivery)
        if isinstance(message, Granted | ClaimRefused):
            self.told.append(message)
        delivery.ack()

    def _take(self, delivery: Delivery) -> None:
        self.calls.append(ENVELOPE.open_call(delivery))
        delivery.ack()

    async def answer(self, number: int = 1) -> Granted | ClaimRefused:
        await until(lambda: len(self.told) >= number, f"answer {number}")
        return self.told[number - 1]

    async def call(self, number: int = 1) -> CallMessage:
        await until(lambda: len(self.calls) >= number, f"message {number}")
        return self.calls[number - 1]


def a_claim(story: Story, claim_id: str = "w1:1", attempt: int = 1, **fields: Any) -> Any:
    return story.claim(claim_id, attempt, time=time.time(), **fields)


def broke(story: Story, attempt: int = 1, **fields: Any) -> Ended:
    now = time.time()
    given: dict[str, Any] = {"effect": "none", "final": False, "error": BROKE, "started_at": now, "finished_at": now}
    return story.ended("failed", attempt, **(given | fields))


# ---- claims -------------------------------------------------------------------------------------------
async def test_a_claim_is_answered_on_its_workers_queue_and_its_outcome_is_the_end(house: House):
    await house.leader()
    worker, story = await Worker(house).begin(), a_story()
    await house.say(story.accepted(), a_claim(story))
    granted = await worker.answer()
    await house.say(story.ended(claim_id=granted.claim_id, fence=1))

    assert isinstance(granted, Granted)
    assert (await house.ended()).state == "succeeded"
    assert house.store.open_calls.held() == []


async def test_the_gateway_is_told_before_a_rerunnable_call_is_granted(house: House):
    await house.leader()
    worker, story = await Worker(house).begin(), a_story()
    await house.say(story.accepted(), a_claim(story, rerunnable=True))

    assert isinstance(await worker.answer(), Granted)
    assert [type(event) for event in house.said()] == [Claimed]


# ---- what is due --------------------------------------------------------------------------------------
async def test_a_failed_attempt_is_followed_by_one_that_needs_a_claim(house: House):
    house.store.tools.create("default", a_spec())
    await house.leader()
    worker, story = await Worker(house).begin(), a_story(retry=RetryPolicy(max_attempts=2, backoff=0.1))
    await house.say(story.accepted(), a_claim(story))
    await worker.answer()
    await house.say(broke(story, claim_id="w1:1", fence=1))

    second = await worker.call(2)
    assert (second.attempt, second.claim, second.call) == (2, "required", story.call)
    await house.say(a_claim(story, "w1:2", attempt=2))
    assert isinstance(await worker.answer(2), Granted)
    await house.say(broke(story, 2, claim_id="w1:2", fence=2))
    row = await house.ended()

    assert (row.state, row.effect, row.attempts, row.error) == ("failed", "none", 2, BROKE)
    assert [each.reason for each in house.said() if isinstance(each, Parked)] == ["retry"]


async def test_a_parked_call_shows_its_state_and_survives_its_scheduler(house: House):
    house.store.tools.create("default", a_spec())
    clock, now = SetForward(), time.time()
    first = await house.leader(clock=clock)
    story = Story(accepted_at=now, deadline=now + 1_200.0, not_before=now + 600.0)
    await house.say(story.accepted())
    await until(house.row, "the call")
    row = house.row()
    assert row is not None
    assert row.state == "scheduled"
    await first.stop()
    worker = await Worker(house).begin()

    await house.leader(clock=clock)
    assert worker.calls == []
    clock.by = 600.0
    message = await worker.call()

    assert message.claim == "required"
    await until(lambda: (row := house.row()) is not None and row.state == "queued", "the call to be queued")


@pytest.mark.proof
async def test_a_thousand_calls_that_are_due_at_once_leave_together(house: House):
    house.store.tools.create("default", a_spec())
    clock = SetForward()
    scheduler = await house.leader(clock=clock)
    worker, now = await Worker(house).begin(), time.time()
    times = {"accepted_at": now, "not_before": now + 600.0, "deadline": now + 1_200.0}
    await house.say(*(Story(f"c{n}", **times).accepted() for n in range(1_000)))
    await scheduler.reached(house.journal.last() or 0)
    assert worker.calls == []
    clock.by = 600.0
    await until(lambda: len(worker.calls) == 1_000, "all of them")

    assert len({message.call.call_id for message in worker.calls}) == 1_000


async def test_a_call_whose_tool_is_gone_ends(house: House):
    await house.leader()
    now = time.time()
    await house.say(Story(accepted_at=now, deadline=now + 60.0, not_before=now).accepted())

    row = await house.ended()
    assert (row.state, row.effect) == ("failed", "none")
    assert row.error is not None
    assert row.error.code == "internal"


# ---- pauses -------------------------------------------------------------------------------------------
async def test_a_paused_call_waits_and_is_dispatched_when_it_is_resumed(house: House):
    house.store.tools.create("default", a_spec())
    await house.leader()
    worker, story = await Worker(house).begin(), a_story()
    await house.say(pause(), story.accepted(), a_claim(story))
    refused = await worker.answer()
    assert isinstance(refused, ClaimRefused)
    assert refused.reason == "paused"
    row = house.row()
    assert row is not None
    assert row.state == "scheduled"

    await house.say(resume())
    await worker.call(2)
    await house.say(a_claim(story, "w1:2"))
    assert isinstance(await worker.answer(2), Granted)


# ---- cancel -------------------------------------------------------------------------------------------
async def test_a_call_that_nobody_started_is_cancelled_at_once(house: House):
    await house.leader()
    story = a_story()
    await house.say(story.accepted(), story.cancel())
    row = await house.ended()

    assert (row.state, row.effect) == ("cancelled", "none")
    assert [type(event) for event in house.said()] == [Cancelled]


async def test_a_cancel_that_the_worker_does_not_answer_ends_with_an_unknown_effect(house: House):
    await house.leader()
    worker, story = await Worker(house).begin(), a_story()
    await house.say(story.accepted(), a_claim(story))
    await worker.answer()
    await house.say(story.cancel(at=time.time() - NOW))
    row = await house.ended()

    assert (row.state, row.effect) == ("cancelled", "unknown")
    assert [type(event) for event in house.said()] == [Ending, Cancelled]


# ---- silence ------------------------------------------------------------------------------------------
async def test_a_worker_that_falls_silent_leaves_an_unknown_outcome(house: House):
    await house.leader(SHORT)
    worker, story = await Worker(house).begin(), a_story()
    await house.say(story.accepted(), a_claim(story))
    await worker.answer()
    row = await house.ended()

    assert (row.state, row.effect) == ("failed", "unknown")
    assert row.error is not None
    assert row.error.code == "outcome_unknown"


async def test_heartbeats_keep_a_claim_and_those_of_others_do_not(house: House):
    await house.leader(replace(SHORT, lease=3.0))
    worker, story, other = await Worker(house).begin(), a_story(), a_story("c2")
    await house.say(story.accepted(), other.accepted(), a_claim(story), a_claim(other, "w2:1"))
    await worker.answer(2)
    beat = Heartbeat(v=VERSION, worker="w1", pool="http", time=time.time(), claims=("w1:1",))
    stop = asyncio.Event()

    async def beating() -> None:
        while not stop.is_set():
            await house.transport.publish(ENVELOPE.heartbeat(beat))
            await asyncio.sleep(0.1)

    task = asyncio.create_task(beating())
    row = await house.ended("c2")
    stop.set()
    await task

    assert row.state == "failed"
    mine = house.row()
    assert mine is not None
    assert mine.state == "running"


async def test_while_the_scheduler_itself_stands_still_no_lease_runs_out(house: House):
    clock = SetForward()
    await house.leader(replace(SHORT, lease=30.0), clock)
    worker, story, late = await Worker(house).begin(), a_story(deadline=1_200.0), a_story("c2", deadline=1_200.0)
    claims = a_claim(story, attempt_timeout=600.0), a_claim(late, "w1:2", attempt_timeout=1.0)
    await house.say(story.accepted(), late.accepted(), *claims)
    await worker.answer(2)
    clock.by = 100.0

    assert (await house.ended("c2")).state == "failed"  # the same sweep looked at both
    assert [event.call_id for event in house.said() if isinstance(event, Ending)] == ["c2"]
    row = house.row()
    assert row is not None
    assert row.state == "running"


async def test_a_new_leader_gives_everybody_a_fresh_lease(house: House):
    first = await house.leader(SHORT)
    worker, story = await Worker(house).begin(), a_story()
    await house.say(story.accepted(), a_claim(story))
    await worker.answer()
    await first.stop()

    await house.leader(SHORT)
    row = await house.ended()

    assert row.error is not None
    assert row.error.code == "outcome_unknown"


async def test_a_rerunnable_call_runs_again_alone_after_its_worker_fell_silent(house: House):
    house.store.tools.create("default", a_spec())
    await house.leader(SHORT)
    worker, story = await Worker(house).begin(), a_story(rerunnable=True)
    await house.say(story.accepted(), a_claim(story, again=True))
    await worker.answer()
    second = await worker.call(2)

    assert (second.attempt, second.alone, second.claim) == (2, True, "required")
    await house.say(a_claim(story, "w1:2", attempt=2), story.ended(attempt=2, claim_id="w1:2", fence=2))
    granted = await worker.answer(2)
    assert isinstance(granted, Granted)
    assert granted.alone
    assert (await house.ended()).state == "succeeded"


# ---- lost messages ------------------------------------------------------------------------------------
async def test_a_call_whose_message_is_gone_is_dispatched_again(house: House, monkeypatch: Any):
    monkeypatch.setattr(lost_calls, "ON_ITS_WAY", 0.5)
    house.store.tools.create("default", a_spec())
    taken: list[Delivery] = []
    subscription = await house.transport.consume(topology.pool_queue("http"), taken.append, prefetch=5)
    story = a_story()
    await house.say(story.accepted())
    await until(lambda: taken, "the message")
    taken[0].ack()  # as a queue that is deleted forgets what was in it
    await subscription.close()

    worker = await Worker(house).begin()
    await house.leader()
    message = await worker.call()

    assert (message.call.call_id, message.attempt, message.claim) == ("c1", 1, "required")


async def test_a_call_that_was_put_off_and_has_just_been_dispatched_is_not_lost(house: House, monkeypatch: Any):
    monkeypatch.setattr(lost_calls, "GLANCE", 0.01)
    monkeypatch.setattr(lost_calls, "INTERVAL", 0.0)
    house.store.tools.create("default", a_spec())
    looks, backlog = 0, house.transport.backlog

    async def counted(queue: str) -> int:
        nonlocal looks
        looks += 1
        return await backlog(queue)

    monkeypatch.setattr(house.transport, "backlog", counted)
    clock = SetForward()
    await house.leader(clock=clock)
    worker, now = await Worker(house).begin(), time.time()
    await house.say(Story(accepted_at=now, not_before=now + 600.0, deadline=now + 1_200.0).accepted())
    clock.by = 600.0
    await worker.call()  # says nothing of it yet, and the queue is empty
    await until(lambda: (row := house.row()) is not None and row.state == "queued", "the call to be queued")
    before = looks
    await until(lambda: looks > before + 10, "two looks at all pools")

    assert len(worker.calls) == 1


async def test_what_was_decided_is_told_by_the_next_scheduler(house: House):
    first = await house.leader()
    story = a_story()
    await house.say(story.accepted())
    await until(house.row, "the call")
    await first.stop()
    await house.say(story.cancel())

    await house.leader()
    row = await house.ended()

    assert row.state == "cancelled"
    assert len([each for each in house.said() if isinstance(each, Ended)]) == 1
    assert not [each for each in house.said() if isinstance(each, Failed)]
