"""Workers freeze, are replaced one after the other, and run what another was given."""

import random
import time

from tests.chaos.drill import Drill
from tests.chaos.drills.register import SMALL, UNKNOWN, drilled
from tests.support.waiting import wait_until


@drilled()
def worker_frozen_past_its_timeouts(drill: Drill) -> None:
    """SIGSTOP for longer than any attempt may take, then SIGCONT, its connection still standing."""
    yard, drill.explained = drill.yard, (UNKNOWN, "timed_out")
    with drill.under_load(calls=40, in_flight=16, delay=1.0, fields={"timeout": 2.0}) as load:
        load.wait_for("over", 2)
        drill.hit(yard.wait_for_unacked(5, "worker1"), "deliveries at the worker")
        with yard.part("worker1").suspended():
            time.sleep(5 if drill.short else 25)
        drill.recovered()


@drilled()
def worker_frozen_past_its_heartbeats(drill: Drill) -> None:
    """SIGSTOP until the broker has given its deliveries to another, then SIGCONT: it tells what it knows, too late."""
    yard, drill.explained = drill.yard, (UNKNOWN, "timed_out", "upstream_error")
    yard.start("worker2")
    yard.ready("worker2")
    with drill.under_load(calls=60, in_flight=24, delay=1.0) as load:
        load.wait_for("over", 5)
        drill.hit(yard.wait_for_unacked(5, "worker1"), "deliveries at the worker")
        with yard.part("worker1").suspended():
            wait_until(lambda: yard.proxies["worker1"].unacked == 0, within=90, what="the broker to give it up")
        drill.recovered()


@drilled()
def rolling_restart(drill: Drill) -> None:
    """Each worker of a pool is replaced, with 200 calls queued; nobody notices."""
    yard = drill.yard
    yard.kill("worker1")
    workers = ("worker1", "worker2")
    for name in workers:
        yard.start(name, env=SMALL)
    yard.ready(*workers)
    with drill.under_load(calls=200, in_flight=200, delay=0.4, wait=0.1) as load:
        load.wait_for("accepted", 120)
        for name in workers:
            drill.hit(yard.waiting() + yard.unacked(), "calls in the queue or at workers")
            code = yard.stop(name)
            drill.must(code == 0, f"{name} ended with {code} after SIGTERM")
            yard.start(name, env=SMALL)
            yard.ready(name)
        drill.recovered()


@drilled()
def delivered_to_two_workers(drill: Drill) -> None:
    """A worker loses its connections and goes on running what another is given at once."""
    yard, drill.explained = drill.yard, (UNKNOWN,)
    yard.start("worker2")
    yard.ready("worker2")
    chance, times = random.Random(drill.seed), 3 if drill.short else 12
    with drill.under_load(calls=2000, in_flight=24, delay=0.4) as load:
        load.wait_for("over", 10)
        for _ in range(times):
            name = chance.choice(("worker1", "worker2"))
            drill.hit(yard.wait_for_unacked(3, name), "deliveries at the worker")
            assert yard.proxies[name].cut_all() > 0
            time.sleep(chance.random() * 2)
        drill.recovered()
        load.stop()
