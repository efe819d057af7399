"""The broker is killed, stopped, frozen and out of memory."""

import math
import time

from tests.chaos.drill import Drill
from tests.chaos.drills.register import UNKNOWN, drilled

#: Seconds until the first success after the broker is back, at the 95th percentile.
BACK_WITHIN = 5.0


@drilled(short=True)
def broker_killed(drill: Drill) -> None:
    """SIGKILL and restart under load."""
    _broker_killed(drill, repeat_pay=0.0)


def _broker_killed(drill: Drill, *, repeat_pay: float) -> None:
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled")
    calls = 150 if drill.short else 600
    with drill.under_load(
        calls=calls, in_flight=24, delay=0.4, repeat_pay=repeat_pay, fields={"deadline": 120}
    ) as load:
        load.wait_for("over", 20)
        drill.hit(yard.wait_for_unacked(6, "worker1"), "deliveries of the broker")
        yard.node.kill()
        yard.node.start()
        drill.recovered()


@drilled()
def broker_stopped(drill: Drill) -> None:
    """Stopped in good order for five seconds, as for an upgrade."""
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled")
    with drill.under_load(calls=400, in_flight=24, delay=0.4) as load:
        load.wait_for("over", 20)
        drill.hit(yard.wait_for_unacked(6, "worker1"), "deliveries of the broker")
        yard.node.stop()
        time.sleep(5)
        yard.node.start()
        drill.recovered()


@drilled()
def broker_frozen(drill: Drill) -> None:
    """SIGSTOP for longer than the heartbeats allow."""
    _frozen(drill, 8 if drill.short else 40)


def _frozen(drill: Drill, seconds: float) -> None:
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled")
    with drill.under_load(calls=300, in_flight=24, delay=0.5) as load:
        load.wait_for("over", 10)
        drill.hit(yard.wait_for_unacked(6, "worker1"), "deliveries of the broker")
        with yard.node.suspended():
            time.sleep(seconds)
        drill.recovered()


@drilled()
def memory_alarm(drill: Drill) -> None:
    """The broker takes no publishes; acks still pass."""
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled")
    with drill.under_load(calls=100 if drill.short else 400, in_flight=16, delay=0.4) as load:
        load.wait_for("over", 10)
        drill.hit(yard.wait_for_unacked(6, "worker1"), "deliveries of the broker")
        with yard.node.blocked():
            time.sleep(4 if drill.short else 20)
        drill.recovered()


@drilled()
def broker_killed_and_keys_repeated(drill: Drill) -> None:
    """What was not confirmed is sent again by another gateway, which cannot know that the first one's stands."""
    _broker_killed(drill, repeat_pay=1.0)


@drilled()
def broker_restarts(drill: Drill) -> None:
    """Again and again: how soon the first call succeeds after the broker is back."""
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled")
    times = 2 if drill.short else 20
    seconds = []
    with drill.under_load(calls=times * 400, in_flight=12, delay=0.3) as load:
        for _ in range(times):
            load.wait_for("over", load.over + 15, within=60)
            drill.hit(yard.wait_for_unacked(3, "worker1"), "deliveries of the broker")
            yard.node.kill()
            yard.node.start()
            seconds.append(yard.first_success())
        load.stop()
    drill.recovery = sorted(seconds)[math.ceil(len(seconds) * 0.95) - 1]
    drill.must(drill.recovery <= BACK_WITHIN, f"first successes after {[round(each, 2) for each in seconds]} s")
