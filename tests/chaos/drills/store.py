"""The store is stopped, killed and slow."""

import time

from tests.chaos.drill import Drill
from tests.chaos.drills.register import UNKNOWN, drilled
from tests.chaos.load import Load
from tests.support.waiting import wait_until


@drilled(short=True)
def store_stopped(drill: Drill) -> None:
    """Calls that need no store go on; the ledger catches up."""
    yard, drill.explained = drill.yard, ("cancelled",)
    with drill.under_load(calls=300, in_flight=24, delay=0.8, keyed=0.3, pay=0.05) as load:  # what pays waits
        load.wait_for("over", 20)
        drill.hit(load.open, "calls")
        yard.database.stop()
        away = time.monotonic()
        time.sleep(3 if drill.short else 15)
        wait_until(lambda: _ended_after(load, away + 1), within=60, what="a call that ends while the store is away")
        yard.database.start()
        drill.recovered(stored=True)


def _ended_after(load: Load, then: float) -> bool:
    return any(attempt.told_at > then for attempt in list(load.attempts))


@drilled()
def store_killed(drill: Drill) -> None:
    """SIGKILL in the middle of the ledger's transactions."""
    yard = drill.yard
    with drill.under_load(calls=300, in_flight=24, delay=0.1) as load:
        load.wait_for("over", 20)
        drill.hit(load.open, "calls")
        yard.database.kill()
        yard.database.start()
        drill.recovered(stored=True)


@drilled()
def store_slow(drill: Drill) -> None:
    """It stands still for most of the time."""
    yard = drill.yard
    with drill.under_load(calls=300, in_flight=16, delay=0.1) as load:
        load.wait_for("over", 20)
        drill.hit(load.open, "calls")
        ends = time.monotonic() + (5 if drill.short else 20)
        while time.monotonic() < ends:
            with yard.database.suspended():
                time.sleep(0.6)
            time.sleep(0.2)
        drill.recovered(stored=True)


@drilled()
def store_locked(drill: Drill) -> None:
    """Somebody holds the table of calls: the ledger waits, and whoever needs no store goes on."""
    yard = drill.yard
    with drill.under_load(calls=300, in_flight=16, delay=0.2) as load:
        load.wait_for("over", 20)
        drill.hit(load.open, "calls")
        with yard.locked_store():
            time.sleep(4 if drill.short else 20)
        drill.recovered(stored=True)


@drilled()
def store_restored(drill: Drill) -> None:
    """From a backup that is older than the calls under way: the log tells the ledger what it has forgotten."""
    yard, drill.explained = drill.yard, (UNKNOWN,)
    with drill.under_load(calls=400, in_flight=16, delay=0.3) as load:
        load.wait_for("over", 30)
        yard.back_up()
        load.wait_for("over", load.over + 60, within=60)
        drill.hit(load.open, "calls")
        yard.kill("scheduler1")
        yard.restore()
        yard.start("scheduler1")
        drill.recovered(stored=True)
