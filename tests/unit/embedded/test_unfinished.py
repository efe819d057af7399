"""What an earlier process left unfinished is put back, with the right count."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from toolyard.states import State
from toolyard.store.base import CallRow, UnfinishedCall
from toolyard.testing.fakes import MemoryJournal
from toolyard.testing.transport_parts import call_message, signed_call
from toolyard.transport.base import Message
from toolyard_embedded.unfinished import GoodOrder, find


class Calls:
    """Unfinished calls in memory, of these messages."""

    def __init__(
        self, journal: MemoryJournal, *messages: Message, state: State = "queued", rerunnable: bool = False
    ) -> None:
        call = msgspec.structs.replace(signed_call().call, rerunnable=rerunnable)
        self.calls = [UnfinishedCall(CallRow(call, state, "none", 0), offset) for offset in journal.append(messages)]

    def unfinished(self) -> Sequence[UnfinishedCall]:
        return self.calls

    def count_redelivery(self, call_ids: Sequence[str]) -> None:
        raise AssertionError(call_ids)


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.mark.parametrize(("rerunnable", "count"), [(True, 1), (False, 0)])
def test_what_may_have_run_counts_as_delivered_before_and_what_the_ledger_grants_does_not(journal, rerunnable, count):
    first, second = call_message(), call_message()
    found = find(Calls(journal, first, second, rerunnable=rerunnable), journal, frozenset())
    assert [(each.message, each.count) for each in found] == [(first, count), (second, count)]


def test_what_nobody_had_taken_when_the_process_ended_well_counts_no_delivery(journal):
    waiting, running = call_message(), call_message()
    found = find(Calls(journal, waiting, running, rerunnable=True), journal, frozenset({waiting.message_id}))
    assert [each.count for each in found] == [0, 1]


@pytest.mark.parametrize("state", ["scheduled", "retrying", "awaiting_approval"])
def test_what_is_parked_is_left_to_the_ledger(journal, state):
    assert find(Calls(journal, call_message(), state=state), journal, frozenset()) == []


def test_a_call_whose_message_is_gone_is_left_to_its_deadline(journal):
    calls = Calls(journal, call_message())
    calls.calls = [
        UnfinishedCall(calls.calls[0].row, None),
        UnfinishedCall(calls.calls[0].row, 99),
    ]
    assert find(calls, journal, frozenset()) == []


def test_the_note_of_a_good_end_names_what_was_not_delivered_and_is_read_once(tmp_path: Path):
    fresh, again, returned = call_message(), call_message(), call_message()
    GoodOrder(tmp_path).leave([(fresh, 0), (again, 1), (returned, 1)], {again.message_id: 1})
    assert GoodOrder(tmp_path).take() == {fresh.message_id, again.message_id}
    assert GoodOrder(tmp_path).take() == frozenset()


def test_a_note_that_was_cut_short_counts_as_none(tmp_path: Path):
    (tmp_path / "never_started.json").write_text('["a", "b')
    assert GoodOrder(tmp_path).take() == frozenset()
    assert list(tmp_path.iterdir()) == []


def test_a_note_that_cannot_be_left_ends_nothing(tmp_path: Path):
    GoodOrder(tmp_path / "gone").leave([(call_message(), 0)], {})


def test_no_note_is_left_where_nothing_waits(tmp_path: Path):
    GoodOrder(tmp_path).leave([], {})
    assert list(tmp_path.iterdir()) == []
