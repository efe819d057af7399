"""What `/metrics` says of consents: how many were asked for, what became of them, and how long that took."""

from collections import Counter

from tests.support.numbers import text

from toolyard.telemetry.metrics import Board
from toolyard_scheduler import consent_counts, metrics


def lines(counts: Counter[str]) -> list[str]:
    board = Board()
    metrics.show(board, counts)
    return text(board).splitlines()


def test_consents_are_counted_by_the_kind_of_their_provider():
    counts: Counter[str] = Counter()
    for provider in ("arcade/google", "arcade/github", "nango/github", "Some thing\n"):
        consent_counts.opened(counts, provider)

    name = "toolyard_authorizations_opened_total"
    assert [line for line in lines(counts) if line.startswith(f"{name}{{")] == [
        f'{name}{{provider="arcade"}} 2',
        f'{name}{{provider="nango"}} 1',
        f'{name}{{provider="other"}} 1',
    ]


def test_how_long_they_took_is_a_histogram_by_what_became_of_them():
    counts: Counter[str] = Counter()
    for seconds in (0.25, 5.0, 20.0, 1e9):
        consent_counts.over(counts, "arcade/google", "completed", seconds)
    consent_counts.over(counts, "arcade/google", "expired", 600.0)
    consent_counts.over(counts, "arcade/google", "failed", -1.0)

    shown = lines(counts)
    labels = 'provider="arcade",status="completed"'
    name = "toolyard_authorization_seconds"
    assert f"# TYPE {name} histogram" in shown
    for bound, count in (("5.0", 2), ("15.0", 2), ("30.0", 3), ("86400.0", 3), ("+Inf", 4)):
        assert f'{name}_bucket{{{labels},le="{bound}"}} {count}' in shown
    assert f"{name}_count{{{labels}}} 4" in shown
    assert f'{name}_sum{{provider="arcade",status="expired"}} 600.0' in shown
    assert f'{name}_sum{{provider="arcade",status="failed"}} 0.0' in shown
    assert f'{name}_bucket{{provider="arcade",status="failed",le="5.0"}} 1' in shown


def test_before_there_was_one_nothing_is_wrong():
    shown = lines(Counter())
    assert "# TYPE toolyard_authorizations_opened_total counter" in shown
    assert not any(line.startswith("toolyard_authorization_seconds_") for line in shown)
