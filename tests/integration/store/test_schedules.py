"""Schedules, dead letters and retention on both databases."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from tests.support.stores import empty_store

from toolyard.contracts.schedules import Cron, Failure, Firing, Interval, ScheduleSpec
from toolyard.store.connect import Store, open_store
from toolyard.store.database import Database
from toolyard.store.dead_letters import MAX_BODY, DeadLetter
from toolyard.store.journal import SqlJournal
from toolyard.store.ledger_rows import Submission
from toolyard.store.schedules import Move, ScheduleRow
from toolyard.store.tables import ledger, log
from toolyard.testing.store_suite import NASTY, a_call, a_row, refusal, save
from toolyard.transport.base import Message


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty_store(request, tmp_path) as store:
        yield store


def a_schedule(name: str = "hourly", **fields: Any) -> ScheduleRow:
    said = {"when": Cron(expression="0 * * * *"), "anchor": 0.0, "arguments": {"text": NASTY}}
    spec = ScheduleSpec(name=name, tool="lookup", **(said | fields.pop("spec", {})))
    given: dict[str, Any] = {
        "schedule_id": f"id-{name}",
        "org": "default",
        "spec": spec,
        "version": 1,
        "created_by": "key1",
        "created_at": 1.5,
        "updated_at": 1.5,
        "paused": False,
        "next_at": 3600.0,
    }
    return ScheduleRow(**(given | fields))


# ---- schedules ----------------------------------------------------------------------------------------
def test_a_schedule_comes_back_as_it_was_saved(store: Store):
    row = a_schedule(spec={"when": Interval(seconds=1.5), "missed": "catch_up", "catch_up": 3, "context": {"a": [1]}})
    store.schedules.create(row)

    found = store.schedules.get("default", "hourly")
    assert found is not None
    assert found.spec.arguments["text"] == NASTY
    assert found == row
    assert store.schedules.get("other", "hourly") is None


def test_a_name_is_taken_once_in_its_org(store: Store):
    store.schedules.create(a_schedule())

    assert refusal(lambda: store.schedules.create(a_schedule(schedule_id="another"))) == "conflict"
    store.schedules.create(a_schedule(schedule_id="another", org="other"))


def test_a_change_needs_the_current_version(store: Store):
    store.schedules.create(a_schedule())
    store.schedules.replace(a_schedule(version=2, paused=True, next_at=None), expected=1)

    found = store.schedules.get("default", "hourly")
    assert found is not None
    assert (found.version, found.paused, found.next_at) == (2, True, None)
    assert refusal(lambda: store.schedules.replace(a_schedule(version=2), expected=1)) == "precondition_failed"
    assert refusal(lambda: store.schedules.delete("default", "hourly", expected=1)) == "precondition_failed"
    assert refusal(lambda: store.schedules.delete("other", "hourly", expected=2)) == "not_found"
    store.schedules.delete("default", "hourly", expected=2)
    assert store.schedules.get("default", "hourly") is None


def test_schedules_are_listed_by_name_in_pages(store: Store):
    for name in ("c", "a", "b"):
        store.schedules.create(a_schedule(name))
    store.schedules.create(a_schedule("a", schedule_id="x", org="other"))

    first = store.schedules.list("default", cursor=None, limit=2)
    rest = store.schedules.list("default", cursor=first.next_cursor, limit=2)
    assert [row.spec.name for row in (*first.items, *rest.items)] == ["a", "b", "c"]
    assert rest.next_cursor is None
    with pytest.raises(ValueError, match="not a cursor"):
        store.schedules.list("default", cursor="nonsense", limit=2)


def test_what_is_due_comes_in_the_order_of_its_time_and_paused_ones_do_not(store: Store):
    for name, at in (("late", 10.0), ("now", 20.0), ("later", 20.1)):
        store.schedules.create(a_schedule(name, next_at=at))
    store.schedules.create(a_schedule("paused", paused=True, next_at=None))

    assert [row.spec.name for row in store.schedules.due(20.0, 9)] == ["late", "now"]
    assert [row.spec.name for row in store.schedules.due(20.0, 1)] == ["late"]


def test_a_schedule_is_moved_once(store: Store):
    store.schedules.create(a_schedule(next_at=3600.1))
    (row,) = store.schedules.due(4000.0, 9)
    fired = Firing(slot=3600.1, call_id="c1", at=4000.0)

    store.schedules.move([Move(row, 7200.1, last=fired, left_out=2)])
    store.schedules.move([Move(row, 99_999.0, failure=Failure(slot=1.0, code="internal", message=NASTY))])

    found = store.schedules.get("default", "hourly")
    assert found == replace(row, next_at=7200.1, last=fired, left_out=2)


def test_a_schedule_that_was_changed_meanwhile_is_not_moved(store: Store):
    store.schedules.create(a_schedule())
    (row,) = store.schedules.due(4000.0, 9)
    store.schedules.replace(a_schedule(version=2, next_at=5000.0), expected=1)

    store.schedules.move([Move(row, 7200.0)])
    found = store.schedules.get("default", "hourly")
    assert found is not None
    assert found.next_at == 5000.0


def test_a_failure_stays_until_the_next_firing_or_change(store: Store):
    store.schedules.create(a_schedule())
    (row,) = store.schedules.due(4000.0, 9)
    failure = Failure(slot=3600.0, code="tool_not_found", message=NASTY)
    store.schedules.move([Move(row, 7200.0, failure=failure)])
    (failed,) = store.schedules.due(8000.0, 9)
    assert failed.failure is not None
    assert failed.failure.code == "tool_not_found"
    store.schedules.move([Move(failed, 10_800.0, last=Firing(slot=7200.0, call_id="c2", at=7201.0))])
    (fired,) = store.schedules.due(11_000.0, 9)
    assert fired.failure is None


def test_it_tells_which_calls_have_not_ended(store: Store):
    save(store, a_row(a_call("c1")), a_row(a_call("c2"), state="succeeded", finished_at=5.0))
    assert store.schedules.open_calls(["c1", "c2", "c3"]) == {"c1": True, "c2": False}


# ---- dead letters -------------------------------------------------------------------------------------
def a_letter(letter_id: str = "l1", at: float = 1.0, **fields: Any) -> DeadLetter:
    given: dict[str, Any] = {
        "reason": f"not ours {NASTY}",
        "exchange": "toolyard.calls",
        "key": "call.accepted.http.default.g1.lookup",
        "message_id": "m1",
        "headers": {"toolyard-signature": "v1,k,abc", "n": 1, "b": True, "f": 1.5},
        "expiration": "100",
        "kind": "call",
        "body": b"\x00\xff not json",
        "size": 11,
        "complete": True,
        "arrived_at": at,
    }
    return DeadLetter(letter_id, **(given | fields))


def test_a_dead_letter_comes_back_byte_by_byte(store: Store):
    store.dead_letters.keep([a_letter(reason="not ours")])

    assert store.dead_letters.get("l1") == a_letter(reason="not ours")
    assert store.dead_letters.get("l2") is None
    assert store.dead_letters.count() == 1


def test_what_no_database_takes_does_not_stop_the_others(store: Store):
    store.dead_letters.keep([a_letter("l1", key=NASTY, message_id="\ud800"), a_letter("l2")])
    assert store.dead_letters.count() == 2


def test_a_body_is_kept_up_to_its_limit(store: Store):
    store.dead_letters.keep([a_letter(body=b"x" * (MAX_BODY + 1), size=MAX_BODY + 1, complete=False)])
    found = store.dead_letters.get("l1")
    assert found is not None
    assert (len(found.body), found.size, found.complete) == (MAX_BODY, MAX_BODY + 1, False)


def test_the_oldest_letters_go(store: Store):
    store.dead_letters.keep([a_letter(f"l{n}", at=float(n)) for n in range(5)], most=3)
    store.dead_letters.keep([a_letter("l9", at=9.0)], most=3)

    listed = store.dead_letters.list(cursor=None, limit=9)
    assert [letter.letter_id for letter in listed.items] == ["l9", "l4", "l3"]
    assert {letter.body for letter in listed.items} == {b""}


def test_letters_are_listed_in_pages(store: Store):
    store.dead_letters.keep([a_letter(f"l{n}", at=1.0) for n in range(3)])
    first = store.dead_letters.list(cursor=None, limit=2)
    rest = store.dead_letters.list(cursor=first.next_cursor, limit=2)
    assert [letter.letter_id for letter in (*first.items, *rest.items)] == ["l2", "l1", "l0"]


def test_a_letter_that_came_back_meanwhile_is_not_dropped(store: Store):
    store.dead_letters.keep([a_letter()])
    seen = store.dead_letters.get("l1")
    assert seen is not None
    store.dead_letters.keep([a_letter(at=2.0)])

    assert not store.dead_letters.drop(seen)
    back = store.dead_letters.get("l1")
    assert back is not None
    assert (back.arrivals, back.arrived_at) == (2, 2.0)
    assert store.dead_letters.drop(back)
    assert store.dead_letters.count() == 0


# ---- retention ----------------------------------------------------------------------------------------
def dropped(store: Store, before: float, limit: int) -> int:
    total, org = 0, ""
    while (following := store.retention.next_org(org)) is not None:
        org, place = following, None
        while True:
            piece = store.retention.drop_calls(org, before, place, limit)
            total, place = total + piece.dropped, piece.place
            if place is None:
                break
    return total


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_calls_that_ended_long_ago_go_with_all_that_belongs_to_them(store: Store, limit: int):
    rows = []
    for number, org in enumerate(("default", "default", "other", "zoo")):
        call = a_call(f"old{number}", org=org, accepted_at=10.0 + number)
        rows.append(a_row(call, state="succeeded", finished_at=20.0))
    rows.append(a_row(a_call("open", accepted_at=5.0)))
    rows.append(a_row(a_call("long", accepted_at=11.0), state="succeeded", finished_at=99.0))
    rows.append(a_row(a_call("new", accepted_at=90.0), state="succeeded", finished_at=95.0))
    save(store, *rows, submissions=[Submission(each, "g2", "h", 1.0, conflict=False) for each in ("old0", "new")])

    assert dropped(store, 50.0, limit) == 4
    assert dropped(store, 50.0, limit) == 0
    left = [org for org in ("default", "other", "zoo") if store.retention.next_org(org[:-1]) == org]
    assert left == ["default"]
    assert set(store.schedules.open_calls([row.call_id for row in rows])) == {"open", "long", "new"}
    assert store.ledger.submissions("old0") == []
    assert len(store.ledger.submissions("new")) == 1


def _kept(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.execute(select(log.c.log_offset).order_by(log.c.log_offset)).scalars())


class _Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


def test_the_log_is_trimmed_up_to_what_is_applied_old_and_of_no_open_call(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'a.db'}"
    with closing(open_store(url)) as store:
        store.migrate()
        clock = _Clock()
        with closing(SqlJournal(url, clock)) as journal, closing(Database(url)) as database:
            for clock.time in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0):
                journal.append([Message("toolyard.calls", "k", b"{}", f"m{clock.time}")])
            with database.write() as connection:  # a record of an older build says nothing of its time
                connection.execute(update(log).where(log.c.log_offset == 1).values(appended_at=None))
            assert store.retention.trim_log(9.0) == 0, "nothing is applied yet"
            save(store, a_row(a_call("c1"), log_offset=4))
            with database.write() as connection:
                connection.execute(update(ledger).values(log_offset=5))

            assert store.retention.trim_log(2.5, limit=1) == 1
            assert store.retention.trim_log(2.5) == 1
            assert _kept(database) == [3, 4, 5, 6]
            assert store.retention.trim_log(9.0) == 1, "the record of a call that has not ended stays"
            save_end(store, "c1")
            assert store.retention.trim_log(9.0) == 1
            assert _kept(database) == [5, 6], "the record at which the ledger stands stays, and what follows it"
            assert journal.append([Message("toolyard.calls", "k", b"{}", "m7")])[0] == 7


def save_end(store: Store, call_id: str) -> None:
    place = store.ledger.position()
    with store.ledger.batch(place.epoch, place.offset, place.offset, "record", 5.0) as batch:
        row = a_row(a_call(call_id), log_offset=4, state="succeeded", finished_at=5.0, new=False, changed=True)
        batch.save([row])


def test_an_empty_log_is_nothing_to_trim(store: Store):
    assert store.retention.trim_log(1e12) == 0
    assert store.retention.next_org("") is None
