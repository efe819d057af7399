"""Leases while the scheduler, or what it waits for, is slow."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

import pytest
from tests.support.house import a_story
from tests.support.set_forward import SetForward
from tests.support.waiting import async_wait_until

from toolyard.store.crossing import Crossing
from toolyard.store.ledger_rows import OpenCall
from toolyard.testing.store_suite import a_call
from toolyard_scheduler.claims import ATTEMPT_GRACE
from toolyard_scheduler.duties import leases
from toolyard_scheduler.duties.leases import Leases
from toolyard_scheduler.entries import Entry, Folded, Grant
from toolyard_scheduler.folding import fold
from toolyard_scheduler.rows import Around

LEASE = 30.0


class Clock(SetForward):
    """Counts who looks at it."""

    looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        return super().monotonic()

    def looked_at_since(self, looks: int) -> bool:
        return self.looks > looks


class Marks:
    """Confirms a first mark when it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.confirms = asyncio.Event()

    async def begin(self, call: OpenCall, _: str) -> bool:
        self.asked.append(call.call.call_id)
        await self.confirms.wait()
        return True


class OpenCalls:
    """Every call is open, and held by the claim of its name.

    Attributes:
        before: those that the last leader left.
    """

    before: Sequence[OpenCall] = ()

    def held(self) -> Sequence[OpenCall]:
        return self.before

    def these(self, call_ids: Sequence[str]) -> Sequence[OpenCall]:
        return [OpenCall(a_call(each), "running", holder=f"w:{each}") for each in call_ids]


@pytest.fixture
async def crossing() -> AsyncIterator[Crossing]:
    crossing = Crossing(1)
    yield crossing
    await crossing.close()


def keeper(marks: Any, crossing: Crossing, clock: Clock, *before: OpenCall) -> Leases:
    open_calls: Any = OpenCalls()
    open_calls.before = before
    return Leases(marks, open_calls, crossing, clock, lease=LEASE)


async def until(check: Callable[[], object], what: str) -> None:
    async def look() -> object:
        return check()

    await async_wait_until(look, within=30.0, what=what)


async def test_leases_run_out_while_a_sweep_waits_for_the_broker(crossing: Crossing, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(leases, "INTERVAL", 0.01)
    marks, clock = Marks(), Clock()
    kept = keeper(marks, crossing, clock)
    late = Grant("late", "w:late", -1.0)
    dead = Grant("dead", "w:dead", 1_000.0)
    kept.note(Folded(granted=[late, dead]))
    running = asyncio.create_task(kept.run())
    try:
        await until(lambda: marks.asked == ["late"], "the first of them")
        while clock.by <= LEASE:  # the broker confirms nothing for so long, and this process lives all the time
            clock.by += 0.25
            await until(partial(clock.looked_at_since, clock.looks), "a look at the clock")
        marks.confirms.set()
        await until(lambda: len(marks.asked) > 1, "the second one")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert marks.asked == ["late", "dead"]


async def test_a_worker_heard_after_a_standstill_has_one_lease_and_no_more(crossing: Crossing):
    marks, clock = Marks(), Clock()
    marks.confirms.set()
    kept = keeper(marks, crossing, clock)
    kept.note(Folded(granted=[Grant("c1", "w:c1", 1_000.0)]))
    clock.by = 100.0
    kept.renew(("w:c1",))  # what it had said was heard first
    await kept.sweep()
    assert marks.asked == []
    while clock.by <= 101.0 + LEASE:
        clock.by += 1.0
        await kept.sweep()

    assert marks.asked == ["c1"]


async def test_who_is_heard_while_a_sweep_is_busy_with_others_has_not_lapsed(crossing: Crossing):
    marks, clock = Marks(), Clock()
    kept = keeper(marks, crossing, clock)
    kept.note(Folded(granted=[Grant("dead", "w:dead", 1_000.0), Grant("heard", "w:heard", 1_000.0)]))
    while clock.by < LEASE:
        await kept.sweep()
        clock.by += 1.0
    sweeping = asyncio.create_task(kept.sweep())
    await until(lambda: marks.asked, "the first of them")
    kept.renew(("w:heard",))
    marks.confirms.set()
    await sweeping

    assert marks.asked == ["dead"]


async def test_an_attempt_has_all_its_time_though_its_grant_is_told_late(crossing: Crossing):
    marks, clock, story = Marks(), Clock(), a_story()
    marks.confirms.set()
    kept = keeper(marks, crossing, clock)
    batch = Folded()
    claim = story.claim("w:c1", attempt_timeout=1.0)
    fold([Entry(0, "m0", story.accepted()), Entry(1, "m1", claim)], batch, Around(clock.now()))
    clock.by = 20.0  # the scheduler stood still in the middle of the transaction
    kept.note(batch)
    await kept.sweep()
    assert marks.asked == []
    clock.by += 1.0 + ATTEMPT_GRACE + 0.1
    await kept.sweep()

    assert marks.asked == ["c1"]


async def test_a_new_leader_reads_what_was_said_before_it_ends_attempts_whose_time_is_over(crossing: Crossing):
    marks, clock = Marks(), Clock()
    marks.confirms.set()
    kept = keeper(marks, crossing, clock, OpenCall(a_call("c1"), "running", holder="w:c1", runs_until=clock.now() - 1))
    running = asyncio.create_task(kept.run())
    try:
        await until(lambda: len(kept) == 1, "what it was left")
        await kept.sweep()
        assert marks.asked == []
        while clock.by <= LEASE and not marks.asked:  # its worker says that it lives, and nothing of its attempt
            clock.by += 1.0
            kept.renew(("w:c1",))
            await kept.sweep()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert marks.asked == ["c1"]
    assert clock.by > LEASE - 1.0
