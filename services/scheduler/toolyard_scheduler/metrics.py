"""The scheduler's numbers. What the ledger counts it counts by words, together with each batch; here they get names."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from toolyard.errors import CODES
from toolyard.telemetry import catalogue
from toolyard.telemetry.metrics import OTHERS, Board, Metric, Reading
from toolyard_scheduler import consent_counts

_TOTALS: Final[Mapping[str, Metric]] = {
    "records": catalogue.RECORDS,
    "passed_over": catalogue.PASSED_OVER,
    "accepted": catalogue.LEDGER_CALLS,
    "late_results": catalogue.LATE_RESULTS,
    "older_attempts": catalogue.OLDER_ATTEMPTS,
    "resubmitted": catalogue.RESUBMITTED,
    "foreign_outcomes": catalogue.FOREIGN_OUTCOMES,
    "retries": catalogue.RETRIES,
    "consents": catalogue.CONSENTS,
    "resumed": catalogue.RESUMED,
    "feed_pages": catalogue.FEED_PAGES,
    "feed_items": catalogue.FEED_ITEMS,
    "feed_published": catalogue.FEED_PUBLISHED,
    "feed_unwanted": catalogue.FEED_UNWANTED,
    "feed_nacked": catalogue.FEED_NACKED,
    "feed_unconfirmed": catalogue.FEED_UNCONFIRMED,
    "feed_lost": catalogue.FEED_LOST,
    "feed_dropped": catalogue.FEED_DROPPED,
    "conflicts": catalogue.CONFLICTS,
}
_ANSWERS: Final = ("granted", "started", "terminal", "paused")
_ENDS: Final = ("succeeded", "failed", "timed_out", "expired", "cancelled", "rejected")
_CODE: Final = "code "


def failed(counts: Counter[str], code: str) -> None:
    """A call ended without success. A code that is none of ours has no series of its own: workers may say any word."""
    counts[_CODE + (code if code in CODES else OTHERS)] += 1


def show(board: Board, counts: Mapping[str, int]) -> None:
    """Show what the ledger has counted."""
    board.watch(lambda: _totals(counts), *_TOTALS.values())
    board.watch(lambda: _by_label(counts), catalogue.CALLS_ENDED, catalogue.CLAIMS_ANSWERED, catalogue.CALLS_FAILED)
    board.watch(lambda: consent_counts.readings(counts), catalogue.AUTHORIZATIONS, catalogue.AUTHORIZATION_SECONDS)


def _totals(counts: Mapping[str, int]) -> Iterator[Reading]:
    """What has one number."""
    return (Reading(metric, (), counts.get(word, 0)) for word, metric in _TOTALS.items())


def _by_label(counts: Mapping[str, int]) -> Iterator[Reading]:
    for state in _ENDS:
        yield Reading(catalogue.CALLS_ENDED, (state,), counts.get(state, 0))
    for answer in _ANSWERS:
        yield Reading(catalogue.CLAIMS_ANSWERED, (answer,), counts.get(f"claims_{answer}", 0))
    for word in [word for word in counts if word.startswith(_CODE)]:
        yield Reading(catalogue.CALLS_FAILED, (word.removeprefix(_CODE),), counts[word])
