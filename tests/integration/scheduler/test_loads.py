"""What a leading scheduler shows of what waits: in the queues, with the ledger, and in queues that should be empty."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.house import QUICK, House, a_story, opened_at, until
from tests.support.numbers import text

from toolyard.contracts.tools import POOLS
from toolyard.errors import StoreUnavailable
from toolyard.transport.base import Message
from toolyard_scheduler.app import Scheduler

LOOKS = replace(QUICK, look=0.05)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with opened_at(f"sqlite:///{tmp_path / 'ledger.db'}") as house:
        yield house


def shown(scheduler: Scheduler, name: str) -> dict[str, float]:
    """The values of a metric, by its one label."""
    families = text_string_to_metric_families(text(scheduler.board))
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return {next(iter(sample.labels.values()), ""): sample.value for sample in samples}


async def test_what_waits_is_shown_by_pool_and_by_what_it_waits_for(house: House):
    scheduler = await house.leader(LOOKS)
    await house.say(a_story("c1").accepted(), a_story("c2").accepted())

    def backlog() -> dict[str, float]:
        return shown(scheduler, "toolyard_pool_backlog")

    await until(lambda: backlog().get("http") == 2.0, "a look at both calls")
    await until(lambda: shown(scheduler, "toolyard_pool_oldest_seconds").get("http"), "the age of the oldest call")

    assert backlog() == {pool: 2.0 if pool == "http" else 0.0 for pool in POOLS}
    assert set(shown(scheduler, "toolyard_pool_oldest_seconds")) == set(POOLS)
    assert set(shown(scheduler, "toolyard_parked_calls")) == {"retry", "not_before", "paused", "authorization"}
    assert set(shown(scheduler, "toolyard_parked_calls").values()) == {0.0}
    assert {"toolyard.dead", "toolyard.quarantine"} <= set(shown(scheduler, "toolyard_queue_messages"))


async def test_what_cannot_be_seen_is_not_shown_and_the_ledger_goes_on(house: House, monkeypatch: pytest.MonkeyPatch):
    scheduler = await house.leader(LOOKS)
    await until(lambda: shown(scheduler, "toolyard_pool_backlog"), "a look")

    def away() -> None:
        raise StoreUnavailable("the database is away")

    monkeypatch.setattr(house.store.open_calls, "waits", away)
    await until(lambda: not shown(scheduler, "toolyard_pool_backlog"), "nothing to be shown")

    story = a_story("c1")
    await house.say(story.accepted(), story.ended())
    assert (await house.ended("c1")).state == "succeeded"
    assert scheduler.leading


async def test_who_leads_no_more_shows_nothing_that_is_old(house: House):
    scheduler = await house.leader(LOOKS)
    await until(lambda: shown(scheduler, "toolyard_pool_backlog"), "a look")

    await scheduler.stop()

    assert shown(scheduler, "toolyard_pool_backlog") == {}
    assert shown(scheduler, "toolyard_ledger_leading") == {"": 0.0}


async def test_calls_that_failed_are_counted_by_code_and_letters_by_what_became_of_them(house: House):
    scheduler = await house.leader(LOOKS)
    story = a_story("c1")
    await house.say(story.accepted(), story.ended("failed"))
    await house.say(Message("toolyard.control", "quarantine.message.http.-.-.-", b"what is this", "m1", {}))

    await until(lambda: shown(scheduler, "toolyard_calls_failed_total") == {"tool_error": 1.0}, "the failure")
    await until(lambda: shown(scheduler, "toolyard_quarantined_total") == {"": 1.0}, "the letter")
