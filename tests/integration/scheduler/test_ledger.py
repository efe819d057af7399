"""The ledger on real databases: each record once, in order, whoever else tries; what is broken is never in the way."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text
from tests.support.ledger import ENVELOPE, NOW, HandClock, HandLog, Said, Story, message_of, pause, pauses_asked, resume
from tests.support.waiting import async_wait_until

from toolyard.contracts import codec
from toolyard.contracts.calls import VERSION, CallMessage, Result
from toolyard.contracts.control import (
    Cancel,
    ClaimRefused,
    Granted,
    Pause,
    Pauses,
    Resume,
    ToolChanged,
)
from toolyard.contracts.events import Event
from toolyard.errors import LedgerMoved, LogGap, Unavailable
from toolyard.states import is_terminal
from toolyard.store.connect import Store
from toolyard.store.crossing import Crossing
from toolyard.store.ledger_rows import Submission
from toolyard.store.tables import pauses
from toolyard.transport import topology
from toolyard.transport.base import Header, Message, Transport
from toolyard_scheduler.clock_check import ClockCheck
from toolyard_scheduler.entries import Answer
from toolyard_scheduler.ledger import Ledger

STORY = Story()


@pytest.fixture
async def crossing() -> AsyncIterator[Crossing]:
    found = Crossing(2)
    yield found
    await found.close()


def pauses_of(answer: Answer) -> list[str]:
    return [each.name for each in answer.message.paused] if isinstance(answer.message, Pauses) else []


def told_claims(keeper: "Keeper") -> dict[str, Granted | ClaimRefused]:
    messages = (answer.message for answer in keeper.answers)
    return {message.claim_id: message for message in messages if not isinstance(message, Pauses)}


class Keeper:
    """A ledger over a log that the test writes, and all that may be asked of both."""

    def __init__(
        self,
        store: Store,
        crossing: Crossing,
        log: HandLog,
        name: str = "a",
        *,
        pace: float = 0.0,
        clock_check: ClockCheck | None = None,
    ) -> None:
        self.store = store
        self.crossing = crossing
        self.log = log
        self.answers: list[Answer] = []
        self.counts: Counter[str] = Counter()
        clock = HandClock()
        self.ledger = Ledger(
            cast("Transport", log),
            ENVELOPE,
            store.ledger,
            crossing,
            clock,
            position=store.ledger.lead(store.ledger.position(), name),
            counts=self.counts,
            clock_check=clock_check or ClockCheck(clock),
            pace=pace,
            pauses=store.open_calls.pauses(),
            told=lambda folded: self.answers.extend(folded.answers),
        )

    async def applied(self, offset: int) -> None:
        """Run until this offset has been applied, then stop."""
        async with self.running() as running:
            while self.ledger.offset < offset:
                advanced = asyncio.ensure_future(self.ledger.advanced())
                done, _ = await asyncio.wait({running, advanced}, return_when=asyncio.FIRST_COMPLETED, timeout=60)
                if running in done:
                    running.result()
                assert done, f"the ledger stands at {self.ledger.offset}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        task = asyncio.create_task(self.ledger.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def clock_check() -> ClockCheck:
    return ClockCheck(HandClock())


@pytest.fixture
def keeper(store: Store, crossing: Crossing, clock_check: ClockCheck) -> Keeper:
    return Keeper(store, crossing, HandLog(), clock_check=clock_check)


# ---- the ordinary way ---------------------------------------------------------------------------------
async def test_a_call_and_its_outcome_become_a_row(keeper: Keeper):
    await keeper.applied(keeper.log.say(STORY.accepted(), STORY.ended()))

    row = keeper.store.calls.get("default", "c1")

    assert row is not None
    assert (row.call, row.state, row.effect, row.attempts) == (STORY.call, "succeeded", "done", 1)
    assert row.result == Result(content="result of attempt 1")
    assert (row.started_at, row.finished_at) == (NOW + 0.5, NOW + 2.0)


async def test_a_batch_and_its_place_are_one(keeper: Keeper):
    offset = keeper.log.say(*(Story(f"c{n}").accepted() for n in range(1_500)))
    await keeper.applied(offset)

    place = keeper.store.ledger.position()

    assert (place.offset, place.record_id) == (offset, keeper.log.records[-1].message_id)
    assert place.record_time == NOW
    assert len(keeper.store.calls.unfinished()) == 1_500
    assert keeper.counts["accepted"] == 1_500


async def test_an_outcome_in_a_later_batch_finds_its_call(keeper: Keeper):
    for content in (STORY.accepted(), STORY.started(), STORY.ended(), STORY.ended(), STORY.started()):
        await keeper.applied(keeper.log.say(content))

    row = keeper.store.calls.get("default", "c1")

    assert row is not None
    assert (row.state, row.attempts, row.result) == ("succeeded", 1, Result(content="result of attempt 1"))
    assert keeper.counts["late_results"] == 0


async def test_an_outcome_before_its_call_is_completed_by_it(keeper: Keeper):
    await keeper.applied(keeper.log.say(STORY.ended()))
    await keeper.applied(keeper.log.say(STORY.accepted()))

    row = keeper.store.calls.get("default", "c1")

    assert row is not None
    assert (row.call, row.state) == (STORY.call, "succeeded")


async def test_a_late_outcome_leaves_the_end_as_it_was_told(keeper: Keeper):
    await keeper.applied(keeper.log.say(STORY.accepted(), STORY.verdict()))
    await keeper.applied(keeper.log.say(STORY.ended()))

    row = keeper.store.calls.get("default", "c1")

    assert row is not None
    assert (row.state, row.effect, row.result) == ("timed_out", "unknown", None)
    assert keeper.counts["late_results"] == 1


async def test_further_submissions_are_noted(keeper: Keeper):
    again = (STORY.accepted(gateway="g2"), STORY.accepted(body_hash="other"))
    await keeper.applied(keeper.log.say(STORY.accepted()))
    await keeper.applied(keeper.log.say(*again))
    await keeper.applied(keeper.log.say(*again))

    noted = keeper.store.ledger.submissions("c1")

    assert sorted(noted, key=lambda each: each.gateway) == [
        Submission("c1", "g1", "other", NOW, conflict=True),
        Submission("c1", "g2", "hash", NOW, conflict=False),
    ]


async def test_an_answer_is_told_after_its_batch_was_committed(keeper: Keeper):
    await keeper.applied(keeper.log.say(STORY.accepted(), STORY.claim()))

    (answer,) = keeper.answers
    assert isinstance(answer.message, Granted)
    assert (answer.reply, answer.message.claim_id, answer.message.fence, answer.first) == ("w1", "w1:1", 1, None)
    assert [each.holder for each in keeper.store.open_calls.held()] == ["w1:1"]


async def test_the_same_claim_is_answered_the_same_by_another_scheduler(store: Store, crossing: Crossing):
    log = HandLog()
    first = Keeper(store, crossing, log)
    await first.applied(log.say(STORY.accepted(), STORY.claim(), STORY.claim("w2:1")))
    second = Keeper(store, crossing, log, "b")
    await second.applied(log.say(STORY.claim("w2:1"), STORY.claim()))

    told, again = told_claims(first), told_claims(second)
    assert isinstance(told["w1:1"], Granted)
    assert isinstance(again["w1:1"], Granted)
    assert told["w1:1"].fence == again["w1:1"].fence
    assert isinstance(told["w2:1"], ClaimRefused)
    assert isinstance(again["w2:1"], ClaimRefused)
    assert told["w2:1"].reason == again["w2:1"].reason == "started"


async def test_a_ledger_that_lost_the_offset_answers_nothing(store: Store, crossing: Crossing):
    log = HandLog()
    old = Keeper(store, crossing, log)
    await old.applied(log.say(STORY.accepted()))
    new = Keeper(store, crossing, log, "b")
    log.say(STORY.claim())

    with pytest.raises(LedgerMoved):
        await old.applied(1)
    await new.applied(1)

    assert (len(old.answers), len(new.answers)) == (0, 1)


async def test_a_claim_ends_the_pace(store: Store, crossing: Crossing):
    keeper = Keeper(store, crossing, HandLog(), pace=1_000.0)
    keeper.log.say(STORY.accepted())
    await keeper.applied(0)
    await keeper.applied(keeper.log.say(STORY.claim()))

    assert len(keeper.answers) == 1


# ---- pauses -------------------------------------------------------------------------------------------
async def test_what_is_paused_is_told_as_it_is_at_this_place_of_the_log(keeper: Keeper):
    said = (pauses_asked("a"), pause(), pauses_asked("b"), resume(), pauses_asked("c"))
    await keeper.applied(keeper.log.say(*said))

    told = {answer.reply: pauses_of(answer) for answer in keeper.answers}
    assert told == {"a": [], "b": ["lookup"], "c": []}


async def test_whoever_asks_is_told_when_it_asked_unless_our_clock_is_disputed(keeper: Keeper, clock_check: ClockCheck):
    await keeper.applied(keeper.log.say(pauses_asked("a")))
    clock_check.own_came_back(keeper.ledger.offset)
    clock_check.saw(keeper.ledger.offset + 1, NOW - 300.0)
    await keeper.applied(keeper.log.say(pauses_asked("b")))
    clock_check.saw(keeper.ledger.offset + 1, NOW)
    await keeper.applied(keeper.log.say(pauses_asked("c")))

    told = {answer.reply: answer.message for answer in keeper.answers}
    asked = {worker: message.asked for worker, message in told.items() if isinstance(message, Pauses)}
    assert asked == {"a": NOW, "b": None, "c": NOW}
    assert {message.time for message in told.values()} == {NOW}


async def test_a_pause_survives_its_scheduler(store: Store, crossing: Crossing):
    log = HandLog()
    await Keeper(store, crossing, log).applied(log.say(pause(), pause()))
    second = Keeper(store, crossing, log, "b")
    await second.applied(log.say(STORY.accepted(), STORY.claim(), pauses_asked()))

    assert [type(answer.message).__name__ for answer in second.answers] == ["ClaimRefused", "Pauses"]
    row = store.calls.get("default", "c1")
    assert row is not None
    assert row.state == "scheduled"


async def test_what_a_pause_parked_is_due_when_it_ends_and_nothing_else_is(keeper: Keeper):
    other, later = Story("c2", tool="other"), Story("c3", not_before=NOW + 60.0)
    keeper.log.say(STORY.accepted(), other.accepted(), later.accepted(), pause(), pause("other"))
    await keeper.applied(keeper.log.say(STORY.claim(), other.claim("w1:2"), resume()))

    assert [each.call.call_id for each in keeper.store.open_calls.due(NOW + 1.0, 9)] == ["c1"]
    assert keeper.counts["resumed"] == 1


async def test_two_pauses_must_both_end(keeper: Keeper):
    org = Pause(v=VERSION, sender="g1", time=NOW, kind="org", org="default", name="default")
    over = Resume(v=VERSION, sender="g1", time=NOW, kind="org", org="default", name="default")
    await keeper.applied(keeper.log.say(STORY.accepted(), pause(), org, STORY.claim(), resume()))
    assert keeper.store.open_calls.due(NOW + 1.0, 9) == []

    await keeper.applied(keeper.log.say(over))
    assert len(keeper.store.open_calls.due(NOW + 1.0, 9)) == 1


async def test_thousands_of_pauses_are_no_more_work_than_one(keeper: Keeper):
    paused = [
        {"kind": kind, "org": org, "name": f"{kind}-{n}", "paused_at": NOW}
        for kind, org in (("tool", "default"), ("tool", "other"), ("org", "default"))
        for n in range(3_000)
    ]
    with keeper.store.ledger._database.write() as connection:
        connection.execute(insert(pauses), paused)
    other, held = Story("c2", tool="tool-7"), Story("c3", tool="tool-8")
    keeper = Keeper(keeper.store, keeper.crossing, keeper.log, "b")
    said = (
        each for story in (STORY, other, held) for each in (story.accepted(), story.claim(f"w1:{story.call.call_id}"))
    )
    await keeper.applied(keeper.log.say(pause(), *said, resume("tool-7"), resume()))

    assert {each.call.call_id for each in keeper.store.open_calls.due(NOW + 1.0, 9)} == {"c1", "c2"}


# ---- many calls at once -------------------------------------------------------------------------------
async def test_a_conversation_is_cancelled_as_far_as_it_was_accepted_before(keeper: Keeper):
    talk = [Story(f"c{n}", conversation="talk") for n in range(3)]
    other = Story("other", conversation="another")
    everything = Cancel(v=VERSION, sender="g1", time=NOW, org="default", conversation="talk")
    keeper.log.say(talk[0].accepted(), talk[1].accepted(), talk[1].ended(), other.accepted(), everything)
    await keeper.applied(keeper.log.say(talk[2].accepted()))

    watched = keeper.store.open_calls.watched(NOW + 9.0, 9)
    assert [(each.call.call_id, each.settled, each.doomed) for each in watched] == [("c0", True, "cancelled")]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_any_interleaving_with_duplicates_leaves_each_call_with_one_end(
    store: Store, crossing: Crossing, data: st.DataObject
):
    stories = [Story(f"c{n}-{store.ledger.position().epoch}") for n in range(3)]
    said: list[CallMessage | Event] = [
        each
        for story in stories
        for each in (story.accepted(), story.started(), story.ended(), story.ended("failed", n=3), story.ended())
    ]
    store.ledger.forget()
    keeper = Keeper(store, crossing, HandLog())
    order = data.draw(st.permutations(said))
    cut = data.draw(st.integers(1, len(order) - 1))

    await keeper.applied(keeper.log.say(*order[:cut]))
    first = {each.call.call_id: each for each in store.calls.ended([story.call.call_id for story in stories])}
    await keeper.applied(keeper.log.say(*order[cut:]))
    last = {each.call.call_id: each for each in store.calls.ended([story.call.call_id for story in stories])}

    assert set(last) == {story.call.call_id for story in stories}
    assert all(is_terminal(each.state) for each in last.values())
    for call_id, told in first.items():
        assert (last[call_id].state, last[call_id].result, last[call_id].error) == (told.state, told.result, told.error)


# ---- what is broken -----------------------------------------------------------------------------------
def broken_messages() -> list[Message]:
    good = message_of(STORY.accepted())
    unsigned = Message(good.exchange, good.key, good.body, good.message_id, {})
    changed = Message(good.exchange, good.key, good.body + b" ", good.message_id, good.headers)
    moved = Message(good.exchange, good.key.replace("default", "other"), good.body, good.message_id, good.headers)
    noise = Message("toolyard.events", "call.succeeded.http.default.g1.lookup", b"\xff\x00", "x", {})
    return [unsigned, changed, moved, noise]


async def test_records_that_do_not_verify_or_decode_are_passed_over(keeper: Keeper):
    await keeper.applied(keeper.log.say(*broken_messages(), Story("c2").accepted()))

    assert [each.row.call.call_id for each in keeper.store.calls.unfinished()] == ["c2"]
    assert keeper.counts["passed_over"] == 4
    assert len({put["toolyard-reason"] for put in put_away(keeper)}) == 2


def put_away(keeper: Keeper) -> list[Mapping[str, Header]]:
    """The headers of what the ledger quarantined."""
    assert {message.key for message in keeper.log.published} <= {topology.quarantine_key("-")}
    return [message.headers for message in keeper.log.published]


PLAYED_AGAIN: dict[str, tuple[Said, ...]] = {
    "an accepted call that has ended": (Story().accepted(), Story().ended()),
    "a dispatch": (Story().dispatched(), Story().claim(), Story().ended(effect="done")),
    "a claim": (Story().claim(), Story().released()),
    "a grant given back": (Story().released(), Story().claim("w2:1")),
    "an outcome": (Story().ended(), Story().ended("failed", n=3)),
    "an outcome that another attempt follows": (Story().ended("failed", final=False), Story().dispatched(2)),
    "a cancel": (Story().cancel(), Story().ended("cancelled", effect="none")),
    "a pause": (pause(), resume()),
}


@pytest.mark.parametrize("said", PLAYED_AGAIN.values(), ids=PLAYED_AGAIN)
async def test_what_is_played_again_changes_nothing_and_is_put_away(keeper: Keeper, said: tuple[Said, ...]):
    first = message_of(said[0])
    await keeper.applied(keeper.log.say(Story().accepted(), first, *said[1:]))
    before = keeper.store.calls.get("default", "c1"), keeper.store.pauses.list("default")
    await keeper.applied(keeper.log.say(first))

    assert (keeper.store.calls.get("default", "c1"), keeper.store.pauses.list("default")) == before
    assert [put["toolyard-message-id"] for put in put_away(keeper)] == [first.message_id]
    assert keeper.counts["passed_over"] == 1


async def test_a_pause_of_long_ago_is_not_believed_after_a_change_of_the_leader_either(keeper: Keeper):
    await keeper.applied(keeper.log.say(Story().accepted()))
    await keeper.applied(keeper.log.say(pause(at=-601.0), resume(at=-599.0)))

    assert keeper.store.pauses.list("default") == []
    assert len(put_away(keeper)) == 1


async def test_what_a_worker_says_of_another_pools_call_is_put_away(keeper: Keeper):
    foreign = message_of(msgspec.structs.replace(Story().ended(), pool="lambda"))
    heard = keeper.log.say(Story().accepted(), foreign)
    await keeper.applied(heard)

    assert [each.row.call.call_id for each in keeper.store.calls.unfinished()] == ["c1"]
    assert [put["toolyard-message-id"] for put in put_away(keeper)] == [foreign.message_id]


async def test_what_another_pool_said_of_a_call_before_it_came_is_forgotten(keeper: Keeper):
    """Ids that follow a pattern, as those of schedules do, can be known before."""
    await keeper.applied(keeper.log.say(msgspec.structs.replace(STORY.ended(), pool="lambda")))
    claimed = msgspec.structs.replace(STORY.claim("w9:1"), pool="lambda")
    await keeper.applied(keeper.log.say(claimed, STORY.accepted(), STORY.claim()))

    row = keeper.store.calls.get("default", "c1")
    assert row is not None
    assert (row.call, row.state, row.result) == (STORY.call, "running", None)
    granted = {answer.message.claim_id for answer in keeper.answers if isinstance(answer.message, Granted)}
    assert granted == {"w1:1"}
    await keeper.applied(keeper.log.say(STORY.ended("failed", claim_id="w1:1")))
    row = keeper.store.calls.get("default", "c1")
    assert row is not None
    assert (row.state, row.result) == ("failed", None)


async def test_a_message_that_is_about_no_call_changes_none(keeper: Keeper):
    changed = ToolChanged(v=VERSION, sender="g", time=NOW, org="default", tool="lookup", version=2)
    await keeper.applied(keeper.log.say(ENVELOPE.control(changed)))

    assert keeper.store.calls.unfinished() == []


@pytest.fixture
def picky(keeper: Keeper) -> Iterator[Keeper]:
    """Its database will never take a call whose id begins with "bad"."""
    database = keeper.store.ledger._database
    make, drop = PICKY[database.dialect]
    with database.write() as connection:
        connection.execute(text(make))
    yield keeper
    with database.write() as connection:
        connection.execute(text(drop))


PICKY = {
    "sqlite": (
        "CREATE TRIGGER picky BEFORE INSERT ON calls WHEN NEW.call_id LIKE 'bad%' BEGIN SELECT RAISE(ABORT, 'no'); END",
        "DROP TRIGGER picky",
    ),
    "postgresql": (
        "ALTER TABLE calls ADD CONSTRAINT picky CHECK (call_id NOT LIKE 'bad%')",
        "ALTER TABLE calls DROP CONSTRAINT picky",
    ),
}


async def test_a_record_that_no_database_takes_is_passed_over_alone(picky: Keeper):
    good = [Story(f"c{n}").accepted() for n in range(9)]
    bad = [Story("bad-1").accepted(), Story("bad-2").ended()]
    await picky.applied(picky.log.say(*good[:5], bad[0], *good[5:], bad[1]))

    assert {each.row.call.call_id for each in picky.store.calls.unfinished()} == {f"c{n}" for n in range(9)}
    assert picky.store.calls.get("default", "bad-2") is None
    assert picky.counts["passed_over"] == 2


async def test_of_outcomes_that_travel_together_only_the_one_that_no_database_takes_is_passed_over(picky: Keeper):
    stories = [Story(f"c{n}") for n in range(5)]
    await picky.applied(picky.log.say(*(story.accepted() for story in stories)))
    ends = [story.ended() for story in (*stories[:2], Story("bad"), *stories[2:])]
    await picky.applied(picky.log.say(ENVELOPE.outcomes("http", "gw-1", [codec.encode(end) for end in ends])))

    assert picky.store.calls.unfinished() == []
    assert picky.store.calls.get("default", "bad") is None
    assert picky.counts["passed_over"] == 1


async def test_of_outcomes_that_travel_together_only_the_one_that_cannot_be_read_is_passed_over(keeper: Keeper):
    stories = [Story(f"c{n}") for n in range(5)]
    await keeper.applied(keeper.log.say(*(story.accepted() for story in stories)))
    ends = [story.ended() for story in stories]
    ends[2] = msgspec.structs.replace(ends[2], sequence=10**30)
    await keeper.applied(keeper.log.say(ENVELOPE.outcomes("http", "gw-1", [codec.encode(end) for end in ends])))

    assert [each.row.call.call_id for each in keeper.store.calls.unfinished()] == ["c2"]
    assert keeper.counts["passed_over"] == 1


async def test_an_answer_full_of_what_databases_hate_is_stored(keeper: Keeper):
    nasty = "\x00 \N{ROCKET} " * 3
    story = Story(conversation=nasty, user=nasty, arguments={nasty: nasty}, org="default", tool="lookup")
    result = Result(content=nasty, structured=msgspec.Raw(b'{"a": "\xff\\u0000"}'))
    await keeper.applied(keeper.log.say(story.accepted(), story.ended(result=result)))

    row = keeper.store.calls.get("default", "c1")

    assert row is not None
    assert row.call == story.call
    assert row.result is not None
    assert row.result.content == nasty


# ---- the place in the log -----------------------------------------------------------------------------
async def test_a_ledger_goes_on_where_the_last_one_stood(store: Store, crossing: Crossing):
    log = HandLog()
    await Keeper(store, crossing, log).applied(log.say(STORY.accepted()))
    log.say(STORY.ended())
    second = Keeper(store, crossing, log, "b")
    await second.applied(1)

    row = store.calls.get("default", "c1")

    assert row is not None
    assert row.state == "succeeded"
    assert second.counts["records"] == 1


async def test_holes_of_one_are_where_a_segment_begins(keeper: Keeper):
    keeper.log.say(STORY.accepted())
    await keeper.applied(keeper.log.say(STORY.started(), skip=1))
    await keeper.applied(keeper.log.say(STORY.ended(), skip=1))

    assert keeper.store.calls.unfinished() == []


async def test_a_larger_hole_stops_the_ledger_and_says_how_to_mend_it(keeper: Keeper):
    await keeper.applied(keeper.log.say(STORY.accepted()))
    keeper.log.say(STORY.ended(), skip=2)
    with pytest.raises(LogGap, match=r"after offset 0 the log goes on at 3.*--accept-log-gap"):
        await keeper.applied(3)

    assert len(keeper.store.calls.unfinished()) == 1


async def test_another_record_at_the_place_of_the_ledger_stops_it(store: Store, crossing: Crossing):
    log = HandLog()
    await Keeper(store, crossing, log).applied(log.say(STORY.accepted()))
    anew = HandLog()
    anew.say(Story("other").accepted(), Story("another").accepted())

    with pytest.raises(LogGap, match=r"stands at offset 0 .*where the log has offset 0"):
        await Keeper(store, crossing, anew, "b").applied(1)
    assert store.calls.get("default", "another") is None


async def test_a_log_whose_beginning_was_cut_off_stops_it(store: Store, crossing: Crossing):
    log = HandLog()
    await Keeper(store, crossing, log).applied(log.say(STORY.accepted()))
    log.say(STORY.started(), STORY.ended())
    del log.records[:2]

    with pytest.raises(LogGap, match="where the log has offset 2"):
        await Keeper(store, crossing, log, "b").applied(2)


async def test_a_log_that_is_shorter_than_the_ledger_stops_it(
    store: Store, crossing: Crossing, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("toolyard_scheduler.ledger._ATTACH", 0.05)
    log = HandLog()
    await Keeper(store, crossing, log).applied(log.say(STORY.accepted(), STORY.ended()))
    anew = HandLog()

    with pytest.raises(Unavailable, match="the log gives nothing"):
        await Keeper(store, crossing, anew, "b").ledger.run()
    anew.say(Story("other").accepted())
    with pytest.raises(LogGap, match="does not reach"):
        await Keeper(store, crossing, anew, "c").ledger.run()


async def test_an_operator_who_accepts_the_gap_lets_it_go_on(store: Store, crossing: Crossing):
    log = HandLog()
    await Keeper(store, crossing, log).applied(log.say(STORY.accepted(), STORY.ended()))
    anew = HandLog()
    anew.say(STORY.ended(), Story("c2").accepted())

    store.ledger.forget()
    await Keeper(store, crossing, anew, "b").applied(1)

    assert {each.row.call.call_id for each in store.calls.unfinished()} == {"c2"}
    row = store.calls.get("default", "c1")
    assert row is not None
    assert row.call == STORY.call


# ---- several schedulers -------------------------------------------------------------------------------
async def test_of_two_ledgers_over_one_log_the_newer_owner_goes_on_and_the_other_stops(
    store: Store, crossing: Crossing
):
    log = HandLog()
    old = Keeper(store, crossing, log)
    await old.applied(log.say(STORY.accepted()))
    new = Keeper(store, crossing, log, "b")
    log.say(STORY.started(), STORY.ended())

    with pytest.raises(LedgerMoved):
        await old.applied(2)
    await new.applied(2)

    row = store.calls.get("default", "c1")
    assert row is not None
    assert row.state == "succeeded"
    assert new.counts["records"] == 2


async def test_ledgers_that_race_apply_each_record_once(store: Store, crossing: Crossing):
    log = HandLog()
    keepers = [Keeper(store, crossing, log, name) for name in ("a", "b", "c")]
    offset = log.say(*(Story(f"c{n}").accepted() for n in range(300)))

    ends = await asyncio.gather(*(keeper.applied(offset) for keeper in keepers), return_exceptions=True)

    assert [type(end) for end in ends] == [LedgerMoved, LedgerMoved, type(None)]
    assert sum(keeper.counts["records"] for keeper in keepers) == 300
    assert len(store.calls.unfinished()) == 300


async def test_an_idle_owner_shows_that_it_lives(keeper: Keeper, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("toolyard_scheduler.ledger.BEAT", 0.01)
    first = keeper.store.ledger.position().beat
    async with keeper.running():

        async def lives() -> bool:
            return keeper.store.ledger.position().beat >= first + 3

        await async_wait_until(lives, within=60, what="three signs of life")


async def test_an_idle_owner_that_was_replaced_notices(
    store: Store, crossing: Crossing, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("toolyard_scheduler.ledger.BEAT", 0.01)
    old = Keeper(store, crossing, HandLog())
    store.ledger.lead(store.ledger.position(), "b")

    with pytest.raises(LedgerMoved):
        await old.ledger.run()


async def test_a_log_that_goes_away_ends_the_term(keeper: Keeper):
    keeper.log.failure = Unavailable("the broker is away")

    with pytest.raises(Unavailable):
        await keeper.ledger.run()
