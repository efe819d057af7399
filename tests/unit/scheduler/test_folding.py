"""What records mean: each rule of the ledger, and that no order of them gives a call two ends."""

import copy
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.ledger import NOW, Story

from toolyard.contracts.calls import CallMessage
from toolyard.contracts.events import Event
from toolyard.states import State, is_terminal, may_follow
from toolyard.store.ledger_rows import LedgerRow, Submission
from toolyard_scheduler.entries import Content, Entry, Folded
from toolyard_scheduler.folding import fold
from toolyard_scheduler.rows import Around

STORY = Story()
LATER = Around(NOW + 10_000.0, "s1")


def folded(*contents: Content, rows: dict[str, LedgerRow] | None = None) -> Folded:
    result = Folded({} if rows is None else rows)
    fold([Entry(offset, f"m{offset}", content) for offset, content in enumerate(contents)], result, LATER)
    return result


def row_of(*contents: Content) -> LedgerRow:
    return folded(*contents).rows["c1"]


# ---- the ordinary way ---------------------------------------------------------------------------------
def test_an_accepted_call_is_queued():
    row = row_of(STORY.accepted())

    assert (row.state, row.effect, row.attempts, row.new, row.log_offset) == ("queued", "none", 0, True, 0)
    assert row.call == STORY.call


def test_a_start_makes_it_running():
    row = row_of(STORY.accepted(), STORY.started(at=1.0))

    assert (row.state, row.attempts, row.started_at, row.finished_at) == ("running", 1, NOW + 1.0, None)


@pytest.mark.parametrize("state", ["succeeded", "failed", "timed_out", "cancelled"])
def test_an_outcome_ends_it(state: State):
    row = row_of(STORY.accepted(), STORY.started(), STORY.ended(state, effect="unknown", at=5.0))

    assert (row.state, row.effect, row.finished_at, row.attempts) == (state, "unknown", NOW + 5.0, 1)
    assert (row.result is None) == (state != "succeeded")
    assert (row.error is None) == (state == "succeeded")


def test_a_short_call_is_never_seen_running_but_its_start_is_known():
    row = row_of(STORY.accepted(), STORY.ended(started_at=NOW + 0.5))

    assert (row.state, row.attempts, row.started_at) == ("succeeded", 1, NOW + 0.5)


def test_a_call_that_expired_has_no_attempt():
    row = row_of(STORY.accepted(), STORY.ended("expired", started_at=None, effect="none"))

    assert (row.state, row.attempts, row.started_at) == ("expired", 0, None)


def test_a_row_says_where_the_newest_message_of_its_call_stands():
    said = (STORY.accepted(), STORY.dispatched(attempt=2))

    assert row_of(*said).log_offset == 1
    assert row_of(*said, STORY.dispatched(attempt=1)).log_offset == 1, "that attempt is over"
    assert row_of(*said, STORY.dispatched(attempt=2)).log_offset == 2, "it was dispatched once more"


# ---- orders that nobody wished for --------------------------------------------------------------------
def test_a_start_that_is_read_after_the_end_changes_no_state():
    row = row_of(STORY.accepted(), STORY.ended(started_at=NOW + 0.5), STORY.started(at=0.5))

    assert (row.state, row.attempts, row.started_at) == ("succeeded", 1, NOW + 0.5)


def test_an_outcome_without_its_call_makes_the_call():
    row = row_of(STORY.ended())

    assert (row.state, row.log_offset, row.new) == ("succeeded", None, True)
    assert row.call is not None
    assert (row.call.org, row.call.tool, row.call.gateway, row.call.arguments) == ("default", "lookup", "g1", {})


def test_the_call_that_is_read_later_fills_in_what_was_missing():
    row = row_of(STORY.ended(), STORY.accepted())

    assert (row.state, row.log_offset, row.call) == ("succeeded", 1, STORY.call)
    assert row.submitters == 1


def test_a_call_of_another_body_fills_in_nothing():
    result = folded(STORY.ended(), STORY.accepted(body_hash="other"))

    assert result.rows["c1"].log_offset is None
    assert [each.conflict for each in result.submissions] == [True]


def test_duplicates_change_nothing():
    once = folded(STORY.accepted(), STORY.started(), STORY.ended()).rows["c1"]
    twice = folded(
        STORY.accepted(), STORY.accepted(), STORY.started(), STORY.started(), STORY.ended(), STORY.ended()
    ).rows["c1"]

    assert twice == once


# ---- one end ------------------------------------------------------------------------------------------
def test_what_comes_after_the_end_is_late():
    result = folded(STORY.accepted(), STORY.verdict(), STORY.ended(effect="done"))
    row = result.rows["c1"]

    assert (row.state, row.effect, row.late_results, row.result) == ("timed_out", "unknown", 1, None)
    assert result.counts["late_results"] == 1


def test_a_late_outcome_tells_of_an_effect_that_was_not_known():
    row = row_of(STORY.accepted(), STORY.withdrawn(), STORY.ended(effect="done"))

    assert (row.state, row.effect, row.late_results) == ("cancelled", "done", 1)


def test_the_failure_of_an_older_attempt_is_only_recorded():
    result = folded(STORY.accepted(), STORY.accepted(attempt=2), STORY.ended("failed", attempt=1))

    assert result.rows["c1"].state == "queued"
    assert result.rows["c1"].attempts == 1
    assert result.counts["older_attempts"] == 1


def test_the_success_of_an_older_attempt_ends_the_call():
    row = row_of(STORY.accepted(), STORY.accepted(attempt=2), STORY.ended("succeeded", attempt=1))

    assert row.state == "succeeded"


def test_an_outcome_that_the_state_does_not_allow_is_counted_and_ends_nothing():
    result = folded(STORY.accepted(), STORY.started(), STORY.ended("rejected"))

    assert result.rows["c1"].state == "running"
    assert result.counts["impossible"] == 1


# ---- withdrawn ----------------------------------------------------------------------------------------
def test_a_withdrawn_call_that_has_not_started_is_cancelled():
    row = row_of(STORY.accepted(), STORY.withdrawn(at=3.0))

    assert (row.state, row.effect, row.finished_at) == ("cancelled", "none", NOW + 3.0)
    assert row.error is not None
    assert row.error.code == "cancelled"


def test_a_withdrawn_call_whose_record_was_lost_is_cancelled_too():
    row = row_of(STORY.withdrawn(), STORY.accepted())

    assert (row.state, row.log_offset) == ("cancelled", 1)


def test_a_call_that_has_started_is_not_withdrawn():
    assert row_of(STORY.accepted(), STORY.started(), STORY.withdrawn()).state == "running"
    assert row_of(STORY.accepted(), STORY.ended(), STORY.withdrawn()).state == "succeeded"


def test_a_start_after_the_withdrawal_leaves_the_effect_unknown():
    row = row_of(STORY.accepted(), STORY.withdrawn(), STORY.started())

    assert (row.state, row.effect, row.attempts) == ("cancelled", "unknown", 1)


def test_one_gateway_cannot_withdraw_what_another_submitted_too():
    assert row_of(STORY.accepted(), STORY.accepted(gateway="g2"), STORY.withdrawn()).state == "queued"
    assert row_of(STORY.accepted(gateway="g2"), STORY.withdrawn()).state == "queued"


# ---- two submissions ----------------------------------------------------------------------------------
def test_a_second_gateway_is_noted():
    result = folded(STORY.accepted(), STORY.accepted(gateway="g2"))

    assert result.submissions == [Submission("c1", "g2", "hash", NOW, conflict=False)]
    assert result.rows["c1"].gateway == "g1"


def test_another_body_is_a_conflict_and_changes_nothing():
    result = folded(STORY.accepted(), STORY.accepted(body_hash="other", arguments={"city": "Basel"}))

    assert [each.conflict for each in result.submissions] == [True]
    assert result.rows["c1"].call == STORY.call


# ---- two steps ----------------------------------------------------------------------------------------
def test_between_the_marks_an_outcome_is_still_the_end():
    row = row_of(STORY.accepted(), STORY.ending(), STORY.ended())

    assert (row.state, row.late_results, row.watch_at) == ("succeeded", 0, None)


def test_after_the_second_mark_only_the_verdict_ends_the_call():
    row = row_of(STORY.accepted(), STORY.started(), STORY.ending(), STORY.settled(), STORY.ended())
    assert (row.state, row.settled, row.doomed, row.late_results) == ("running", True, "timed_out", 1)

    row = row_of(STORY.accepted(), STORY.started(), STORY.ending(), STORY.settled(), STORY.ended(), STORY.verdict())
    assert (row.state, row.late_results, row.settled) == ("timed_out", 1, False)


def test_a_second_mark_without_the_first_decides_nothing():
    assert not row_of(STORY.accepted(), STORY.settled()).settled


def test_an_ending_after_the_end_leaves_no_mark():
    assert not row_of(STORY.accepted(), STORY.ended(), STORY.ending()).ending


# ---- any order ----------------------------------------------------------------------------------------
EVERYTHING: list[Content] = [
    STORY.accepted(),
    STORY.accepted(gateway="g2"),
    STORY.accepted(body_hash="other"),
    STORY.accepted(attempt=2),
    STORY.started(),
    STORY.started(attempt=2),
    STORY.withdrawn(),
    STORY.ending(),
    STORY.settled(),
    STORY.claim(),
    STORY.claim("w2:1"),
    STORY.released(),
    STORY.released("w2:1"),
    STORY.claim("w2:2", attempt=2),
    STORY.ending(claim_id="w1:1", code="outcome_unknown"),
    STORY.settled(claim_id="w1:1"),
    STORY.cancel(),
    STORY.parked(),
    STORY.verdict("failed"),
    STORY.verdict("timed_out", attempt=2),
    *(STORY.ended(state) for state in ("succeeded", "failed", "timed_out", "cancelled", "expired", "rejected")),
    *(STORY.ended(state, attempt=2) for state in ("succeeded", "failed")),
]
orders = st.lists(st.sampled_from(EVERYTHING), min_size=1, max_size=25)


def saved(rows: dict[str, LedgerRow]) -> dict[str, LedgerRow]:
    """As the next batch would load them."""
    loaded = copy.deepcopy(rows)
    for row in loaded.values():
        row.known = row.call or row.known
        row.call = row.result = row.error = None
        row.new = row.changed = False
    return loaded


def one_by_one(entries: list[Entry], rows: dict[str, LedgerRow]) -> dict[str, LedgerRow]:
    result = Folded(rows)
    fold(entries, result, LATER)
    return result.rows


@given(orders)
def test_whatever_is_read_a_terminal_state_never_changes_and_every_move_is_allowed(
    contents: Sequence[Content],
):
    rows: dict[str, LedgerRow] = {}
    way: list[State] = ["accepted"]
    for offset, content in enumerate(contents):
        rows = saved(one_by_one([Entry(offset, "m", content)], rows))
        if not rows:  # a word about a call that nobody told of
            continue
        state = rows["c1"].state
        if state != way[-1]:
            by_the_queue = may_follow(way[-1], "queued") and may_follow(
                "queued", state
            )  # what was parked and is granted
            assert may_follow(way[-1], state) or by_the_queue
            way.append(state)
        assert is_terminal(state) == (rows["c1"].finished_at is not None)

    assert sum(map(is_terminal, way)) <= 1


@given(orders)
def test_a_call_that_got_its_verdict_or_any_success_has_ended(contents: Sequence[Content]):
    row = row_of(*contents, STORY.verdict("failed", attempt=9))

    assert is_terminal(row.state)


@given(orders)
def test_the_same_records_once_more_change_neither_state_nor_end(contents: Sequence[Content]):
    first = folded(*contents).rows
    second = saved(first)
    folded(*contents, rows=second)
    before, after = first.get("c1"), second.get("c1")

    if before is not None and after is not None and is_terminal(before.state):
        told = ("state", "finished_at", "end_sequence")
        assert [getattr(after, name) for name in told] == [getattr(before, name) for name in told]


@given(orders, st.data())
def test_it_does_not_matter_how_the_records_fall_into_batches(contents: Sequence[Content], data: st.DataObject):
    whole = saved(folded(*contents).rows)
    pieces: dict[str, LedgerRow] = {}
    entries = [Entry(offset, "m", content) for offset, content in enumerate(contents)]
    while entries:
        size = data.draw(st.integers(1, len(entries)))
        pieces = saved(one_by_one(entries[:size], pieces))
        entries = entries[size:]

    assert pieces == whole


@given(st.permutations([STORY.accepted(), STORY.started(), STORY.ended(), STORY.ended(), STORY.accepted()]))
def test_in_whatever_order_an_ordinary_call_is_read_it_ends_as_its_outcome_says(contents: list[CallMessage | Event]):
    row = folded(*contents).rows["c1"]
    outcome = STORY.ended()

    assert (row.state, row.effect, row.finished_at) == ("succeeded", outcome.effect, outcome.finished_at)
    assert (row.attempts, row.late_results, row.submitters) == (1, 0, 1)
    assert row.call == STORY.call
