"""The pool's queue is deleted, full, and declared anew."""

import httpx
from tests.chaos.drill import Drill
from tests.chaos.drills.register import SMALL, UNKNOWN, drilled
from tests.chaos.load import Load
from tests.support.waiting import wait_until

from toolyard.transport import topology


@drilled()
def pool_queue_deleted(drill: Drill) -> None:
    """An operator deletes the pool's queue with what waits in it: it is declared, and those calls run all the same."""
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled")
    yard.kill("worker1")
    yard.start("worker1", env=SMALL)
    yard.ready("worker1")
    with drill.under_load(calls=150, in_flight=60, delay=0.4, fields={"deadline": 120}) as load:
        wait_until(lambda: yard.waiting() >= 10, within=20, what="ten calls to wait in the queue")
        drill.hit(yard.delete_pool_queue(), "calls in the queue")
        drill.recovered()
        load.wait_for("sent", 150, within=120)


@drilled()
def pool_queue_full(drill: Drill) -> None:
    """It takes no more: who publishes is refused, and nothing that was refused happens."""
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled")
    yard.kill("worker1")
    with yard.limited_pool_queue(20):
        with yard.system.client() as client:  # one after the other: what comes in one rush is taken above the limit
            wait_until(lambda: _is_refused(client), within=30, what="the queue to be full")
        with drill.under_load(calls=100, in_flight=60, delay=0.2, repeat=1.0) as load:
            refused = wait_until(
                lambda: _refused(load) if _refused(load) >= 10 else 0, within=30, what="refusals of a full queue"
            )
            drill.hit(refused, "refusals")
            yard.start("worker1")
            yard.ready("worker1")
            load.wait_for("over", 60, within=60)
    drill.recovered()


def _is_refused(client: httpx.Client) -> bool:
    call = {"tool": "look", "arguments": {"key": "fill", "delay": 0}}
    return client.post("/v1/calls", json=call, headers={"Prefer": "wait=0"}).status_code == 503


def _refused(load: Load) -> int:
    return sum(any(problem.startswith("503") for problem in attempt.problems) for attempt in list(load.attempts))


@drilled()
def pool_queue_declared_anew(drill: Drill) -> None:
    """Deleted with what waits in it and declared again at once, empty; then the broker is killed."""
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled")
    yard.kill("worker1")
    yard.start("worker1", env=SMALL)
    yard.ready("worker1")
    with drill.under_load(calls=120, in_flight=60, delay=0.4, fields={"deadline": 120}) as load:
        wait_until(lambda: yard.waiting() >= 10, within=20, what="ten calls to wait in the queue")
        drill.hit(yard.delete_pool_queue(), "calls in the queue")
        yard.declare_queue(topology.pool_queue("http"))
        drill.recovered()
        load.wait_for("over", 60, within=120)
        yard.node.flush()
        yard.node.kill()
        yard.node.start()
        drill.recovered()
