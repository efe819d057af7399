"""A worker's clock is put right by the scheduler's word, and never put wrong by a late answer."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs
from tests.support.numbers import text
from tests.unit.executors.fakes import HandClock, settled
from tests.unit.executors.worker_house import House

from toolyard.contracts.calls import VERSION
from toolyard.contracts.control import Pauses
from toolyard.contracts.events import Ended, Expired, Succeeded
from toolyard.security.signing import Keyring
from toolyard.transport.envelope import Envelope
from toolyard_executors.clock import TOLERANCE, WorkerClock, corrected
from toolyard_executors.judgement import MARGIN

#: Each row: what was added before; how far our machine's clock is ahead; seconds from our asking to the scheduler's
#: clock, and from there to our hearing; what is added then.
RIGHT_CLOCKS = {
    "quick": (0.0, 0.0, 0.01, 0.01, 0.0),
    "asked long before it was read": (0.0, 0.0, 900.0, 0.01, 0.0),
    "heard long after it was told": (0.0, 0.0, 0.01, 900.0, 0.0),
    "a little ahead": (0.0, TOLERANCE, 0.01, 0.01, 0.0),
    "a little behind": (0.0, -TOLERANCE, 0.01, 0.01, 0.0),
    "set right since": (-300.0, 0.0, 0.01, 0.01, 0.0),
}
WRONG_CLOCKS = {
    "ahead": (0.0, 300.0, 0.01, 0.02, -299.99),
    "behind": (0.0, -300.0, 0.01, 0.02, 299.98),
    "just beyond": (0.0, 5.1, 0.0, 0.0, -5.1),
    "ahead by no more than the answer took": (0.0, 300.0, 300.0, 0.01, 0.0),
    "ahead, asked long before it was read": (0.0, 300.0, 100.0, 0.01, -200.0),
    "behind, asked long before it was read": (0.0, -300.0, 100.0, 0.01, 299.99),
    "ahead, heard late": (0.0, 300.0, 0.01, 100.0, -299.99),
    "the next answer tells more": (-200.0, 300.0, 1.0, 0.01, -299.0),
    "the next answer tells less": (-299.9, 300.0, 100.0, 0.01, -299.9),
    "known well enough": (-299.995, 300.0, 0.01, 0.02, -299.995),
    "another one": (-300.0, -60.0, 0.01, 0.02, 59.98),
}
CASES = RIGHT_CLOCKS | WRONG_CLOCKS


@pytest.mark.parametrize(("before", "ahead", "there", "back", "offset"), CASES.values(), ids=CASES)
def test_the_offset_follows_the_schedulers_word_within_the_time_that_its_answer_took(
    before: float, ahead: float, there: float, back: float, offset: float
):
    told = 1_800_000_000.0
    found = corrected(before, asked=told - there + ahead, told=told, own=told + back + ahead)
    assert found == pytest.approx(offset, abs=1e-6)


@pytest.mark.parametrize("before", [0.0, -300.0])
def test_an_answer_over_which_our_clock_was_set_back_tells_nothing(before: float):
    assert corrected(before, asked=1300.0, told=1000.0, own=1000.5) == before


# ---- the clock --------------------------------------------------------------------------------
def ask(clock: WorkerClock, machine: HandClock) -> None:
    """A question and its answer by a scheduler whose clock is right."""
    clock.set(asked=clock.own(), told=machine.time)


@pytest.mark.parametrize("wrong", [300.0, -300.0])
def test_a_clock_that_was_put_right_goes_on_and_stays_right_when_the_machines_is_set(wrong: float):
    machine = HandClock(wrong=wrong)
    clock = WorkerClock(machine)
    assert (clock.now(), clock.offset) == (machine.time + wrong, 0.0)
    ask(clock, machine)
    assert (clock.now(), clock.own(), clock.offset) == (machine.time, machine.time + wrong, -wrong)
    machine.time += 10.0
    machine.wrong = 0.0
    assert clock.now() == machine.time
    ask(clock, machine)
    machine.wrong = 1.0  # from here on the machine's clock serves again
    assert (clock.now(), clock.offset) == (machine.time + 1.0, 0.0)


def test_a_wrong_clock_is_told_once_with_its_amount_and_what_to_do_and_so_is_its_end():
    machine = HandClock(wrong=300.0)
    clock = WorkerClock(machine)
    with capture_logs() as logs:
        for machine.wrong in (300.0, 300.0, 301.0, -20.0, -20.0, 0.0, 0.0):
            ask(clock, machine)
    told = [(line["log_level"], line.get("seconds"), line.get("way")) for line in logs]
    assert told == [("warning", 300.0, "ahead"), ("warning", 20.0, "behind"), ("info", None, None)]
    assert logs[0]["do"] == "synchronise the time of this machine (NTP)"


# ---- the worker -------------------------------------------------------------------------------
@pytest.fixture(params=[300.0, -300.0], ids=["ahead", "behind"])
def machine(request: pytest.FixtureRequest) -> HandClock:
    return HandClock(wrong=request.param)


@pytest.fixture
async def house(machine: HandClock) -> AsyncIterator[House]:
    house = House(WorkerClock(machine))
    house.transport.ledger.now = lambda: machine.time
    yield house
    await house.worker.stop(drain=0)


async def test_a_worker_whose_machines_clock_is_wrong_judges_and_tells_by_the_schedulers(house: House, machine):
    await house.start()
    machine.time += MARGIN + 1.0  # what is accepted from now on needs no claim
    young = {"call_id": "young", "now": machine.time, "rerunnable": True}
    late = {"call_id": "late", "now": machine.time - 0.9, "deadline": machine.time - 0.5, "rerunnable": True}
    once = {"call_id": "once", "now": machine.time}
    await asyncio.gather(*(house.start_call(**call)[1] for call in (young, late, once)))
    ends = {end.call_id: end for end in house.transport.events() if isinstance(end, Ended)}
    assert {call_id: type(end) for call_id, end in ends.items()} == {
        "young": Succeeded,
        "late": Expired,
        "once": Succeeded,
    }
    assert {end.finished_at for end in ends.values()} == {ends["young"].started_at} == {machine.time}
    assert [claim.time for claim in house.transport.ledger.claims] == [machine.time]
    assert house.worker.ready().details["clock_offset"] == -machine.wrong
    assert f"toolyard_worker_clock_offset_seconds {-machine.wrong:.3f}".rstrip("0") in text(house.worker.board)


async def test_what_is_known_of_pauses_is_known_since_a_moment_of_the_right_clock(house: House, machine):
    await house.start()
    assert house.worker._pauses.known_since == machine.time


async def test_a_scheduler_that_does_not_send_back_when_it_was_asked_changes_no_clock(house: House, machine):
    house.transport.ledger.echoes = False
    await house.start()
    assert "clock_offset" not in house.worker.ready().details
    assert house.worker._pauses.known_since == machine.now()


async def test_a_stranger_puts_no_clock_wrong(house: House, machine):
    await house.start()
    stranger = Envelope(Keyring({"k": b"s" * 32}))
    time = {"time": machine.time - 1000.0, "asked": machine.now()}
    heard = house.hear(stranger.control(Pauses(v=VERSION, sender="s", paused=(), **time)))
    assert settled(heard) == ["ack"]
    assert house.worker.ready().details["clock_offset"] == -machine.wrong
