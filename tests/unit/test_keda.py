"""The decisions that the scaling test lets real workers follow: those of KEDA and of Kubernetes' autoscaler."""

from typing import Final

import pytest
from tests.support.keda import Autoscaler, Direction, Policy, Scaling, read

from toolyard.contracts.tools import POOLS
from toolyard.transport import topology
from toolyard_executors.places import places_of

UP: Final = Direction(0, (Policy("Percent", 100, 15), Policy("Pods", 4, 15)))
DOWN: Final = Direction(300, (Policy("Percent", 25, 60), Policy("Pods", 1, 60)))
SCALING: Final = Scaling("toolyard", "queue", value=10, activation=0, polling=5, cooldown=300, up=UP, down=DOWN)


class Watched:
    """An autoscaler, and the pool as it decides."""

    def __init__(self, *, minimum: int = 0, maximum: int = 20, workers: int = 0) -> None:
        self._autoscaler = Autoscaler(SCALING, minimum=minimum, maximum=maximum)
        self.workers = workers
        self.now = 0.0

    def after(self, seconds: float, calls: int) -> int:
        """How many there are when so many seconds have passed with so many calls; it is looked each second."""
        for _ in range(int(seconds)):
            self.now += 1
            self.workers = self._autoscaler.decide(self.now, self.workers, calls)
        return self.workers


def test_none_are_left_alone_and_any_call_starts_one() -> None:
    pool = Watched()
    assert pool.after(60, calls=0) == 0
    assert pool.after(5, calls=1) == 1


def test_a_pool_with_a_minimum_has_it_without_any_call() -> None:
    assert Watched(minimum=2).after(60, calls=0) == 2


def test_it_grows_by_four_or_to_the_double_in_a_period_and_not_past_its_maximum() -> None:
    pool = Watched(workers=1)
    assert pool.after(1, calls=1_000) == 5
    assert pool.after(14, calls=1_000) == 5
    assert pool.after(2, calls=1_000) == 10
    assert pool.after(60, calls=1_000) == 20


@pytest.mark.parametrize(("calls", "workers"), [(30, 3), (33, 3), (34, 4), (41, 5)])
def test_a_tenth_more_than_wanted_changes_nothing(calls: int, workers: int) -> None:
    assert Watched(workers=3).after(1, calls) == workers


def test_it_shrinks_one_by_one_once_less_was_enough_for_five_minutes() -> None:
    pool = Watched(workers=4)
    assert pool.after(1, calls=40) == 4
    assert pool.after(299, calls=8) == 4
    assert pool.after(20, calls=8) == 3
    assert pool.after(45, calls=8) == 3
    assert pool.after(15, calls=8) == 2
    assert pool.after(300, calls=8) == 1


def test_what_is_wanted_again_within_these_minutes_keeps_them() -> None:
    pool = Watched(workers=4)
    pool.after(1, calls=40)
    pool.after(280, calls=8)
    pool.after(15, calls=40)
    assert pool.after(280, calls=8) == 4


def test_the_last_ones_go_when_there_was_no_call_for_the_cooldown() -> None:
    pool = Watched(workers=1)
    pool.after(10, calls=1)
    assert pool.after(295, calls=0) == 1
    assert pool.after(10, calls=0) == 0


@pytest.mark.parametrize("pool", POOLS)
def test_the_manifests_of_each_pool_are_such_that_they_can_be_tried_here(pool: str) -> None:
    scaling = read(pool)
    assert scaling.queue == topology.pool_queue(pool)
    assert 1 < scaling.value <= places_of(pool)
    assert scaling.faster(10).cooldown == scaling.cooldown / 10
