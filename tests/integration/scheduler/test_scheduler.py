"""The whole scheduler over the embedded transport: its terms, its verdicts, its dead letters, and how it comes back."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.house import QUICK, House, a_story, opened, opened_at, until
from tests.support.ledger import ENVELOPE, HandClock, Story, message_of
from tests.support.numbers import text
from tests.support.postgres import PostgresNode

from toolyard.contracts.control import LedgerPosition
from toolyard.contracts.events import Ended, Ending
from toolyard.errors import LedgerMoved, LogGap, StoreError, StoreUnavailable
from toolyard.store.connect import open_store
from toolyard.store.ledger import SqlLedger
from toolyard.testing.store_suite import a_row, save
from toolyard.transport import topology
from toolyard.transport.base import Delivery, Message
from toolyard_scheduler.app import Options
from toolyard_scheduler.verdicts import BETWEEN_MARKS


@pytest.fixture
async def lite(tmp_path: Path) -> AsyncIterator[House]:
    """On SQLite, which has no clock of its own: for clocks that are moved by hand."""
    async with opened_at(f"sqlite:///{tmp_path / 'ledger.db'}") as house:
        yield house


# ---- the ordinary way ---------------------------------------------------------------------------------
async def test_calls_that_come_in_are_kept(house: House):
    scheduler = await house.leader()
    await house.say(a_story().accepted(), a_story().ended())
    last = house.journal.last()
    assert last is not None
    await scheduler.reached(last)

    assert (await house.ended()).state == "succeeded"
    assert scheduler.counts["succeeded"] == 1
    assert 'toolyard_calls_ended_total{state="succeeded"} 1' in text(scheduler.board)


async def test_a_leader_that_reads_its_own_position_back_is_ready(house: House):
    scheduler = await house.leader()
    await until(lambda: scheduler.lag < 0.5 and house.store.ledger.position().offset >= 1, "its position to come back")

    health = scheduler.health()

    assert health.ok
    assert health.details["role"] == "leading"


async def test_gateways_hear_how_far_the_ledger_has_read(house: House):
    heard: list[Delivery] = []
    await house.transport.own_queue("toolyard.reply.g1", topology.reply_bindings("g1"))
    await house.transport.consume("toolyard.reply.g1", heard.append, prefetch=10)
    scheduler = await house.leader()
    await until(lambda: len(heard) >= 2, "two positions")

    positions = [ENVELOPE.open_control(delivery) for delivery in heard]
    assert isinstance(positions[-1], LedgerPosition)
    assert positions[-1].offset >= 1
    assert abs(positions[-1].record_time - time.time()) < 30
    assert scheduler.leading


# ---- overdue calls ------------------------------------------------------------------------------------
async def test_an_overdue_call_that_had_started_ends_timed_out_with_an_unknown_effect(house: House):
    await house.trusted_leader()
    story = a_story(deadline=3.0)  # it must have started before
    await house.say(story.accepted(), story.started())

    row = await house.ended()

    assert (row.state, row.effect, row.attempts) == ("timed_out", "unknown", 1)
    assert row.error is not None
    assert (row.error.code, row.error.phase) == ("timed_out", "deadline")


async def test_an_overdue_call_is_ended_in_two_steps_by_the_scheduler(house: House):
    await house.trusted_leader()
    await house.say(a_story(deadline=0.1).accepted())
    await house.ended()

    said = house.said()

    assert [type(event).__name__ for event in said] == ["Ending", "Expired"]
    assert isinstance(said[1], Ended)
    assert (said[1].by, said[1].sequence) == ("scheduler", 1_900_001)
    assert said[1].finished_at - said[0].time >= BETWEEN_MARKS


async def test_nothing_is_ended_before_deadline_and_grace_have_passed(lite: House):
    clock = HandClock()
    await lite.leader(Options(grace=2.0, pace=0.0), clock)
    story = Story(deadline=clock.now() + 5.0)
    await lite.say(story.accepted())
    await until(lite.row, "the call")
    clock.advance(6.9)
    await lite.say(Story("c2", accepted_at=clock.now()).accepted())  # proves that the clock is right
    await until(lambda: lite.row("c2"), "another call")
    too_early = lite.store.open_calls.overdue(clock.now() - 2.0, 10)
    clock.advance(0.2)
    await until(lambda: [each for each in lite.said() if isinstance(each, Ending)], "the first mark")

    def ended_as_time_goes_on() -> bool:
        clock.advance(BETWEEN_MARKS)  # the time between the marks is counted from the confirm, which may come only now
        return bool(lite.store.calls.ended(["c1"]))

    await until(ended_as_time_goes_on, "the end")

    assert too_early == []
    assert (await lite.ended()).state == "expired"


async def test_an_outcome_that_stands_before_the_ending_is_the_end(lite: House):
    """The database is behind the log: the sweep sees an open call, the log has its outcome already."""
    clock = HandClock()
    story = Story(deadline=clock.now() - 60.0)
    await lite.say(story.accepted())
    first = await lite.leader(clock=clock)
    await until(lite.row, "the call")
    await first.stop()
    await lite.say(story.ended(), Story("c2", accepted_at=clock.now()).accepted())

    await lite.leader(clock=clock)
    row = await lite.ended()
    await until(lambda: lite.row("c2"), "the call behind it")

    assert row.state == "succeeded"
    assert not [event for event in lite.said() if isinstance(event, Ended) and event.by == "scheduler"]


async def test_an_ending_whose_verdict_was_never_given_is_taken_up_again(house: House):
    story = a_story(deadline=-10.0)
    await house.say(story.accepted(), story.started(), story.ending())

    await house.trusted_leader()
    row = await house.ended()

    assert (row.state, row.effect) == ("timed_out", "unknown")
    assert len([event for event in house.said() if isinstance(event, Ending)]) == 1


async def test_a_thousand_overdue_calls_are_all_ended_once(house: House):
    await house.say(*(a_story(f"c{number}", deadline=-10.0).accepted() for number in range(1_000)))

    scheduler = await house.trusted_leader()
    await until(lambda: scheduler.counts["expired"] == 1_000, "all of them to end")

    verdicts = [event.call_id for event in house.said() if isinstance(event, Ended)]
    assert len(verdicts) == len(set(verdicts)) == 1_000


async def test_a_parked_call_that_is_overdue_expires_without_effect(house: House):
    story = a_story(deadline=-10.0)
    save(house.store, a_row(story.call, state="scheduled"))
    house.store.ledger.forget()

    await house.trusted_leader()
    row = await house.ended()

    assert (row.state, row.effect, row.attempts) == ("expired", "none", 0)


# ---- dead letters -------------------------------------------------------------------------------------
async def test_a_rejected_call_ends_failed_and_its_letter_is_gone(house: House):
    await house.leader()
    await house.transport.consume(topology.pool_queue("http"), lambda delivery: delivery.reject(), prefetch=5)
    await house.say(a_story().accepted())

    row = await house.ended()

    assert (row.state, row.effect) == ("failed", "none")  # it may not run without a claim, and there was none
    assert row.error is not None
    assert row.error.code == "internal"
    await until(lambda: not house.transport.waiting(topology.DEAD), "the letter to go")


async def test_a_call_that_was_delivered_too_often_is_poisoned(house: House):
    await house.leader()
    message = message_of(a_story().accepted())
    await house.say(message)
    seen: list[Delivery] = []
    await house.transport.consume(topology.pool_queue("http"), seen.append, prefetch=5)
    house.transport.redeliver(message, topology.DELIVERY_LIMIT + 1)
    await until(lambda: len(seen) == 2, "both deliveries")
    for delivery in seen:
        if delivery.count:
            delivery.release()

    row = await house.ended()

    assert row.error is not None
    assert (row.state, row.error.code) == ("failed", "poisoned")


async def test_a_dead_letter_that_does_not_verify_is_quarantined(house: House):
    good = message_of(a_story().accepted())
    await house.transport.consume(topology.pool_queue("http"), lambda delivery: delivery.reject(), prefetch=5)
    await house.leader()
    await house.say(Message(good.exchange, good.key, good.body, good.message_id, {}))

    await until(house.store.dead_letters.count, "the record in quarantine")

    (letter,) = house.store.dead_letters.list(cursor=None, limit=5).items
    assert (letter.exchange, letter.key, letter.message_id) == (good.exchange, good.key, good.message_id)
    assert letter.reason == "the message is not signed"
    await until(lambda: not house.transport.waiting(topology.DEAD), "the letter to go")


async def test_a_dead_letter_of_a_call_that_has_ended_changes_nothing(house: House):
    await house.leader()
    await house.say(a_story().accepted(), a_story().ended())
    await house.ended()
    await house.transport.consume(topology.pool_queue("http"), lambda delivery: delivery.reject(), prefetch=5)

    await until(lambda: [each for each in house.said() if isinstance(each, Ending)], "the letter to be looked at")
    await until(lambda: not house.transport.waiting(topology.DEAD), "the letter to go")

    assert (await house.ended()).state == "succeeded"
    assert len([each for each in house.said() if isinstance(each, Ended)]) == 1


# ---- several ------------------------------------------------------------------------------------------
async def test_the_second_stands_by_and_leads_as_soon_as_the_first_steps_back(house: House):
    first = await house.leader()
    second = await house.scheduler(replace(QUICK, takeover=1_000.0))
    await until(lambda: second.health().details["role"] == "standby", "the second to stand by")
    assert second.health().ok
    assert not second.leading

    await first.stop()
    await until(lambda: second.leading, "the second to lead")
    await house.say(a_story().accepted(), a_story().ended())

    assert (await house.ended()).state == "succeeded"


async def test_a_leader_that_gives_no_sign_of_life_is_replaced(house: House):
    house.store.ledger.lead(house.store.ledger.position(), "dead")

    began = time.monotonic()
    await house.leader()

    assert time.monotonic() - began >= QUICK.takeover


async def test_who_is_alone_waits_for_nobody(house: House):
    house.store.ledger.lead(house.store.ledger.position(), "dead")

    await house.leader(Options(alone=True, takeover=1_000.0))


def take_over(ledger: SqlLedger) -> None:
    """Lead in place of whoever leads, who may write in the very moment between looking and leading."""
    while True:
        try:
            ledger.lead(ledger.position(), "another")
        except LedgerMoved:
            continue
        return


async def test_a_leader_that_was_replaced_steps_back_and_takes_over_again(house: House):
    first = await house.leader()
    take_over(house.store.ledger)

    await until(lambda: not first.leading, "the first to step back")
    await house.say(a_story().accepted())
    last = house.journal.last()
    assert last is not None
    await asyncio.wait_for(first.reached(last), 60)

    assert first.leading


# ---- what goes away, and comes back -------------------------------------------------------------------
async def test_after_the_log_was_away_it_goes_on_by_itself(house: House):
    scheduler = await house.leader()
    await house.say(a_story().accepted())
    await until(house.row, "the call")

    house.journal.failure = StoreUnavailable("the disk is gone")
    await until(lambda: not scheduler.health().ok, "the scheduler to be unready")
    house.journal.failure = None
    await until(lambda: scheduler.leading and house.transport.health.ok, "the scheduler to lead again")
    await house.say(a_story().ended())

    assert (await house.ended()).state == "succeeded"


async def test_after_the_database_was_away_it_goes_on_by_itself(private_postgres: PostgresNode):
    async with opened_at(private_postgres.create_database()) as house:
        scheduler = await house.leader()

        await asyncio.to_thread(private_postgres.stop)
        await house.say(a_story().accepted(), a_story().ended())
        await until(lambda: not scheduler.leading, "the scheduler to notice")
        health = scheduler.health()
        await asyncio.to_thread(private_postgres.start)
        row = await house.ended()

        assert not health.ok
        assert "database" in health.reason
        assert row.state == "succeeded"


async def test_a_log_that_does_not_continue_ends_the_scheduler_with_the_reason(house: House):
    place = house.store.ledger.position()
    await house.say(a_story().accepted())
    with house.store.ledger.batch(place.epoch, place.offset, 1, "another record", 0.0):
        pass

    scheduler = await house.scheduler()
    with pytest.raises(LogGap, match="--accept-log-gap"):
        await scheduler.run()

    health = scheduler.health()
    assert not health.ok
    assert "--accept-log-gap" in health.reason


async def test_missing_tables_end_the_scheduler_with_the_reason(tmp_path: Path):
    with closing(open_store(f"sqlite:///{tmp_path / 'empty.db'}")) as store:
        async with opened(store) as house:
            scheduler = await house.scheduler()

            with pytest.raises(StoreError, match="--migrate"):
                await scheduler.run()


async def test_a_wrong_clock_keeps_it_from_leading(postgres_url: str):
    async with opened_at(postgres_url) as house:
        scheduler = await house.scheduler(clock=HandClock(time.time() + 300.0))

        await until(lambda: scheduler.health().details["role"] == "clock", "the scheduler to refuse")

        assert not scheduler.health().ok
        assert "s ahead of the database server's" in scheduler.health().reason


async def test_a_wrong_clock_ends_no_call_and_the_term_as_soon_as_others_tell_the_time(lite: House):
    clock = HandClock()
    scheduler = await lite.leader(clock=clock)
    await until(lambda: lite.store.ledger.position().offset >= 1, "its position to come back")
    clock.advance(1.0)
    for number in range(4):
        told = clock.now() - 300.0
        await lite.say(Story(f"c{number}", accepted_at=told, deadline=told + 30.0).accepted())
        await until(lambda number=number: lite.row(f"c{number}"), "the call")  # type: ignore[misc]
        clock.advance(4.0)

    await until(lambda: scheduler.health().details["role"] == "clock", "the scheduler to refuse")

    assert lite.said() == []
