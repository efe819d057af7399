"""What gateways read of many calls at once: those of derived ids, of a conversation, and the load of the pools."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.stores import empty_store

from toolyard.contracts.control import Paused
from toolyard.store import calls
from toolyard.store.base import PoolLoad
from toolyard.store.connect import Store
from toolyard.testing.store_suite import a_call, a_row, save


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty_store(request, tmp_path) as store:
        yield store


def test_some_calls_are_those_that_the_org_has(store: Store):
    save(store, *(a_row(a_call(name)) for name in "abc"), a_row(a_call("d", org="other")))

    found = store.calls.some("default", ["a", "c", "d", "nothing"])

    assert {row.call.call_id for row in found} == {"a", "c"}
    assert store.calls.some("default", []) == []


def test_outlines_are_of_all_calls_that_have_a_row(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calls, "TOGETHER", 2)
    end: dict[str, Any] = {"state": "failed", "finished_at": 7.5, "end_sequence": 2_000_003, "late_results": 1}
    save(
        store,
        a_row(a_call("a", conversation="talk", user="someone"), attempt=2, **end),
        a_row(a_call("b", org="other", gateway="g2"), settled=True, doomed="timed_out"),
        a_row(a_call("c"), state="running"),
    )

    found = store.calls.outlines(["a", "nothing", "b", "c", "\u4f60"])

    assert found == {
        "a": calls.CallOutline(
            "a", "default", "g1", "hash", "talk", "someone", "failed", 2, 7.5, 2_000_003, 1, settled=False, doomed=None
        ),
        "b": calls.CallOutline(
            "b", "other", "g2", "hash", None, None, "queued", 1, None, None, 0, settled=True, doomed="timed_out"
        ),
        "c": calls.CallOutline(
            "c", "default", "g1", "hash", None, None, "running", 1, None, None, 0, settled=False, doomed=None
        ),
    }
    assert [found[name].over for name in "abc"] == [True, True, False]
    assert store.calls.outlines([]) == {}


def test_open_calls_of_a_conversation_are_its_own_orgs_and_have_not_ended(store: Store):
    save(
        store,
        a_row(a_call("a", conversation="c")),
        a_row(a_call("b", conversation="c"), state="retrying"),
        a_row(a_call("c", conversation="c"), state="succeeded", finished_at=7.0),
        a_row(a_call("d", conversation="other")),
        a_row(a_call("e", conversation="c", org="other")),
    )

    assert set(store.calls.open_ids("default", "c", limit=10)) == {"a", "b"}
    assert len(store.calls.open_ids("default", "c", limit=1)) == 1


def test_the_load_of_the_pools_is_the_orgs_own(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calls, "RECENT", 5)
    save(
        store,
        a_row(a_call("late", accepted_at=9.0)),
        a_row(a_call("early", accepted_at=5.0), state="accepted"),
        a_row(a_call("runs", accepted_at=2.0), state="running"),
        a_row(a_call("parked", accepted_at=1.0), state="retrying"),
        a_row(a_call("done", accepted_at=3.0), state="succeeded", finished_at=30.0),
        a_row(a_call("done before", accepted_at=4.0), state="succeeded", finished_at=20.0),
        a_row(a_call("broke", accepted_at=6.0), state="failed", finished_at=40.0),
        a_row(a_call("not recent", pool="lambda", accepted_at=0.0), state="succeeded", finished_at=1.0),
        a_row(a_call("sandboxed", pool="sandbox"), state="running"),
        a_row(a_call("theirs", org="other", accepted_at=0.5)),
    )

    assert sorted(store.calls.pools("default"), key=lambda load: load.pool) == [
        PoolLoad("http", queued=2, running=1, oldest=5.0, last_success=20.0),
        PoolLoad("sandbox", queued=0, running=1, oldest=None, last_success=None),
    ]
    assert store.calls.pools("nobody") == []


def test_pauses_are_those_of_the_org_and_of_every_pool(store: Store):
    place = store.ledger.position()
    with store.ledger.batch(place.epoch, place.offset, place.offset + 1, "record", 5.0) as batch:
        batch.pause(Paused(kind="tool", org="default", name="lookup"), 7.0)
        batch.pause(Paused(kind="tool", org="other", name="theirs"), 7.0)
        batch.pause(Paused(kind="org", org="default", name="default"), 7.0)
        batch.pause(Paused(kind="pool", org="-", name="http"), 7.0)

    assert {(row.kind, row.org, row.name, row.since) for row in store.pauses.list("default")} == {
        ("tool", "default", "lookup", 7.0),
        ("org", "default", "default", 7.0),
        ("pool", "-", "http", 7.0),
    }
    assert [row.kind for row in store.pauses.list("nobody")] == ["pool"]
