"""How the ledger ends a call: by what may have been started of it, and whether it may be running still."""

from typing import Any, Final, NamedTuple

import pytest
from tests.support.ledger import NOW, Story
from tests.unit.scheduler.test_claims import LATER, folded, row_of

from toolyard.contracts.calls import error_info
from toolyard.contracts.control import Paused
from toolyard.contracts.tools import RetryPolicy
from toolyard.states import Effect
from toolyard.store.ledger_rows import LedgerRow
from toolyard_scheduler.entries import Content, Entry, Folded
from toolyard_scheduler.folding import fold
from toolyard_scheduler.verdicts import end_of

BROKE = error_info("upstream_error", "500", retryable=True)
PAUSED = LATER.with_pauses(frozenset({Paused(kind="tool", org="default", name="lookup")}))
ONCE = Story(queue_timeout=50.0, retry=RetryPolicy(max_attempts=3))
AGAIN = Story(queue_timeout=50.0, retry=RetryPolicy(max_attempts=3), rerunnable=True)
TIMED: Final = Story(not_before=NOW + 60.0, rerunnable=True, retry=RetryPolicy(max_attempts=3))


# ---- the rule -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("code", "attempts", "effect", "running", "end"),
    [
        # overdue before any start
        ("timed_out", 0, "none", False, ("expired", "none")),
        ("expired", 0, "none", False, ("expired", "none")),
        # overdue after one, whatever it did
        ("timed_out", 1, "none", False, ("timed_out", "none")),
        ("timed_out", 1, "done", False, ("timed_out", "done")),
        ("expired", 1, "none", False, ("timed_out", "none")),
        ("expired", 2, "unknown", False, ("timed_out", "unknown")),
        # it cannot be said that there was none
        ("timed_out", 0, "none", True, ("timed_out", "unknown")),
        ("expired", 0, "none", True, ("timed_out", "unknown")),
        ("expired", 0, "unknown", False, ("timed_out", "unknown")),
        # anything else ends as what it is
        ("cancelled", 0, "none", False, ("cancelled", "none")),
        ("cancelled", 1, "none", False, ("cancelled", "none")),
        ("cancelled", 1, "done", False, ("cancelled", "done")),
        ("cancelled", 2, "none", True, ("cancelled", "unknown")),
        ("outcome_unknown", 1, "none", True, ("outcome_unknown", "unknown")),
        ("internal", 0, "none", False, ("internal", "none")),
    ],
)
def test_start_and_effect_decide_the_end(
    code: str, attempts: int, effect: Effect, running: bool, end: tuple[str, Effect]
):
    assert end_of(code, attempts=attempts, effect=effect, running=running) == end


# ---- where a call may be ------------------------------------------------------------------------------
def broke(story: Story, attempt: int = 1, effect: Effect = "none", claim_id: str | None = None) -> Content:
    fields: dict[str, Any] = {"effect": effect, "final": False, "error": BROKE, "claim_id": claim_id}
    return story.ended("failed", attempt, **fields)


class Place(NamedTuple):
    """Where a call is.

    Attributes:
        said: of it, up to here; ``held`` where its tool is paused meanwhile.
        attempts: that started.
        effect: what it may have done, as far as that is known.
        running: whether its newest attempt may be running.
    """

    story: Story
    said: tuple[Content, ...]
    attempts: int
    effect: Effect
    running: bool = False
    held: bool = False


ONCE_CLAIMED = (ONCE.claim(), broke(ONCE, claim_id="w1:1"))
FIRST_ASKS = AGAIN.claim(first=True)
PLACES: Final = {
    # in the queue, for the first time
    "queued": Place(ONCE, (), 0, "none"),
    "queued, may start without a claim": Place(AGAIN, (), 0, "unknown", running=True),
    "queued, given back": Place(ONCE, (ONCE.claim(), ONCE.released()), 0, "none"),
    "queued, given back by its first delivery": Place(AGAIN, (FIRST_ASKS, AGAIN.released()), 0, "none"),
    "queued, given back by another delivery": Place(
        AGAIN, (AGAIN.claim(), AGAIN.released()), 0, "unknown", running=True
    ),
    "queued, put back because its message was lost": Place(AGAIN, (AGAIN.dispatched(),), 0, "unknown", running=True),
    # in the queue, once more
    "queued again after no effect": Place(ONCE, (*ONCE_CLAIMED, ONCE.dispatched(2)), 1, "none"),
    "queued again after no effect of what may run twice": Place(AGAIN, (broke(AGAIN), AGAIN.dispatched(2)), 1, "none"),
    "queued again after an effect": Place(AGAIN, (broke(AGAIN, effect="done"), AGAIN.dispatched(2)), 1, "done"),
    # parked
    "waits for its time": Place(TIMED, (), 0, "none"),
    "its time has come": Place(TIMED, (TIMED.dispatched(at=60.0),), 0, "none"),
    "its time has come, and was given back": Place(
        TIMED, (TIMED.dispatched(at=60.0), TIMED.claim(), TIMED.released()), 0, "none"
    ),
    "parked for a retry": Place(ONCE, ONCE_CLAIMED, 1, "none"),
    "parked for a retry of what may run twice": Place(AGAIN, (broke(AGAIN),), 1, "none"),
    "parked for a retry after an effect": Place(AGAIN, (broke(AGAIN, effect="unknown"),), 1, "unknown"),
    "parked for a retry, asked by its first delivery": Place(
        AGAIN, (FIRST_ASKS, broke(AGAIN, claim_id="w1:1")), 1, "none"
    ),
    "parked for a retry, asked by another delivery": Place(
        AGAIN, (AGAIN.claim(), broke(AGAIN, claim_id="w1:1")), 1, "unknown"
    ),
    "parked for a retry, after two": Place(
        AGAIN, (broke(AGAIN), AGAIN.claim("w2:1", 2), broke(AGAIN, 2, claim_id="w2:1")), 2, "none"
    ),
    "paused": Place(ONCE, (ONCE.claim(),), 0, "none", held=True),
    "paused, given up by its first delivery": Place(AGAIN, (AGAIN.parked(),), 0, "none", held=True),
    "paused, asked by its first delivery": Place(AGAIN, (FIRST_ASKS,), 0, "none", held=True),
    "paused, asked by another delivery": Place(AGAIN, (AGAIN.claim(),), 0, "unknown", running=True, held=True),
    "paused after an attempt": Place(ONCE, (broke(ONCE), ONCE.claim("w2:1", 2)), 1, "none", held=True),
    "paused after an attempt of what may run twice": Place(
        AGAIN, (broke(AGAIN), AGAIN.claim("w2:1", 2)), 1, "none", held=True
    ),
    "its pause was over, and it was given back": Place(
        AGAIN, (AGAIN.parked(), AGAIN.claim(), AGAIN.released()), 0, "none"
    ),
    "its pause is over": Place(AGAIN, (AGAIN.parked(), AGAIN.dispatched()), 0, "none"),
    "its pause is over, asked by another delivery": Place(
        AGAIN, (AGAIN.claim(), AGAIN.dispatched(at=20.0)), 0, "unknown", running=True, held=True
    ),
    # with a worker
    "claimed": Place(ONCE, (ONCE.claim(),), 1, "unknown", running=True),
    "claimed by its first delivery": Place(AGAIN, (FIRST_ASKS,), 1, "unknown", running=True),
    "claimed again": Place(ONCE, (*ONCE_CLAIMED, ONCE.claim("w2:1", 2)), 2, "unknown", running=True),
    "running": Place(ONCE, (ONCE.claim(), ONCE.started()), 1, "unknown", running=True),
    "running without a claim": Place(AGAIN, (AGAIN.started(),), 1, "unknown", running=True),
}
anywhere = pytest.mark.parametrize("name", PLACES)


def row_at(place: Place, *then: Content) -> LedgerRow:
    result = Folded()
    said = (place.story.accepted(), *place.said, *then)
    entries = [Entry(offset, f"m{offset}", content) for offset, content in enumerate(said)]
    fold(entries, result, PAUSED if place.held else LATER)
    return result.rows["c1"]


def marks(place: Place, code: str) -> tuple[Content, Content]:
    row = row_at(place)
    holder, story = row.holder or "", place.story
    return story.ending(row.attempt, claim_id=holder, code=code), story.settled(row.attempt, claim_id=holder)


def told(row: LedgerRow) -> tuple[str | None, Effect, int, str | None]:
    assert row.settled
    assert row.error is not None
    return row.doomed, row.effect, row.attempts, row.error.phase


@anywhere
def test_its_deadline_ends_it(name: str):
    place = PLACES[name]
    started = place.attempts > 0 or place.running
    end = ("timed_out", place.effect, "deadline") if started else ("expired", "none", "queue")

    assert told(row_at(place, *marks(place, "timed_out"))) == (end[0], end[1], place.attempts, end[2])


@anywhere
def test_a_cancel_ends_at_once_what_is_not_running_and_asks_first_else(name: str):
    place = PLACES[name]
    cancelled = row_at(place, place.story.cancel(at=90.0))
    assert cancelled.settled != place.running

    if place.running:
        cancelled = row_at(place, place.story.cancel(at=90.0), *marks(place, "cancelled"))
    assert told(cancelled) == ("cancelled", place.effect, place.attempts, None)


@pytest.mark.parametrize("name", [name for name, place in PLACES.items() if row_at(place).holder is None])
def test_a_claim_past_all_times_ends_at_once_what_is_not_running(name: str):
    """Of what was not started that is its time in the queue, of anything else its deadline."""
    place = PLACES[name]
    late = place.story.claim("late:1", row_at(place).attempt, at=301.0)
    end = ("timed_out", "deadline") if place.attempts else ("expired", "queue")
    ended = row_at(place, late)
    assert ended.settled != place.running

    if place.running:
        end = ("timed_out", "deadline")
        ended = row_at(place, late, *marks(place, "expired"))
    assert told(ended) == (end[0], place.effect, place.attempts, end[1])


@pytest.mark.parametrize(("at", "word"), [(79.0, "granted"), (81.0, "terminal")])
def test_the_time_it_was_parked_is_not_counted_as_time_in_the_queue(at: float, word: str):
    paused = AGAIN.parked(at=10.0)
    (answer,) = folded(AGAIN.accepted(), paused, AGAIN.dispatched(at=30.0), AGAIN.claim(at=at)).answers

    assert getattr(answer.message, "reason", "granted") == word


def test_a_first_delivery_that_asks_too_late_has_not_started():
    row = row_of(AGAIN.accepted(), AGAIN.claim(at=51.0, first=True))

    assert told(row) == ("expired", "none", 0, "queue")


def test_what_a_redelivered_attempt_says_of_itself_is_not_all_there_was():
    said = (AGAIN.accepted(), AGAIN.claim(), AGAIN.ended("failed", effect="none", claim_id="w1:1"))

    assert row_of(*said).effect == "unknown"
    assert row_of(AGAIN.accepted(), FIRST_ASKS, said[2]).effect == "none"
