"""What may not start without the ledger's leave: how that is asked for, used, given back, and waited for."""

import asyncio
from typing import Any

import pytest
from tests.support.numbers import text
from tests.unit.executors.fakes import disconnect, granted, refused, settled
from tests.unit.executors.house import House, turns, until
from tests.unit.executors.making import a_call

from toolyard.contracts.events import Cancelled, Succeeded
from toolyard.errors import Unavailable
from toolyard_executors import claims as claims_module
from toolyard_executors.judgement import MARGIN, START_WITHIN


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims are repeated every millisecond."""
    monkeypatch.setattr(claims_module, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(claims_module, "LONGEST_PAUSE", 0.001)


async def started(event: asyncio.Event) -> None:
    async with asyncio.timeout(60):
        await event.wait()


# ---- who needs one ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rerunnable", "message", "count", "age", "claims", "again"),
    [
        (True, {}, 0, 0, 0, False),
        (False, {}, 0, 0, 1, False),
        (True, {}, 1, 0, 1, False),
        (False, {}, 1, 0, 1, False),
        (True, {}, 2, 0, 1, True),
        (False, {}, 2, 0, 1, True),
        (True, {"claim": "required"}, 0, 0, 1, False),
        (True, {"claim": "required", "attempt": 2}, 0, 0, 1, False),
        (True, {}, 0, 60 - MARGIN + 0.1, 1, False),
        (True, {}, 0, 60 - MARGIN, 0, False),
    ],
)
async def test_who_needs_a_claim(rerunnable, message, count, age, claims, again):
    house = House()
    call = a_call(now=house.clock.time - age, rerunnable=rerunnable)
    await house.runtime.run(house.delivery(call, count=count, **message))
    assert [claim.again for claim in house.ledger.claims] == [again] * claims
    assert [claim.first for claim in house.ledger.claims] == [count == 0 and "claim" not in message] * claims
    assert isinstance(house.transport.end(), Succeeded)


async def test_while_nobody_knows_what_was_cancelled_all_need_one():
    house = House()
    house.pauses.doubt(at=house.clock.monotonic())
    await house.runtime.run(house.read())
    assert [claim.again for claim in house.ledger.claims] == [False]


async def test_a_claim_tells_the_ledger_what_it_needs_of_the_call():
    house = House()
    call = a_call(now=house.clock.time, queue_timeout=5.0, timeout=7.0)
    await house.runtime.run(house.delivery(call, attempt=2))
    [claim] = house.ledger.claims
    assert (claim.call_id, claim.attempt, claim.body_hash, claim.reply) == (call.call_id, 2, "h", "w1")
    assert (claim.attempt_timeout, claim.queue_timeout, claim.deadline) == (7.0, 5.0, call.deadline)
    assert house.transport.controls[0].key == "control.claim.http.default.-.-"


# ---- the answers --------------------------------------------------------------------------------


async def test_what_is_granted_is_run_and_its_outcome_carries_the_grant():
    house = House()
    delivery = house.delivery(attempt=3)
    await house.runtime.run(delivery)
    [claim] = house.ledger.claims
    end = house.transport.end()
    assert (end.claim_id, end.fence, end.attempt, settled(delivery)) == (claim.claim_id, 7, 3, ["ack"])
    assert house.ledger.released == []


async def test_what_needs_no_claim_carries_none():
    house = House()
    await house.runtime.run(house.read())
    end = house.transport.end()
    assert (end.claim_id, end.fence) == (None, None)


@pytest.mark.parametrize("reason", ["started", "terminal", "paused"])
async def test_what_is_refused_is_acked_and_dropped_in_silence(reason):
    house = House()
    house.ledger.answer = lambda claim: refused(claim, reason)
    delivery = house.delivery()
    await house.runtime.run(delivery)
    assert (settled(delivery), house.transport.published, house.executor.attempts) == (["ack"], [], [])
    assert (house.ledger.released, f'answer="{reason}"' in metrics(house)) == ([], True)


def metrics(house: House) -> str:
    return text(house.runtime._metrics.board)


async def test_each_delivery_asks_under_a_claim_of_its_own():
    house = House()
    for _ in range(2):
        await house.runtime.run(house.delivery())
    assert len({claim.claim_id for claim in house.ledger.claims}) == 2


async def test_a_second_answer_starts_nothing():
    house = House()
    house.executor.act = house.slowly
    running = house.begin(house.delivery())
    await started(house.began)
    [claim] = house.ledger.claims
    house.claims.answered(granted(claim))
    house.claims.answered(refused(claim))
    house.claims.answered(granted(claim))
    await turns()
    house.go_on.set()
    await running
    house.claims.answered(granted(claim))
    assert (len(house.executor.attempts), house.ledger.released) == (1, [])


# ---- waiting for an answer ----------------------------------------------------------------------


async def test_a_claim_is_repeated_as_it_was_until_it_is_answered(fast):
    house = House()
    house.ledger.answer = lambda claim: granted(claim) if len(house.ledger.claims) >= 4 else None
    house.transport.control_failures = [Unavailable("away")]
    delivery = house.delivery()
    await house.runtime.run(delivery)
    assert len({claim.claim_id for claim in house.ledger.claims}) == 1
    assert (len(house.ledger.claims), len(house.executor.attempts), settled(delivery)) == (4, 1, ["ack"])


async def test_the_pauses_between_repeats_double_up_to_a_longest(monkeypatch):
    house, waits = House(), []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def at_once(delay, call, *args):
        waits.append(delay)
        return call_later(0, call, *args)

    monkeypatch.setattr(loop, "call_later", at_once)
    house.ledger.answer = lambda claim: granted(claim) if len(house.ledger.claims) >= 6 else None
    await house.runtime.run(house.delivery())
    assert waits[:6] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


async def test_who_waits_for_an_answer_leaves_its_slot_to_others(fast):
    house = House(concurrency=1)
    house.ledger.answer = lambda claim: None
    waiting = house.begin(house.delivery())
    await until(lambda: house.claims.waiting)
    await house.runtime.run(house.read())
    assert isinstance(house.transport.end(), Succeeded)
    house.ledger.answer = granted
    await waiting
    assert len(house.executor.attempts) == 2


async def test_until_it_must_be_repeated_it_keeps_its_slot():
    house = House(concurrency=1)
    house.ledger.answer = lambda claim: None
    waiting = house.begin(house.delivery())
    await started(house.ledger.asked)
    other = house.begin(house.read())
    await turns()
    assert (house.executor.attempts, house.claims.waiting) == ([], 0)
    house.claims.answered(granted(house.ledger.claims[0]))
    await asyncio.gather(waiting, other)
    assert len(house.executor.attempts) == 2


async def test_what_is_not_answered_until_its_deadline_goes_back(fast):
    house = House()
    house.ledger.answer = lambda claim: None
    delivery = house.delivery()
    waiting = house.begin(delivery)
    await until(lambda: house.claims.waiting)
    assert house.claims.waited == 0
    house.clock.time += 301
    await waiting
    [claim] = {claim.claim_id for claim in house.ledger.claims}
    assert [released.claim_id for released in house.ledger.released] == [claim]
    assert (settled(delivery), house.executor.attempts, house.transport.published) == (["release"], [], [])


async def test_what_is_overdue_when_it_comes_is_the_ledgers_to_end(fast):
    house = House()
    house.ledger.answer = lambda claim: None
    delivery = house.delivery(budget=0.0)
    waiting = house.begin(delivery)
    await until(lambda: len(house.ledger.claims) > 3)
    house.ledger.answer = lambda claim: refused(claim, "terminal")
    await waiting
    assert (settled(delivery), house.transport.published) == (["ack"], [])


# ---- granted, and not started -------------------------------------------------------------------


async def answered_after(house: House, delivery: Any, change: Any) -> None:
    """The answer comes after the world has changed."""
    house.ledger.answer = lambda claim: None
    waiting = house.begin(delivery)
    await started(house.ledger.asked)
    change()
    house.claims.answered(granted(house.ledger.claims[0]))
    await waiting


def given_back(house: House) -> bool:
    [claim] = house.ledger.claims
    return [released.claim_id for released in house.ledger.released] == [claim.claim_id]


async def test_a_grant_is_given_back_if_the_connection_is_gone():
    house = House()
    delivery = house.delivery()
    await answered_after(house, delivery, lambda: disconnect(delivery))
    assert (given_back(house), house.executor.attempts, house.transport.published) == (True, [], [])


@pytest.mark.parametrize("seconds", [2 * claims_module.HEARTBEAT + 1, 301])
async def test_a_grant_is_given_back_if_too_much_time_has_passed(seconds):
    house = House()
    delivery = house.delivery()

    def stop() -> None:
        house.clock.time += seconds

    await answered_after(house, delivery, stop)
    assert (given_back(house), settled(delivery), house.executor.attempts) == (True, ["release"], [])


async def test_a_process_that_stood_still_takes_no_grant_that_it_asked_for_before():
    house = House()
    delivery = house.delivery()

    def stop() -> None:
        house.clock.time += 2 * claims_module.HEARTBEAT + 1
        house.claims.beat()

    await answered_after(house, delivery, stop)
    assert (given_back(house), settled(delivery), house.executor.attempts) == (True, ["release"], [])


async def test_who_repeats_its_claim_waits_as_long_as_it_takes(fast):
    house = House()

    house.ledger.answer = lambda claim: None
    waiting = house.begin(house.delivery())
    await started(house.ledger.asked)
    for _ in range(5):
        await a_heartbeat_later(house)
    house.claims.answered(granted(house.ledger.claims[0]))
    await waiting
    assert isinstance(house.transport.end(), Succeeded)


async def a_heartbeat_later(house: House) -> None:
    """Time passes, and meanwhile the claim is published again."""
    house.clock.time += claims_module.HEARTBEAT
    house.claims.beat()
    asked = len(house.ledger.claims)
    await until(lambda: len(house.ledger.claims) > asked)


async def test_a_grant_that_waits_too_long_for_a_slot_is_given_back(fast):
    house = House(concurrency=1)
    house.executor.act = house.slowly
    house.ledger.answer = lambda claim: None
    delivery = house.delivery()
    waiting = house.begin(delivery)
    await until(lambda: house.claims.waiting)
    running = house.begin(house.read())
    await started(house.began)
    house.claims.answered(granted(house.ledger.claims[0]))
    await turns()
    house.clock.time += START_WITHIN + 0.1
    house.go_on.set()
    await asyncio.gather(running, waiting)
    assert (settled(delivery), len(house.executor.attempts), len(house.ledger.released)) == (["release"], 1, 1)


@pytest.mark.parametrize("rerunnable", [False, True])
async def test_a_cancel_that_came_before_the_start_ends_what_was_granted(rerunnable):
    house = House()
    call = a_call(now=house.clock.time, call_id="c1", rerunnable=rerunnable)
    delivery = house.delivery(call, count=1)
    await answered_after(house, delivery, lambda: house.cancellations.note("default", "c1", "cancelled"))
    end = house.transport.end()
    assert isinstance(end, Cancelled)
    assert (end.effect, end.claim_id, settled(delivery)) == ("none", house.ledger.claims[0].claim_id, ["ack"])
    assert (house.executor.attempts, house.ledger.released) == ([], [])


async def test_a_grant_is_held_until_it_is_confirmed_that_it_is_given_back():
    house = House()
    delivery = house.delivery()
    late = asyncio.Event()

    def too_late() -> None:
        house.clock.time += 301
        house.transport.control_failures = [Unavailable("away")]
        late.set()

    giving = asyncio.create_task(answered_after(house, delivery, too_late))
    await started(late)
    await until(lambda: not house.transport.control_failures)
    house.claims.beat()
    await giving
    house.claims.beat()
    assert house.transport.heartbeats == [(house.ledger.claims[0].claim_id,), ()]
    assert (given_back(house), settled(delivery)) == (True, ["release"])


async def test_a_worker_that_holds_more_than_one_heartbeat_can_name_sends_several(monkeypatch):
    """All its leases would lapse else: schedulers refuse a message that is too long."""
    house = House()
    held = {f"{house.claims._process}:{10**9 + number}" for number in range(4096)}
    monkeypatch.setattr(house.claims, "_held", held)
    house.claims.beat()
    assert {claim for claims in house.transport.heartbeats for claim in claims} == held
    assert [len(claims) for claims in house.transport.heartbeats] == [1000, 1000, 1000, 1000, 96]


async def test_where_the_end_of_what_never_started_is_not_taken_the_grant_goes_back(monkeypatch):
    house = House()
    monkeypatch.setattr(house.runtime._teller, "_worth_keeping", lambda life: False)
    house.cancellations.note("default", "c1", "cancelled")
    house.transport.failures = [Unavailable("away")]
    delivery = house.delivery(a_call(now=house.clock.time, call_id="c1"))
    await house.runtime.run(delivery)
    assert (given_back(house), settled(delivery), house.transport.published) == (True, [], [])


# ---- the end of the process ---------------------------------------------------------------------


async def test_who_is_left_to_the_broker_while_it_asks_gives_back_what_it_may_get():
    house = House()
    house.ledger.answer = lambda claim: None
    delivery = house.delivery()
    waiting = house.begin(delivery)
    await started(house.ledger.asked)
    assert house.runtime.abandon() == 1
    await asyncio.gather(waiting, return_exceptions=True)
    assert (given_back(house), settled(delivery), house.runtime.running) == (True, [], 0)


async def test_who_is_left_to_the_broker_while_it_runs_gives_nothing_back():
    house = House()
    house.executor.act = house.slowly
    running = house.begin(house.delivery())
    await started(house.began)
    house.runtime.abandon()
    await asyncio.gather(running, return_exceptions=True)
    assert house.ledger.released == []


async def test_who_is_granted_and_left_to_the_broker_before_its_start_gives_it_back(fast):
    house = House(concurrency=1)
    house.executor.act = house.slowly
    house.ledger.answer = lambda claim: None
    waiting = house.begin(house.delivery())
    await until(lambda: house.claims.waiting)
    running = house.begin(house.read())
    await started(house.began)
    house.claims.answered(granted(house.ledger.claims[0]))
    await turns()
    house.runtime.abandon()
    await asyncio.gather(running, waiting, return_exceptions=True)
    assert len(house.ledger.released) == 1


async def test_a_process_that_stops_sends_back_what_waits():
    house = House(concurrency=1)
    house.executor.act = house.slowly
    house.ledger.answer = lambda claim: None
    first, second, third = house.read(), house.read(), house.delivery()
    running = house.begin(first)
    await started(house.began)
    waiting = [house.begin(second), house.begin(third)]
    await turns()
    house.runtime.turn_away()
    await asyncio.gather(*waiting)
    house.go_on.set()
    await running
    assert [settled(each) for each in (first, second, third)] == [["ack"], ["release"], ["release"]]
    assert len(house.executor.attempts) == 1


async def test_a_process_that_stops_waits_for_no_answer():
    house = House()
    house.ledger.answer = lambda claim: None
    delivery = house.delivery()
    waiting = house.begin(delivery)
    await started(house.ledger.asked)
    house.runtime.turn_away()
    await waiting
    assert (given_back(house), settled(delivery)) == (True, ["release"])


# ---- the lane of one ----------------------------------------------------------------------------


async def test_what_runs_alone_runs_beside_others_but_not_beside_its_like():
    house = House(concurrency=10)
    house.executor.act = house.slowly
    alone = [house.begin(house.read(claim="required", alone=True)) for _ in range(3)]
    others = [house.begin(house.read()) for _ in range(4)]
    await turns()
    assert (house.inside, len(house.ledger.claims)) == (5, 1)
    house.go_on.set()
    await asyncio.gather(*alone, *others)
    assert len(house.executor.attempts) == 7


async def test_where_the_lane_is_taken_a_grant_goes_back_and_is_asked_for_anew():
    house = House(concurrency=10)
    house.executor.act = house.slowly
    house.ledger.answer = lambda claim: granted(claim, alone=True)
    deliveries = [house.read(count=1) for _ in range(2)]
    both = [house.begin(delivery) for delivery in deliveries]
    await turns()
    first, second = house.ledger.claims
    assert (house.inside, [each.claim_id for each in house.ledger.released]) == (1, [second.claim_id])
    house.claims.beat()
    assert house.transport.heartbeats == [(first.claim_id,)]
    house.go_on.set()
    await asyncio.gather(*both)
    assert house.most == 1
    third = house.ledger.claims[2]
    assert (third.call_id, third.claim_id != second.claim_id) == (second.call_id, True)
    assert [end.claim_id for end in house.ends()] == [first.claim_id, third.claim_id]
    assert [settled(delivery) for delivery in deliveries] == [["ack"], ["ack"]]


async def test_a_delivery_that_is_lost_while_it_waits_for_the_lane_asks_no_more():
    house = House()
    house.executor.act = house.slowly
    first, second = (house.read(claim="required", alone=True) for _ in range(2))
    both = [house.begin(first), house.begin(second)]
    await started(house.began)
    disconnect(second)
    house.go_on.set()
    await asyncio.gather(*both)
    assert (len(house.ledger.claims), settled(second)) == (1, [])


# ---- what it costs ------------------------------------------------------------------------------


async def test_what_needs_no_claim_publishes_nothing_more():
    house = House()
    await house.runtime.run(house.read())
    assert (house.transport.controls, len(house.transport.published)) == ([], 1)
