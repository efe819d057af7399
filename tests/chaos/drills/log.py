"""The log is made anew or cut short under the ledger, which notices, says so, and goes on when it is told to."""

import time

from tests.chaos.drill import Drill
from tests.chaos.drills.register import UNKNOWN, drilled
from tests.support.processes import console_script
from tests.support.waiting import wait_until

from toolyard.transport import topology

#: What the scheduler ends with when the log does not continue where the ledger stands.
GAP = 3


@drilled()
def log_made_anew(drill: Drill) -> None:
    """Somebody deletes the log, calls being under way, and declares it again; the ledger is told to go on."""
    yard, drill.explained, drill.log_lost = drill.yard, (UNKNOWN, "cancelled", "timed_out", "expired"), True
    with drill.under_load(calls=3000, in_flight=16, delay=1.0, fields={"deadline": 40}) as load:
        load.wait_for("over", 20)
        with yard.still("gateway1", "gateway2", "worker1"):
            drill.hit(yard.wait_for_unacked(4, "worker1"), "deliveries")
            time.sleep(1)  # the ledger keeps up: what it has not read yet would be lost with the log, as is known
            yard.delete_queue(topology.LOG)
            yard.declare_queue(topology.LOG)
        _mend(drill)
        load.wait_for("over", load.over + 20, within=60)
        load.stop()


@drilled()
def log_cut_short(drill: Drill) -> None:
    """A power cut takes the end of the log: the broker comes back with less than the ledger has read."""
    yard, drill.explained, drill.log_lost = drill.yard, (UNKNOWN, "cancelled", "timed_out", "expired"), True
    with drill.under_load(calls=3000, in_flight=16, delay=1.0, fields={"deadline": 40}) as load:
        load.wait_for("over", 40)
        drill.hit(yard.wait_for_unacked(4, "worker1"), "deliveries")
        with yard.still("gateway1", "gateway2", "worker1"):
            time.sleep(1)
            yard.node.flush()
            yard.node.kill()
            drill.must(yard.cut_log() > 0, "the log had nothing to cut")
            yard.node.start()
        _mend(drill)
        load.wait_for("over", load.over + 20, within=60)
        load.stop()


def _mend(drill: Drill) -> None:
    """As an operator does who reads `log_gap`."""
    yard = drill.yard
    scheduler = yard.part("scheduler1")
    wait_until(lambda: not scheduler.running, within=60, what="the scheduler to end at the gap")
    drill.must(scheduler.exit_code == GAP, f"the scheduler ended with {scheduler.exit_code} at the gap")
    drill.must("log_gap" in scheduler.tail(), "the scheduler did not name the gap")
    accepted = yard.run_once(console_script("toolyard", "scheduler", "--accept-log-gap"))
    drill.must(accepted == 0, f"`toolyard scheduler --accept-log-gap` ended with {accepted}")
    yard.start("scheduler1")
    drill.recovered(stored=True)
