"""What is paused waits, also when everything was started anew meanwhile, and goes on when it is resumed."""

import time

from tests.chaos.drill import Drill
from tests.chaos.drills.register import UNKNOWN, drilled
from tests.chaos.yard import BASELINE


@drilled()
def tool_paused_across_restarts(drill: Drill) -> None:
    """The tool that must not run twice; the other one goes on."""
    _paused(drill, "/v1/tools/pay", pay=1.0)


@drilled()
def pool_paused_across_restarts(drill: Drill) -> None:
    """Nothing of the pool starts."""
    _paused(drill, "/v1/pools/http")


@drilled()
def org_paused_across_restarts(drill: Drill) -> None:
    """Nothing of the org starts."""
    _paused(drill, "/v1")


def _paused(drill: Drill, what: str, pay: float = 0.5) -> None:
    yard, drill.explained = drill.yard, (UNKNOWN,)
    with drill.under_load(calls=120, in_flight=30, delay=0.3, pay=pay, repeat=1.0, wait=0.0) as load:
        load.wait_for("over", 10)
        _tell(drill, f"{what}/pause")
        load.wait_for("sent", min(load.over + 30, 120))
        time.sleep(2)  # what ran when the pause came has ended
        drill.hit(load.open, "calls")
        before = len(yard.upstream.effects())
        for name in BASELINE:
            yard.kill(name)
            yard.start(name)
        yard.ready(*BASELINE)
        time.sleep(2)
        drill.must(len(yard.upstream.effects()) == before, "a paused call was started")
        _tell(drill, f"{what}/resume")
        drill.recovered()


def _tell(drill: Drill, path: str) -> None:
    with drill.yard.system.client("gateway2") as client:
        client.post(path).raise_for_status()
