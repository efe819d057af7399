"""What a gateway remembers of the workers' breakers, and for how long."""

from msgspec import structs
from tests.unit.executors.fakes import HandClock
from tests.unit.shared.contracts.samples import BREAKERS

from toolyard_gateway import breakers as module
from toolyard_gateway.breakers import KEPT, Breakers

OPEN = BREAKERS["breaker"]


def shown(breakers: Breakers, org: str = "acme") -> list[tuple[str, str, float]]:
    return [
        (each["circuit"], each["state"], each["retry_after"]) for pool in breakers.of(org).values() for each in pool
    ]


def test_the_time_until_it_is_tried_again_runs_here_and_then_it_is_half_open():
    clock = HandClock()
    breakers = Breakers(clock)
    breakers.hear(OPEN)
    clock.time += 1
    assert shown(breakers) == [("api.example.com:443", "open", 0.5)]
    clock.time += 1
    assert shown(breakers) == [("api.example.com:443", "half_open", 0.0)]


def test_what_nobody_tells_of_any_more_is_forgotten_and_what_is_told_again_is_not():
    clock = HandClock()
    breakers = Breakers(clock)
    breakers.hear(OPEN)
    clock.time += OPEN.seconds + KEPT
    assert len(shown(breakers)) == 1
    breakers.hear(structs.replace(OPEN, state="half_open", seconds=0.0))
    clock.time += KEPT
    assert len(shown(breakers)) == 1
    clock.time += 0.1
    assert shown(breakers) == []
    assert len(breakers._heard) == 0


def test_a_closed_one_is_gone():
    breakers = Breakers(HandClock())
    breakers.hear(OPEN)
    breakers.hear(structs.replace(OPEN, state="closed"))
    assert shown(breakers) == []
    breakers.hear(structs.replace(OPEN, state="closed"))


def test_an_org_sees_its_own():
    breakers = Breakers(HandClock())
    breakers.hear(OPEN)
    assert shown(breakers, "other") == []


def test_no_more_are_remembered_than_the_bound(monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 3)
    breakers = Breakers(HandClock())
    for number in range(5):
        breakers.hear(structs.replace(OPEN, circuit=f"h{number}:80"))
    assert [circuit for circuit, *_ in shown(breakers)] == ["h2:80", "h3:80", "h4:80"]
