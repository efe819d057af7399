"""One worker dies at each place of a call's way, or is told to end."""

import random
import time
from collections import Counter

from tests.chaos.drill import Drill
from tests.chaos.drills.register import UNKNOWN, drilled
from tests.chaos.proxy import Place
from tests.support.waiting import wait_until

#: Seconds after its worker's death within which a call that may run twice runs again, if it needed no claim; if it did.
AGAIN_UNCLAIMED = 2.0
AGAIN_CLAIMED = 20.0
#: Seconds that a worker lives until it starts calls without a claim: it must know what was cancelled before it lived.
KNOWN_AFTER = 7.0


@drilled(short=True)
def worker_killed_before_the_start(drill: Drill) -> None:
    """Its deliveries had reached it, and it had not looked at them."""
    yard, drill.explained = drill.yard, (UNKNOWN,)
    yard.part("worker1").suspend()
    with drill.under_load(calls=60, in_flight=30, delay=0.1) as load:
        drill.hit(yard.wait_for_unacked(20, "worker1"), "deliveries at the worker")
        _replace_worker(drill)
        load.wait_for("over", 60, within=60)


@drilled()
def worker_killed_with_the_request_sent(drill: Drill) -> None:
    """The upstream has the requests and has done nothing yet; it does it when the worker is dead."""
    yard, drill.explained = drill.yard, (UNKNOWN,)
    before = len(yard.upstream.requests)
    with drill.under_load(calls=32, in_flight=16, delay=2.0, pay=0.7):
        wait_until(lambda: len(yard.upstream.requests) >= before + 10, within=20, what="ten requests at the upstream")
        drill.hit(yard.wait_for_unacked(6, "worker1"), "requests at the upstream")
        _replace_worker(drill)


@drilled(short=True)
def worker_killed_after_the_effect(drill: Drill) -> None:
    """The upstream has done it and has not answered yet."""
    yard, drill.explained = drill.yard, (UNKNOWN,)
    before = len(yard.upstream.effects())
    with drill.under_load(calls=32, in_flight=16, delay=0.0, after=3.0, pay=0.8):
        wait_until(lambda: len(yard.upstream.effects()) >= before + 6, within=20, what="six effects at the upstream")
        drill.hit(len(yard.upstream.effects()) - before, "effects")
        _replace_worker(drill)


@drilled()
def worker_killed_after_the_outcome(drill: Drill) -> None:
    """Its outcome stands at the broker; it has not been told, and its delivery is not acked."""
    _killed_at(drill, "confirm")


@drilled(short=True)
def worker_killed_before_the_ack(drill: Drill) -> None:
    """Its outcome is confirmed, and the ack has not left."""
    _killed_at(drill, "ack")


def _killed_at(drill: Drill, place: Place) -> None:
    yard, drill.explained = drill.yard, (UNKNOWN,)
    proxy = yard.proxies["worker1"]
    with drill.under_load(calls=300, in_flight=16, delay=0.1) as load:
        load.wait_for("over", 10)
        number = len(proxy.strikes) + 1
        proxy.strike_at(place, "hold", after=random.Random(drill.seed).randrange(8))
        drill.hit(proxy.wait_for_strike(number).unacked, "unacked deliveries")
        _replace_worker(drill)


def _replace_worker(drill: Drill) -> None:
    """Kill it; a supervisor starts it again."""
    yard = drill.yard
    yard.kill("worker1")
    yard.proxies["worker1"].cut_all()
    yard.proxies["worker1"].go_on()
    yard.start("worker1")
    drill.recovered()


@drilled()
def worker_terminated_during_long_calls(drill: Drill) -> None:
    """SIGTERM: what runs is finished, what waits goes to another."""
    yard, delay = drill.yard, 1.5 if drill.short else 8.0
    yard.start("worker2")
    yard.ready("worker2")
    with drill.under_load(calls=40, in_flight=20, delay=delay) as load:
        load.wait_for("sent", 20)
        drill.hit(yard.wait_for_unacked(5, "worker1"), "deliveries at the worker")
        code = yard.stop("worker1")
        drill.must(code == 0, f"the worker ended with {code} after SIGTERM")
        drill.recovered()


@drilled()
def worker_killed_after_the_claim(drill: Drill) -> None:
    """The ledger has granted, and the answer has not reached the worker: nobody starts, and the lease lapses."""
    yard, drill.explained = drill.yard, (UNKNOWN,)
    proxy = yard.proxies["worker1"]
    with drill.under_load(calls=80, in_flight=16, delay=0.1, pay=0.8) as load:
        load.wait_for("over", 10)
        number = len(proxy.strikes) + 1
        chance = random.Random(drill.seed)
        proxy.strike_at("deliver", "hold", after=chance.randrange(8), key="control.granted")
        drill.hit(proxy.wait_for_strike(number).unacked, "unacked deliveries")
        _replace_worker(drill)


@drilled()
def killed_workers_calls_run_again(drill: Drill) -> None:
    """What may run twice is started again by another worker: soon after a first delivery, later after a claim."""
    yard = drill.yard
    yard.start("worker2")
    yard.ready("worker2")
    time.sleep(KNOWN_AFTER)
    with drill.under_load(calls=24, in_flight=24, delay=2.0, pay=0.0) as load:
        wait_until(lambda: len(_starts(drill)) >= 4, within=30, what="all calls to run")
        again = _seconds_to_start(drill, 2, victim="worker1")
        drill.must(again <= AGAIN_UNCLAIMED, f"unclaimed calls ran again after {again:.1f} s")
        again = _seconds_to_start(drill, 3, victim="worker2")
        drill.must(again <= AGAIN_CLAIMED, f"claimed calls ran again after {again:.1f} s")
        load.wait_for("over", 4, within=60)
    drill.recovered()


def _starts(drill: Drill) -> Counter[str]:
    """How often each call of the load was started, as the upstream saw it."""
    load = drill.load
    assert load is not None
    keys = {attempt.key for attempt in load.attempts}
    return Counter(key for request in list(drill.yard.upstream.requests) if (key := request.query.get("key")) in keys)


def _seconds_to_start(drill: Drill, number: int, *, victim: str) -> float:
    """Kill a worker and start it again; seconds until the first call was started that many times."""
    yard = drill.yard
    held = yard.proxies[victim].unacked
    drill.hit(held, "calls at the worker")
    yard.kill(victim)
    killed = time.monotonic()
    yard.start(victim)
    wait_until(
        lambda: max(_starts(drill).values()) >= number, within=60, what=f"a start number {number} of a call", every=0.02
    )
    return time.monotonic() - killed
