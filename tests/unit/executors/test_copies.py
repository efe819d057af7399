"""The same attempt again while it is in hand: what may run twice runs once here; of the rest the ledger knows."""

import asyncio

import msgspec
import pytest
from tests.unit.executors.fakes import disconnect, granted, refused, settled
from tests.unit.executors.house import House, turns
from tests.unit.executors.making import a_call

from toolyard.contracts.calls import Call
from toolyard.transport.base import Delivery


async def twice_at_once(house: House, first: Delivery, second: Delivery) -> None:
    """The first copy runs while the second comes."""
    house.executor.act = house.slowly
    running = house.begin(first)
    await house.began.wait()
    joining = house.begin(second)
    await turns()
    house.go_on.set()
    await asyncio.gather(running, joining)


def copies(house: House, *, rerunnable: bool = True, **changes: str) -> tuple[Delivery, Delivery]:
    call: Call = a_call(now=house.clock.time, call_id="c1", rerunnable=rerunnable)
    return house.delivery(call), house.delivery(msgspec.structs.replace(call, **changes))


async def test_a_copy_shares_the_end_of_the_first():
    house = House()
    first, second = copies(house)
    await twice_at_once(house, first, second)
    assert (len(house.ends()), len(house.executor.attempts)) == (1, 1)
    assert (settled(first), settled(second)) == (["ack"], ["ack"])


async def test_a_copy_from_another_gateway_is_told_the_same_end():
    house = House()
    first, second = copies(house, gateway="g2")
    await twice_at_once(house, first, second)
    here, there = house.ends()
    assert there == msgspec.structs.replace(here, gateway="g2")
    assert (len(house.executor.attempts), settled(second)) == (1, ["ack"])


async def test_another_call_under_the_same_id_is_not_run():
    house = House()
    first, second = copies(house, gateway="g2", body_hash="other")
    await twice_at_once(house, first, second)
    assert (len(house.ends()), settled(second), len(house.executor.attempts)) == (1, ["ack"], 1)


async def test_after_the_end_a_copy_runs_again():
    house = House()
    for delivery in copies(house):
        await house.runtime.run(delivery)
    assert len(house.executor.attempts) == 2


@pytest.mark.parametrize("settle", ["refused", "lost"])
async def test_a_copy_of_what_did_not_end_here_goes_back(settle):
    house = House()
    house.ledger.answer = lambda claim: None
    call = a_call(now=house.clock.time, rerunnable=True)
    first, second = house.delivery(call, count=1), house.delivery(call, count=2)
    asking = house.begin(first)
    await house.ledger.asked.wait()
    joining = house.begin(second)
    await turns()
    if settle == "lost":
        disconnect(first)
    answer = granted if settle == "lost" else refused
    house.claims.answered(answer(house.ledger.claims[0]))
    await asyncio.gather(asking, joining)
    assert (settled(second), house.executor.attempts, len(house.ledger.claims)) == (["release"], [], 1)


async def test_each_copy_of_what_must_not_run_twice_asks_the_ledger():
    house = House()
    first, second = copies(house, rerunnable=False)
    house.ledger.answer = lambda claim: granted(claim) if len(house.ledger.claims) == 1 else refused(claim)
    await twice_at_once(house, first, second)
    assert (len(house.ledger.claims), len(house.executor.attempts), len(house.ends())) == (2, 1, 1)
    assert (settled(first), settled(second)) == (["ack"], ["ack"])
