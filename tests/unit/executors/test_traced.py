"""The spans of a delivery: which there are however it ends, what is told in their context, and where there is none."""

import asyncio
from collections.abc import Iterator

import pytest
from tests.unit.executors.house import House
from tests.unit.executors.making import a_call

from toolyard.contracts.calls import Call
from toolyard.telemetry import tracing
from toolyard.telemetry.tracing import Span
from toolyard.transport.base import Delivery
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TELL, RUN = "send toolyard.events", "execute_tool t"


@pytest.fixture
def taken() -> Iterator[list[Span]]:
    """The spans, each as it ends."""
    taken: list[Span] = []
    tracing.record(taken.append, lambda _, parent: bool(parent))
    yield taken
    tracing.record(None)


def a_recorded_call(house: House, *, given: str = GIVEN, rerunnable: bool = True) -> Call:
    return a_call(now=house.clock.time, rerunnable=rerunnable, traceparent=given)


async def run(house: House, *, count: int = 0, **call: bool | str) -> Delivery:
    delivery = house.delivery(a_recorded_call(house, **call), count=count)  # type: ignore[arg-type]
    await house.runtime.run(delivery)
    return delivery


async def test_what_is_told_of_an_attempt_has_the_context_of_who_tells_it(taken: list[Span]):
    house = House()
    await run(house)

    running, told, process = taken
    assert (running.name, told.name) == (RUN, TELL)
    assert running.parent == told.parent == process.traceparent
    assert process.parent == GIVEN
    assert [end.traceparent for end in house.ends()] == [told.traceparent]
    assert [attempt.call.traceparent for attempt in house.executor.attempts] == [running.traceparent]


async def test_what_is_not_recorded_has_no_span_and_keeps_its_context(taken: list[Span]):
    house, unrecorded = House(), GIVEN[:-2] + "00"
    await run(house, given=unrecorded)

    assert taken == []
    assert [end.traceparent for end in house.ends()] == [unrecorded]
    assert [attempt.call.traceparent for attempt in house.executor.attempts] == [unrecorded]


async def test_a_claim_is_asked_for_in_a_span_of_its_own(taken: list[Span]):
    house = House()
    await run(house, rerunnable=False)

    claim, process = taken[0], taken[-1]
    assert (claim.name, claim.parent) == ("claim", process.traceparent)
    assert claim.attributes["toolyard.claim.answer"] == "granted"
    assert [asked.traceparent for asked in house.ledger.claims] == [claim.traceparent]


async def test_a_first_delivery_has_a_context_that_others_know_and_a_later_one_has_not(taken: list[Span]):
    for count in (0, 1):
        await run(House(), count=count)

    first, again = (span for span in taken if span.name.startswith("process"))
    known = tracing.derived(GIVEN, first.attributes["messaging.message.conversation_id"], 1)
    assert first.traceparent == known
    assert again.traceparent != known
    assert again.attributes["toolyard.redelivered"] == 1


async def test_a_defect_tells_where_it_was_and_no_value(taken: list[Span]):
    async def act(_: Attempt) -> Finished:
        raise ValueError("a value")

    house = House()
    house.executor.act = act
    await run(house)

    running = taken[0]
    (told,) = running.events
    assert (running.error, told[1]) == ("internal", "exception")
    assert told[2]["exception.type"] == "ValueError"
    assert "test_traced.py" in str(told[2]["exception.stacktrace"])
    assert "a value" not in str(told)


async def test_what_is_left_to_the_broker_has_a_run_that_did_not_come_to_its_end(taken: list[Span]):
    house = House()
    house.executor.act = house.slowly
    task = house.begin(house.delivery(a_recorded_call(house)))
    await house.began.wait()
    house.runtime.abandon()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [span.name for span in taken] == [RUN]  # its delivery is somebody else's now


async def test_what_does_not_verify_has_no_span(taken: list[Span]):
    house = House()
    delivery = house.delivery(a_recorded_call(house))
    delivery.body += b" "
    await house.runtime.run(delivery)

    assert taken == []
