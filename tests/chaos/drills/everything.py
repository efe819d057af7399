"""Everything is broken, one after the other or at once; and what is beyond the promises."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.chaos.drill import Drill
from tests.chaos.drills.register import UNKNOWN, drilled
from tests.chaos.yard import BASELINE


@drilled()
def random_victims(drill: Drill) -> None:
    """Rounds of calls, and in each a part chosen by chance is killed and started again."""
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled")
    chance, rounds = random.Random(drill.seed), 2 if drill.short else 12
    with drill.under_load(calls=rounds * 200, in_flight=24, delay=0.3) as load:
        for _ in range(rounds):
            load.wait_for("over", load.over + 30, within=60)
            victim = chance.choice(("worker1", "gateway1", "gateway2", "scheduler1"))
            drill.hit(load.open, "calls")
            yard.kill(victim)
            yard.start(victim)
            yard.ready(victim)
            drill.recovered(stored=True)  # one fault at a time: the ledger keeps up again
        load.stop()


@drilled(beyond=True)
def round_of_calls(drill: Drill) -> None:
    """A hundred calls, and a victim of all there are, chosen by the seed: `--rounds N` runs it N times."""
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled")
    victim = random.Random(drill.seed).choice((*BASELINE, "broker", "store"))
    with drill.under_load(calls=100, in_flight=20, delay=0.3) as load:
        load.wait_for("over", 20)
        drill.hit(load.open, "calls")
        if victim in BASELINE:
            yard.kill(victim)
            yard.start(victim)
        elif victim == "broker":
            yard.node.kill()
            yard.node.start()
        else:
            yard.database.kill()
            yard.database.start()
        drill.recovered(stored=True)


@drilled()
def everything_killed(drill: Drill) -> None:
    """All our processes, then the broker and the store: whatever was told before is still so afterwards."""
    _all_killed(drill, at_once=False)


@drilled(beyond=True)
def everything_killed_at_once(drill: Drill) -> None:
    """A power cut: beyond the promise, because an outcome reaches its gateway a moment before the log keeps it."""
    _all_killed(drill, at_once=True)


def _all_killed(drill: Drill, *, at_once: bool) -> None:
    yard, drill.explained = drill.yard, (UNKNOWN, "cancelled")
    with drill.under_load(calls=100, in_flight=24, delay=0.5) as load:
        load.wait_for("over", 20)
        drill.hit(yard.wait_for_unacked(6, "worker1"), "deliveries")
        kills: list[Callable[[], None]] = [
            partial(yard.kill, name) for name in ("worker1", "gateway1", "gateway2", "scheduler1")
        ]
        kills += [yard.node.kill, yard.database.kill]
        with ThreadPoolExecutor(len(kills) if at_once else 1) as killing:
            for done in [killing.submit(kill) for kill in kills]:
                done.result()
        yard.heal()
        drill.recovered(stored=True)
