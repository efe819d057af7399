"""The correlator: who may say that a call ended, and what is looked up."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.gateway.rig import START, SetClock

from toolyard.clock import SYSTEM
from toolyard.contracts.calls import Authorization, Call, error_info
from toolyard.contracts.events import (
    Cancelled,
    Claimed,
    Ending,
    Expired,
    Failed,
    Parked,
    SoftTimeout,
    Started,
    Succeeded,
    Withdrawn,
    about,
)
from toolyard.errors import Refused, StoreUnavailable
from toolyard.store.base import CallRow
from toolyard_gateway import correlation
from toolyard_gateway.correlation import GRACE, MAX_LOOKED_UP, SOON, Correlator
from toolyard_gateway.pending import REMEMBERED, Answer, Ended, Pending


class Ledger:
    """The ended calls of the store."""

    def __init__(self) -> None:
        self.rows: dict[str, CallRow] = {}
        self.asked: list[list[str]] = []
        self.away = False

    async def ended(self, call_ids):
        self.asked.append(list(call_ids))
        if self.away:
            raise StoreUnavailable("away")
        return [self.rows[one] for one in call_ids if one in self.rows]


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def correlator(clock, ledger) -> Correlator:
    return Correlator(look_up=ledger.ended, clock=clock, max_open=100, max_bytes=10_000)


def call_of(name: str = "one", **more) -> Call:
    said: dict[str, Any] = {
        "call_id": name,
        "org": "default",
        "tool": "echo",
        "version": 1,
        "pool": "http",
        "gateway": "gw-1",
        "principal": "admin",
        "arguments": {},
        "body_hash": "h",
        "accepted_at": START,
        "deadline": START + 300,
        "timeout": 30.0,
    }
    return Call(**said | more)


def expected(correlator: Correlator, call: Call | None = None, *, size: int = 10):
    pending = correlator.expect(call or call_of(), size)
    pending.accepted = True
    return pending


def succeeded(call: Call, **more) -> Succeeded:
    said: dict[str, Any] = {"attempt": 1, "sequence": 1_000_002, "time": START, "finished_at": START, "effect": "done"}
    return Succeeded(**about(call) | said | more)


def failed(call: Call, **more) -> Failed:
    said: dict[str, Any] = {
        "attempt": 1,
        "sequence": 1_000_002,
        "time": START,
        "started_at": START,
        "finished_at": START,
        "effect": "unknown",
    }
    return Failed(**about(call) | said | {"error": error_info("tool_error", "it broke")} | more)


def ended_row(call: Call, **more) -> CallRow:
    said: dict[str, Any] = {
        "state": "succeeded",
        "effect": "done",
        "attempts": 1,
        "started_at": START,
        "finished_at": START + 1,
    }
    return CallRow(call, **said | more)


def state_of(pending: Pending) -> bytes:
    return pending.now().body.partition(b'"state":"')[2].partition(b'"')[0]


# ---- who may say so -----------------------------------------------------------------------------


async def test_the_outcome_of_a_worker_ends_a_call(correlator):
    pending = expected(correlator)

    correlator.receive(succeeded(pending.call))

    assert pending.over.done()
    assert state_of(pending) == b"succeeded"
    assert correlator.open == 0


async def test_a_second_end_changes_nothing(correlator):
    pending = expected(correlator)

    correlator.receive(succeeded(pending.call))
    correlator.receive(failed(pending.call))

    assert state_of(pending) == b"succeeded"


async def test_an_end_of_another_body_is_not_ours(correlator):
    pending = expected(correlator)

    correlator.receive(succeeded(replace(pending.call, body_hash="other")))

    assert not pending.over.done()


async def test_an_outcome_that_is_retried_ends_nothing(correlator):
    pending = expected(correlator)

    correlator.receive(failed(pending.call, final=False))

    assert not pending.over.done()


async def test_a_failure_of_an_older_attempt_ends_nothing_but_its_success_does(correlator):
    pending = expected(correlator)
    correlator.receive(Started(**about(pending.call), attempt=2, sequence=2_000_001, time=START, worker="w"))

    correlator.receive(failed(pending.call))
    before = pending.over.done()
    correlator.receive(succeeded(pending.call))

    assert (before, pending.over.done()) == (False, True)


async def test_after_ending_only_the_scheduler_ends_a_call(correlator):
    pending = expected(correlator)
    said: dict[str, Any] = {"attempt": 1, "sequence": 1_900_000, "time": START}
    correlator.receive(Ending(**about(pending.call), **said, code="timed_out"))

    correlator.receive(succeeded(pending.call))
    before = pending.over.done()
    correlator.receive(failed(pending.call, by="scheduler"))

    assert (before, state_of(pending)) == (False, b"failed")


async def test_once_a_second_worker_may_speak_only_the_scheduler_ends_a_call(correlator, ledger):
    pending = expected(correlator)
    correlator.receive(Claimed(**about(pending.call), attempt=1, sequence=1_900_000, time=START))

    correlator.receive(succeeded(pending.call))
    before = pending.over.done()
    ledger.rows["one"] = ended_row(pending.call, state="failed")
    await correlator.look_up()

    assert (before, state_of(pending)) == (False, b"failed")


@pytest.mark.parametrize("kind", [Cancelled, Expired, Failed])
async def test_what_a_worker_did_not_start_has_ended_when_the_ledger_says_so(correlator, ledger, kind):
    """Another worker may start it: the ledger alone knows."""
    pending = expected(correlator)
    said: dict[str, Any] = {"attempt": 1, "sequence": 1_000_002, "time": START, "finished_at": START, "effect": "none"}

    correlator.receive(kind(**about(pending.call) | said))
    before = pending.over.done()
    correlator.receive(kind(**about(pending.call) | said, by="scheduler"))

    assert (before, state_of(pending)) == (False, kind.__struct_config__.tag.encode())


@pytest.mark.parametrize(
    ("reason", "state"), [("retry", b"retrying"), ("not_before", b"scheduled"), ("paused", b"scheduled")]
)
async def test_who_waits_for_a_parked_call_goes_on_waiting(correlator, reason, state):
    pending = expected(correlator)
    said: dict[str, Any] = {"attempt": 1, "time": START}

    correlator.receive(failed(pending.call, final=False, error=error_info("upstream_error", "away")))
    correlator.receive(Parked(**about(pending.call), **said, sequence=1_900_000, reason=reason))
    parked = (pending.over.done(), state_of(pending), pending.told)
    correlator.receive(Started(**about(pending.call), attempt=2, sequence=2_000_001, time=START + 5, worker="w"))
    running = state_of(pending)
    correlator.receive(succeeded(pending.call, attempt=2, started_at=START + 5))

    assert parked == (False, state, [(1_900_000, "parked")])
    assert (running, state_of(pending)) == (b"running", b"succeeded")
    assert b'"attempts":2' in pending.now().body
    assert b'"started_at":"2027-01-15T08:00:00.000Z"' in pending.now().body


async def test_what_happens_on_the_way_is_remembered_in_its_order_and_up_to_a_bound(correlator):
    pending = expected(correlator)
    said: dict[str, Any] = {"attempt": 1, "sequence": 1, "time": START}

    correlator.receive(SoftTimeout(**about(pending.call), **said, ends_at=START + 6, worker="w"))
    for _ in range(100):
        correlator.receive(Parked(**about(pending.call), **said, reason="paused", by="executor"))

    numbers = [number for number, _ in pending.told]
    assert [name for _, name in pending.told][:3] == ["soft_timeout", "parked", "parked"]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 64


@pytest.mark.parametrize(("left", "ends"), [(1.5, True), (0.9, False), (-5, False)])
async def test_in_the_last_second_only_the_ledger_ends_a_call(correlator, clock, left, ends):
    pending = expected(correlator)
    clock.move(300 - left)

    correlator.receive(succeeded(pending.call))

    assert pending.over.done() is ends


async def test_an_outcome_that_is_held_is_looked_up_at_once(correlator, clock, ledger):
    pending = expected(correlator)
    clock.move(299.5)
    correlator.receive(succeeded(pending.call))
    ledger.rows["one"] = ended_row(pending.call, state="timed_out")

    await correlator.look_up()

    assert ledger.asked == [["one"]]
    assert state_of(pending) == b"timed_out"


async def test_a_held_outcome_is_looked_up_soon_and_then_less(correlator, clock, ledger):
    pending = expected(correlator)
    waiting = asyncio.create_task(correlator.wait(pending, 60))
    await asyncio.sleep(0)
    correlator.receive(Claimed(**about(pending.call), attempt=1, sequence=1_900_000, time=START))
    correlator.receive(succeeded(pending.call))

    looks = []
    for _ in range(4):
        clock.move(pending.look_at - clock.monotonic())
        await correlator.look_up()
        looks.append(round(clock.monotonic(), 1))

    assert looks == [0.2, 0.4, 0.8, 1.6]
    correlator.release()
    await waiting


async def test_a_withdrawn_call_goes_on(correlator):
    pending = expected(correlator)

    correlator.receive(Withdrawn(**about(pending.call), attempt=0, sequence=1, time=START))

    assert not pending.over.done()


async def test_events_of_no_open_call_are_dropped(correlator):
    correlator.receive(succeeded(call_of("nobody asked")))

    assert correlator.ended("default", "nobody asked") is None


# ---- the store ----------------------------------------------------------------------------------


async def test_young_calls_are_not_looked_up_and_older_ones_in_one_query(correlator, clock, ledger):
    old = [expected(correlator, call_of(f"old {n}")) for n in range(3)]
    waiting = [asyncio.create_task(correlator.wait(pending, 60)) for pending in old]
    clock.move(2.1)
    young = expected(correlator, call_of("young"))
    waiting.append(asyncio.create_task(correlator.wait(young, 60)))
    await asyncio.sleep(0)
    ledger.rows["old 1"] = ended_row(old[1].call)

    await correlator.look_up()

    assert ledger.asked == [["old 0", "old 1", "old 2"]]
    assert [pending.over.done() for pending in (*old, young)] == [False, True, False, False]
    correlator.release()
    await asyncio.gather(*waiting)


async def test_calls_that_nobody_waits_for_are_not_looked_up(correlator, clock, ledger):
    expected(correlator)
    clock.move(10)

    await correlator.look_up()

    assert ledger.asked == []


async def test_after_a_lost_connection_every_open_call_is_looked_up_once(correlator, ledger):
    pending = expected(correlator)
    correlator.suspect_all()

    await correlator.look_up()
    await correlator.look_up()

    assert ledger.asked == [[pending.call.call_id]]


async def test_a_store_that_is_away_ends_nothing_and_is_asked_again(correlator, ledger):
    pending = expected(correlator)
    correlator.suspect_all()
    ledger.away = True
    await correlator.look_up()
    ledger.away, ledger.rows["one"] = False, ended_row(pending.call)

    await correlator.look_up()

    assert pending.over.done()


async def test_the_ledger_having_another_request_under_the_id_is_a_conflict(correlator, ledger):
    pending = expected(correlator)
    correlator.suspect_all()
    ledger.rows["one"] = ended_row(replace(pending.call, body_hash="other"))

    await correlator.look_up()

    with pytest.raises(Refused) as refused:
        pending.now()
    assert refused.value.refusal == "conflict"


async def test_a_query_is_bounded(clock, ledger):
    correlator = Correlator(look_up=ledger.ended, clock=clock)
    for number in range(MAX_LOOKED_UP + 5):
        expected(correlator, call_of(str(number)))
    correlator.suspect_all()

    await correlator.look_up()

    assert len(ledger.asked[0]) == MAX_LOOKED_UP


async def test_a_call_of_another_gateway_is_looked_up_while_somebody_waits_for_it(correlator, clock, ledger):
    row = CallRow(call_of("theirs"), state="running", effect="unknown", attempts=1)
    pending = correlator.follow(row)
    waiting = asyncio.create_task(correlator.wait(pending, 60))
    await asyncio.sleep(0)
    ledger.rows["theirs"] = ended_row(row.call)

    clock.move(SOON)
    await correlator.look_up()
    await waiting

    assert state_of(pending) == b"succeeded"
    assert correlator.open == 0


CONSENT = Authorization(
    authorization_id="a1", provider="arcade/google", url="https://consent.example/a1", expires_at=START
)


def asking_row(call: Call, **more) -> CallRow:
    given: dict[str, Any] = {
        "state": "awaiting_authorization",
        "effect": "none",
        "attempts": 1,
        "authorization": CONSENT,
    }
    return CallRow(call, **given | more)


@pytest.mark.parametrize("theirs", [True, False], ids=["another gateway's", "its event was lost"])
async def test_who_would_wait_for_a_call_that_waits_for_its_user_is_told_by_the_ledger_too(
    correlator, clock, ledger, theirs
):
    running = CallRow(call_of(), state="running", effect="none", attempts=1)
    pending = correlator.follow(running) if theirs else expected(correlator)
    waiting = asyncio.create_task(correlator.wait(pending, 60, for_user=False))
    await asyncio.sleep(0)
    ledger.rows["one"] = asking_row(call_of())

    clock.move(2.0)
    await correlator.look_up()
    await waiting

    assert state_of(pending) == b"awaiting_authorization"
    assert CONSENT.url.encode() in pending.now().body
    assert [name for _, name in pending.told] == ["authorization_required"]


@pytest.mark.parametrize("row", [{"attempts": 1}, {"attempts": 2, "body_hash": "another"}], ids=["older", "another's"])
async def test_what_the_ledger_said_before_the_next_attempt_began_is_not_believed(correlator, clock, ledger, row):
    pending = expected(correlator)
    correlator.receive(Started(**about(pending.call), attempt=2, sequence=1, time=START, worker="w1"))
    waiting = asyncio.create_task(correlator.wait(pending, 60, for_user=False))
    await asyncio.sleep(0)
    call = replace(pending.call, body_hash=row.pop("body_hash", pending.call.body_hash))
    ledger.rows["one"] = asking_row(call, **row)

    clock.move(2.0)
    await correlator.look_up()

    assert state_of(pending) == b"running"
    correlator.release()
    await waiting


async def test_who_asks_again_for_a_call_whose_user_has_consented_waits_for_its_end(correlator, ledger):
    pending = expected(correlator)
    pending.park_from(asking_row(pending.call))
    waiting = asyncio.create_task(correlator.wait(pending, 60, for_user=False))
    await asyncio.sleep(0)
    assert (state_of(pending), pending.waiting) == (b"running", 1)

    correlator.receive(succeeded(pending.call, attempt=2))
    await waiting
    assert state_of(pending) == b"succeeded"


@pytest.mark.parametrize("away", [True, False])
async def test_who_asks_again_while_it_waits_for_its_user_is_told_at_once(correlator, ledger, away):
    pending = expected(correlator)
    pending.park_from(asking_row(pending.call))
    ledger.rows["one"], ledger.away = asking_row(pending.call), away

    await asyncio.wait_for(correlator.wait(pending, 60, for_user=False), 60)

    assert state_of(pending) == b"awaiting_authorization"


async def test_what_the_ledger_told_before_is_told_to_followers_once(correlator, ledger, clock):
    pending = expected(correlator)
    pending.park_from(asking_row(pending.call))
    correlator.receive(
        Parked(**about(pending.call), attempt=2, sequence=4, time=START, reason="authorization", authorization=CONSENT)
    )

    assert [name for _, name in pending.told] == ["authorization_required"]


@pytest.mark.parametrize("theirs", [True, False], ids=["followed from the store", "accepted here with a key"])
async def test_a_call_whose_end_another_gateway_may_be_told_is_looked_up_soon_and_then_less(
    correlator, clock, ledger, theirs
):
    if theirs:
        pending = correlator.follow(CallRow(call_of(), state="queued", effect="none", attempts=0))
    else:
        pending = correlator.expect(call_of(), 10, shared=True)
    waiting = asyncio.create_task(correlator.wait(pending, 60))
    await asyncio.sleep(0)

    looked = []
    for _ in range(40):
        clock.move(0.1)
        before = len(ledger.asked)
        await correlator.look_up()
        looked += [round(clock.monotonic(), 1)] * (len(ledger.asked) - before)

    assert looked == [0.2, 0.4, 0.8, 1.6, 2.6, 3.6]
    correlator.release()
    await waiting


async def test_the_turns_come_early_for_a_call_of_another_gateway(ledger, monkeypatch):
    """With the real clock: its end, which stands already, is seen without an ordinary turn."""
    monkeypatch.setattr(correlation, "TURN", 3_600.0)
    correlator = Correlator(look_up=ledger.ended, clock=SYSTEM)
    running = asyncio.create_task(correlator.run())
    pending = correlator.follow(CallRow(call_of(), state="queued", effect="none", attempts=0))
    ledger.rows["one"] = ended_row(pending.call)

    await correlator.wait(pending, 60)

    running.cancel()
    await asyncio.wait([running])
    assert state_of(pending) == b"succeeded"


async def test_a_call_of_another_gateway_is_forgotten_with_its_last_waiter(correlator, ledger):
    row = CallRow(call_of("theirs"), state="running", effect="unknown", attempts=1)

    await correlator.wait(correlator.follow(row), 0)
    await correlator.look_up()

    assert (correlator.open, ledger.asked) == (0, [])


# ---- bounds -------------------------------------------------------------------------------------


async def test_memory_for_open_calls_is_bounded(correlator):
    pending = expected(correlator, size=9_000)
    pending.waiting = 1

    with pytest.raises(Refused) as refused:
        correlator.check_room(1_001)

    assert (refused.value.refusal, refused.value.retry_after) == ("unavailable", 1)
    correlator.check_room(1_000)


async def test_a_call_that_is_not_accepted_yet_makes_no_room(correlator):
    correlator.expect(call_of(), 9_000)

    with pytest.raises(Refused):
        correlator.check_room(1_001)


async def test_what_nobody_waits_for_is_forgotten_some_time_after_its_deadline(correlator, clock):
    expected(correlator)
    clock.move(300 + GRACE + 1)

    await correlator.look_up()

    assert correlator.open == 0


async def test_waiting_ends_with_its_time(correlator):
    pending = expected(correlator)

    await correlator.wait(pending, 0.001)

    assert (pending.over.done(), pending.waiting) == (False, 0)


def answer(name: str, size: int = 10) -> Answer:
    return Answer(name, "default", "h", b"x" * size, terminal=True)


def test_ended_calls_are_remembered_for_a_minute():
    ended = Ended()
    ended.add(answer("one"), 0.0)

    ended.forget_old(REMEMBERED - 1)
    assert ended.get("default", "one") is not None
    assert ended.get("other", "one") is None

    ended.forget_old(REMEMBERED)
    assert ended.get("default", "one") is None


def test_ended_calls_are_remembered_up_to_so_many_bytes(monkeypatch):
    monkeypatch.setattr("toolyard_gateway.pending.MAX_BYTES", 5_000)
    ended = Ended()

    for number in range(10):
        ended.add(answer(str(number), 1_000), 0.0)

    assert [number for number in range(10) if ended.get("default", str(number))] == [7, 8, 9]


def test_an_answer_is_marked_as_repeated_in_its_own_bytes():
    told = Answer("one", "default", "h", b'{"state":"failed"}', terminal=True).deduplicated()

    assert told.body == b'{"state":"failed","deduplicated":true}'
