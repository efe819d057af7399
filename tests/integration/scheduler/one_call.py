"""One call that hypothesis talks about: what is kept of it, how a word of it is said, and what must hold after each.

What may be said is in `test_state_machine`. Here is a model of a few lines beside the real fold and the real store.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant
from tests.integration.scheduler.again import Heard
from tests.support.ledger import NOW, Story, resume

from toolyard.contracts.control import Claim, ClaimRefused, Granted, Paused
from toolyard.contracts.events import End, Ended
from toolyard.contracts.tools import RetryPolicy
from toolyard.states import TERMINAL, State
from toolyard.store.base import CallRow
from toolyard.store.connect import Store
from toolyard.store.ledger import Position
from toolyard.store.ledger_rows import OpenCall
from toolyard_scheduler import telling
from toolyard_scheduler.applying import apply
from toolyard_scheduler.entries import Content, Entry
from toolyard_scheduler.rows import Around

#: What hypothesis chooses.
Draw = Callable[[st.SearchStrategy[Any]], Any]
#: The name of the one start that needs no claim: by the first delivery of a tool that may run twice.
UNHEARD = ""


@dataclass
class Asked:
    """A claim, one for each delivery of a message; or the start that needed none.

    Attributes:
        message: whether its worker has the message; else that was acked, or is on its way to another worker.
        first: whether that was the call's first delivery.
        answer: what it was told; ``none`` as long as it was told nothing.
    """

    attempt: int
    message: bool = True
    first: bool = False
    answer: str = "none"


class OneCall(RuleBasedStateMachine):
    """The call, and what must hold whatever is said of it."""

    store: Store
    again: Store
    place: Position
    number = 0

    def accept(self, *, rerunnable: bool, attempts: int, later: bool) -> None:
        """A gateway publishes it."""
        type(self).number += 1
        self.store.ledger.forget()
        self.lead()
        self.rerunnable = rerunnable
        self.story = Story(
            f"c{self.number}",
            rerunnable=rerunnable,
            retry=RetryPolicy(max_attempts=attempts, backoff=0.001),
            not_before=NOW + 1.0 if later else None,
            conversation=f"talk{self.number}",
        )
        self.heard = Heard(self.story.call.call_id)
        self.time = 0.0
        self.pauses: frozenset[Paused] = frozenset()
        # messages in the pool's queue, by attempt; and whether the call's first one is still among them
        self.queue: Counter[int] = Counter() if later else Counter({1: 1})
        self.fresh = not later
        self.dispatched: set[int] = set()
        self.asked: dict[str, Asked] = {}
        self.granted: dict[int, set[str]] = {}
        self.released: set[str] = set()
        self.ran: set[str] = set()
        self.harmless: set[str] = set()
        # attempts of which somebody said that they had started; whether the ledger has not heard of the first delivery,
        # which may run without a claim; whether a later delivery asked before it had; and claims of which the best was
        # told only when the ledger had gone on without them
        self.told: set[int] = set()
        self.unheard = rerunnable and not later
        self.left_open = False
        self.late: set[str] = set()
        self.call: OpenCall | None = None
        self.row: CallRow | None = None
        self.end: tuple[State, object, object] | None = None
        self.decided = ""  # the code of the end that it will have
        self.say(resume())
        self.say(self.story.accepted())

    # ---- what must hold -------------------------------------------------------------------------
    def it_has_one_end_and_that_never_changes(self) -> None:
        row = self.row
        if row is None:  # it is still to be accepted
            return
        end = (row.state, row.result, row.error) if row.state in TERMINAL else None
        assert self.end in (None, end)
        self.end = end
        assert (row.finished_at is not None) == (row.state in TERMINAL)
        if self.decided and row.error is not None:
            assert row.error.code == self.decided, "it ends otherwise than was decided"
        assert not (self.decided and end) or row.error is not None, "it succeeded after its end was decided"

    @invariant()
    def one_grant_stands_for_an_attempt(self) -> None:
        for claims in self.granted.values():
            assert len(claims - self.released) <= 1

    @invariant()
    def no_effect_is_promised_only_where_there_was_none(self) -> None:
        row = self.row
        if row is not None and row.state in TERMINAL and row.effect == "none":
            assert not self.may_have_acted()
            assert not (self.rerunnable and self.fresh), "the first delivery is still to come"

    def it_is_decided_for_a_reason(self) -> None:
        """In the moment in which the verdict is given, or an outcome ends it."""
        row, call = self.row, self.call
        assert row is not None
        not_begun = self.released - self.late
        began = {self.asked[claim].attempt for claims in self.granted.values() for claim in claims - not_begun}
        attempts = max(began | self.told, default=0)
        assert (row.attempts if call is None else call.attempts) == attempts
        code = (call.doomed or "") if call is not None else row.error.code if row.error is not None else ""
        effect = row.effect if call is None else call.effect
        if effect == "unknown":
            newest = row.attempts if call is None else call.attempt
            assert self.may_have_acted() or self.unheard or self.left_open or self.late or newest in self.told
        if code == "expired":
            assert (attempts, effect) == (0, "none")
        if code == "timed_out":
            assert attempts or effect == "unknown"
        if code == "outcome_unknown":
            assert self.may_have_acted()
            assert not self.rerunnable

    def a_claim_between_the_marks_moves_nothing(self, before: OpenCall) -> None:
        """Whoever asks, once more or for the first time: the verdict comes when it would have come, and is the same."""
        assert self.call is not None
        for name in (
            "holder",
            "attempt",
            "ending",
            "ending_claim",
            "settled",
            "doomed",
            "watch_at",
            "due_at",
            "effect",
        ):
            assert getattr(self.call, name) == getattr(before, name) or (name == "effect" and self.rerunnable), name

    def may_have_acted(self) -> set[str]:
        """Those who may start or have started, and did not say that nothing happened."""
        unheard = {UNHEARD} & self.asked.keys()
        return set().union(unheard, *self.granted.values()) - self.released - self.harmless

    # ---- how it is said -------------------------------------------------------------------------
    def say(self, content: Content) -> None:
        """Apply one record as the ledger does, and look at the answers and at what became of the call."""
        before = self.call
        around, offset = Around(self.now, "s1", self.pauses), self.place.offset + 1
        with self.store.ledger.batch(self.place.epoch, self.place.offset, offset, "record", NOW) as batch:
            folded, pauses = apply(batch, [entry := Entry(offset, "record", content)], around)
        self.heard.note(entry, folded)
        self.place = replace(self.place, offset=offset)
        self.note(content)
        self.call = next(iter(self.store.open_calls.these([self.story.call.call_id])), None)
        self.row = self.store.calls.get("default", self.story.call.call_id)
        for answer in folded.answers:
            if isinstance(answer.message, Granted):
                self.was_granted(answer.message.claim_id, before)
            elif isinstance(answer.message, ClaimRefused):
                self.was_refused(answer.message.claim_id, answer.message.reason)
        self.pauses = pauses
        over = self.decided or self.end
        if before is not None and before.ending and not over and isinstance(content, Claim):
            self.a_claim_between_the_marks_moves_nothing(before)
        self.it_has_one_end_and_that_never_changes()
        if not over and self.call is not None and self.call.settled:
            self.decided = self.call.error.code if self.call.error is not None else ""
            unheard = UNHEARD in self.holders() or (self.rerunnable and self.fresh)
            waits = (before is not None and before.ending) or any(self.granted.values())  # so does its gateway
            assert waits or not unheard, "it is ended at once, and may be running"
        if not over and (self.decided or self.end):
            self.it_is_decided_for_a_reason()

    def was_granted(self, claim_id: str, before: OpenCall | None) -> None:
        """A grant of a claim that was refused before, or given back, would start a message that was dropped."""
        claim = self.asked[claim_id]
        assert claim.answer in ("none", "granted"), f"{claim_id} was told {claim.answer} before"
        assert claim_id not in self.released
        assert before is not None, "a grant of what has ended"
        assert not before.settled, "a grant of what will end"
        if before.holder != claim_id:
            assert before.holder is None, "a grant of what another holds"
            assert not before.ending, "a grant between the marks"
            assert before.doomed is None, "a grant of what shall end"
            assert not self.pauses, "a grant of what is paused"
            assert self.call is not None
            assert self.call.due_at is None, "what is held is dispatched"
        if not self.rerunnable:
            assert self.may_have_acted() <= {claim_id}, "a second start after an effect that is not none"
        self.granted.setdefault(claim.attempt, set()).add(claim_id)
        claim.answer = "granted"

    def was_refused(self, claim_id: str, reason: str) -> None:
        claim = self.asked[claim_id]
        claim.answer, claim.message = reason, False

    def note(self, content: Content) -> None:
        """What the ledger hears of starts."""
        if isinstance(content, Ended) and content.started_at is not None and content.by != "scheduler":
            self.told.add(content.attempt)
        elif isinstance(content, Claim) and content.attempt == 1:
            self.left_open = self.left_open or (self.unheard and not content.first)
            self.unheard = self.unheard and not content.first

    # ---- what the rules ask ---------------------------------------------------------------------
    def holders(self) -> list[str]:
        """Who may have started and has told nothing."""
        granted = [each for each, claim in self.asked.items() if claim.answer == "granted"]
        return [each for each in granted if each not in self.ran | self.released]

    def open_claims(self) -> list[str]:
        """Claims that may be given back."""
        open_yet = [each for each, claim in self.asked.items() if claim.answer in ("granted", "none")]
        return [each for each in open_yet if each != UNHEARD and each not in self.ran | self.released]

    @property
    def now(self) -> float:
        """What time it is for the scheduler."""
        return NOW + self.time

    def claim_of(self, claim_id: str, *, again: bool = False) -> Claim:
        asked = self.asked[claim_id]
        return self.story.claim(claim_id, asked.attempt, self.time, first=asked.first, again=again)

    def ended(self, state: State, attempt: int, **fields: Any) -> End:
        return self.story.ended(state, attempt, self.time, **fields)

    # ---- what several words are made of ---------------------------------------------------------
    def deliver(self, *, asks: bool, slow: bool = False, again: bool = False) -> None:
        """A worker takes a message. Only a first delivery may start without asking."""
        attempt = max(attempt for attempt, messages in self.queue.items() if messages)
        first = attempt == 1 and self.fresh
        self.queue[attempt] -= 1
        self.fresh = self.fresh and not first
        if first and self.rerunnable and not asks:
            self.asked[UNHEARD] = Asked(attempt, first=True, answer="granted")
            return
        number = len(self.asked)
        claim_id = f"w{number % 3}:{number}"
        self.asked[claim_id] = Asked(attempt, first=first)
        if not slow:
            self.say(self.claim_of(claim_id, again=again))

    def put_back(self, claim_id: str) -> None:
        """Its message, if its worker has it, comes again."""
        asked = self.asked[claim_id]
        self.queue[asked.attempt] += asked.message
        asked.message = False

    def release(self, claim_id: str) -> None:
        """Give a claim back, and then its message."""
        self.note_late(claim_id)
        self.released.add(claim_id)
        attempt = self.asked[claim_id].attempt
        if attempt > 1 and self.call is not None and self.call.holder == claim_id:
            self.told.discard(attempt)  # nobody else can have known
        self.say(self.story.released(claim_id, attempt, self.time))
        self.put_back(claim_id)

    def note_late(self, claim_id: str) -> None:
        """It is told that nothing was done, or has begun: after the ledger had to think otherwise?"""
        if self.call is not None and self.call.attempt > self.asked[claim_id].attempt:
            self.late.add(claim_id)

    def dispatch_due(self) -> None:
        """The scheduler dispatches it, if it is due; time passes until then."""
        call = self.call
        if call is not None and call.due_at is not None:
            self.time = max(self.time, call.due_at - NOW)
            self.say(self.story.dispatched(call.attempt, self.time))
            self.queue[call.attempt] += 1
            self.dispatched.add(call.attempt)

    def carry_on(self, *, patience: bool) -> None:
        """The next step of its verdict, as the scheduler takes it; or the first over a silent worker."""
        call = self.call
        if call is None:
            return
        if call.watch_at is not None:
            self.time = max(self.time, call.watch_at - NOW)
            if call.settled:
                self.say(telling.ended(call, self.now))
            elif call.ending:
                self.say(self.story.settled(call.attempt, self.time, call.ending_claim or ""))
            else:
                code = call.doomed or "outcome_unknown"
                self.say(telling.ending(call.call, call.attempt, code, self.now, call.holder or ""))
        elif call.holder is not None and not patience:
            self.say(telling.ending(call.call, call.attempt, "outcome_unknown", self.now, call.holder))

    def lead(self) -> None:
        """Another scheduler begins to lead."""
        self.place = self.store.ledger.lead(self.store.ledger.position(), "next")
