"""Connections are closed, cut at a frame, slow and silent."""

import random
import time

from tests.chaos.drill import Drill
from tests.chaos.drills.register import UNKNOWN, drilled
from tests.chaos.proxy import Place


@drilled()
def connections_closed(drill: Drill) -> None:
    """The broker closes all connections every three seconds."""
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled")
    times = 3 if drill.short else 20
    with drill.under_load(calls=times * 150, in_flight=16, delay=0.3) as load:
        load.wait_for("over", 10)
        for _ in range(times):
            drill.hit(yard.wait_for_unacked(6, "worker1"), "deliveries on connections")
            assert yard.node.close_connections("a drill") > 0
            drill.recovered()
            time.sleep(3)
        load.stop()


@drilled(short=True)
def cut_before_the_confirm(drill: Drill) -> None:
    """What was published stands at the broker, and its publisher is never told."""
    _cuts(drill, "confirm", "gateway1", "worker1", "scheduler1")


@drilled(short=True)
def cut_before_the_ack(drill: Drill) -> None:
    """The outcome is told, and its delivery comes again."""
    _cuts(drill, "ack", "worker1", "gateway1")


@drilled()
def cut_in_the_middle_of_a_publish(drill: Drill) -> None:
    """Half a body reaches the broker."""
    _cuts(drill, "publish_body", "gateway1", "worker1", "scheduler1")


@drilled(short=True)
def cut_in_the_middle_of_a_delivery(drill: Drill) -> None:
    """Half a body reaches a part."""
    _cuts(drill, "deliver_body", "worker1", "gateway1", "scheduler1")


def _cuts(drill: Drill, place: Place, *parts: str) -> None:
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled")
    chance, times = random.Random(drill.seed), 1 if drill.short else 6
    with drill.under_load(calls=5000, in_flight=16, delay=0.2) as load:
        load.wait_for("over", 10)
        for part in parts * times:
            proxy, scheduler = yard.proxies[part], part == "scheduler1"
            number = len(proxy.strikes) + 1
            proxy.strike_at(place, after=chance.randrange(2 if scheduler else 20))  # it publishes once a second
            strike = proxy.wait_for_strike(number)
            drill.hit(load.open if scheduler else strike.unconfirmed + strike.unacked, place)
            drill.recovered()
        load.stop()


@drilled()
def slow_links(drill: Drill) -> None:
    """Every piece between the parts and the broker takes 50 ms."""
    yard = drill.yard
    with drill.under_load(calls=200, in_flight=16, delay=0.1) as load:
        load.wait_for("over", 10)
        drill.hit(load.open, "calls")
        for proxy in yard.proxies.values():
            proxy.delay(0.05)
        load.wait_for("over", 150, within=120)
        for proxy in yard.proxies.values():
            proxy.delay(0)
        drill.recovered()


@drilled()
def stalled_links(drill: Drill) -> None:
    """Nothing passes between the worker and the broker for longer than the heartbeats allow; nothing is closed."""
    yard, drill.explained = drill.yard, (UNKNOWN,)
    yard.start("worker2")
    yard.ready("worker2")
    with drill.under_load(calls=300, in_flight=24, delay=0.5) as load:
        load.wait_for("over", 10)
        drill.hit(yard.wait_for_unacked(6, "worker1"), "deliveries at the worker")
        yard.proxies["worker1"].stall()
        time.sleep(8 if drill.short else 45)
        yard.proxies["worker1"].go_on()
        drill.recovered()
