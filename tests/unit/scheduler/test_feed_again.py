"""The same is told live and when the log is read again, whatever was said of a call and however it came in batches."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.support.ledger import NOW, Said, Story, records_of
from tests.unit.scheduler.feed_reader import Reader, opened

from toolyard.contracts.calls import error_info
from toolyard.contracts.events import Ended
from toolyard.states import TERMINAL
from toolyard.store.ledger_rows import LedgerRow
from toolyard.transport.base import Record
from toolyard_scheduler.verdicts import LAPSED, state_of

BROKE = error_info("upstream_error", "500", retryable=True)
#: The scheduler tells the end that the row says is decided, if it does.
VERDICT = "verdict"


def said_of(story: Story) -> Sequence[Said | str]:
    """What may be said of a call once it was accepted; `said_at` gives it its time."""
    return [
        story.started(1),
        story.started(2),
        story.ended(attempt=1),
        story.ended(attempt=2),
        story.ended("failed", 1, effect="none", error=BROKE, final=False),
        story.ended("failed", 1, n=3, effect="unknown"),
        story.ended("failed", 2, n=3, effect="none"),
        structs.replace(story.ended("failed", 1, n=4), body_hash="foreign"),
        story.claim(attempt=1),
        story.claim("w2:1", attempt=2),
        story.ending(1),
        story.ending(2),
        story.settled(1),
        VERDICT,
        story.accepted(gateway="g2"),
        story.dispatched(2),
        story.parked(1),
        story.withdrawn(),
    ]


def said_at(at: float, story: Story, content: Any, rows: dict[str, LedgerRow]) -> Any:
    """The same, said at this time; nothing where the scheduler would not say it."""
    if content == VERDICT:
        row = rows[story.call.call_id]
        if not row.settled:
            return None
        content = story.verdict(state_of(row.doomed or LAPSED), row.attempt)
    fields: dict[str, Any] = dict.fromkeys({"time", "finished_at"} & set(content.__struct_fields__), at)
    holder = rows[story.call.call_id].holder
    if isinstance(content, Ended) and content.by == "executor" and holder is not None:
        fields["claim_id"] = holder
    return structs.replace(content, **fields)


STORIES = [Story(f"c{n}", conversation=f"talk{n}") for n in range(2)]
SAID = [(story, each) for story in STORIES for each in said_of(story)]


@given(st.lists(st.tuples(st.sampled_from(SAID), st.integers(1, 4)), max_size=16))
def test_the_same_is_told_live_and_when_it_is_read_again(drawn: list[tuple[tuple[Story, Any], int]]):
    live = Reader()
    records = records_of([story.accepted() for story in STORIES])
    items, waiting = live.read(records), list[Record]()
    for (story, content), size in drawn:
        said = said_at(NOW + len(records), story, content, live.rows)
        if said is not None:
            waiting += records_of([said], len(records))
            records.append(waiting[-1])
        if len(waiting) >= size:
            items += live.read(waiting)
            waiting = []
    items += live.read(waiting)
    later = Reader()
    later.rows = live.rows

    assert later.made(opened(records)) == items
    assert [item.cursor for item in items] == sorted({item.cursor for item in items})
    assert len({item.event_id for item in items}) == len(items)
    for call_id, row in live.rows.items():
        ends = [item.event for item in items if item.call_id == call_id and item.event in TERMINAL]
        assert ends == ([row.state] if row.finished_at is not None else [])
