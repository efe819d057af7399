"""Gateways and schedulers are killed, stopped and frozen."""

import time

from tests.chaos.drill import Drill
from tests.chaos.drills.register import UNKNOWN, drilled


@drilled(short=True)
def gateway_killed(drill: Drill) -> None:
    """SIGKILL with hundreds of accepted calls open; the other gateway answers for them."""
    yard, drill.explained = drill.yard, (UNKNOWN,)
    calls = 120 if drill.short else 500
    with drill.under_load(calls=calls, in_flight=calls, delay=4.0, wait=0.3) as load:
        load.wait_for("accepted", calls * 6 // 10, within=60)
        drill.hit(load.open, "calls")
        yard.kill("gateway1")
        drill.recovered(gateway="gateway2")
        yard.start("gateway1")
        yard.ready("gateway1")


@drilled()
def gateway_terminated(drill: Drill) -> None:
    """SIGTERM with calls open: who waits has an answer."""
    yard = drill.yard
    with drill.under_load(calls=60, in_flight=30, delay=1.0) as load:
        load.wait_for("over", 5)
        drill.hit(load.open, "calls")
        code = yard.stop("gateway1")
        drill.must(code == 0, f"the gateway ended with {code} after SIGTERM")
        drill.recovered(gateway="gateway2")


@drilled(short=True)
def scheduler_killed(drill: Drill) -> None:
    """The only scheduler: calls go on without it, and its successor catches up."""
    yard = drill.yard
    with drill.under_load(calls=250, in_flight=16, delay=0.4, pay=0.04) as load:  # what pays waits
        load.wait_for("over", 20)
        drill.hit(load.open, "calls")
        yard.kill("scheduler1")
        over = load.over
        time.sleep(2)
        load.wait_for("over", over + 1)  # without a scheduler
        yard.start("scheduler1")
        drill.recovered(stored=True)


@drilled()
def leading_scheduler_killed(drill: Drill) -> None:
    """Two schedulers, and the one that leads is killed."""
    yard = drill.yard
    yard.start("scheduler2")
    yard.ready("scheduler2")
    with drill.under_load(calls=200, in_flight=16, delay=0.2) as load:
        load.wait_for("over", 20)
        drill.hit(load.open, "calls")
        yard.kill("scheduler1")
        drill.recovered(stored=True)


@drilled()
def leading_scheduler_frozen(drill: Drill) -> None:
    """Two schedulers; the one that leads is frozen until the other leads, and goes on as if it still did."""
    yard = drill.yard
    yard.start("scheduler2")
    yard.ready("scheduler2")
    with drill.under_load(calls=400, in_flight=16, delay=0.2) as load:
        load.wait_for("over", 20)
        drill.hit(load.open, "calls")
        with yard.part("scheduler1").suspended():
            drill.recovered(stored=True)
        load.wait_for("over", min(load.over + 60, 390), within=60)
        yard.ready("scheduler1", "scheduler2")


@drilled()
def key_repeated_while_nobody_keeps_the_ledger(drill: Drill) -> None:
    """A gateway dies with calls in flight while no scheduler runs; clients repeat their keys at the other one.

    That gateway cannot know what the first one took: only claims keep the tool from running twice.
    """
    yard, drill.explained = drill.yard, (UNKNOWN,)
    yard.kill("scheduler1")
    with drill.under_load(calls=200, in_flight=30, delay=0.4, wait=1.0, keyed=1.0, repeat_pay=1.0):
        drill.hit(yard.wait_for_unacked(20, "worker1"), "deliveries")
        yard.kill("gateway1")
        time.sleep(3)
        yard.start("scheduler1")
        yard.start("gateway1")
        drill.recovered(stored=True, gateway="gateway2")
