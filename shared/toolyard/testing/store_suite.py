# ruff: noqa: D102 - the names of tests are sentences
"""What every store must do: inherit `StoreSuite` and give it the fixture ``store``.

Nothing here knows which database it runs on; the ledger's side of calls is tested with the ledger itself.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from toolyard.contracts.calls import Call, Report, Result, error_info
from toolyard.contracts.tools import HttpBinding, ToolSpec
from toolyard.errors import LedgerMoved, Refused, StoreError
from toolyard.store.base import CallFilter, KeyRow
from toolyard.store.connect import Store
from toolyard.store.ledger_rows import LedgerRow, Submission

ALL: dict[str, Any] = {"cursor": None, "limit": 200}
NASTY = "caf\u00e9 \u4f60\u597d \U0001f680 \x00 % _ \\ ' \" ; --"


def a_spec(name: str = "lookup", **fields: Any) -> ToolSpec:
    """A tool definition as an author might send it."""
    given: dict[str, Any] = {
        "name": name,
        "version": 0,
        "description": "Looks something up",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "binding": HttpBinding(method="GET", url="https://example.com/${arguments.city}"),
    }
    return ToolSpec(**(given | fields))


def a_call(call_id: str, **fields: Any) -> Call:
    """An accepted call."""
    given: dict[str, Any] = {
        "call_id": call_id,
        "org": "default",
        "tool": "lookup",
        "version": 1,
        "pool": "http",
        "gateway": "g1",
        "principal": "key1",
        "arguments": {"city": "Bern"},
        "body_hash": "hash",
        "accepted_at": 1_000.5,
        "deadline": 1_300.5,
        "timeout": 30.0,
    }
    return Call(**(given | fields))


def a_row(call: Call, /, **fields: Any) -> LedgerRow:
    """A new row of the ledger for this call."""
    given: dict[str, Any] = {"state": "queued", "call": call, "new": True, "log_offset": 1}
    return LedgerRow(call_id=call.call_id, gateway=call.gateway, body_hash=call.body_hash, **(given | fields))


def a_change(call_id: str, **fields: Any) -> LedgerRow:
    """A change of the row that `a_row` made."""
    return a_row(a_call(call_id), **({"new": False, "changed": True, "call": None} | fields))


def a_key(key_id: str, **fields: Any) -> KeyRow:
    """An API key."""
    given: dict[str, Any] = {"org": "default", "name": key_id, "roles": frozenset({"caller"}), "created_at": 1.0}
    return KeyRow(key_id=key_id, secret_hash="h" * 64, **(given | fields))


def save(store: Store, *rows: LedgerRow, submissions: Sequence[Submission] = ()) -> None:
    """Write these rows as the next batch of the ledger."""
    place = store.ledger.position()
    with store.ledger.batch(place.epoch, place.offset, place.offset + 1, "record", 5.0) as batch:
        batch.save(rows)
        batch.submitted(submissions)


def refusal(act: Callable[[], object]) -> str:
    """The code with which this is refused."""
    with pytest.raises(Refused) as caught:
        act()
    return caught.value.refusal


class ToolsOfAStore:
    """Tools: versions that only grow, and lists that stay stable."""

    def test_a_tool_begins_at_version_one_and_comes_back_as_it_was_saved(self, store: Store) -> None:
        spec = a_spec(description=NASTY, annotations=a_spec().annotations, secrets=("TOKEN",), timeout=2.5)

        saved = store.tools.create("default", spec)

        assert saved == msgspec.structs.replace(spec, version=1)
        assert store.tools.get("default", "lookup") == saved

    def test_a_name_is_taken_once_in_its_org(self, store: Store) -> None:
        store.tools.create("default", a_spec())

        assert refusal(lambda: store.tools.create("default", a_spec())) == "conflict"
        assert store.tools.create("other", a_spec()).version == 1

    def test_every_change_is_a_new_version_and_old_ones_stay(self, store: Store) -> None:
        first = store.tools.create("default", a_spec())
        second = store.tools.replace("default", a_spec(description="Better"), expected=1)

        assert store.tools.get("default", "lookup") == second
        assert store.tools.get("default", "lookup", 1) == first
        assert [spec.version for spec in store.tools.versions("default", "lookup", cursor=None, limit=9).items] == [
            2,
            1,
        ]

    def test_a_change_that_expects_another_version_is_refused(self, store: Store) -> None:
        store.tools.create("default", a_spec())

        assert refusal(lambda: store.tools.replace("default", a_spec(), expected=2)) == "precondition_failed"
        assert refusal(lambda: store.tools.delete("default", "lookup", expected=2)) == "precondition_failed"

    def test_what_is_not_there_cannot_be_changed(self, store: Store) -> None:
        store.tools.create("default", a_spec())

        assert refusal(lambda: store.tools.replace("other", a_spec(), expected=1)) == "not_found"
        assert refusal(lambda: store.tools.delete("default", "nothing", expected=1)) == "not_found"

    def test_a_deleted_tool_is_gone_but_its_versions_can_be_read(self, store: Store) -> None:
        first = store.tools.create("default", a_spec())
        store.tools.delete("default", "lookup", expected=1)

        assert store.tools.get("default", "lookup") is None
        assert store.tools.get("default", "lookup", 1) == first
        assert store.tools.list("default", q=None, toolkit=None, cursor=None, limit=9).items == []
        assert refusal(lambda: store.tools.delete("default", "lookup", expected=1)) == "not_found"

    def test_a_name_that_comes_back_goes_on_counting(self, store: Store) -> None:
        store.tools.create("default", a_spec())
        store.tools.delete("default", "lookup", expected=1)

        assert store.tools.create("default", a_spec()).version == 2

    def test_tools_are_found_by_name_title_and_description_without_case(self, store: Store) -> None:
        store.tools.create("default", a_spec("weather"))
        store.tools.create("default", a_spec("b", title="Das WETTER in Z\u00dcRICH"))
        store.tools.create("default", a_spec("c", description="100% wet_ther"))

        def found(q: str) -> list[str]:
            return [spec.name for spec in store.tools.list("default", q=q, toolkit=None, cursor=None, limit=9).items]

        assert found("WEATHER") == ["weather"]
        assert found("z\u00fcrich") == ["b"]
        assert found("0% wet_") == ["c"]
        assert found("wet%ther") == []
        assert found("\x00") == []

    def test_tools_are_listed_by_toolkit(self, store: Store) -> None:
        store.tools.create("default", a_spec("a", toolkit="crm"))
        store.tools.create("default", a_spec("b"))

        assert [s.name for s in store.tools.list("default", q=None, toolkit="crm", cursor=None, limit=9).items] == ["a"]

    def test_a_list_goes_on_where_it_ended_while_tools_are_added(self, store: Store) -> None:
        for name in ("b", "d", "f"):
            store.tools.create("default", a_spec(name))
        first = store.tools.list("default", q=None, toolkit=None, cursor=None, limit=2)
        for name in ("a", "e"):
            store.tools.create("default", a_spec(name))
        second = store.tools.list("default", q=None, toolkit=None, cursor=first.next_cursor, limit=2)

        assert [spec.name for spec in (*first.items, *second.items)] == ["b", "d", "e", "f"]
        assert second.next_cursor is None

    def test_versions_are_paged(self, store: Store) -> None:
        store.tools.create("default", a_spec())
        for version in (1, 2):
            store.tools.replace("default", a_spec(), expected=version)
        first = store.tools.versions("default", "lookup", cursor=None, limit=2)
        second = store.tools.versions("default", "lookup", cursor=first.next_cursor, limit=2)

        assert [spec.version for spec in (*first.items, *second.items)] == [3, 2, 1]

    def test_names_are_those_of_the_org_that_are_not_deleted(self, store: Store) -> None:
        for name in ("b", "a", "gone"):
            store.tools.create("default", a_spec(name))
        store.tools.create("other", a_spec("theirs"))
        store.tools.delete("default", "gone", expected=1)

        assert list(store.tools.names("default")) == ["a", "b"]

    def test_of_two_who_change_the_same_version_one_wins(self, store: Store) -> None:
        store.tools.create("default", a_spec())
        ends: list[object] = []
        gate = threading.Barrier(4)

        def change() -> None:
            gate.wait()
            try:
                ends.append(store.tools.replace("default", a_spec(), expected=1).version)
            except Refused as error:
                ends.append(error.refusal)

        threads = [threading.Thread(target=change) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(map(str, ends)) == ["2", *["precondition_failed"] * 3]

    @pytest.mark.parametrize("cursor", ["", "?", "e30", "WzFd", "\u4f60", "x" * 10_000])
    def test_a_cursor_that_is_none_of_ours_is_refused(self, store: Store, cursor: str) -> None:
        with pytest.raises(ValueError, match="cursor"):
            store.tools.list("default", q=None, toolkit=None, cursor=cursor, limit=2)
        with pytest.raises(ValueError, match="cursor"):
            store.calls.list("default", CallFilter(), cursor=cursor, limit=2)
        with pytest.raises(ValueError, match="cursor"):
            store.keys.list("default", cursor=cursor, limit=2)


class KeysOfAStore:
    """API keys."""

    def test_a_key_comes_back_as_it_was_added(self, store: Store) -> None:
        key = a_key("k1", name="caf\u00e9", roles=frozenset({"admin", "caller"}), created_at=1234.5678)
        store.keys.add(key)

        assert store.keys.find("k1") == key
        assert store.keys.find("k2") is None
        assert store.keys.find("\x00") is None

    def test_an_id_is_taken_once(self, store: Store) -> None:
        store.keys.add(a_key("k1"))

        assert refusal(lambda: store.keys.add(a_key("k1"))) == "conflict"

    def test_a_user_of_the_broker_stands_for_one_key_until_it_is_revoked(self, store: Store) -> None:
        key = a_key("k1", broker_user="orders")
        store.keys.add(key)
        store.keys.add(a_key("k2"))

        assert store.keys.of_broker_user("orders") == key
        assert store.keys.of_broker_user("order") is None
        assert refusal(lambda: store.keys.add(a_key("k3", org="other", broker_user="orders"))) == "conflict"
        store.keys.revoke("default", "k1", at=6.0)
        assert store.keys.of_broker_user("orders") is None
        store.keys.add(a_key("k3", org="other", broker_user="orders"))
        found = store.keys.of_broker_user("orders")
        assert found is not None
        assert found.org == "other"

    def test_a_revoked_key_is_found_with_the_time_of_its_end(self, store: Store) -> None:
        store.keys.add(a_key("k1"))

        assert store.keys.any()
        assert not store.keys.revoke("other", "k1", at=5.0)
        assert store.keys.revoke("default", "k1", at=6.0)
        assert store.keys.revoke("default", "k1", at=7.0)
        found = store.keys.find("k1")
        assert found is not None
        assert found.revoked_at == 6.0
        assert not store.keys.any()

    def test_keys_are_listed_newest_first(self, store: Store) -> None:
        for number in range(5):
            store.keys.add(a_key(f"k{number}", created_at=float(number // 2)))
        store.keys.add(a_key("theirs", org="other"))
        first = store.keys.list("default", cursor=None, limit=3)
        second = store.keys.list("default", cursor=first.next_cursor, limit=3)

        assert [key.key_id for key in (*first.items, *second.items)] == ["k4", "k3", "k2", "k1", "k0"]
        assert second.next_cursor is None


class CallsOfAStore:
    """Calls, as the ledger's batches leave them."""

    def test_a_call_comes_back_as_it_was_accepted(self, store: Store) -> None:
        call = a_call("c1", arguments={"text": NASTY, "n": 1.5}, user=NASTY, conversation=NASTY, context={"a": None})
        save(store, a_row(call))

        row = store.calls.get("default", "c1")

        assert row is not None
        assert (row.call, row.state, row.effect, row.attempts, row.result) == (call, "queued", "none", 0, None)

    def test_a_call_of_another_org_is_not_there(self, store: Store) -> None:
        save(store, a_row(a_call("c1", org="other")))

        assert store.calls.get("default", "c1") is None
        assert store.calls.get("default", "\x00") is None

    def test_an_end_is_written_with_its_result(self, store: Store) -> None:
        save(store, a_row(a_call("c1")), a_row(a_call("c2")))
        result = Result(content="a\x00b \U0001f680", structured=msgspec.Raw(b'{"a": "\\u0000", "b": "\xff"}'), size=9)
        error = error_info("upstream_error", "500", retry_after=1.5)
        save(
            store,
            a_change("c1", state="succeeded", effect="done", result=result, finished_at=9.5),
            a_change("c2", state="failed", effect="unknown", error=error, finished_at=9.5),
        )

        one, two = store.calls.get("default", "c1"), store.calls.get("default", "c2")

        assert one is not None
        assert one.result is not None
        assert (one.state, one.effect, one.finished_at) == ("succeeded", "done", 9.5)
        assert one.result.content == "a\x00b \U0001f680"
        assert isinstance(one.result.structured, msgspec.Raw)
        assert msgspec.json.decode(one.result.structured) == {"a": "\x00", "b": "\N{REPLACEMENT CHARACTER}"}
        assert two is not None
        assert (two.state, two.error) == ("failed", error)

    def test_what_a_worker_noted_is_kept_with_the_end(self, store: Store) -> None:
        save(store, a_row(a_call("c1")), a_row(a_call("c2")))
        report = Report(logs="a\x00b \U0001f680", isolation="full", cpu_seconds=0.5, requests=0)
        save(store, a_change("c1", state="failed", report=report, finished_at=9.5))

        one, two = store.calls.get("default", "c1"), store.calls.get("default", "c2")

        assert one is not None
        assert one.report == report
        assert two is not None
        assert two.report is None

    def test_a_later_change_leaves_result_and_report_as_they_are(self, store: Store) -> None:
        end: dict[str, Any] = {"state": "succeeded", "finished_at": 9.5}
        save(store, a_row(a_call("c1"), result=Result(content="told"), report=Report(logs="printed"), **end))
        save(store, a_change("c1", late_results=1, **end))

        row = store.calls.get("default", "c1")

        assert row is not None
        assert (row.result, row.report) == (Result(content="told"), Report(logs="printed"))

    def test_what_a_call_asked_is_filled_in_later(self, store: Store) -> None:
        save(store, a_row(a_call("c1", arguments={}, principal="", conversation=None), log_offset=None))
        full = a_call("c1", conversation="talk")
        save(store, a_row(full, new=False, changed=True))

        assert [row.call for row in store.calls.list("default", CallFilter(conversation="talk"), **ALL).items] == [full]

    def test_only_calls_that_have_ended_are_told_as_such(self, store: Store) -> None:
        ended: dict[str, Any] = {"state": "failed", "finished_at": 3.0}
        save(store, a_row(a_call("c1"), **ended), a_row(a_call("c2")), a_row(a_call("c3", org="other"), **ended))

        assert {row.call.call_id for row in store.calls.ended(["c1", "c2", "c3", "c4"])} == {"c1", "c3"}
        assert list(store.calls.ended([])) == []

    def test_who_waits_is_also_told_of_calls_that_wait_for_their_users(self, store: Store) -> None:
        waits: dict[str, Any] = {"state": "awaiting_authorization", "awaits": "arcade/google a1"}
        save(
            store,
            a_row(a_call("c1"), **waits),
            a_row(a_call("c2")),
            a_row(a_call("c3"), state="failed", finished_at=3.0),
        )

        assert {row.call.call_id for row in store.calls.ended(["c1", "c2", "c3"], or_asking=True)} == {"c1", "c3"}
        assert [row.call.call_id for row in store.calls.ended(["c1", "c2", "c3"])] == ["c3"]

    def test_calls_are_listed_newest_first_and_stable_while_others_come(self, store: Store) -> None:
        save(store, *(a_row(a_call(f"c{n}", accepted_at=float(n // 2))) for n in range(6)))
        first = store.calls.list("default", CallFilter(), cursor=None, limit=2)
        save(store, a_row(a_call("new", accepted_at=99.0)))
        second = store.calls.list("default", CallFilter(), cursor=first.next_cursor, limit=9)

        assert [row.call.call_id for row in (*first.items, *second.items)] == ["c5", "c4", "c3", "c2", "c1", "c0"]
        assert second.next_cursor is None

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            (CallFilter(tool="other"), {"c1"}),
            (CallFilter(state="running"), {"c2"}),
            (CallFilter(conversation="talk"), {"c3"}),
            (CallFilter(user="ann"), {"c4"}),
            (CallFilter(since=1_005.0), {"c5", "c6"}),
            (CallFilter(until=1_005.0), {"c1", "c2", "c3", "c4"}),
            (CallFilter(since=1_005.0, until=1_006.0), {"c5"}),
            (CallFilter(tool="lookup", state="running"), {"c2"}),
            (CallFilter(user="\x00"), set()),
        ],
    )
    def test_calls_are_filtered(self, store: Store, wanted: CallFilter, found: set[str]) -> None:
        save(
            store,
            a_row(a_call("c1", tool="other")),
            a_row(a_call("c2"), state="running"),
            a_row(a_call("c3", conversation="talk")),
            a_row(a_call("c4", user="ann")),
            a_row(a_call("c5", accepted_at=1_005.0)),
            a_row(a_call("c6", accepted_at=1_006.0)),
            a_row(a_call("c7", org="other")),
        )

        assert {row.call.call_id for row in store.calls.list("default", wanted, **ALL).items} == found

    def test_unfinished_calls_are_found_oldest_first(self, store: Store) -> None:
        save(
            store,
            a_row(a_call("c2"), log_offset=2),
            a_row(a_call("c1"), log_offset=1),
            a_row(a_call("c3"), state="failed", finished_at=1.0),
        )

        found = [(each.row.call.call_id, each.log_offset) for each in store.calls.unfinished()]

        assert found == [("c1", 1), ("c2", 2)]


class LedgerOfAStore:
    """The ledger's place: moved with its batch, or not at all."""

    def test_a_batch_moves_the_place_with_what_it_writes(self, store: Store) -> None:
        save(store, a_row(a_call("c1")))

        place = store.ledger.position()

        assert (place.offset, place.record_id, place.record_time) == (0, "record", 5.0)

    def test_a_batch_that_fails_leaves_everything_as_it_was(self, store: Store) -> None:
        before = store.ledger.position()
        broken = a_row(a_call("c2"), attempt=10**30)
        with pytest.raises(StoreError):
            save(store, a_row(a_call("c1")), broken)

        assert store.ledger.position() == before
        assert store.calls.get("default", "c1") is None

    @pytest.mark.parametrize("rows", [1, 8, 9, 40])
    def test_few_rows_and_many_are_written_and_changed_alike(self, store: Store, rows: int) -> None:
        names = [f"c{number}" for number in range(rows)]
        later = {"effect": "unknown", "attempt": 2, "attempts": 1, "started_at": 3.5, "log_offset": 2**40}
        held = {"holder": "w1:1", "fence": 3, "runs_until": 9.5, "alone": True}
        save(store, *(a_row(a_call(name)) for name in names))
        save(store, *(a_change(name, result=Result(content=name), **later, **held) for name in names))
        save(store, *(a_change(name, **later) for name in names))

        place = store.ledger.position()
        with store.ledger.batch(place.epoch, place.offset, place.offset + 1, "record", 5.0) as batch:
            loaded = batch.load(names)

        assert {
            (row.effect, row.attempt, row.log_offset, row.holder, row.fence, row.alone) for row in loaded.values()
        } == {("unknown", 2, 2**40, "w1:1", 3, True)}
        results = [row and row.result for row in (store.calls.get("default", name) for name in names)]
        assert results == [Result(content=name) for name in names]

    def test_a_place_that_moved_refuses_the_batch(self, store: Store) -> None:
        place = store.ledger.position()
        save(store)
        with pytest.raises(LedgerMoved), store.ledger.batch(place.epoch, place.offset, 7, "x", 0.0) as batch:
            batch.save([a_row(a_call("c1"))])

        assert store.calls.get("default", "c1") is None

    def test_of_two_who_would_lead_one_does(self, store: Store) -> None:
        seen = store.ledger.position()
        mine = store.ledger.lead(seen, "a")
        with pytest.raises(LedgerMoved):
            store.ledger.lead(seen, "b")

        assert store.ledger.position() == mine
        assert mine.owner == "a"

    def test_an_owner_that_was_replaced_can_write_no_more(self, store: Store) -> None:
        old = store.ledger.lead(store.ledger.position(), "a")
        new = store.ledger.lead(store.ledger.position(), "b")

        with pytest.raises(LedgerMoved), store.ledger.batch(old.epoch, -1, 0, "x", 0.0) as batch:
            raise AssertionError(f"not reached: {batch.load(['c1'])}")
        with pytest.raises(LedgerMoved), store.ledger.batch(old.epoch, -1, 0, "x", 0.0):
            pass
        with pytest.raises(LedgerMoved):
            store.ledger.beat(old.epoch)
        store.ledger.release(old.epoch)
        assert store.ledger.position() == new

    def test_an_owner_shows_that_it_lives_and_steps_back(self, store: Store) -> None:
        mine = store.ledger.lead(store.ledger.position(), "a")
        store.ledger.beat(mine.epoch)

        assert store.ledger.position().beat > mine.beat
        store.ledger.release(mine.epoch)
        assert store.ledger.position().owner is None

    def test_what_is_loaded_is_what_was_saved(self, store: Store) -> None:
        given = {"state": "running", "attempt": 2, "attempts": 1, "started_at": 3.5, "ending": True, "log_offset": None}
        save(store, a_row(a_call("c1"), **given))
        place = store.ledger.position()
        with store.ledger.batch(place.epoch, place.offset, 9, "x", 0.0) as batch:
            loaded = batch.load(["c1", "c2"])

        assert loaded == {"c1": a_row(a_call("c1"), **(given | {"new": False, "call": None}))}

    def test_overdue_calls_are_those_open_past_their_deadline(self, store: Store) -> None:
        save(
            store,
            a_row(a_call("late", deadline=5.0), state="running", attempts=1, started_at=2.0),
            a_row(a_call("later", deadline=1.0)),
            a_row(a_call("ended", deadline=1.0), state="failed", finished_at=2.0),
            a_row(a_call("young", deadline=10.0)),
        )

        found = store.open_calls.overdue(10.0, 9)

        assert [(each.call.call_id, each.state, each.started_at) for each in found] == [
            ("later", "queued", None),
            ("late", "running", 2.0),
        ]
        assert len(store.open_calls.overdue(10.0, 1)) == 1

    def test_what_waits_in_the_queue_of_a_pool_is_what_that_pool_runs_now(self, store: Store) -> None:
        behind = {"pool": "arcade", "fallback": "http"}
        misleading = {"arguments": {"fallback": "http"}, "pool": "arcade", "fallback": "lambda"}
        save(
            store,
            a_row(a_call("own", accepted_at=1.0)),
            a_row(a_call("first way", accepted_at=2.0, **behind)),
            a_row(a_call("second way", accepted_at=3.0, **behind), attempt=2, diverted=True),
            a_row(a_call("another's", accepted_at=4.0, **misleading), attempt=2, diverted=True),
        )

        def queued(pool: str) -> list[str]:
            return [each.call.call_id for each in store.open_calls.queued(pool, 10.0, 9)]

        assert queued("http") == ["own", "second way"]
        assert queued("arcade") == ["first way"]
        assert queued("lambda") == ["another's"]

    def test_what_waits_is_told_by_pool_and_by_what_it_waits_for(self, store: Store) -> None:
        put_off = {"not_before": 9.0, "accepted_at": 0.5}
        save(
            store,
            a_row(a_call("waits", accepted_at=3.0)),
            a_row(a_call("waits longer", accepted_at=2.0)),
            a_row(a_call("tried before", accepted_at=1.0), attempt=2),
            a_row(a_call("was put off", **put_off)),
            a_row(a_call("is put off", **put_off), state="scheduled", parked_for="not_before"),
            a_row(a_call("paused", pool="lambda"), state="scheduled", parked_for="paused"),
            a_row(a_call("runs", accepted_at=1.0), state="running"),
            a_row(a_call("ended", accepted_at=1.0), state="failed", finished_at=2.0),
        )

        found = {(each.pool, each.parked_for): (each.calls, each.oldest) for each in store.open_calls.waits()}

        assert found == {
            ("http", None): (4, 2.0),
            ("http", "not_before"): (1, None),
            ("lambda", "paused"): (1, 1_000.5),
        }

    def test_a_submission_is_noted_once(self, store: Store) -> None:
        again = Submission("c1", "g2", "hash", 3.0, conflict=False)
        save(store, a_row(a_call("c1")), submissions=[again])
        save(store, submissions=[again, Submission("c1", "g2", "other", 4.0, conflict=True)])

        assert store.ledger.submissions("c1") == [again, Submission("c1", "g2", "other", 4.0, conflict=True)]


class MigrationsOfAStore:
    """The version of the tables."""

    def test_a_store_of_this_version_is_used(self, store: Store) -> None:
        store.migrate()
        store.check()


class StoreSuite(ToolsOfAStore, KeysOfAStore, CallsOfAStore, LedgerOfAStore, MigrationsOfAStore):
    """All of it; the fixture ``store`` is an empty, migrated store."""

    @pytest.fixture
    def store(self) -> Store:
        """An empty, migrated store."""
        raise NotImplementedError
