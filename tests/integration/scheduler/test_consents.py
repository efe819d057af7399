"""Calls that wait for their users, in a real store and with a scheduler that leads."""

import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.support.house import House, a_story, opened_at, until
from tests.support.ledger import ENVELOPE, Story, authorized

from toolyard.contracts.calls import CallMessage
from toolyard.store.authorizations import PendingAuthorization
from toolyard.testing.store_suite import a_spec
from toolyard.transport import topology
from toolyard.transport.base import Delivery
from toolyard_scheduler.consents import NotKnown, Status


class FakeProvider:
    """A fake of who is asked: says what the test decides, and fails as long as it is told nothing."""

    def __init__(self) -> None:
        self.status_of: dict[str, Status] = {}
        self.asked: Counter[tuple[str, str]] = Counter()

    async def status(self, asked: PendingAuthorization) -> Status:
        self.asked[asked.org, asked.user] += 1
        if asked.authorization_id not in self.status_of:
            raise NotKnown("it does not answer")
        return self.status_of[asked.authorization_id]


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
async def house(database_url: str, provider: FakeProvider) -> AsyncIterator[House]:
    async with opened_at(database_url) as house:
        house.store.tools.create("default", a_spec("lookup"))
        await house.trusted_leader(provider)
        yield house


async def parked(house: House, call_id: str, **consent: Any) -> Story:
    story = a_story(call_id, user="ada")
    now = time.time()
    asks = story.asks_its_user(started_at=now, finished_at=now, time=now)
    if consent:
        assert asks.authorization is not None
        asks = msgspec.structs.replace(asks, authorization=msgspec.structs.replace(asks.authorization, **consent))
    await house.say(story.accepted(), asks)
    await until(lambda: (row := house.row(call_id)) and row.attempts, f"the question of {call_id}")  # it may be over
    return story


async def test_all_calls_that_wait_for_one_consent_go_on_with_it(house: House):
    for call_id in ("c1", "c2"):
        await parked(house, call_id)
    row = house.row("c1")
    assert row is not None
    assert row.authorization is not None
    assert (row.authorization.url, row.error) == ("https://consent.example/a1", None)

    await house.say(authorized(time=time.time()))
    dispatched: list[CallMessage] = []

    def take(delivery: Delivery) -> None:
        message = ENVELOPE.open_call(delivery)
        if message.attempt > 1:
            dispatched.append(message)

    queue = await house.transport.consume(topology.pool_queue("http"), take, prefetch=10)
    await until(lambda: len(dispatched) >= 2, "both calls")
    found = sorted((each.call.call_id, each.attempt, each.waived, each.claim) for each in dispatched)
    assert found == [("c1", 2, 1, "required"), ("c2", 2, 1, "required")]
    await queue.close()


async def test_a_refused_consent_ends_them(house: House):
    await parked(house, "c1")
    await house.say(authorized("failed", time=time.time()))

    row = await house.ended("c1")
    assert (row.state, row.effect, row.authorization) == ("failed", "none", None)
    assert row.error is not None
    assert row.error.code == "permission_denied"


async def test_an_expired_consent_is_told_as_such(house: House):
    await parked(house, "c1", expires_at=time.time())
    await house.say(authorized("expired", time=time.time()))

    row = await house.ended("c1")
    assert row.error is not None
    assert (row.state, row.effect, row.error.code, row.attempts) == ("expired", "none", "authorization_expired", 1)


async def test_a_word_about_an_earlier_question_ends_no_call_that_was_asked_since(house: House):
    before = time.time()
    await parked(house, "c1")
    await house.say(authorized("failed", time=before - 1.0), authorized("expired", time=time.time()))
    await house.say(authorized("completed", time=time.time()))

    await until(lambda: (row := house.row("c1")) and row.state == "queued", "it to go on")


# ---- who looks whether it was given ---------------------------------------------------------------
async def test_a_provider_that_does_not_answer_is_asked_again_and_its_answer_counts(
    house: House, provider: FakeProvider
):
    await parked(house, "c1")
    await until(lambda: provider.asked["default", "ada"] >= 2, "a second question")
    provider.status_of["a1"] = "failed"

    row = await house.ended("c1")
    assert row.error is not None
    assert row.error.code == "permission_denied"
    assert not house.store.authorizations.pending(10)


async def test_what_nobody_decides_in_time_expires(house: House, provider: FakeProvider):
    provider.status_of["a1"] = "pending"
    await parked(house, "c1", expires_at=time.time() + 1.5)

    row = await house.ended("c1")
    assert row.error is not None
    assert (row.state, row.error.code) == ("expired", "authorization_expired")


async def test_at_what_has_expired_one_last_look_is_had(house: House, provider: FakeProvider):
    provider.status_of["a1"] = "completed"
    await parked(house, "c1", expires_at=time.time() - 1.0)

    await until(lambda: not house.store.authorizations.pending(10), "the end of it")
    kept = house.store.authorizations.get("default", "arcade/google", "a1")
    assert kept is not None
    assert kept.status == "completed"


async def test_the_next_who_leads_looks_as_well(house: House, provider: FakeProvider):
    await parked(house, "c1")
    (first,) = house.schedulers
    await first.stop()
    provider.status_of["a1"] = "failed"
    await house.trusted_leader(provider)

    assert (await house.ended("c1")).state == "failed"


async def test_what_is_asked_for_anew_is_pending_again_and_nobody_elses(house: House, provider: FakeProvider):
    provider.status_of["a1"] = "completed"
    await parked(house, "c1")
    await until(lambda: not house.store.authorizations.pending(10), "the first one")
    provider.status_of["a1"] = "pending"
    await parked(house, "c2")

    (again,) = house.store.authorizations.pending(10)
    assert (again.authorization_id, again.user) == ("a1", "ada")
