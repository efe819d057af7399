"""Messages come twice, late and in another order than they were sent."""

import time

from tests.chaos.drill import Drill
from tests.chaos.drills.register import UNKNOWN, drilled
from tests.support.waiting import wait_until

from toolyard.transport import topology


@drilled()
def messages_published_twice(drill: Drill) -> None:
    """Somebody who may publish repeats pool messages after their calls have ended: only claims can tell the copies."""
    yard = drill.yard
    with yard.copies(topology.CALLS) as copies, drill.under_load(calls=60, in_flight=20, delay=0.1) as load:
        load.wait_for("over", 50)
        drill.hit(copies.publish_again(20), "messages")
        drill.recovered()


@drilled()
def everything_published_twice(drill: Drill) -> None:
    """Every call, event, claim and answer is repeated byte for byte, the newest first, while other calls run."""
    yard = drill.yard
    exchanges = (topology.CALLS, topology.EVENTS, topology.CONTROL)
    with yard.copies(*exchanges) as copies, drill.under_load(calls=200, in_flight=16, delay=0.2) as load:
        load.wait_for("over", 30)
        for _ in range(3):
            drill.hit(copies.publish_all_again(newest_first=True), "messages")
            load.wait_for("over", load.over + 10, within=60)
        drill.recovered(stored=True)


@drilled(short=True)
def deliveries_out_of_order(drill: Drill) -> None:
    """What comes together comes in any order, at workers and gateways; and again, because its connections are cut."""
    yard, drill.explained = drill.yard, (UNKNOWN,)
    parts = [yard.proxies[name] for name in ("worker1", "gateway1", "gateway2")]
    for number, proxy in enumerate(parts):
        proxy.shuffle(drill.seed + number)
    calls = 200 if drill.short else 600
    with drill.under_load(calls=calls, in_flight=64, delay=0.05) as load:
        load.wait_for("over", calls // 2, within=60)
        drill.hit(sum(proxy.shuffled for proxy in parts), "deliveries that came together")
        yard.proxies["worker1"].cut_all()
        drill.recovered()


@drilled()
def outcomes_too_late(drill: Drill) -> None:
    """A worker's outcomes arrive after the ledger has given it up: the verdict stands, the outcome is a late one."""
    yard, drill.explained, drill.wants_late = drill.yard, (UNKNOWN, "timed_out"), True
    yard.start("worker2")
    yard.ready("worker2")
    before = len(yard.upstream.effects())
    with drill.under_load(calls=40, in_flight=20, delay=0.2, after=2.0, fields={"timeout": 5.0}) as load:
        wait_until(lambda: len(yard.upstream.effects()) >= before + 4, within=30, what="effects at the upstream")
        drill.hit(yard.wait_for_unacked(2, "worker1"), "deliveries at the worker")
        yard.proxies["worker1"].stall()
        over = load.over
        load.wait_for("over", min(over + 8, 40), within=90)  # verdicts on what the silent worker held, and the others'
        time.sleep(15)
        yard.proxies["worker1"].go_on()
        drill.recovered()
