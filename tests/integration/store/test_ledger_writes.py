"""Rows of the ledger are the same whichever way they were written: one by one, as arrays, and in either database."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from toolyard.contracts.calls import Result, error_info
from toolyard.store import ledger_sql, tables
from toolyard.store.connect import Store, open_store
from toolyard.store.ledger_rows import LedgerRow
from toolyard.testing.store_suite import a_call, a_change, a_row, save

BROKE = error_info("upstream_error", "100% 'broken'", retryable=True)
ORDINARY: dict[str, Sequence[Any]] = {
    "state": ("queued", "running", "succeeded"),
    "effect": ("none", "done", "unknown"),
    "log_offset": (None, 0, 2**15, 2**31, 2**62),
    "attempt": (1, 2**31 - 1),
    "attempts": (0, 40_000),
    "started_at": (None, 1.0, 1e300),
    "finished_at": (None, 2.0**53),
    "ending": (True, False),
    "end_sequence": (None, 1, 2**40),
    "submitters": (1, 300),
    "result": (None, Result(content="x\x00y"), Result(content="\u2028'\"%b")),
    "error": (None, BROKE),
}
ASIDE: dict[str, Sequence[Any]] = {
    "holder": (None, "w1:1"),
    "fence": (0, 2**20),
    "runs_until": (None, 8.5),
    "alone": (True, False),
    "spent": (None, "a b", "{}"),
    "ending_claim": (None, "", "w1:1"),
    "settled": (True, False),
    "due_at": (None, 4.0),
    "parked_for": (None, "retry"),
    "diverted": (True, False),
    "consent": (None, '{"a":1}'),
}


def batches(seed: int) -> list[list[LedgerRow]]:
    """New rows and changed ones, a few and many at a time; the same for the same seed."""
    chance, known = random.Random(seed), list[str]()
    return [_batch(chance, known, rows) for rows in (1, 17, 9, 8, 2, 17, 8, 9)]


def _batch(chance: random.Random, known: list[str], rows: int) -> list[LedgerRow]:
    changed = chance.sample(known, min(len(known), rows // 2))
    added = [f"c{len(known) + number}" for number in range(rows - len(changed))]
    known += added
    return [_changed(chance, each) for each in changed] + [
        a_row(_call(chance, each), **_some(chance)) for each in added
    ]


def _changed(chance: random.Random, call_id: str) -> LedgerRow:
    row = a_change(call_id, **_some(chance), call=chance.choice((None, _call(chance, call_id))))
    row.loaded = chance.choice((None, ()))  # what was out of the ordinary before is written whole
    return row


def _call(chance: random.Random, call_id: str) -> Any:
    return a_call(call_id, conversation=chance.choice((None, "k\x00")), user=chance.choice((None, "u")))


def _some(chance: random.Random) -> dict[str, Any]:
    columns = ORDINARY | (ASIDE if chance.random() < 0.6 else {})
    return {name: chance.choice(values) for name, values in columns.items()}


def written(store: Store, seed: int) -> list[tuple[Any, ...]]:
    with store.ledger._database.write() as connection:
        connection.execute(delete(tables.calls))
    for rows in batches(seed):
        save(store, *rows)
    with store.ledger._database.read() as connection:
        return [tuple(row) for row in connection.execute(select(tables.calls).order_by(tables.calls.c.call_id))]


def test_row_by_row_and_as_arrays_the_same_is_written(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    postgres, lite = open_store(postgres_url), open_store(f"sqlite:///{tmp_path / 'ledger.db'}")
    for store in (postgres, lite):
        store.migrate()
    for seed in range(5):
        wanted = written(lite, seed)
        assert len(wanted) > 30
        for few in (0, 8, 1_000):
            monkeypatch.setattr(ledger_sql, "FEW", few)
            assert written(postgres, seed) == wanted, f"seed {seed}, row by row up to {few}"
    postgres.close()
    lite.close()
