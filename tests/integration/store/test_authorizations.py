"""What users were asked to consent to, as it is read, and dropped once it is too old; on both databases."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.stores import empty_store

from toolyard.contracts.calls import Authorization
from toolyard.store.authorizations import AuthorizationFilter, PendingAuthorization
from toolyard.store.connect import Store
from toolyard.store.ledger_consents import Asked

EVERYTHING = AuthorizationFilter()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty_store(request, tmp_path) as store:
        yield store


def ask(store: Store, name: str, at: float, *, org: str = "default", user: str = "ada", **fields: Any) -> bool:
    """The ledger notes what a call of this user asked for; whether that is new."""
    consent = Authorization(
        authorization_id=name,
        provider=fields.pop("provider", "arcade/google"),
        url=f"https://consent.example/{name}",
        expires_at=fields.pop("expires_at", at + 600.0),
        **fields,
    )
    place = store.ledger.position()
    with store.ledger.batch(place.epoch, place.offset, place.offset + 1, "record", 5.0) as batch:
        return batch.asked_for(consent, Asked(org, user, "lookup", f"call of {name}"), at)


def end(store: Store, name: str, status: str, at: float, provider: str = "arcade/google") -> float | None:
    place = store.ledger.position()
    with store.ledger.batch(place.epoch, place.offset, place.offset + 1, "record", 5.0) as batch:
        return batch.authorized("default", provider, name, status, at)


def names(store: Store, wanted: AuthorizationFilter = EVERYTHING, org: str = "default") -> list[str]:
    return [row.authorization_id for row in store.authorizations.list(org, wanted, cursor=None, limit=50).items]


def test_one_is_read_as_it_was_asked_for(store: Store):
    ask(store, "a1", 10.0, scopes=("mail.send", "mail.read"))

    row = store.authorizations.get("default", "arcade/google", "a1")
    assert row is not None
    assert (row.org, row.provider, row.authorization_id) == ("default", "arcade/google", "a1")
    assert (row.user, row.tool, row.call_id) == ("ada", "lookup", "call of a1")
    assert (row.url, row.scopes, row.status) == ("https://consent.example/a1", ("mail.send", "mail.read"), "pending")
    assert (row.created_at, row.changed_at, row.expires_at) == (10.0, 10.0, 610.0)
    assert store.authorizations.get("other", "arcade/google", "a1") is None
    assert store.authorizations.get("default", "arcade/github", "a1") is None


def test_the_list_is_the_orgs_own_newest_first_and_filtered(store: Store):
    ask(store, "a1", 10.0)
    ask(store, "a2", 30.0, user="bob")
    ask(store, "a3", 20.0, provider="nango/github")
    ask(store, "theirs", 15.0, org="other")
    end(store, "a3", "completed", 25.0, "nango/github")

    assert names(store) == ["a2", "a3", "a1"]
    assert names(store, org="other") == ["theirs"]
    assert names(store, AuthorizationFilter(user="ada")) == ["a3", "a1"]
    assert names(store, AuthorizationFilter(status="completed")) == ["a3"]
    assert names(store, AuthorizationFilter(provider="arcade/google", user="ada")) == ["a1"]
    assert names(store, AuthorizationFilter(user="\x00")) == []


def test_its_pages_join_also_where_times_are_the_same(store: Store):
    for name in "abcde":
        ask(store, name, 10.0)

    seen: list[str] = []
    cursor = None
    while True:
        page = store.authorizations.list("default", EVERYTHING, cursor=cursor, limit=2)
        seen += [row.authorization_id for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == list("edcba")
    with pytest.raises(ValueError, match="cursor"):
        store.authorizations.list("default", EVERYTHING, cursor="none of ours", limit=2)


def test_pending_are_those_of_all_orgs_the_soonest_to_expire_first(store: Store):
    ask(store, "a1", 10.0, expires_at=90.0)
    ask(store, "a2", 20.0, expires_at=50.0, org="other", user="bob")
    ask(store, "a3", 30.0, expires_at=70.0)
    ask(store, "a4", 30.0, expires_at=60.0)
    end(store, "a4", "failed", 35.0)

    assert store.authorizations.pending(2) == [
        PendingAuthorization("other", "arcade/google", "a2", "bob", 20.0, 20.0, 50.0),
        PendingAuthorization("default", "arcade/google", "a3", "ada", 30.0, 30.0, 70.0),
    ]
    behind = store.authorizations.pending(2, after=store.authorizations.pending(2)[-1])
    assert [each.authorization_id for each in behind] == ["a1"]


def test_those_that_were_over_long_ago_are_dropped_piece_by_piece(store: Store):
    for number, name in enumerate(("a1", "a2", "a3", "waits", "forgotten")):
        ask(store, name, 10.0 + number, expires_at=50.0 if name == "forgotten" else 900.0)
    for name, at in (("a1", 20.0), ("a2", 21.0), ("a3", 400.0)):
        end(store, name, "completed", at)

    assert store.retention.drop_authorizations(100.0, limit=2) == 2
    assert store.retention.drop_authorizations(100.0, limit=2) == 1
    assert store.retention.drop_authorizations(100.0, limit=2) == 0
    assert names(store) == ["waits", "a3"]


def test_one_that_was_asked_for_anew_counts_from_then(store: Store):
    ask(store, "a1", 10.0)
    end(store, "a1", "failed", 20.0)
    ask(store, "a1", 90.0)

    assert store.retention.drop_authorizations(50.0) == 0
    row = store.authorizations.get("default", "arcade/google", "a1")
    assert row is not None
    assert (row.status, row.created_at, row.changed_at) == ("pending", 10.0, 90.0)


def test_what_is_asked_once_more_is_not_new_and_is_over_once(store: Store):
    assert ask(store, "a1", 10.0)
    assert not ask(store, "a1", 14.0)
    assert end(store, "a1", "completed", 20.0) == 6.0
    assert end(store, "a1", "expired", 21.0) is None
    assert end(store, "a2", "completed", 21.0) is None
    assert [row.status for row in store.authorizations.list("default", EVERYTHING, cursor=None, limit=9).items] == [
        "completed"
    ]
    assert ask(store, "a1", 30.0)


def test_a_call_with_little_time_takes_none_from_another_that_waits_for_the_same(store: Store):
    ask(store, "a1", 10.0, expires_at=600.0)
    ask(store, "a1", 20.0, expires_at=40.0)
    assert [each.expires_at for each in store.authorizations.pending(9)] == [600.0]

    assert end(store, "a1", "expired", 40.0) is None, "told by who has read it before"
    assert end(store, "a1", "expired", 600.0) == 580.0
    ask(store, "a1", 700.0, expires_at=710.0)
    assert [each.expires_at for each in store.authorizations.pending(9)] == [710.0], "one that was over begins anew"


@pytest.mark.parametrize("status", ["completed", "failed", "expired"])
def test_a_word_of_before_it_was_asked_for_anew_changes_nothing(store: Store, status: str):
    ask(store, "a1", 10.0, expires_at=15.0)
    end(store, "a1", "completed", 14.0)
    ask(store, "a1", 20.0, expires_at=21.0)

    assert end(store, "a1", status, 19.0) is None
    assert [each.changed_at for each in store.authorizations.pending(9)] == [20.0]
    assert end(store, "a1", status, 21.0) == 1.0


def test_an_id_that_another_user_was_asked_with_is_not_theirs(store: Store):
    assert ask(store, "a1", 10.0)
    assert not ask(store, "a1", 11.0, user="bob")
    end(store, "a1", "completed", 20.0)
    assert not ask(store, "a1", 30.0, user="bob")

    row = store.authorizations.get("default", "arcade/google", "a1")
    assert row is not None
    assert (row.user, row.status) == ("ada", "completed")
