"""The drills that apply to a peer: the same faults upon the same loads as ours, where a peer has such a part.

Each names ours beside it. A fault first proves that it hit work under way.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.drill import Row
from tests.chaos.peers.journal import doubled
from tests.chaos.peers.yard import PeerYard
from tests.support.waiting import wait_until

#: Seconds after which an accepted call without a result counts as lost.
SETTLE: Final = 100.0


@dataclass
class PeerDrill:
    """A drill on its way; see `tests.chaos.drill.Drill`."""

    name: str
    yard: PeerYard
    seed: int
    short: bool
    in_flight: int = 0
    recovery: float | None = None

    def load(self, *, calls: int, in_flight: int, delay: float, after: float = 0.0, pay: float = 0.5) -> None:
        plan: dict[str, Any] = {"calls": calls, "in_flight": in_flight, "delay": delay, "after": after, "pay": pay}
        self.yard.order(do="load", name=self.name, seed=self.seed, **plan)

    def hit(self, number: int, what: str) -> None:
        if number <= 0:
            raise AssertionError(f"the fault of {self.name} hit nothing: no {what}")
        self.in_flight = max(self.in_flight, number)

    def recovered(self) -> None:
        self.recovery = max(self.recovery or 0.0, self.yard.probe())

    def stop(self) -> int:
        """Send no further calls; however many there were."""
        self.yard.order(do="stop")
        return 0

    def finish(self, calls: int) -> Row:
        """Wait until so many calls were sent and all that were accepted have ended, and count."""
        journal, begun = self.yard.journal, time.monotonic()

        def settled() -> bool:
            return len(journal.read().calls) >= calls and not journal.open()

        while not settled() and time.monotonic() - begun < SETTLE:
            time.sleep(0.2)
        codes = {"refused": sum(call.refused for call in journal.calls.values())}
        return Row(
            drill=self.name,
            calls=len(journal.calls),
            in_flight=self.in_flight,
            lost=len(journal.lost()),
            doubled=len(doubled(self.yard.upstream.effects_file)),
            outcome_unknown=len(journal.unknown()),
            recovery=self.recovery,
            seconds=0.0,
            codes=codes,
        )


PeerAct = Callable[[PeerDrill], int]


def broker_killed(drill: PeerDrill) -> int:
    """SIGKILL and restart under load."""
    yard, calls = drill.yard, 150 if drill.short else 600
    drill.load(calls=calls, in_flight=24, delay=0.4)
    yard.wait_for_over(20)
    drill.hit(yard.wait_for_unacked(6, "worker1"), "deliveries of the broker")
    yard.node.kill()
    yard.node.start()
    drill.recovered()
    return calls


def connections_closed(drill: PeerDrill) -> int:
    """The broker closes all connections every three seconds."""
    yard, times = drill.yard, 3 if drill.short else 20
    drill.load(calls=times * 1000, in_flight=16, delay=0.3)
    yard.wait_for_over(10)
    for _ in range(times):
        drill.hit(yard.wait_for_unacked(1, "worker1"), "deliveries on connections")
        assert yard.node.close_connections("a drill") > 0
        drill.recovered()
        time.sleep(3)
    return drill.stop()


def worker_killed_before_the_start(drill: PeerDrill) -> int:
    """Deliveries had reached it, and it had not looked at them."""
    yard = drill.yard
    yard.processes["worker1"].suspend()
    drill.load(calls=60, in_flight=30, delay=0.1)
    drill.hit(yard.wait_for_unacked(10, "worker1"), "deliveries at the worker")
    _replace_worker(drill)
    return 60


def worker_killed_with_the_request_sent(drill: PeerDrill) -> int:
    """The upstream has the requests and has done nothing yet."""
    yard, before = drill.yard, len(drill.yard.upstream.requests)
    drill.load(calls=32, in_flight=16, delay=2.0, pay=0.7)
    wait_until(lambda: len(yard.upstream.requests) >= before + 10, within=30, what="ten requests at the upstream")
    drill.hit(yard.wait_for_unacked(6, "worker1"), "requests at the upstream")
    _replace_worker(drill)
    return 32


def worker_killed_after_the_effect(drill: PeerDrill) -> int:
    """The upstream has done it and has not answered yet."""
    yard = drill.yard
    drill.load(calls=32, in_flight=16, delay=0.0, after=3.0, pay=0.8)
    wait_until(lambda: len(yard.upstream.effects()) >= 6, within=30, what="six effects at the upstream")
    drill.hit(len(yard.upstream.effects()), "effects")
    _replace_worker(drill)
    return 32


def worker_killed_before_the_ack(drill: PeerDrill) -> int:
    """The result is stored, and the ack has not left."""
    yard, proxy = drill.yard, drill.yard.proxies["worker1"]
    drill.load(calls=80, in_flight=16, delay=0.1)
    yard.wait_for_over(10)
    number = len(proxy.strikes) + 1
    proxy.strike_at("ack", "hold", after=random.Random(drill.seed).randrange(8))
    drill.hit(proxy.wait_for_strike(number).unacked, "unacked deliveries")
    _replace_worker(drill)
    return 80


def _replace_worker(drill: PeerDrill) -> None:
    """Kill it; a supervisor starts it again."""
    yard = drill.yard
    yard.kill("worker1")
    yard.proxies["worker1"].cut_all()
    yard.proxies["worker1"].go_on()
    yard.start("worker1")
    drill.recovered()


def worker_terminated_during_long_calls(drill: PeerDrill) -> int:
    """SIGTERM, with another worker beside it."""
    yard = drill.yard
    yard.start("worker2")
    yard.wait_for_consumer("worker2")
    drill.load(calls=40, in_flight=20, delay=1.5 if drill.short else 8.0)
    drill.hit(yard.wait_for_unacked(5, "worker1"), "deliveries at the worker")
    yard.stop("worker1")
    drill.recovered()
    return 40


def delivered_to_two_workers(drill: PeerDrill) -> int:
    """A worker loses its connections and goes on running what another is given at once."""
    yard = drill.yard
    yard.start("worker2")
    yard.wait_for_consumer("worker2")
    chance, times = random.Random(drill.seed), 3 if drill.short else 12
    drill.load(calls=2000, in_flight=24, delay=0.4)
    yard.wait_for_over(10)
    for _ in range(times):
        name = chance.choice(("worker1", "worker2"))
        drill.hit(yard.wait_for_unacked(3, name), "deliveries at the worker")
        assert yard.proxies[name].cut_all() > 0
        time.sleep(chance.random() * 2)
    drill.recovered()
    return drill.stop()


def producer_killed(drill: PeerDrill) -> int:
    """SIGKILL of the caller with calls open; another one, which was told their ids in time, asks for the results."""
    yard, calls = drill.yard, 120 if drill.short else 200
    drill.load(calls=calls, in_flight=calls, delay=2.0)
    wait_until(lambda: yard.journal.accepted() >= calls * 6 // 10, within=60, what="calls to be accepted")
    drill.hit(yard.journal.open(), "calls")
    yard.kill_producer(0)
    left = yard.journal.abandon()
    yard.new_producer()
    yard.order(do="follow", calls=[{"key": call.key, "kind": call.kind, "id": call.id} for call in left])
    drill.recovered()
    return len(yard.journal.calls)


#: Name of our drill -> the peers'.
PEER_DRILLS: Final[dict[str, PeerAct]] = {
    "broker_killed": broker_killed,
    "connections_closed": connections_closed,
    "worker_killed_before_the_start": worker_killed_before_the_start,
    "worker_killed_with_the_request_sent": worker_killed_with_the_request_sent,
    "worker_killed_after_the_effect": worker_killed_after_the_effect,
    "worker_killed_before_the_ack": worker_killed_before_the_ack,
    "worker_terminated_during_long_calls": worker_terminated_during_long_calls,
    "delivered_to_two_workers": delivered_to_two_workers,
    "gateway_killed": producer_killed,
}
