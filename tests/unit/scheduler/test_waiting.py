"""Calls that wait although nothing was tried: for their users, and for what is down."""

from typing import Any

import msgspec
import pytest
from tests.support.ledger import NOW, Story, authorized
from tests.unit.scheduler.test_claims import LATER, folded, row_of, words

from toolyard.contracts.bounds import MOST_ATTEMPTS
from toolyard.contracts.calls import Authorization, error_info
from toolyard.contracts.control import Authorized
from toolyard.contracts.events import End
from toolyard.contracts.tools import RetryPolicy
from toolyard_scheduler.rows import Around

STORY = Story(user="ada")
OPEN = error_info("circuit_open", "api.example.com fails", retryable=True, retry_after=5.0)
BROKE = error_info("upstream_error", "503", retryable=True, retry_after=1.0)
SOON = Around(NOW + 3.0, "s1")


def of_the_call(record: Authorized) -> Authorized:
    """As the ledger tells each of the calls that wait."""
    return msgspec.structs.replace(record, call_id="c1")


def shut(story: Story, attempt: int = 1, **fields: Any) -> End:
    given: dict[str, Any] = {"effect": "none", "final": False, "error": OPEN, "started_at": None}
    return story.ended("failed", attempt, **(given | fields))


# ---- for its user ---------------------------------------------------------------------------------
def test_a_call_whose_user_must_consent_waits_and_holds_nothing():
    result = folded(STORY.accepted(), STORY.claim(), STORY.asks_its_user(claim_id="w1:1"))
    row = result.rows["c1"]

    assert (row.state, row.effect, row.attempt, row.holder, row.due_at) == (
        "awaiting_authorization",
        "none",
        2,
        None,
        None,
    )
    assert (row.parked_for, row.awaits, row.waived) == ("authorization", "arcade/google a1", 1)
    assert row.consent is not None
    consent = msgspec.json.decode(row.consent, type=Authorization)
    assert [(each.reason, each.authorization) for each in result.parked] == [("authorization", consent)]
    assert [(each.authorization, each.call.user) for each in result.consents] == [(consent, "ada")]


def test_once_its_user_consented_it_is_due():
    row = row_of(STORY.accepted(), STORY.asks_its_user(), of_the_call(authorized()))

    assert (row.state, row.due_at, row.awaits) == ("awaiting_authorization", NOW + 20.0, None)


def test_consent_told_twice_makes_one_attempt():
    said = (STORY.accepted(), STORY.asks_its_user(), of_the_call(authorized()), STORY.dispatched(2, at=21.0, waived=1))
    row = row_of(*said, of_the_call(authorized(at=22.0)))

    assert (row.state, row.attempt, row.due_at, row.consent) == ("queued", 2, None, None)


def test_the_attempt_behind_a_consent_starts_with_its_claim_and_ends_the_call():
    said = (STORY.accepted(), STORY.asks_its_user(), of_the_call(authorized()), STORY.dispatched(2, at=21.0, waived=1))
    assert words(*said, STORY.claim("w2:1", 2), STORY.claim("w3:1", 2)) == ["granted", "started"]

    row = row_of(*said, STORY.claim("w2:1", 2), STORY.ended(attempt=2, at=25.0, claim_id="w2:1"))
    assert (row.state, row.attempts) == ("succeeded", 2)


@pytest.mark.parametrize("other", [{"authorization_id": "a2"}, {"provider": "arcade/github"}])
def test_another_consent_than_the_one_it_waits_for_changes_nothing(other: dict[str, Any]):
    row = row_of(STORY.accepted(), STORY.asks_its_user(), of_the_call(authorized(**other)))

    assert (row.state, row.due_at, row.awaits) == ("awaiting_authorization", None, "arcade/google a1")


@pytest.mark.parametrize(("status", "code"), [("expired", "authorization_expired"), ("failed", "permission_denied")])
def test_a_consent_that_will_not_come_ends_it_without_effect(status: str, code: str):
    row = row_of(STORY.accepted(), STORY.asks_its_user(), of_the_call(authorized(status)))

    assert (row.settled, row.doomed, row.effect, row.due_at) == (True, code, "none", None)
    assert row.error is not None
    assert (row.error.code, row.error.retryable) == (code, False)


def test_a_deadline_that_passes_while_it_waits_is_no_timeout():
    said = (STORY.accepted(), STORY.asks_its_user(), STORY.ending(2, code="expired"), STORY.settled(2))

    assert row_of(*said).doomed == "authorization_expired"


def test_cancelled_while_it_waits_it_ends_at_once_without_effect():
    row = row_of(STORY.accepted(), STORY.asks_its_user(), STORY.cancel(at=5.0))
    assert (row.settled, row.doomed, row.effect) == (True, "cancelled", "none")

    row = row_of(STORY.accepted(), STORY.asks_its_user(), STORY.cancel(at=5.0), of_the_call(authorized()))
    assert (row.doomed, row.due_at) == ("cancelled", None), "a consent that comes too late starts nothing"


def test_what_it_waited_for_is_nothing_to_an_attempt_that_runs():
    """Its claim may be read before the record of its dispatch."""
    said = (STORY.accepted(), STORY.asks_its_user(), STORY.claim("w2:1", 2), of_the_call(authorized("failed")))
    row = row_of(*said)

    assert (row.state, row.holder, row.awaits, row.settled) == ("running", "w2:1", None, False)


def test_another_delivery_that_found_the_consent_ends_it_all_the_same():
    story = Story(user="ada", rerunnable=True)
    row = row_of(story.accepted(), story.asks_its_user(), story.ended(at=3.0, worker="w2"))

    assert (row.state, row.effect, row.awaits, row.consent) == ("succeeded", "done", None, None)
    assert row.result is not None
    assert row.result.content == "result of attempt 1"


def test_a_word_of_another_org_lets_nothing_go_on():
    row = row_of(STORY.accepted(), STORY.asks_its_user(), of_the_call(authorized(org="other")))

    assert (row.state, row.due_at, row.awaits) == ("awaiting_authorization", None, "arcade/google a1")


def test_waiting_for_its_user_spends_no_attempt_of_the_policy():
    story = Story(user="ada", retry=RetryPolicy(max_attempts=2))
    said = (story.accepted(), story.asks_its_user(), of_the_call(authorized()), story.dispatched(2, waived=1))
    broke = msgspec.structs.replace(story.ended("failed", 2, effect="none", final=False), error=BROKE)

    row = row_of(*said, broke)
    assert (row.state, row.attempt) == ("retrying", 3)
    third = msgspec.structs.replace(broke, attempt=3)
    row = row_of(*said, broke, story.dispatched(3, waived=1), third)
    assert (row.settled, row.doomed) == (True, "upstream_error")


def test_one_that_says_it_waits_for_its_user_and_not_for_what_ends():
    row = row_of(STORY.accepted(), STORY.asks_its_user(authorization=None))

    assert (row.settled, row.doomed) == (True, "authorization_required")


# ---- for what is down -----------------------------------------------------------------------------
def test_behind_an_open_circuit_a_call_waits_whatever_its_policy():
    row = row_of(STORY.accepted(), STORY.claim(), shut(STORY, claim_id="w1:1"), around=SOON)

    assert (row.state, row.attempt, row.due_at, row.waived) == ("retrying", 2, NOW + 8.0, 1)
    assert (row.effect, row.holder) == ("none", None)


def test_it_spends_nothing_of_the_retry_budget():
    assert LATER.budget.spend("default", "none_left", NOW)
    around = Around(NOW + 3.0, "s1")
    while around.budget.spend("default", "lookup", NOW + 3.0):
        pass

    assert row_of(STORY.accepted(), shut(STORY), around=around).state == "retrying"


def test_what_could_not_be_tried_again_before_its_deadline_ends_at_once():
    story = Story(deadline=NOW + 6.0)
    row = row_of(story.accepted(), shut(story), around=SOON)

    assert (row.settled, row.doomed, row.effect) == (True, "circuit_open", "none")
    assert row.error is not None
    assert row.error.retry_after == 5.0


def test_there_is_a_last_attempt():
    last = MOST_ATTEMPTS - 1
    said = (STORY.accepted(), STORY.dispatched(last, waived=last - 1), shut(STORY, last))

    assert row_of(*said, around=SOON).doomed == "circuit_open"
