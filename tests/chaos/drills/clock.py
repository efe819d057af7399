"""One process whose wall clock is five minutes wrong."""

from tests.chaos.drill import Drill
from tests.chaos.drills.register import UNKNOWN, drilled
from tests.support.clocks import shifted

#: Seconds.
WRONG = 300


@drilled()
def worker_clock_ahead(drill: Drill) -> None:
    """Nothing is overdue for it that is not: it goes by the scheduler's clock."""
    _worker_clock(drill, WRONG)


@drilled()
def worker_clock_behind(drill: Drill) -> None:
    """The ledger gives up nothing that it runs, and what it claims is not held too long."""
    _worker_clock(drill, -WRONG)


def _worker_clock(drill: Drill, seconds: int) -> None:
    """The worker is replaced as a supervisor does it, so nothing explains an end that is no success."""
    yard = drill.yard
    with drill.under_load(calls=160, in_flight=16, delay=3.0, fields={"deadline": 60}) as load:
        load.wait_for("over", 10)
        for env in (shifted(seconds), {}):
            drill.hit(yard.wait_for_unacked(4, "worker1"), "deliveries at the worker")
            drill.must(yard.stop("worker1") == 0, "the worker ended by itself")
            yard.start("worker1", env=env)
            yard.ready("worker1")
            load.wait_for("over", load.over + 40, within=45)
        drill.recovered()


@drilled()
def gateway_clock_ahead(drill: Drill) -> None:
    """Its calls are accepted in the future: they run, and end."""
    _gateway_clock(drill, WRONG)


@drilled()
def gateway_clock_behind(drill: Drill) -> None:
    """Its calls are overdue when they are made: they end so, and no effect is denied."""
    _gateway_clock(drill, -WRONG)


def _gateway_clock(drill: Drill, seconds: int) -> None:
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled", "expired", "timed_out")
    with drill.under_load(calls=600, in_flight=16, delay=0.2, fields={"deadline": 60}) as load:
        load.wait_for("over", 10)
        yard.kill("gateway1")
        yard.start("gateway1", env=shifted(seconds))
        yard.ready("gateway1")
        drill.hit(load.open, "calls")
        yard.kill("gateway2")  # its clients go to the one whose clock is wrong
        load.wait_for("over", load.over + 60, within=90)
        yard.start("gateway2")
        yard.ready("gateway2")
        load.stop()
        drill.recovered(gateway="gateway2")


@drilled()
def scheduler_clock_ahead(drill: Drill) -> None:
    """A scheduler that finds its clock wrong leaves the lead to another."""
    _scheduler_clock(drill, WRONG)


@drilled()
def scheduler_clock_behind(drill: Drill) -> None:
    """The same, with a clock that is late."""
    _scheduler_clock(drill, -WRONG)


def _scheduler_clock(drill: Drill, seconds: int) -> None:
    yard = drill.yard
    with drill.under_load(calls=200, in_flight=16, delay=0.2, fields={"deadline": 60}) as load:
        load.wait_for("over", 20)
        drill.hit(load.open, "calls")
        yard.kill("scheduler1")
        yard.start("scheduler1", env=shifted(seconds))
        yard.start("scheduler2")
        drill.recovered(stored=True)
