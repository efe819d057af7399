"""Code that owns a locked child, in every standing that a worker can have: nothing it tries succeeds."""

import platform
import re
from collections.abc import Iterator

import pytest
from tests.support.jail.attacks import ATTACKS, Attack
from tests.support.jail.yard import SECRET, STANDINGS, Yard

CHILDREN = 2
LIMITS = {"wall": 20.0, "cpu": 10.0, "memory": 64 << 20}
#: Each child that waits has a socket and a pidfd; how many wait just now is chance.
DESCRIPTORS_OF_WAITING = 2 * (CHILDREN + 1)
#: The worker, the fork server, its keeper, and the children that wait, one of which may just be born or buried.
MOST_PROCESSES = 3 + CHILDREN + 2

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="attacks by the numbers of x86_64")


@pytest.fixture(scope="module", params=STANDINGS)
def yard(request: pytest.FixtureRequest) -> Iterator[Yard]:
    with Yard(request.param, children=CHILDREN) as started:
        yield started


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=lambda attack: attack.name.replace(" ", "_"))
def test_an_attack_fails(yard: Yard, attack: Attack):
    before = yard.run("result = 'fine'")

    after = yard.run(attack.source, answers=attack.answers, limits={**LIMITS, **attack.limits})

    verdict = after.verdict
    said = verdict.body.decode(errors="replace") if verdict.how == "answered" else verdict.reason
    assert verdict.how == attack.how, said
    assert re.search(attack.says, said), said
    assert (verdict.signal in attack.signals) if attack.signals else verdict.signal is None
    assert SECRET.encode() not in verdict.body
    assert SECRET not in verdict.reason
    assert after.descriptors <= before.descriptors + DESCRIPTORS_OF_WAITING
    assert after.processes <= MOST_PROCESSES


def test_the_next_run_finds_nothing_of_the_one_before(yard: Yard):
    yard.run("import json, random, builtins\njson.loads = builtins.len = print = None\nrandom.seed(1)\nresult = 1")

    after = yard.run("import builtins\nresult = [json.loads('[1]'), builtins.len('ab')]")

    assert after.verdict.body == b"[[1], 2]"


def test_children_do_not_draw_the_same_random_numbers(yard: Yard):
    drawn = {yard.run("import random\nresult = random.random()").verdict.body for _ in range(3)}

    assert len(drawn) == 3
