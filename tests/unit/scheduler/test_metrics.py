"""What `/metrics` of a scheduler says of what the ledger has counted."""

from collections import Counter

from tests.support.numbers import text

from toolyard.telemetry.metrics import Board
from toolyard_scheduler import metrics


def test_codes_that_are_none_of_ours_are_counted_together():
    counts: Counter[str] = Counter()
    for code in ("tool_error", "tool_error", *(f"made up {n}" for n in range(1_000))):
        metrics.failed(counts, code)
    board = Board()
    metrics.show(board, counts)

    lines = [line for line in text(board).splitlines() if line.startswith("toolyard_calls_failed_total{")]
    assert lines == [
        'toolyard_calls_failed_total{code="tool_error"} 2',
        'toolyard_calls_failed_total{code="others"} 1000',
    ]
    assert len(counts) == 2
