"""What a worker says of another pool's call: nothing is done with it, and it is told."""

import msgspec
import pytest
from tests.support.ledger import NOW, Story
from tests.unit.scheduler.test_fallbacks import broke

from toolyard.contracts.tools import RetryPolicy
from toolyard_scheduler.budget import RetryBudget
from toolyard_scheduler.entries import Content, Entry, Folded
from toolyard_scheduler.folding import calls_to_know, fold
from toolyard_scheduler.rows import Around

STORY = Story(pool="lambda")
AROUND = Around(NOW + 3.0, "s1")


def foreign(content: Content) -> Content:
    """The same, said by a worker of the pool http."""
    return msgspec.structs.replace(content, pool="http")


def folded(*said: Content | Entry) -> Folded:
    result = Folded()
    entries = [each if isinstance(each, Entry) else Entry(n, f"m{n}", each) for n, each in enumerate(said)]
    fold(entries, result, AROUND)
    return result


SAID = {
    "started": STORY.started(),
    "succeeded": STORY.ended(),
    "failed": STORY.ended("failed"),
    "failed, and may be tried again": broke(STORY),
    "parked": STORY.parked(),
    "claim": STORY.claim(),
}


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_it_changes_nothing(said: Content):
    before = folded(STORY.accepted())
    after = folded(STORY.accepted(), foreign(said))
    assert after.rows == before.rows
    assert [entry.content for entry in after.foreign] == [foreign(said)]
    assert (after.answers, after.granted, after.freed) == ([], [], [])


def test_a_grant_is_not_given_back_by_another_pool():
    released = STORY.released()
    after = folded(STORY.accepted(), STORY.claim(), Entry(2, "m2", released, pool="http"))
    assert after.rows["c1"].holder == "w1:1"
    assert len(after.foreign) == 1
    assert folded(STORY.accepted(), STORY.claim(), Entry(2, "m2", released, pool="lambda")).rows["c1"].holder is None


def test_the_schedulers_own_word_is_not_foreign():
    after = folded(STORY.accepted(), foreign(STORY.verdict()))
    assert (after.rows["c1"].state, after.foreign) == ("timed_out", [])


def test_the_fallback_may_speak_once_it_has_taken_over_and_no_third_pool():
    story = Story(pool="arcade", fallback="http")
    second = story.ended(attempt=2)
    early = folded(story.accepted(), foreign(story.ended()))
    assert len(early.foreign) == 1
    taken_over = (story.accepted(), broke(story))
    assert folded(*taken_over, foreign(second)).rows["c1"].state == "succeeded"
    third = folded(*taken_over, msgspec.structs.replace(second, pool="lambda"))
    assert (third.rows["c1"].state, len(third.foreign)) == ("retrying", 1)
    assert calls_to_know([Entry(0, "m0", second)], third.rows) == ["c1"]


def test_a_ledger_that_was_set_back_learns_from_a_dispatch_that_the_fallback_took_over():
    story = Story(pool="arcade", fallback="http")
    at_http = Story(pool="http")
    after = folded(story.accepted(), at_http.dispatched(2), at_http.ended(attempt=2))
    assert (after.rows["c1"].state, after.rows["c1"].diverted, after.foreign) == ("succeeded", True, [])


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
@pytest.mark.parametrize("body_hash", ["hash", "any"])
def test_what_was_said_before_the_call_came_is_forgotten_when_it_comes(said: Content, body_hash: str):
    early = msgspec.structs.replace(said, pool="http", body_hash=body_hash)
    own = Entry(1, "m1", STORY.accepted())
    assert folded(early, own).rows == folded(own).rows


def test_a_claim_of_a_call_that_was_not_there_holds_nothing_once_it_is():
    after = folded(foreign(STORY.claim("w9:1")), STORY.accepted(), STORY.claim())
    assert (after.rows["c1"].holder, after.freed, after.untrue) == ("w1:1", ["w9:1"], ["c1"])


def test_the_fallback_of_the_very_same_call_is_believed_before_it():
    story = Story(pool="arcade", fallback="http")
    second = story.ended(attempt=2)
    assert folded(foreign(second), story.accepted()).rows["c1"].state == "succeeded"
    other = msgspec.structs.replace(second, pool="http", body_hash="any")
    assert folded(other, story.accepted()).rows["c1"].state == "queued"


def test_a_worker_cannot_spend_what_another_tool_may_still_retry():
    story = Story(retry=RetryPolicy(max_attempts=2))
    budget = RetryBudget()
    result = Folded()
    said = msgspec.structs.replace(broke(story), tool="another")
    fold(
        [Entry(n, f"m{n}", each) for n, each in enumerate((story.accepted(), said))], result, Around(NOW, budget=budget)
    )
    assert result.rows["c1"].state == "retrying"
    assert budget.spend("default", "another", NOW)
    assert int(budget._purses["default", "another"].left) == int(budget._purses["default", "lookup"].left)
