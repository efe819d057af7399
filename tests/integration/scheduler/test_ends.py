"""How the ledger ends calls: what their rows, and the events that tell of it, say of attempts, state and effect."""

import time
from collections.abc import Callable
from typing import Any, Final

from tests.support.house import House, a_story
from tests.support.ledger import NOW, Said, Story, pause

from toolyard.contracts.calls import error_info
from toolyard.contracts.events import End, Ended, Ending
from toolyard.contracts.tools import RetryPolicy
from toolyard.contracts.views import ended_view
from toolyard.testing.store_suite import a_spec

BROKE = error_info("upstream_error", "500", retryable=True)
LOOKUP: Final = "lookup"
HELD: Final = "held"  # the tool that is paused

Says = Callable[[Story], list[Said]]


def claimed(story: Story, attempt: int = 1, **fields: Any) -> Said:
    return story.claim(f"w{attempt}:1", attempt, time=time.time(), **fields)


def refused(story: Story, **fields: Any) -> Said:
    """Its service refused attempt 1: nothing happened, and the next attempt is due at once."""
    now = time.time()
    given: dict[str, Any] = {"effect": "none", "final": False, "error": BROKE, "started_at": now, "finished_at": now}
    return story.ended("failed", **(given | fields))


#: What is said of a call: whether its tool may run twice, whether that is paused, and how many attempts there were and
#: whether the last of them may be running still.
WAYS: Final[dict[str, tuple[bool, bool, int, bool, Says]]] = {
    "nobody_took_it": (False, False, 0, False, lambda story: []),
    "it_may_run_unheard": (True, False, 0, True, lambda story: []),
    "it_was_granted": (False, False, 1, True, lambda story: [claimed(story)]),
    "its_first_delivery_was_parked": (True, True, 0, False, lambda story: [story.parked()]),
    "its_first_delivery_asked_and_was_parked": (True, True, 0, False, lambda story: [claimed(story, first=True)]),
    "its_second_delivery_asked_and_was_parked": (True, True, 0, True, lambda story: [claimed(story)]),
    "it_is_tried_again": (
        False, False, 1, False, lambda story: [claimed(story), refused(story, claim_id="w1:1", fence=1)],
    ),
    "it_is_run_again": (True, False, 1, False, lambda story: [refused(story)]),
    "its_second_attempt_was_parked": (
        False, True, 1, False,
        lambda story: [refused(story), claimed(story, 2)],
    ),
}  # fmt: skip


async def told(house: House, *, deadline: float) -> dict[str, Story]:
    """All of them, as far as they are told here; each is overdue in so many seconds."""
    for tool in (LOOKUP, HELD):
        house.store.tools.create("default", a_spec(tool))
    await house.trusted_leader()
    await house.say(pause(HELD))
    retry = RetryPolicy(max_attempts=2, backoff=1e-6)
    stories = {}
    for way, (rerunnable, paused, _, _, says) in WAYS.items():
        tool = HELD if paused else LOOKUP
        stories[way] = story = a_story(way, deadline=deadline, tool=tool, rerunnable=rerunnable, retry=retry)
        await house.say(story.accepted(), *says(story))
    return stories


async def ends(house: House, stories: dict[str, Story]) -> dict[str, tuple[str, str, int, str | None]]:
    """State, effect, attempts and phase of each, which rows and the scheduler's own events tell alike."""
    found: dict[str, tuple[str, str, int, str | None]] = {}
    for way, story in stories.items():
        row = await house.ended(way)
        (end,) = [each for each in house.said() if isinstance(each, Ended) and is_verdict(each, way)]
        assert isinstance(end, End)
        view = ended_view(story.call, end)
        assert (view.state, view.effect, view.attempts) == (row.state, row.effect, row.attempts), way
        assert row.error is not None
        found[way] = (row.state, row.effect, row.attempts, row.error.phase)
    return found


def is_verdict(event: Ended, call_id: str) -> bool:
    return event.by == "scheduler" and event.call_id == call_id


async def test_what_is_overdue_expires_if_it_never_started_and_has_timed_out_else(house: House):
    stories = await told(house, deadline=10.0)
    wanted = {}
    for way, (_, _, attempts, running, _) in WAYS.items():
        effect = "unknown" if running else "none"
        began = attempts > 0 or running
        wanted[way] = ("timed_out", effect, attempts, "deadline") if began else ("expired", effect, 0, "queue")

    assert await ends(house, stories) == wanted


async def test_a_cancel_ends_at_once_what_is_not_running_with_the_effect_of_what_it_did_before(house: House):
    stories = await told(house, deadline=300.0)
    await house.say(*(story.cancel(at=time.time() - NOW) for story in stories.values()))

    assert await ends(house, stories) == {
        way: ("cancelled", "unknown" if running else "none", attempts, None)
        for way, (_, _, attempts, running, _) in WAYS.items()
    }
    asked_first = {each.call_id for each in house.said() if isinstance(each, Ending)}
    assert asked_first == {way for way, (_, _, _, running, _) in WAYS.items() if running}
