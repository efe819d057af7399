"""Webhooks and their deliveries on both databases."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.stores import empty_store

from toolyard.contracts.feed import Cursor
from toolyard.store.connect import Store
from toolyard.store.webhooks import KEPT, MOST, Delivery, WebhookRow, secret_name
from toolyard.testing.store_suite import NASTY, refusal


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty_store(request, tmp_path) as store:
        yield store


def a_webhook(webhook_id: str = "w1", **fields: Any) -> WebhookRow:
    given: dict[str, Any] = {
        "webhook_id": webhook_id,
        "org": "default",
        "url": "https://example.com/hook?a=b",
        "events": ("io.toolyard.call.failed.v1",),
        "tools": (),
        "description": "für die Buchhaltung",
        "enabled": True,
        "created_by": "key1",
        "created_at": 1.5,
        "updated_at": 1.5,
        "place": Cursor(4711, 2),
        "secret_id": "s1",
    }
    return WebhookRow(**(given | fields))


def a_delivery(event_id: str = "c1/0/accepted", **fields: Any) -> Delivery:
    given: dict[str, Any] = {"event_type": "io.toolyard.call.accepted.v1", "happened_at": 10.0, "changed_at": 20.0}
    return Delivery("w1", event_id, **(given | {"body": b'{"a":1}'} | fields))


def pending(event_id: str, at: float, **fields: Any) -> Delivery:
    return a_delivery(event_id, state="pending", attempts=1, status=503, error="answered 503", next_at=at, **fields)


def done(event_id: str = "c1/0/accepted", **fields: Any) -> Delivery:
    return a_delivery(event_id, state="delivered", attempts=1, status=200, **fields)


def the(store: Store, webhook_id: str = "w1") -> WebhookRow:
    found = store.webhooks.get("default", webhook_id)
    assert found is not None
    return found


def test_a_webhook_comes_back_as_it_was_saved_and_to_its_own_org_alone(store: Store):
    row = a_webhook(previous_secret_id="s0", rotated_at=3.5, failing_since=4.5)
    store.webhooks.create(row)
    assert the(store) == row
    assert store.webhooks.get("other", "w1") is None
    assert refusal(lambda: store.webhooks.delete("other", "w1")) == "not_found"


def test_webhooks_are_listed_oldest_first_in_pages(store: Store):
    for number in (3, 1, 2):
        store.webhooks.create(a_webhook(f"w{number}", created_at=float(number)))
    store.webhooks.create(a_webhook("w0", org="other"))
    first = store.webhooks.list("default", cursor=None, limit=2)
    rest = store.webhooks.list("default", cursor=first.next_cursor, limit=2)
    assert [row.webhook_id for row in (*first.items, *rest.items)] == ["w1", "w2", "w3"]
    assert rest.next_cursor is None
    with pytest.raises(ValueError, match="not a cursor"):
        store.webhooks.list("default", cursor="nonsense", limit=2)


def test_an_org_has_so_many_and_no_more(store: Store):
    for number in range(MOST):
        store.webhooks.create(a_webhook(f"w{number}"))
    assert refusal(lambda: store.webhooks.create(a_webhook("more"))) == "conflict"
    store.webhooks.create(a_webhook("theirs", org="other"))


def test_a_change_is_of_what_was_read_and_leaves_how_far_it_was_told(store: Store):
    store.webhooks.create(a_webhook())
    read = the(store)
    store.webhooks.note("w1", (), Cursor(5000, 1))
    changed = store.webhooks.change(replace(read, url="https://example.com/other", place=Cursor(0)))
    assert changed.version == 2
    assert the(store) == replace(changed, place=Cursor(5000, 1))
    assert refusal(lambda: store.webhooks.change(read)) == "conflict"
    assert refusal(lambda: store.webhooks.change(replace(read, org="other"))) == "not_found"


def test_what_became_of_deliveries_is_noted_with_the_place_behind_them(store: Store):
    store.webhooks.create(a_webhook())
    store.webhooks.note("w1", [done("a"), pending("b", 30.0, body=b"\x00\xff")], Cursor(4800, 4))
    assert the(store).place == Cursor(4800, 4)
    (again,) = store.webhooks.due("w1", 30.0, 9)
    assert again == pending("b", 30.0, body=b"\x00\xff")
    assert store.webhooks.due("w1", 29.9, 9) == []

    store.webhooks.note("w1", [replace(done("b", changed_at=31.0), attempts=2)])
    assert store.webhooks.due("w1", 99.0, 9) == []
    found = store.webhooks.deliveries("w1", cursor=None, limit=9).items
    assert [(one.event_id, one.state, one.attempts, one.body) for one in found] == [
        ("b", "delivered", 2, None),
        ("a", "delivered", 1, None),
    ]


def test_deliveries_are_listed_newest_first_in_pages(store: Store):
    store.webhooks.create(a_webhook())
    store.webhooks.note("w1", [done(f"e{n}", changed_at=float(n)) for n in range(3)])
    first = store.webhooks.deliveries("w1", cursor=None, limit=2)
    rest = store.webhooks.deliveries("w1", cursor=first.next_cursor, limit=2)
    assert [one.event_id for one in (*first.items, *rest.items)] == ["e2", "e1", "e0"]


def test_what_waits_is_known_of_all_that_are_enabled(store: Store):
    store.webhooks.create(a_webhook())
    store.webhooks.create(a_webhook("w2", org="other"))
    store.webhooks.create(a_webhook("w3", enabled=False))
    store.webhooks.note("w1", [pending("a", 40.0), pending("b", 30.0, happened_at=5.0), done("c", happened_at=1.0)])
    found = {one.row.webhook_id: (one.count, one.next_at, one.oldest) for one in store.webhooks.enabled()}
    assert found == {"w1": (2, 30.0, 5.0), "w2": (0, None, None)}


def test_since_when_it_fails_is_known_until_something_succeeds(store: Store):
    store.webhooks.create(a_webhook())
    store.webhooks.note("w1", [pending("a", 40.0, changed_at=20.0)])
    store.webhooks.note("w1", [pending("b", 40.0, changed_at=21.0)])
    assert the(store).failing_since == 20.0
    store.webhooks.note("w1", [pending("c", 40.0, changed_at=22.0), done("d", changed_at=23.0)])
    assert (the(store).failing_since, the(store).last_success_at) == (None, 23.0)


def test_only_the_newest_that_ended_are_kept_and_all_that_are_tried_again(store: Store):
    store.webhooks.create(a_webhook())
    store.webhooks.note("w1", [pending("old", 40.0, changed_at=0.5)])
    store.webhooks.note("w1", [done(f"e{n}", changed_at=float(n)) for n in range(KEPT + 20)])
    found = store.webhooks.deliveries("w1", cursor=None, limit=200).items
    assert [one.event_id for one in found] == [*(f"e{n}" for n in range(KEPT + 19, 19, -1)), "old"]


def test_one_that_is_deleted_or_disabled_is_told_nothing(store: Store):
    store.webhooks.create(a_webhook())
    store.webhooks.disable("w1", "gone", 50.0)
    assert (the(store).enabled, the(store).disabled_reason, the(store).version) == (False, "gone", 2)
    assert store.webhooks.enabled() == []
    store.webhooks.delete("default", "w1")
    store.webhooks.note("w1", [pending("late", 40.0)], Cursor(9000))
    assert store.webhooks.due("w1", 99.0, 9) == []


def test_a_rotation_ends_once(store: Store):
    store.webhooks.create(a_webhook(previous_secret_id="s0", rotated_at=3.5))
    store.webhooks.end_rotation("w1", "another")
    assert the(store).previous_secret_id == "s0"
    store.webhooks.end_rotation("w1", "s0")
    assert (the(store).previous_secret_id, the(store).rotated_at) == (None, None)


def test_texts_that_no_database_takes_are_kept_as_they_can_be(store: Store):
    store.webhooks.create(a_webhook(description=NASTY))
    store.webhooks.note("w1", [replace(pending("a", 40.0), error=NASTY)])
    assert "\x00" not in the(store).description


def test_secrets_of_webhooks_are_not_among_those_of_the_org(store: Store):
    from toolyard.security.sealing import Sealed

    for name in ("OURS", secret_name("w1", "s1")):
        store.secrets.create("default", name, lambda _: Sealed("k", b"sealed"), by="key1")
    assert [row.name for row in store.secrets.list("default", cursor=None, limit=9).items] == ["OURS"]
