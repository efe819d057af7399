"""Cancels that race with outcomes, and that come while nobody runs what they are about."""

from tests.chaos.drill import Drill
from tests.chaos.drills.register import UNKNOWN, drilled
from tests.chaos.load import Load


@drilled(short=True)
def cancels_race_with_outcomes(drill: Drill) -> None:
    """Each call is cancelled about when it ends: it has one end, and its effect is told truly."""
    drill.explained = ("cancelled",)
    calls, times = (150, {"delay": 0.8, "cancel_within": 1.6}) if drill.short else (10_000, _LONG)
    with drill.under_load(calls=calls, in_flight=48, cancel=1.0, **times) as load:
        load.wait_for("over", 20)
        drill.hit(load.open, "calls")
        load.wait_for("over", calls, within=60 + calls / 20)
    ends = [attempt.told[0][0] for attempt in load.attempts if attempt.cancelled_at and attempt.told]
    for state in ("cancelled", "succeeded"):
        drill.must(ends.count(state) > calls // 50, f"only {ends.count(state)} of {len(ends)} ended {state}: no race")
    drill.recovered()


_LONG = {"delay": 0.3, "cancel_within": 0.6}


@drilled(short=True)
def cancelled_while_queued(drill: Drill) -> None:
    """No worker runs when they are cancelled; the one that starts later drops them."""
    yard, drill.explained = drill.yard, ("cancelled",)
    yard.kill("worker1")
    before = len(yard.upstream.requests)
    with drill.under_load(calls=40, in_flight=40, cancel=1.0, cancel_within=0.2, wait=0.0) as load:
        load.wait_for("accepted", 40)
        drill.hit(load.open, "calls")
        load.wait_for("cancelled", 40)
        yard.start("worker1")
        load.wait_for("over", 40, within=60)
    drill.must(len(yard.upstream.requests) == before, "what was cancelled in the queue was started")
    drill.must(_all(load, "cancelled"), f"ends: {[attempt.told for attempt in load.attempts][:5]}")
    drill.recovered()


@drilled()
def cancels_while_a_worker_dies(drill: Drill) -> None:
    """The worker is killed with cancelled calls running."""
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled")
    with drill.under_load(calls=80, in_flight=20, delay=2.0, cancel=0.7, cancel_within=1.0) as load:
        load.wait_for("cancelled", 5)
        drill.hit(yard.wait_for_unacked(5, "worker1"), "deliveries at the worker")
        yard.kill("worker1")
        yard.start("worker1")
        drill.recovered()


def _all(load: Load, state: str) -> bool:
    return all(told == state for attempt in load.attempts for told, _, _ in attempt.told)
