"""Which events of the feed are published where somebody, nobody, or somebody for a part of them has bound a queue."""

from collections.abc import Collection, Sequence

import pytest
from tests.support.ledger import NOW, Story

from toolyard.contracts.feed import Cursor, FeedEvent
from toolyard_scheduler.feed import Happening
from toolyard_scheduler.wanted import Keyed, Wanted

WORDS: Sequence[FeedEvent] = ("accepted", "started", "succeeded")


def events_of(*calls: Story) -> list[Happening]:
    """As they come under load: first what was accepted, then what was started, then what ended."""
    return [
        Happening(Cursor(place, 2), word, "running", story.call, None, NOW, number)
        for number, word in enumerate(WORDS)
        for place, story in enumerate(calls)
    ]


def stories(*ids: str, tool: str = "lookup") -> list[Story]:
    return [Story(call_id=call_id, tool=tool) for call_id in ids]


def words(events: Sequence[Keyed]) -> list[str]:
    return [f"{each.happened.of.call_id} {each.happened.word}" for each in events]


def publish(wanted: Wanted, happened: Sequence[Happening], bound: Collection[str]) -> tuple[list[str], list[str]]:
    """What is published at once and afterwards, where queues are bound for these words."""
    first, others = wanted.split(happened)
    for key in dict.fromkeys(each.key for each in first):
        wanted.note(key, taken=key.split(".")[2] in bound)
    return words(first), words(wanted.wanted(others))


def test_where_nobody_follows_one_call_is_the_witness_for_all():
    first, after = publish(Wanted(), events_of(*stories("a", "b", "c")), ())
    assert first == ["a accepted", "a started", "a succeeded"]
    assert after == []


def test_what_a_witness_finds_wanted_follows_for_all_other_calls_in_order():
    first, after = publish(Wanted(), events_of(*stories("a", "b", "c")), WORDS)
    assert first == ["a accepted", "a started", "a succeeded"]
    assert after == ["b accepted", "c accepted", "b started", "c started", "b succeeded", "c succeeded"]


def test_what_was_wanted_before_goes_at_once():
    wanted = Wanted()
    publish(wanted, events_of(*stories("a")), WORDS)
    first, after = publish(wanted, events_of(*stories("b", "c")), WORDS)
    assert first == ["b accepted", "c accepted", "b started", "c started", "b succeeded", "c succeeded"]
    assert after == []


def test_only_the_keys_that_somebody_bound_follow():
    wanted = Wanted()
    for ids in ("abc", "def"):
        first, after = publish(wanted, events_of(*stories(*ids)), ("succeeded",))
        assert first == [f"{ids[0]} {word}" for word in WORDS]
        assert after == [f"{each} succeeded" for each in ids[1:]]


def test_who_unbinds_is_noticed_with_the_next_witness():
    wanted = Wanted()
    publish(wanted, events_of(*stories("a")), WORDS)
    assert publish(wanted, events_of(*stories("b", "c")), ()) == (words_of_all("b", "c"), [])
    assert publish(wanted, events_of(*stories("d", "e")), ()) == (words_of_all("d"), [])


def words_of_all(*ids: str) -> list[str]:
    return [f"{call_id} {word}" for word in WORDS for call_id in ids]


def test_each_tool_has_a_witness_of_its_own():
    calls = [*stories("a", "b"), *stories("c", "d", tool="other.tool")]
    first, after = publish(Wanted(), events_of(*calls), ())
    assert (first, after) == (words_of_all("a", "c"), [])


@pytest.mark.parametrize("bound", [(), ("accepted",), ("succeeded", "started"), WORDS])
def test_no_call_is_published_in_two_parts_but_what_nobody_wants_of_it(bound: Collection[str]):
    wanted = Wanted()
    calls = stories(*"abcdef")
    for cut in (4, 7, 11):  # a window ends in the middle of calls
        happened = events_of(*calls)
        for part in (happened[:cut], happened[cut:]):
            first, after = publish(wanted, part, bound)
            whole = {each.split()[0] for each in first}
            assert not whole & {each.split()[0] for each in after}
            due = [f"{each.of.call_id} {each.word}" for each in part if each.word in bound]
            assert len(first + after) == len(set(first + after))
            assert {each for each in first + after if each.split()[1] in bound} == set(due)


@pytest.mark.parametrize("known", [9_998, 9_999, 10_000])
def test_what_was_held_back_follows_however_many_keys_are_known(known: int):
    wanted = Wanted()
    for tool in range(known):
        wanted.note(f"other.{tool}", taken=True)
    assert publish(wanted, events_of(*stories("a", "b")), WORDS) == (words_of_all("a"), words_of_all("b"))
