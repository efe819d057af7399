"""Pages of the feed from a running scheduler: live, behind an older cursor, wanted or not, and from the next leader."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from tests.integration.scheduler.gateway import Gateway
from tests.support.house import QUICK, House, a_story, until
from tests.support.ledger import ENVELOPE, Story
from tests.support.numbers import text
from tests.support.set_forward import SetForward

from toolyard.contracts import codec
from toolyard.contracts.events import End
from toolyard.contracts.feed import BEGINNING, Cursor, FeedItem, Interest
from toolyard.store.calls import SqlCalls
from toolyard.transport import topology
from toolyard.transport.base import Message
from toolyard_scheduler.app import Options
from toolyard_scheduler.tails import Bounds, Tails


def words(items: tuple[FeedItem, ...] | list[FeedItem]) -> list[tuple[str, str]]:
    return [(item.call_id, item.event) for item in items]


def ended(story: Story) -> End:
    """Of an attempt whose start was told."""
    return story.ended(announced=True)


def bounded(**bounds: Any) -> Options:
    return replace(QUICK, feed=Bounds(**bounds))


async def applied(house: House) -> int:
    """All that was said is in the ledger; the offset of the last of it."""
    offset = house.journal.last() or 0
    await asyncio.wait_for(house.schedulers[-1].reached(offset), 60)
    return offset


# ---- live -----------------------------------------------------------------------------------------
async def test_from_now_on_is_answered_at_once_and_what_follows_comes_live(house: House):
    await house.leader()
    story = a_story()
    await house.say(a_story("before").accepted())
    await applied(house)
    gateway = await Gateway(house.transport).begin()

    begun = await gateway.ask(None)
    waiting = await gateway.say(begun.cursor)
    await house.say(story.accepted())
    first = await asyncio.wait_for(waiting, 60)
    waiting = await gateway.say(first.cursor)
    await house.say(ended(story))
    second = await asyncio.wait_for(waiting, 60)

    assert (begun.items, begun.at_end, begun.lost, begun.ahead) == ((), True, False, False)
    assert words(first.items) == [("c1", "accepted")]
    assert words(second.items) == [("c1", "succeeded")]
    assert second.cursor >= second.items[-1].cursor
    assert second.items[0].conversation == story.call.conversation


async def test_a_question_waits_as_long_as_it_may_and_then_moves_on(house: House):
    await house.leader()
    gateway = await Gateway(house.transport).begin()
    begun = await gateway.ask(None)
    waiting = await gateway.say(begun.cursor, patience=4.0, only=Interest(tool="other"))
    await house.say(a_story().accepted())
    offset = await applied(house)

    page = await asyncio.wait_for(waiting, 60)
    at_once = await gateway.ask(page.cursor, patience=0.0, only=Interest(tool="other"))

    assert (page.items, page.at_end) == ((), True)
    assert page.cursor > Cursor(offset, 0)
    assert (at_once.items, at_once.cursor >= page.cursor) == ((), True)


async def test_only_what_is_wanted_is_told(house: House):
    await house.leader()
    gateway = await Gateway(house.transport).begin()
    begun = await gateway.ask(None)
    stories = [a_story("a", conversation="x"), a_story("b", conversation="y", tool="other"), a_story("c", org="theirs")]
    await house.say(*(story.accepted() for story in stories), *(ended(story) for story in stories))
    await applied(house)

    async def told(only: Interest, until: str) -> list[tuple[str, str]]:
        live = await gateway.follow(begun.cursor, only=only, until=until)
        assert await gateway.follow(only=only, until=until) == live
        return words(live)

    a_end, b_end = "a/1000002/succeeded", "b/1000002/succeeded"
    assert await told(Interest(conversation="y"), b_end) == [("b", "accepted"), ("b", "succeeded")]
    assert await told(Interest(tool="lookup"), a_end) == [("a", "accepted"), ("a", "succeeded")]
    assert await told(Interest(states=("succeeded",)), b_end) == [("a", "succeeded"), ("b", "succeeded")]
    assert await told(Interest(call_id="a", states=("accepted",)), "a/0/accepted") == [("a", "accepted")]


async def test_two_gateways_are_told_the_same(house: House):
    await house.leader()
    gateways = [await Gateway(house.transport, name).begin() for name in ("g1", "g2")]
    cursors = [(await each.ask(None)).cursor for each in gateways]
    waiting = [await each.say(cursor) for each, cursor in zip(gateways, cursors, strict=True)]
    await house.say(a_story().accepted())
    pages = await asyncio.wait_for(asyncio.gather(*waiting), 60)

    assert pages[0].items == pages[1].items
    assert words(pages[0].items) == [("c1", "accepted")]


async def test_a_call_of_the_scheduler_itself_is_told_to_its_end(house: House):
    await house.leader()
    gateway = await Gateway(house.transport).begin()
    cursor = (await gateway.ask(None)).cursor
    await house.say(a_story(deadline=0.5, rerunnable=False).accepted())

    items = await gateway.follow(cursor, until="c1/1900001/expired")

    assert words(items) == [("c1", "accepted"), ("c1", "expired")]
    assert b'"phase":"queue"' in bytes(items[-1].body)


# ---- behind an older cursor -----------------------------------------------------------------------
async def test_an_old_cursor_is_answered_from_the_log_and_joins_what_comes_live(house: House):
    await house.leader(bounded(page=7, records=40))
    stories = [a_story(f"c{number:03}") for number in range(150)]
    gateway = await Gateway(house.transport).begin()
    await house.say(*(story.accepted() for story in stories[:50]), *(ended(story) for story in stories[:50]))
    await applied(house)

    async def go_on() -> None:
        for story in stories[50:]:
            await house.say(story.accepted(), ended(story))
            await asyncio.sleep(0)

    going = asyncio.create_task(go_on())
    items = await gateway.follow(until="c149/1000002/succeeded")
    await going

    expected = {(story.call.call_id, event) for story in stories for event in ("accepted", "succeeded")}
    assert len(items) == len(expected)
    assert set(words(items)) == expected
    assert [item.cursor for item in items] == sorted(item.cursor for item in items)


async def test_a_cursor_in_the_middle_of_a_record_misses_nothing_of_it(house: House):
    await house.leader()
    stories = [a_story(f"c{number}") for number in range(3)]
    ends = [codec.encode(ended(story)) for story in stories]
    bundle: Message = ENVELOPE.outcomes("http", "g1", ends)
    await house.say(*(story.accepted() for story in stories), bundle)
    offset = await applied(house)
    gateway = await Gateway(house.transport).begin()

    page = await gateway.ask(Cursor(offset, 2))

    assert words(page.items) == [("c1", "succeeded"), ("c2", "succeeded")]
    assert [item.n for item in page.items] == [4, 6]


async def test_a_bounded_piece_that_has_nothing_moves_the_cursor_on(house: House):
    await house.leader(bounded(records=1))
    await house.say(a_story("a").accepted(), a_story("b").accepted(), *[a_story(f"{n}").accepted() for n in range(300)])
    await applied(house)
    gateway = await Gateway(house.transport).begin()

    first = await gateway.ask(BEGINNING, only=Interest(call_id="299"))
    items = await gateway.follow(only=Interest(call_id="299"), until="299/0/accepted")

    assert (first.items, first.at_end) == ((), False)
    assert BEGINNING < first.cursor < items[0].cursor


async def test_what_the_log_does_not_keep_any_more_is_told_as_lost(house: House, monkeypatch: pytest.MonkeyPatch):
    await house.leader()
    await house.say(*(a_story(f"c{number}").accepted() for number in range(20)))
    offset = await applied(house)
    read = house.journal.read
    monkeypatch.setattr(house.journal, "read", lambda first, limit: read(max(first, offset - 2), limit))
    gateway = await Gateway(house.transport).begin()

    page = await gateway.ask(Cursor(3, 2))
    all_of_it = await gateway.ask(BEGINNING)
    rest = await gateway.ask(Cursor(offset - 3, 2))

    assert (page.lost, words(page.items)) == (True, words(all_of_it.items))
    assert all_of_it.lost
    assert {item.offset for item in page.items} <= set(range(offset - 2, offset + 1))
    assert not rest.lost


async def test_a_cursor_that_nobody_can_have_been_given_is_told_as_ahead(house: House):
    await house.leader()
    await house.say(a_story().accepted())
    offset = await applied(house)
    gateway = await Gateway(house.transport).begin()

    page = await gateway.ask(Cursor(offset + 1_000_000, 0))

    assert (page.ahead, page.items, page.at_end) == (True, (), True)
    assert page.cursor > Cursor(offset, 2)


async def test_a_leader_that_was_replaced_refuses_no_cursor_of_the_one_that_leads(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    await house.leader()
    gateway = await Gateway(house.transport).begin()
    cursor = (await gateway.ask(None)).cursor
    told = replace(house.store.ledger.position(), offset=cursor.offset + 100)
    monkeypatch.setattr(house.store.ledger, "position", lambda: told)
    theirs = await gateway.say(Cursor(told.offset, 2))

    page = await gateway.ask(Cursor(told.offset + 2, 0))

    assert page.ahead
    assert not theirs.done()


# ---- leaders, bounds, trouble ---------------------------------------------------------------------
async def test_the_next_leader_goes_on_behind_the_same_cursor(house: House):
    first = await house.leader()
    gateway = await Gateway(house.transport).begin()
    story = a_story()
    cursor = (await gateway.ask(None)).cursor
    waiting = await gateway.say(cursor)
    await house.say(story.accepted())
    page = await asyncio.wait_for(waiting, 60)
    await first.stop()
    await house.say(ended(story))
    await house.leader()

    items = await gateway.follow(page.cursor, until="c1/1000002/succeeded")

    assert words([*page.items, *items]) == [("c1", "accepted"), ("c1", "succeeded")]


@pytest.mark.parametrize("asked_first", [True, False], ids=["live", "read again"])
async def test_what_was_published_twice_is_told_once_also_by_the_next_leader(house: House, asked_first: bool):
    first = await house.leader()
    gateway = await Gateway(house.transport).begin()
    story = a_story()
    end = story.ended()
    cursor = (await gateway.ask(None)).cursor
    await house.say(story.accepted(), end, a_story("between").accepted())
    told = await gateway.follow(cursor, until="between/0/accepted")
    await first.stop()
    await house.leader()
    again = [end, a_story("c2").accepted()]
    if asked_first:
        waiting = await gateway.say(told[-1].cursor)
        assert (await gateway.ask(None)).at_end
        await house.say(*again)
        items = (await asyncio.wait_for(waiting, 60)).items
    else:
        await house.say(*again)
        await applied(house)
        items = tuple(await gateway.follow(told[-1].cursor, until="c2/0/accepted"))

    assert words(told) == [("c1", "accepted"), ("c1", "started"), ("c1", "succeeded"), ("between", "accepted")]
    assert words(items) == [("c2", "accepted")]


@pytest.mark.parametrize("bounds", [{"items": 3}, {"bytes": 2_000}, {"together": 2_000}, {"items": 0}, {"behind": 5}])
async def test_what_a_small_tail_lets_go_is_read_again(house: House, bounds: dict[str, int]):
    await house.leader(bounded(page=5, **bounds))
    gateway = await Gateway(house.transport).begin()
    cursor = (await gateway.ask(None)).cursor
    stories = [a_story(f"c{number:02}") for number in range(60)]
    following = asyncio.create_task(gateway.follow(cursor, until="c59/0/accepted"))
    await house.say(*(story.accepted() for story in stories))

    assert words(await following) == [(story.call.call_id, "accepted") for story in stories]


async def test_a_page_is_as_large_as_its_bytes_but_one_event_always_fits(house: House):
    await house.leader(bounded(page_bytes=1_500))
    gateway = await Gateway(house.transport).begin()
    cursor = (await gateway.ask(None)).cursor
    long = a_story("long", tool="t" * 60, conversation="c" * 299, user="\N{SNOWMAN}" * 299)
    await house.say(a_story("a").accepted(), a_story("b").accepted(), long.accepted(), a_story("c").accepted())
    live = await gateway.follow(cursor, until="c/0/accepted")

    async def sizes(place: Cursor) -> list[int]:
        found: list[int] = []
        while sum(found) < 4:
            page = await gateway.ask(place)
            found += [len(page.items)] if page.items else []
            place = page.cursor
        return found

    assert await sizes(cursor) == [2, 1, 1]
    assert await sizes(BEGINNING) == [2, 1, 1]
    assert len(live) == 4


async def test_a_tail_that_nobody_asks_for_is_dropped(house: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("toolyard_scheduler.duties.relay._SWEEP", 0.05)
    forget, sweeps = Tails.forget_unasked, Counter[str]()

    def counted(tails: Tails, now: float, waited_for: Iterable[str]) -> None:
        forget(tails, now, waited_for)
        sweeps["done"] += 1

    monkeypatch.setattr(Tails, "forget_unasked", counted)
    clock = SetForward()
    scheduler = await house.leader(bounded(unasked=600.0), clock)
    gateway = await Gateway(house.transport).begin()
    cursor = (await gateway.ask(None)).cursor
    assert "toolyard_feed_orgs 1" in text(scheduler.board)

    clock.by += 601.0
    await until(lambda: "toolyard_feed_orgs 0" in text(scheduler.board), "the tail to be dropped")
    waiting = await gateway.say(cursor)
    await until(lambda: "toolyard_feed_orgs 1" in text(scheduler.board), "the question")
    clock.by += 601.0
    before = sweeps["done"]
    await until(lambda: sweeps["done"] >= before + 2, "a sweep that began later")
    assert "toolyard_feed_orgs 1" in text(scheduler.board), "somebody waits"
    await house.say(a_story().accepted())

    assert words((await asyncio.wait_for(waiting, 60)).items) == [("c1", "accepted")]


async def test_of_too_many_questions_the_oldest_is_answered_with_nothing(house: House):
    await house.leader(bounded(questions=2))
    gateway = await Gateway(house.transport).begin()
    cursor = (await gateway.ask(None)).cursor
    waiting = [await gateway.say(cursor, only=Interest(tool=f"t{number}")) for number in range(3)]

    oldest = await asyncio.wait_for(waiting[0], 60)

    assert (oldest.items, oldest.cursor) == ((), cursor)
    assert not waiting[2].done()


async def test_a_store_that_fails_costs_followers_time_and_the_ledger_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
):
    scheduler = await house.leader()
    gateway = await Gateway(house.transport).begin()
    cursor = (await gateway.ask(None)).cursor
    waiting = await gateway.say(cursor)
    with monkeypatch.context() as broken:
        broken.setattr(SqlCalls, "outlines", lambda *_: 1 / 0)
        await house.say(a_story().accepted())
        page = await asyncio.wait_for(waiting, 60)

    assert (page.items, page.at_end) == ((), False)
    assert scheduler.leading
    assert words(await gateway.follow(page.cursor, until="c1/0/accepted")) == [("c1", "accepted")]


async def test_what_is_no_question_is_put_away_and_the_next_one_is_answered(house: House):
    scheduler = await house.leader()
    gateway = await Gateway(house.transport).begin()
    key = topology.feed_asked_key("default", "g1")
    good = ENVELOPE._seal(topology.CONTROL, key, b'{"v":1,"gateway":"g1"}', {}, persistent=False)
    await house.say(good, replace(good, body=b"{}"), replace(good, key=topology.heartbeat_key("http")))

    await until(lambda: len(house.store.dead_letters.list(cursor=None, limit=9).items) == 3, "three letters")
    assert (await gateway.ask(None)).at_end
    assert "toolyard_feed_pages_total 1" in text(scheduler.board)


async def test_while_nobody_follows_no_row_is_read(house: House, monkeypatch: pytest.MonkeyPatch):
    asked: list[object] = []
    monkeypatch.setattr(SqlCalls, "outlines", lambda *ids: asked.append(ids))
    await house.leader()
    await house.say(a_story().accepted(), ended(a_story()))
    await house.ended()

    assert asked == []
