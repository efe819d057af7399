"""Where a time stands in the log, as the ledger's rows show it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.stores import empty_store

from toolyard.store.calls import ENDED_BEFORE
from toolyard.store.connect import Store
from toolyard.testing.store_suite import a_call, a_row, save


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with empty_store(request, tmp_path) as made:
        yield made


def test_of_an_org_without_ended_calls_nothing_is_known(store: Store) -> None:
    save(
        store,
        a_row(a_call("open", accepted_at=1.0), log_offset=1),
        a_row(a_call("theirs", org="other", accepted_at=1.0), finished_at=2.0, log_offset=2),
        a_row(a_call("later", accepted_at=1.0), finished_at=9.0, log_offset=3),
        a_row(a_call("events alone", accepted_at=1.0), finished_at=2.0, log_offset=None),
    )

    assert store.calls.offset_before("default", 5.0) is None
    assert store.calls.offset_before("\x00", 5.0) is None


def test_it_is_the_smallest_of_the_newest_that_had_ended(store: Store) -> None:
    rows = [
        a_row(a_call(f"c{n}", accepted_at=10.0 + n), finished_at=11.0 + n, log_offset=100 + n)
        for n in range(2 * ENDED_BEFORE)
    ]
    put_off = a_row(a_call("put-off", accepted_at=1.0), finished_at=12.0, log_offset=90)
    save(store, put_off, *rows)

    assert store.calls.offset_before("default", 12.5) == 90
    assert store.calls.offset_before("default", 1_000.0) == 100 + ENDED_BEFORE
