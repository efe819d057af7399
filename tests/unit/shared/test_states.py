"""The table of states: what it allows, and that every way through it ends once and for all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from toolyard.states import MOVES, PARKED, STATES, TERMINAL, State, is_terminal, may_follow


def test_the_table_names_every_state_and_no_other():
    assert set(MOVES) == set(STATES)
    assert all(after <= set(STATES) for after in MOVES.values())


def test_parked_and_terminal_states_are_different_things():
    assert not PARKED & TERMINAL


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nothing_follows_a_terminal_state(state: State):
    assert is_terminal(state)
    assert not any(may_follow(state, after) for after in STATES)


@pytest.mark.parametrize("state", sorted(set(STATES) - TERMINAL))
def test_every_other_state_can_still_end(state: State):
    seen: set[State] = {state}
    while more := {after for each in seen for after in MOVES[each]} - seen:
        seen |= more

    assert not is_terminal(state)
    assert seen & TERMINAL


@pytest.mark.parametrize("state", sorted(set(STATES) - {"accepted"}))
def test_every_state_can_be_reached_and_none_goes_back_to_the_beginning(state: State):
    assert any(may_follow(before, state) for before in STATES)
    assert not may_follow(state, "accepted")


@pytest.mark.parametrize("state", sorted(set(STATES) - TERMINAL))
def test_a_call_that_has_not_ended_can_be_cancelled(state: State):
    assert may_follow(state, "cancelled")


@pytest.mark.parametrize("parked", sorted(PARKED))
def test_a_parked_call_runs_only_by_way_of_the_queue(parked: State):
    assert may_follow(parked, "queued")
    assert not may_follow(parked, "running")


def test_rejected_and_expired_are_for_calls_that_were_not_running_or_overdue():
    assert not may_follow("running", "rejected")
    assert not may_follow("scheduled", "rejected")


@given(st.lists(st.sampled_from(STATES), max_size=30))
def test_any_sequence_of_wishes_ends_in_at_most_one_terminal_state(wishes: list[State]):
    state: State = "accepted"
    ends = []
    for wish in wishes:
        if may_follow(state, wish):
            state = wish
            if is_terminal(state):
                ends.append(state)

    assert len(ends) <= 1
    assert ends == ([state] if is_terminal(state) else [])


class Life(RuleBasedStateMachine):
    """A call that goes wherever the table lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.way: list[State] = ["accepted"]

    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        allowed = sorted(MOVES[self.way[-1]])
        if allowed:
            self.way.append(data.draw(st.sampled_from(allowed)))

    @invariant()
    def a_terminal_state_is_the_last(self) -> None:
        assert not TERMINAL & set(self.way[:-1])

    @invariant()
    def it_never_stands_still(self) -> None:
        assert all(before != after for before, after in zip(self.way, self.way[1:], strict=False))


TestLife = Life.TestCase
