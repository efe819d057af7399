"""The promises of the ledger, walked at random over the real fold and the real store, on both databases.

A hypothesis state machine says whatever workers, gateways and schedulers may say of one call, in any order and as often
as it likes, and now and then goes on with another scheduler. What must hold is in `one_call`. What was said is folded
once more with the decisions that were told, and comes to the same row: so a ledger can be made anew.
"""

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test
from msgspec.structs import replace
from tests.integration.scheduler.one_call import UNHEARD, Draw, OneCall
from tests.support.ledger import NOW, pause, resume
from tests.support.stores import empty_file, empty_store

from toolyard.contracts.calls import error_info
from toolyard.states import Effect, State
from toolyard.store.connect import open_store
from toolyard_scheduler import telling

#: Walks, each of many steps: in `make test`, and in `make prove`; `make model` walks far.
FEW = 10
MANY = int(os.environ.get("TOOLYARD_TEST_EXAMPLES", "30"))
FLAG = st.booleans()
RARELY = st.sampled_from([False, False, False, True])
BROKE = error_info("upstream_error", "500", retryable=True)
#: How an attempt ends: its effect, and whether its worker thinks that it is the end.
OUTCOMES: dict[str, tuple[State, Effect, bool]] = {
    "succeeded": ("succeeded", "done", True),
    "failed": ("failed", "unknown", True),
    "failed without effect": ("failed", "none", True),
    "refused": ("failed", "none", False),
    "broke": ("failed", "unknown", False),
}


class Life(OneCall):
    """What is said of it, one word after the other."""

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        """A gateway publishes a call."""
        later = data.draw(FLAG)
        self.accept(rerunnable=data.draw(FLAG), attempts=data.draw(st.integers(1, 3)), later=later)

    @rule(data=st.data())
    def somebody_speaks(self, data: st.DataObject) -> None:
        """One of those who have something to say; most of them are workers."""
        possible = [word for word, (times, when) in WORDS.items() for _ in range(times * when(self))]
        getattr(self, data.draw(st.sampled_from(possible)))(data.draw)

    # ---- what workers say -----------------------------------------------------------------------
    def take(self, draw: Draw) -> None:
        """A worker is given a message and asks, or has no need to; its claim may be long on its way."""
        self.deliver(asks=draw(FLAG), slow=draw(RARELY), again=draw(FLAG))

    def ask(self, draw: Draw) -> None:
        """A claim arrives, once more or at last."""
        self.say(self.claim_of(draw(st.sampled_from(sorted(self.asked.keys() - {UNHEARD})))))

    def lose(self, draw: Draw) -> None:
        """A worker's connection is lost: its message comes again, and it may live on."""
        held = [claim_id for claim_id, asked in self.asked.items() if asked.message]
        self.put_back(draw(st.sampled_from(held)))

    def give_back(self, draw: Draw) -> None:
        """A worker that was granted the attempt, or waits no longer, gives it back without having started."""
        self.release(draw(st.sampled_from(self.open_claims())))

    def hand_over(self, _: Draw) -> None:
        """The connection of who holds it is lost, all other messages are refused, and then it is given back."""
        holder = (self.call and self.call.holder) or ""
        self.put_back(holder)
        while self.queue.total():
            self.deliver(asks=True)
        self.release(holder)

    def finish(self, draw: Draw) -> None:
        """Who may start ran it, and tells how it ended."""
        claim_id = draw(st.sampled_from(self.holders()))
        self.ran.add(claim_id)
        self.asked[claim_id].message = False
        fields: dict[str, Any] = {"claim_id": claim_id or None, "started_at": NOW + self.time}
        how = draw(st.sampled_from(sorted(OUTCOMES)))
        state, effect, final = OUTCOMES[how]
        if state == "failed":
            fields |= {"effect": effect, "error": BROKE, "final": final}
        if effect == "none":
            self.note_late(claim_id)
            self.harmless.add(claim_id)
            self.unheard = self.unheard and claim_id != UNHEARD
        self.say(self.ended(state, self.asked[claim_id].attempt, **fields))

    def put_off(self, draw: Draw) -> None:
        """The first delivery is of a paused or cancelled call: its worker gives it up, perhaps without an ack."""
        if UNHEARD in self.holders():  # it has not begun yet
            self.ran.add(UNHEARD)
            self.harmless.add(UNHEARD)
            self.asked[UNHEARD].message = False
        else:
            self.fresh = False
            self.queue[1] -= draw(FLAG)
        self.unheard = False
        dropped = self.ended("cancelled", 1, started_at=None, effect="none")
        self.say(dropped if draw(RARELY) else self.story.parked(at=self.time))

    # ---- what nobody should say -----------------------------------------------------------------
    def lie(self, draw: Draw) -> None:
        """An outcome of an attempt that nobody was granted; it may end what nobody holds, and nothing else."""
        before = self.call
        assert before is not None
        older = st.integers(0, before.attempt - 1)
        attempt = draw(older if before.holder is None else st.just(before.attempt) | older)
        claimed, began = draw(FLAG), attempt > 0 and draw(FLAG)
        if not claimed and began and self.rerunnable and attempt == before.attempt == 1:
            return  # it is the first delivery's
        started_at = NOW + self.time if began else None
        fields: dict[str, Any] = {"claim_id": "liar" if claimed else None, "final": draw(FLAG), "effect": "none"}
        self.say(self.ended("failed", attempt, started_at=started_at, error=BROKE, **fields))
        after = self.call
        assert after is not None
        assert (after.holder, after.attempt, after.settled) == (before.holder, before.attempt, before.settled)

    def wrong_mark(self, draw: Draw) -> None:
        """A mark that is not the one awaited: of another attempt, or of a claim that does not hold it any more."""
        before = self.call
        assert before is not None
        claim_id = draw(st.sampled_from(["", "liar", *sorted(self.asked)]))
        if draw(FLAG):
            attempt = draw(st.integers(1, 4))
            if not before.ending or (attempt, claim_id) != (before.attempt, before.ending_claim or ""):
                self.say(self.story.settled(attempt, self.time, claim_id))
        else:
            attempt = draw(st.integers(1, before.attempt))  # of a later one the log would know more
            if (attempt, claim_id) != (before.attempt, before.holder or ""):
                self.say(self.story.ending(attempt, self.time, claim_id, "outcome_unknown"))
        assert self.call == before

    # ---- what others say ------------------------------------------------------------------------
    def cancel(self, draw: Draw) -> None:
        """Somebody cancels it, or its conversation."""
        cancel = self.story.cancel(self.time)
        conversation = self.story.call.conversation or ""
        self.say(cancel if draw(FLAG) else replace(cancel, call_id="", conversation=conversation))

    def pause(self, _: Draw) -> None:
        """Its tool is paused, or goes on."""
        self.say(resume(at=self.time) if self.pauses else pause(at=self.time))

    def dispatch(self, _: Draw) -> None:
        """The scheduler dispatches what is due."""
        self.dispatch_due()

    def dispatch_again(self, draw: Draw) -> None:
        """What was dispatched is dispatched once more, perhaps long after."""
        attempt = draw(st.sampled_from(sorted(self.dispatched)))
        self.say(self.story.dispatched(attempt, self.time))
        self.queue[attempt] += 1

    def go_on(self, draw: Draw) -> None:
        """The scheduler goes on with a verdict, or begins one over a silent worker."""
        self.carry_on(patience=draw(FLAG))

    def overdue(self, _: Draw) -> None:
        """Its deadline passes."""
        call, self.time = self.call, max(self.time, 301.0)
        assert call is not None
        self.say(telling.ending(call.call, call.attempt, call.doomed or "timed_out", self.now, call.holder or ""))

    def another_leads(self, _: Draw) -> None:
        """A second passes, and another scheduler goes on where this one stood."""
        self.time += 1.0
        self.lead()

    # ---- the end --------------------------------------------------------------------------------
    def begin_anew(self, draw: Draw) -> None:
        """A gateway publishes another call."""
        self.accept(rerunnable=draw(FLAG), attempts=draw(st.integers(1, 3)), later=draw(FLAG))

    def teardown(self) -> None:
        """Once nothing more is lost, it ends: without a cancel, and before its deadline is looked at."""
        if not hasattr(self, "story"):
            return
        if self.pauses:
            self.say(resume(at=self.time))
        if UNHEARD in self.asked and UNHEARD not in self.ran:  # its worker died
            self.put_back(UNHEARD)
        for claim_id, asked in list(self.asked.items()):
            if asked.answer == "none" and claim_id not in self.released:
                self.say(self.claim_of(claim_id))
        self.heard.comes_to_the_same(self.store, self.again)
        for _ in range(60):
            if self.end is not None:
                self.heard.comes_to_the_same(self.store, self.again)
                self.no_effect_is_promised_only_where_there_was_none()
                return
            self.time += 2.0
            self.dispatch_due()
            if self.queue.total():
                self.deliver(asks=True)
            self.carry_on(patience=False)
        raise AssertionError(f"it never ends: {self.row}")


#: What is said, how often beside the others, and when it would say anything.
WORDS: dict[str, tuple[int, Callable[[Life], bool]]] = {
    "take": (5, lambda life: life.queue.total() > 0),
    "ask": (2, lambda life: bool(life.asked.keys() - {UNHEARD})),
    "lose": (2, lambda life: any(asked.message for asked in life.asked.values())),
    "give_back": (2, lambda life: bool(life.open_claims())),
    "hand_over": (1, lambda life: life.call is not None and life.call.holder in life.open_claims()),
    "finish": (2, lambda life: bool(life.holders())),
    "put_off": (3, lambda life: UNHEARD in life.holders() or (life.rerunnable and life.fresh and life.queue[1] > 0)),
    "dispatch": (4, lambda life: life.call is not None and life.call.due_at is not None),
    "dispatch_again": (1, lambda life: bool(life.dispatched)),
    "go_on": (2, lambda life: life.call is not None and bool(life.call.watch_at or life.call.holder)),
    "lie": (2, lambda life: life.call is not None),
    "wrong_mark": (1, lambda life: life.call is not None),
    "cancel": (1, lambda life: life.call is not None),
    "pause": (1, lambda life: life.call is not None),
    "overdue": (1, lambda life: life.call is not None and not life.call.ending),
    "another_leads": (1, lambda life: life.call is not None),
    "begin_anew": (3, lambda life: life.end is not None),
}


@pytest.mark.parametrize(
    "examples", [FEW, pytest.param(MANY, marks=[pytest.mark.proof, pytest.mark.timeout(900)], id="many")]
)
@pytest.mark.parametrize(("kind", "times"), [("sqlite", 3), ("postgres", 1)])
def test_whatever_is_said_the_promises_hold(
    kind: str, times: int, examples: int, request: pytest.FixtureRequest, tmp_path: Path
):
    request.param = kind
    file = tmp_path / "again.db"
    file.write_bytes(empty_file())
    with empty_store(request, tmp_path) as store, closing(open_store(f"sqlite:///{file}")) as again:

        class Machine(Life):
            """On this database."""

        Machine.store, Machine.again = store, again
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=times * examples,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
