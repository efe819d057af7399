"""The breakers of a pool: who may pass, what is told of them, and what other workers' breakers do to ours."""

from typing import Any

import pytest
from msgspec import structs
from tests.support.numbers import text
from tests.unit.executors.fakes import ENVELOPE, HandClock, HandTransport, a_delivery
from tests.unit.executors.house import turns

from toolyard.contracts.control import BreakerTold
from toolyard.errors import Unavailable
from toolyard_executors.breaker import Policy
from toolyard_executors.circuits import LIMIT, TOLD_AGAIN, Circuits, Free, Passage
from toolyard_executors.executor import Finished
from toolyard_executors.metrics import Metrics

POLICY = Policy(least=4, first_pause=1, longest_pause=30)
HOST = "a.example:443"


class House:
    """The breakers of one worker, whose messages are kept."""

    def __init__(self, worker: str = "w1", *, policy: Policy | None = POLICY, clock: HandClock | None = None) -> None:
        self.clock = clock or HandClock()
        self.transport = HandTransport()
        self.metrics = Metrics()
        self.circuits = Circuits(
            transport=self.transport,
            envelope=ENVELOPE,
            clock=self.clock,
            pool="http",
            worker_id=worker,
            metrics=self.metrics,
            policy=policy,
            chance=lambda: 0.5,
        )
        self.metrics.breakers(self.circuits.standing)

    def enter(self, org: str = "default", circuit: str = HOST) -> Any:
        return self.circuits.enter(org, circuit)

    def attempt(self, *, failed: bool | None = True, **where: str) -> None:
        self.enter(**where).over(failed=failed)

    def open(self, org: str = "default", circuit: str = HOST) -> None:
        for _ in range(POLICY.least):
            self.attempt(org=org, circuit=circuit)

    def told(self) -> list[BreakerTold]:
        return [ENVELOPE.open_breaker(a_delivery(message)) for message in self.transport.breakers]

    def states(self) -> list[str]:
        return [told.state for told in self.told()]

    def lines(self) -> set[str]:
        return set(text(self.metrics.board).splitlines())


@pytest.fixture
async def house() -> House:
    return House()


async def test_an_open_breaker_ends_an_attempt_at_once_and_says_when_to_come_again(house: House):
    house.open()
    house.clock.time += 0.25
    refused = house.enter()
    assert isinstance(refused, Finished)
    assert refused.error is not None
    assert (refused.effect, refused.error.code, refused.error.retryable) == ("none", "circuit_open", True)
    assert refused.error.retry_after == 1.0  # 0.75 s, and a part of the spread
    assert refused.error.details == {"circuit": HOST, "since": "2027-01-15T08:00:00.000Z"}
    assert "a.example:443 has been failing since 2027-01-15T08:00:00.000Z" in refused.error.message


async def test_other_circuits_and_other_orgs_are_not_shut_out(house: House):
    house.open()
    assert isinstance(house.enter(org="other"), Passage)
    assert isinstance(house.enter(circuit="b.example:443"), Passage)
    assert isinstance(house.enter(), Finished)


async def test_what_has_no_circuit_or_no_policy_has_no_breaker(house: House):
    assert isinstance(house.circuits.enter("default", None), Free)
    free = House(policy=None)
    for _ in range(100):
        free.attempt()
    assert isinstance(free.enter(), Free)
    assert free.told() == []


async def test_it_is_told_when_one_opens_and_closes(house: House):
    house.open()
    house.clock.time += 1
    house.attempt(failed=False)
    opened, closed = house.told()
    assert (opened.state, opened.worker, opened.pool, opened.org, opened.circuit) == (
        "open",
        "w1",
        "http",
        "default",
        HOST,
    )
    assert (opened.seconds, opened.openings, opened.failures, opened.since) == (1.0, 1, 4, house.clock.time - 1)
    assert (closed.state, closed.episode, closed.seconds) == ("closed", opened.episode, 0.0)
    assert house.circuits._told == {}


async def test_what_is_not_closed_is_told_again_and_again(house: House):
    house.open()
    for _ in range(2 * int(TOLD_AGAIN)):
        house.clock.time += 1
        house.circuits.look()
    assert house.states() == ["open", "half_open", "half_open"]


async def test_a_telling_that_fails_is_counted_and_hurts_nobody(house: House):
    house.transport.control_failures.append(Unavailable("the broker is away"))
    house.open()
    await turns()
    assert 'toolyard_breaker_untold_total{pool="http"} 1' in house.lines()
    assert isinstance(house.enter(), Finished)


async def test_another_worker_learns_without_a_failure_of_its_own(house: House):
    other = House("w2", clock=house.clock)
    house.open()
    for told in house.told():
        other.circuits.hear(told)
    refused = other.enter()
    assert isinstance(refused, Finished)
    assert isinstance(other.enter(org="other"), Passage)
    other.circuits.look()
    assert other.told() == []  # one that tells it is enough
    house.clock.time += 1
    other.attempt(failed=False)
    for told in other.told():
        house.circuits.hear(told)
    assert isinstance(house.enter(), Passage)
    assert isinstance(house.enter(), Passage)


async def test_of_several_that_tell_the_same_one_goes_on(house: House):
    other = House("w2", clock=house.clock)
    house.open()
    other.circuits.hear(house.told()[0])
    house.clock.time += 1
    for each in (house, other):
        each.attempt(failed=True)  # both probes fail, and both tell it
    mine, theirs = house.told()[-1], other.told()[-1]
    house.circuits.hear(theirs)
    other.circuits.hear(mine)
    before = len(house.told()), len(other.told())
    house.clock.time += TOLD_AGAIN
    for each in (house, other):
        each.circuits.look()
    assert (len(house.told()), len(other.told())) == (before[0] + 1, before[1])


async def test_what_it_told_itself_and_what_closes_nothing_is_passed_over(house: House):
    house.open()
    opened = house.told()[0]
    fresh = House("w1")
    fresh.circuits.hear(opened)
    assert isinstance(fresh.enter(), Passage)
    other = House("w2")
    for state in ("closed", "half_open"):
        other.circuits.hear(_changed(opened, state=state))
    assert other.circuits._known == {}


async def test_a_breaker_that_nobody_needs_here_is_forgotten_here_alone(house: House):
    """Another worker's probe may have been under way all the time: that is not to be let go by a word of ours."""
    house.open()
    house.clock.time += 1 + POLICY.idle + 0.1
    house.circuits.look()
    assert list(house.circuits.standing()) == []
    assert "closed" not in house.states()


async def test_it_shows_what_is_not_closed_and_counts(house: House):
    house.open()
    house.open(circuit="b.example:80")
    house.open(circuit="b.example:80", org="other")
    house.enter()
    house.clock.time += 1
    assert isinstance(house.enter(circuit='q"\\'), Passage)
    house.attempt(circuit=HOST, failed=False)
    assert {
        'toolyard_breaker_state{pool="http",circuit="b.example:80"} 1',
        'toolyard_breaker_transitions_total{pool="http",to="open"} 3',
        'toolyard_breaker_transitions_total{pool="http",to="half_open"} 1',
        'toolyard_breaker_transitions_total{pool="http",to="closed"} 1',
        'toolyard_circuit_open_total{pool="http"} 1',
    } <= house.lines()
    assert not any("a.example" in line for line in house.lines())


async def test_no_more_circuits_are_remembered_than_the_bound(house: House):
    house.open()
    for number in range(LIMIT):
        house.attempt(circuit=f"h{number}:80", failed=False)
    assert len(house.circuits._known) == LIMIT
    assert house.circuits._told == {}
    assert isinstance(house.enter(), Passage)


async def test_how_an_attempt_ended_whose_breaker_was_forgotten_meanwhile_is_nobodys(house: House):
    passages = [house.enter() for _ in range(POLICY.least)]
    for number in range(LIMIT):
        house.attempt(circuit=f"h{number}:80", failed=False)
    for passage in passages:
        passage.over(failed=True)
    assert house.told() == []


def _changed(told: BreakerTold, **fields: Any) -> BreakerTold:
    return structs.replace(told, **fields)
