"""A ledger that is made anew of the log equals the one that schedulers have kept, column by column."""

import asyncio
import time
from typing import Any

import pytest
from tests.support import ledger
from tests.support.house import House, until
from tests.support.ledger import Story, message_of, pause, resume
from tests.support.rebuilding import compared

from toolyard.contracts.calls import Authorization, error_info
from toolyard.contracts.control import Claim
from toolyard.contracts.tools import RetryPolicy
from toolyard.store.database import Database
from toolyard.store.rebuilt import Comparison
from toolyard.testing.store_suite import a_spec

BROKE = error_info("upstream_error", "500", retryable=True, retry_after=0.01)
AWAY = error_info("unavailable", "nobody is there", retryable=True)
RETRIED = RetryPolicy(max_attempts=3, backoff=0.001)


async def differences(house: House) -> Comparison:
    """After everything that was said has been applied."""
    last = house.journal.last() or 0
    await asyncio.wait_for(house.schedulers[-1].reached(last), 60)
    database = Database(house.url)
    try:
        return await compared(house.transport, database, lambda: house.journal.last() or 0)
    finally:
        database.close()


async def test_calls_that_ended_and_calls_that_have_not_are_the_same(house: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger, "NOW", time.time() - 100.0)  # no clock is ahead of the scheduler's
    house.store.tools.create("default", a_spec())
    await house.leader()
    await _said(house)

    found = await differences(house)

    assert found.differences == []
    assert (found.calls, found.older, found.missing) == (len(STORIES) + 1, 0, 0)


async def test_what_is_played_again_is_passed_over_as_the_ledger_did(house: House):
    await house.leader()
    paused, late = message_of(pause("other")), message_of(Story("c1").ended("succeeded", n=7, at=9.0))
    said = map(message_of, (Story("c1").accepted(), Story("c1").ended("failed"), resume("other")))
    for message in (paused, *said, late, late, paused):
        await house.transport.publish(message)

    found = await differences(house)

    assert found.differences == []
    assert found.calls == 1


STORIES = ("fine", "open", "retried", "held", "lapsed", "late", "withdrawn", "cancelled", "conflict", "asks", "paused")


async def _said(house: House) -> None:
    story = {each: Story(each, conversation=f"of {each}") for each in STORIES}
    await house.say(*(each.accepted() for name, each in story.items() if name not in ("retried", "paused")))
    await house.say(story["fine"].ended())
    retried = Story("retried", rerunnable=True, retry=RETRIED)
    await house.say(retried.accepted(), retried.ended("failed", error=BROKE, effect="unknown", final=False))
    await until(lambda: _dispatched(house), "its second attempt")
    await house.say(retried.ended("failed", attempt=2, error=AWAY, effect="unknown"))
    await house.say(story["held"].claim(), story["lapsed"].claim("w1:2"))  # no two claims share an id
    await house.say(story["late"].ended("failed"), story["late"].ended("succeeded", n=3))
    await house.say(story["withdrawn"].withdrawn())
    await house.say(story["cancelled"].claim("w2:1"), story["cancelled"].cancel())
    await house.say(story["conflict"].accepted(gateway="g2", body_hash="another"))
    consent = Authorization(
        authorization_id="a1",
        provider="arcade/google",
        url="https://x.example/a1",
        expires_at=story["asks"].call.deadline,
    )
    asks: dict[str, Any] = {"error": error_info("authorization_required", "x"), "effect": "none", "final": False}
    await house.say(story["asks"].ended("failed", authorization=consent, **asks))
    await house.say(pause("other"), Story("paused", tool="other").accepted())
    claim: Claim = Story("paused", tool="other").claim("w3:1")
    await house.say(claim)
    await until(lambda: (row := house.row("paused")) and row.state == "scheduled", "the pause to park it")
    await house.say(resume("other"))
    await house.say(Story("more").accepted())


def _dispatched(house: House) -> bool:
    return any(each.key.startswith("call.dispatched.") for each in house.journal.read(1, 10_000))
