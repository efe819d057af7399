"""When a worker asks what is paused and what time it is."""

import pytest
from tests.unit.executors.fakes import ENVELOPE, HandClock, HandTransport, a_delivery

from toolyard.contracts.control import PausesAsked
from toolyard_executors.attendance import ASK_AGAIN, Attendance
from toolyard_executors.clock import TOLERANCE, WorkerClock
from toolyard_executors.pauses import Pauses


class House:
    """A worker's attendance, looked at by hand; its queue is heard as long as the test says."""

    def __init__(self) -> None:
        self.machine = HandClock(wrong=-300.0)
        self.clock = WorkerClock(self.machine)
        self.transport = HandTransport()
        self.pauses = Pauses()
        self.hears = True
        self.attendance = Attendance(
            transport=self.transport,
            envelope=ENVELOPE,
            clock=self.clock,
            worker_id="w1",
            pools=["http"],
            beats=[],
            circuits=[],
            pauses=self.pauses,
            hears=lambda: self.hears,
        )

    def look(self, *, after: float = 1.0) -> list[float]:
        """What the questions of one look say of the time."""
        self.machine.time += after
        before = len(self.transport.controls)
        self.attendance._look()
        messages = [ENVELOPE.open_control(a_delivery(each)) for each in self.transport.controls[before:]]
        return [message.time for message in messages if isinstance(message, PausesAsked)]

    def know(self) -> None:
        self.pauses.learn((), now=self.clock.now(), asked_at=self.clock.monotonic())


@pytest.fixture
async def house() -> House:
    return House()


async def test_it_asks_every_second_until_it_is_answered(house: House):
    assert [len(house.look()) for _ in range(3)] == [1, 1, 1]
    house.know()
    assert house.look() == []


async def test_the_question_tells_the_machines_own_time_right_or_wrong(house: House):
    house.clock.set(asked=house.machine.now(), told=house.machine.time)
    assert house.clock.now() == house.machine.time
    assert house.look() == [house.machine.now()]


async def test_it_asks_again_what_time_it_is(house: House):
    house.look()
    house.know()
    asked = [len(house.look()) for _ in range(3 * int(ASK_AGAIN))]
    assert asked == 3 * [*(int(ASK_AGAIN) - 1) * [0], 1]


async def test_it_asks_at_once_when_somebody_has_set_the_machines_clock(house: House):
    house.look()
    house.know()
    house.machine.wrong += TOLERANCE - 1.0  # a small step, as synchronisation makes it
    assert house.look() == []
    house.machine.wrong += TOLERANCE + 1.0
    house.hears = False
    assert house.look() == []
    house.hears = True
    assert len(house.look()) == 1
    assert house.look() == []


async def test_it_asks_again_when_it_may_have_missed_something(house: House):
    house.look()
    house.know()
    house.hears = False
    assert house.look(after=31.0) == []
    assert not house.pauses.known
    house.hears = True
    assert len(house.look()) == 1
    house.know()
    assert house.pauses.known


async def test_what_was_asked_before_something_was_missed_is_no_answer(house: House):
    house.look()
    house.know()
    asked_at = house.clock.monotonic()
    house.hears = False
    house.look(after=31.0)
    house.hears = True
    house.pauses.learn((), now=house.clock.now(), asked_at=asked_at)
    assert not house.pauses.known
