"""Recurring schedules are fired: once a slot whoever fires it, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.ledger import ENVELOPE, NOW, HandClock
from tests.support.stores import empty_store
from tests.support.waiting import async_wait_until

from toolyard.clock import SYSTEM
from toolyard.contracts.calls import CallMessage
from toolyard.contracts.schedules import Cron, Interval, ScheduleSpec
from toolyard.contracts.tools import Annotations, RetryPolicy
from toolyard.errors import StoreUnavailable
from toolyard.store.connect import Store
from toolyard.store.crossing import Crossing
from toolyard.store.schedules import Move, ScheduleRow, SqlSchedules
from toolyard.testing.fakes import MemoryJournal
from toolyard.testing.store_suite import a_call, a_row, a_spec, save
from toolyard.transport.embedded import EmbeddedTransport
from toolyard_gateway import admission
from toolyard_scheduler import firing
from toolyard_scheduler.app import Options, Scheduler
from toolyard_scheduler.clock_check import ClockCheck
from toolyard_scheduler.duties.recurring import Recurring

HOUR = 3_600.0


class MovedByHand(ClockCheck):
    """Lets a clock be far from the database server's."""

    def compare_with_database(self, time: float | None) -> None:
        pass


class House:
    """A store with one tool, a transport, and schedulers' duties upon them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.journal = MemoryJournal()
        self.transport = EmbeddedTransport(self.journal)
        self.crossing = Crossing(4)
        self.clock = HandClock()
        store.tools.create("default", a_spec(timeout=7.0, retry=RetryPolicy(max_attempts=3)))

    def duty(self, **options: float) -> Recurring:
        check = MovedByHand(self.clock, doubted=False)
        return Recurring(self.transport, ENVELOPE, self.store, self.crossing, self.clock, check, **options)

    def schedule(self, name: str = "hourly", at: float = NOW, **fields: Any) -> ScheduleRow:
        """A schedule whose first slot is ``at``."""
        given: dict[str, Any] = {
            "when": Interval(seconds=HOUR),
            "anchor": at,
            "checked": 1,
            "arguments": {"city": "Bern"},
        }
        row = ScheduleRow(
            schedule_id=f"id-{name}",
            org="default",
            spec=ScheduleSpec(name=name, tool="lookup", **(given | fields)),
            version=1,
            created_by="key1",
            created_at=NOW,
            updated_at=NOW,
            paused=False,
            next_at=at,
        )
        self.store.schedules.create(row)
        return row

    def row(self, name: str = "hourly") -> ScheduleRow:
        found = self.store.schedules.get("default", name)
        assert found is not None
        return found

    def fired(self) -> list[CallMessage]:
        return [ENVELOPE.open_call(record) for record in self.journal.read(1, 100_000)]


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty_store(request, tmp_path) as store:
        yield store


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[House]:
    house = House(store)
    await house.transport.open()
    try:
        yield house
    finally:
        await house.transport.close()
        await house.crossing.close()


@pytest.fixture
async def house(store: Store) -> AsyncIterator[House]:
    async with opened(store) as house:
        yield house


@pytest.fixture
async def lite(tmp_path: Path) -> AsyncIterator[House]:
    """On SQLite alone: for what does not depend on the database."""

    class _Request:
        param = "sqlite"

    with empty_store(_Request(), tmp_path) as store:  # type: ignore[arg-type]
        async with opened(store) as house:
            yield house


# ---- the ordinary way ---------------------------------------------------------------------------------
async def test_a_slot_becomes_a_call_as_a_gateway_would_make_it(house: House):
    made = house.schedule(user="ann", conversation="c", context={"a": 1}, queue_timeout=60.0, deadline=90.0)

    assert await house.duty().sweep() == 1

    (message,) = house.fired()
    call = message.call
    (record,) = house.journal.read(1, 9)
    assert record.key == "call.accepted.http.default.-.lookup"
    assert (message.claim, message.attempt, message.budget) == ("required", 1, 90.0)
    assert (call.call_id, call.gateway, call.principal) == (firing.call_id(made, NOW), "-", "key1")
    assert (call.tool, call.version, call.pool, call.arguments) == ("lookup", 1, "http", {"city": "Bern"})
    assert (call.accepted_at, call.deadline, call.timeout, call.queue_timeout) == (NOW, NOW + 90.0, 7.0, 60.0)
    assert (call.user, call.conversation, call.context) == ("ann", "c", {"a": 1})
    assert call.rerunnable
    assert call.retry == RetryPolicy(max_attempts=3)
    row = house.row()
    assert row.next_at == NOW + HOUR
    assert row.last is not None
    assert (row.last.slot, row.last.call_id, row.last.at) == (NOW, call.call_id, NOW)


def test_what_nobody_says_is_as_gateways_have_it():
    assert firing.DEFAULT_TIMEOUT == admission.DEFAULT_TIMEOUT
    assert firing.DEFAULT_DEADLINE == admission.DEFAULT_DEADLINE


async def test_what_is_not_due_or_paused_is_not_fired(lite: House):
    lite.schedule(at=NOW + 0.1)
    paused = lite.schedule("paused")
    lite.store.schedules.replace(
        ScheduleRow(**{name: getattr(paused, name) for name in paused.__slots__} | {"paused": True, "next_at": None}),
        expected=1,
    )

    assert await lite.duty().sweep() == 0
    assert lite.fired() == []


async def test_each_slot_is_fired_in_its_time(lite: House):
    lite.schedule(when=Cron(expression="*/10 * * * *", timezone="Australia/Lord_Howe"))
    duty = lite.duty()
    for _ in range(3):
        await duty.sweep()
        await duty.sweep()
        lite.clock.advance(600.0)

    assert [message.call.accepted_at for message in lite.fired()] == [NOW, NOW + 600.0, NOW + 1_200.0]
    assert len({message.call.call_id for message in lite.fired()}) == 3


# ---- once, whoever fires ------------------------------------------------------------------------------
async def test_two_schedulers_that_race_make_the_same_calls_and_move_each_schedule_once(house: House):
    for number in range(40):
        house.schedule(f"s{number}")

    await asyncio.gather(house.duty().sweep(), house.duty().sweep())

    fired = house.fired()
    assert {message.call.call_id for message in fired} == {firing.call_id(house.row(f"s{n}"), NOW) for n in range(40)}
    assert {message.claim for message in fired} == {"required"}
    assert {house.row(f"s{n}").next_at for n in range(40)} == {NOW + HOUR}
    assert await house.duty().sweep() == 0


async def test_a_scheduler_that_dies_after_it_published_makes_no_other_call_the_next_time(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    house.schedule()

    def dies(_: SqlSchedules, __: list[Move]) -> None:
        raise StoreUnavailable("killed between publish and move")

    with monkeypatch.context() as killed:
        killed.setattr(SqlSchedules, "move", dies)
        with pytest.raises(StoreUnavailable):
            await house.duty().sweep()
    house.clock.advance(5.0)
    await house.duty().sweep()

    first, again = house.fired()
    assert first.call.call_id == again.call.call_id
    assert first.call.body_hash == again.call.body_hash
    assert house.row().next_at == NOW + HOUR


async def test_a_schedule_whose_attempt_may_take_longer_than_workers_drain_fails_and_says_so(house: House):
    made = house.schedule(timeout=301.0)
    spec = house.store.tools.get("default", "lookup")
    assert isinstance(firing.fire(made, NOW, firing.Tool(spec, spec), NOW, 301.0), CallMessage)
    await house.duty(longest_attempt=300.0).sweep()
    assert house.fired() == []
    failure = house.row().failure
    assert failure is not None
    assert (failure.code, "301 s; here an attempt takes at most 300 s" in failure.message) == (
        "validation_failed",
        True,
    )


async def test_a_slot_that_was_fired_twice_is_one_call_in_the_ledger(store: Store):
    """Through a whole scheduler, with the machine's own clock."""
    async with opened(store) as house:
        slot = float(int(SYSTEM.now()))
        made = house.schedule(at=slot)
        twice = firing.fire(made, slot, firing.Tool(spec := store.tools.get("default", "lookup"), spec), SYSTEM.now())
        assert isinstance(twice, CallMessage)
        await house.transport.publish(ENVELOPE.call(twice))
        scheduler = Scheduler(house.transport, ENVELOPE, store, house.crossing, options=Options(alone=True))
        await scheduler.start()
        try:
            await until(lambda: len(_accepted(house)) == 2, "the slot to be fired")
            await scheduler.reached(house.journal.last() or 0)
        finally:
            await scheduler.stop()
        row = store.calls.get("default", firing.call_id(made, slot))
        assert row is not None
        assert not row.ending
        assert store.ledger.submissions(row.call.call_id) == []
        assert house.row().last is not None


def _accepted(house: House) -> list[Any]:
    return [record for record in house.journal.read(1, 100_000) if record.key.startswith("call.accepted.")]


async def until(check: Any, what: str) -> None:
    async def look() -> object:
        return check()

    await async_wait_until(look, within=60, what=what)


# ---- what was missed, and what overlaps ---------------------------------------------------------------
@pytest.mark.parametrize(
    ("policy", "slots"),
    [
        ({"missed": "skip"}, []),
        ({"missed": "run_once"}, [NOW + 3 * HOUR]),
        ({"missed": "catch_up", "catch_up": 2}, [NOW + 2 * HOUR, NOW + 3 * HOUR]),
    ],
)
async def test_what_was_missed_is_made_up_for_as_its_policy_says(
    lite: House, policy: dict[str, Any], slots: list[float]
):
    made = lite.schedule(**policy)
    lite.clock.advance(3.5 * HOUR)

    await lite.duty().sweep()

    assert [message.call.call_id for message in lite.fired()] == [firing.call_id(made, slot) for slot in slots]
    assert lite.row().next_at == NOW + 4 * HOUR
    assert lite.row().left_out == 0


async def test_a_slot_whose_predecessor_has_not_ended_is_left_out(house: House):
    made = house.schedule(overlap="skip")
    duty, first = house.duty(), firing.call_id(made, NOW)
    await duty.sweep()
    house.clock.advance(HOUR)
    save(house.store, a_row(a_call(first)))
    await duty.sweep()
    assert len(house.fired()) == 1
    assert (house.row().left_out, house.row().next_at) == (1, NOW + 2 * HOUR)

    save(house.store, a_row(a_call(first), new=False, changed=True, call=None, state="succeeded", finished_at=NOW))
    house.clock.advance(HOUR)
    await duty.sweep()
    assert len(house.fired()) == 2
    last = house.row().last
    assert last is not None
    assert last.slot == NOW + 2 * HOUR


async def test_a_call_that_the_ledger_has_not_read_yet_has_not_ended_and_one_it_forgot_has(lite: House):
    lite.schedule(overlap="skip", when=Interval(seconds=600.0))
    duty = lite.duty()
    await duty.sweep()
    lite.clock.advance(600.0)
    await duty.sweep()
    assert (len(lite.fired()), lite.row().left_out) == (1, 1)
    lite.clock.advance(600.0)
    await duty.sweep()
    assert len(lite.fired()) == 2


# ---- what goes wrong ----------------------------------------------------------------------------------
async def test_a_tool_that_cannot_be_called_is_told_and_the_schedule_goes_on(house: House):
    house.schedule("deleted")
    house.schedule("gone", version=9)
    duty, tools = house.duty(), house.store.tools
    tools.delete("default", "lookup", expected=1)
    await duty.sweep()
    assert {_failure(house, name) for name in ("deleted", "gone")} == {"tool_not_found"}

    tools.create("default", a_spec(enabled=False))
    house.clock.advance(HOUR)
    await duty.sweep()
    assert {_failure(house, name) for name in ("deleted", "gone")} == {"permission_denied"}

    tools.replace("default", a_spec(), expected=2)
    house.clock.advance(HOUR)
    await duty.sweep()
    assert (_failure(house, "deleted"), _failure(house, "gone")) == ("", "version_gone")
    assert [message.call.version for message in house.fired()] == [3]
    assert house.row("gone").next_at == NOW + 3 * HOUR


def _failure(house: House, name: str) -> str:
    failure = house.row(name).failure
    return "" if failure is None else failure.code


async def test_arguments_are_checked_against_a_version_that_came_later(lite: House):
    lite.schedule()
    stricter = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 3}}}
    lite.store.tools.replace("default", a_spec(parameters=stricter), expected=1)
    duty = lite.duty()
    await duty.sweep()
    assert (_failure(lite, "hourly"), lite.fired()) == ("validation_failed", [])

    wider = {"type": "object", "properties": {"city": {"type": "string"}, "more": {}}}
    lite.store.tools.replace("default", a_spec(parameters=wider, annotations=Annotations(read_only=False)), expected=2)
    lite.clock.advance(HOUR)
    await duty.sweep()
    assert [(message.call.version, message.call.rerunnable) for message in lite.fired()] == [(3, False)]


async def test_a_call_that_cannot_be_published_is_fired_later_and_holds_up_nobody(lite: House):
    lite.schedule()
    duty = lite.duty()
    lite.journal.failure = StoreUnavailable("away")
    assert await duty.sweep() == 1
    assert lite.row().next_at == NOW

    lite.journal.failure = None
    assert await duty.sweep() == 0
    lite.schedule("other")
    assert await duty.sweep() == 1
    lite.clock.advance(5.1)
    assert await duty.sweep() == 1
    assert {message.call.call_id for message in lite.fired()} == {
        firing.call_id(lite.row(name), NOW) for name in ("hourly", "other")
    }


async def test_more_than_one_sweep_takes_are_fired_sweep_by_sweep(house: House):
    for number in range(450):
        house.schedule(f"s{number}", at=NOW - number / 1_000)
    duty = house.duty()

    assert [await duty.sweep() for _ in range(4)] == [200, 200, 50, 0]
    assert len({message.call.call_id for message in house.fired()}) == 450


async def test_a_leading_scheduler_fires_each_slot_when_its_time_comes(store: Store, monkeypatch: pytest.MonkeyPatch):
    """The whole scheduler, whose clock stands still from slot to slot."""
    monkeypatch.setattr("toolyard_scheduler.app.ClockCheck", MovedByHand)
    async with opened(store) as house:
        made = house.schedule(when=Interval(seconds=1.0))
        options = Options(alone=True)
        scheduler = Scheduler(house.transport, ENVELOPE, store, house.crossing, house.clock, options)
        await scheduler.start()
        try:
            for number in range(1, 4):
                await until(lambda number=number: len(_accepted(house)) == number, f"firing {number}")
                house.clock.advance(1.0)
        finally:
            await scheduler.stop()
        calls = [ENVELOPE.open_call(record).call for record in _accepted(house)[:3]]
        slots = [NOW, NOW + 1.0, NOW + 2.0]
        assert [call.call_id for call in calls] == [firing.call_id(made, slot) for slot in slots]
        assert [call.accepted_at for call in calls] == slots
