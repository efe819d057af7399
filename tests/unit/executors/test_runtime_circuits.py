"""What an attempt's life has to do with breakers: nothing is sent past an open one, and each end is counted."""

import asyncio
from typing import Any

import pytest
from tests.unit.executors.fakes import a_delivery, settled, succeed
from tests.unit.executors.house import House
from tests.unit.executors.making import a_call, a_message, a_tool

from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import Cancel
from toolyard.contracts.events import Ended, Failed, Succeeded
from toolyard.contracts.tools import Authentication, HttpBinding, RetryPolicy
from toolyard_executors.breaker import USUAL
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished, failed

HOST = "a.example:443"
WITH_SECRET = a_tool(
    HttpBinding(method="GET", url="https://a.example/", authentication=Authentication(type="bearer", secret="MISSING")),
    secrets=("MISSING",),
)


async def refuse(attempt: Attempt) -> Finished:
    return failed("upstream_error", "could not connect", "none")


async def answer_503(attempt: Attempt) -> Finished:
    attempt.reached_out()
    return failed("upstream_error", "it answered 503", "unknown", details={"status": 503})


async def answer_404(attempt: Attempt) -> Finished:
    return failed("upstream_error", "it answered 404", "none", details={"status": 404})


@pytest.fixture
async def house() -> House:
    made = House(concurrency=1000)
    made.executor.depends_on = HOST
    return made


async def run(house: House, **call: Any) -> Ended:
    delivery = house.delivery(a_call(**{"now": house.clock.time, "rerunnable": True} | call))
    await house.runtime.run(delivery)
    assert settled(delivery) == ["ack"]
    return house.ends()[-1]


async def code(house: House, **call: Any) -> str:
    """The code that a call ends with; empty where it succeeds."""
    error = (await run(house, **call)).error
    return "" if error is None else error.code


async def open_breaker(house: House, **call: Any) -> None:
    house.executor.act = refuse
    for _ in range(USUAL.least):
        await run(house, **call)
    house.executor.act = succeed
    house.executor.attempts.clear()


async def test_past_an_open_breaker_nothing_runs_and_the_call_is_told_to_come_again(house):
    await open_breaker(house)
    end = await run(house)
    assert isinstance(end, Failed)
    assert end.error is not None
    assert (end.error.code, end.error.retryable, end.effect) == ("circuit_open", True, "none")
    assert USUAL.first_pause <= (end.error.retry_after or 0.0) <= 2 * USUAL.first_pause
    assert (end.started_at, end.final) == (None, False)
    assert house.executor.attempts == []


@pytest.mark.parametrize(
    "retry", [None, RetryPolicy(max_attempts=1), RetryPolicy(max_attempts=3, codes=("timed_out",))]
)
async def test_it_is_no_end_whatever_the_tools_policy_for_retries_says(house, retry):
    await open_breaker(house)
    end = await run(house, retry=retry, rerunnable=False)
    assert end.error is not None
    assert (end.error.code, end.final, end.fence) == ("circuit_open", False, 7)


async def test_no_place_is_held_and_no_secret_asked_for(house, monkeypatch):
    await open_breaker(house)
    monkeypatch.setattr(house.runtime._secrets, "needed", None)  # who asks for secrets fails
    for _ in range(2000):  # more than there are places
        await house.runtime.run(a_delivery(a_message(a_call(now=house.clock.time, rerunnable=True), WITH_SECRET)))
    assert {end.error and end.error.code for end in house.ends()[USUAL.least :]} == {"circuit_open"}


async def test_a_probe_that_succeeds_closes_it(house):
    await open_breaker(house)
    house.clock.time += USUAL.first_pause
    for _ in range(3):
        assert isinstance(await run(house), Succeeded)
    assert len(house.executor.attempts) == 3


async def test_while_a_probe_runs_others_are_told_to_come_again(house):
    await open_breaker(house)
    house.clock.time += USUAL.first_pause
    house.executor.act = house.slowly
    probe = house.begin(house.read())
    await house.began.wait()
    assert await code(house) == "circuit_open"
    house.go_on.set()
    await probe
    assert isinstance(await run(house), Succeeded)


async def test_a_probe_that_is_cancelled_or_abandoned_leaves_the_way_to_the_next_one(house):
    await open_breaker(house)
    house.clock.time += USUAL.first_pause
    house.executor.act = house.slowly
    for stop in ("cancel", "abandon"):
        house.began.clear()
        running = house.begin(house.read(f"c-{stop}"))
        await house.began.wait()
        if stop == "cancel":
            house.runtime.cancel(Cancel(v=VERSION, sender="g", time=0.0, org="default", call_id="c-cancel"))
        else:
            house.runtime.abandon()
        await asyncio.gather(running, return_exceptions=True)
    house.executor.act = succeed
    assert isinstance(await run(house), Succeeded)


async def test_server_errors_open_it_and_what_was_answered_otherwise_does_not(house):
    house.executor.act = answer_404
    for _ in range(2 * USUAL.least):
        assert await code(house) == "upstream_error"
    house.executor.act = answer_503
    codes = [await code(house) for _ in range(2 * USUAL.least + 1)]
    assert codes == ["upstream_error"] * 2 * USUAL.least + ["circuit_open"]


async def test_attempts_that_do_not_end_in_time_open_it(house):
    async def hang(attempt: Attempt) -> Finished:
        await asyncio.Event().wait()
        raise AssertionError

    house.executor.act = hang
    calls = [a_call(now=house.clock.time, rerunnable=True, timeout=0.01) for _ in range(USUAL.least)]
    ends = [house.begin(house.delivery(call)) for call in calls]
    await asyncio.gather(*ends)
    house.executor.act = succeed
    assert await code(house) == "circuit_open"


async def test_an_orgs_failures_do_not_shut_out_another_org(house):
    await open_breaker(house, org="acme")
    assert isinstance(await run(house), Succeeded)
    assert await code(house, org="acme") == "circuit_open"


async def test_a_kind_without_circuits_has_no_breaker(house):
    house.executor.depends_on = None
    await open_breaker(house)
    assert isinstance(await run(house), Succeeded)


async def test_a_defect_in_an_executor_says_nothing_of_its_provider(house):
    async def breaks(attempt: Attempt) -> Finished:
        raise ZeroDivisionError

    house.executor.act = breaks
    for _ in range(2 * USUAL.least):
        await run(house)
    house.executor.act = succeed
    assert isinstance(await run(house), Succeeded)
