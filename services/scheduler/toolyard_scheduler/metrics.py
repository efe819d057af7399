"""The scheduler's numbers, as Prometheus reads them."""

from collections.abc import Mapping

_TOTALS = {
    "records": ("toolyard_ledger_records_total", "Records of the log that were applied"),
    "passed_over": ("toolyard_ledger_passed_over_total", "Records that did not verify, decode or fit"),
    "accepted": ("toolyard_ledger_calls_total", "Calls that came into the ledger"),
    "late_results": ("toolyard_late_results_total", "Outcomes that came after the end"),
    "older_attempts": ("toolyard_older_attempts_total", "Failures of attempts that had been followed by others"),
    "resubmitted": ("toolyard_resubmitted_total", "Calls submitted again by another gateway"),
    "foreign_outcomes": ("toolyard_foreign_outcomes_total", "Outcomes of a submission with another body"),
    "retries": ("toolyard_retries_total", "Attempts that are followed by another one"),
    "resumed": ("toolyard_resumed_total", "Parked calls that became due by the end of a pause"),
    "feed_pages": ("toolyard_feed_pages_total", "Pages of events that gateways were given"),
    "feed_items": ("toolyard_feed_items_total", "Events on these pages"),
    "conflicts": ("toolyard_submission_conflicts_total", "Calls submitted again with another body"),
}
_ANSWERS = ("granted", "started", "terminal", "paused")
_ENDS = ("succeeded", "failed", "timed_out", "expired", "cancelled", "rejected")


def render(counts: Mapping[str, int], *, leading: bool, lag: float, followed: int) -> str:
    """The text of `/metrics`."""
    lines = []
    for name, (metric, meaning) in _TOTALS.items():
        lines += [f"# HELP {metric} {meaning}", f"# TYPE {metric} counter", f"{metric} {counts.get(name, 0)}"]
    ends = "toolyard_calls_ended_total"
    lines += [f"# HELP {ends} Calls by the state in which they ended", f"# TYPE {ends} counter"]
    lines += [f'{ends}{{state="{state}"}} {counts.get(state, 0)}' for state in _ENDS]
    answered = "toolyard_claims_answered_total"
    lines += [f"# HELP {answered} Claims by their answer", f"# TYPE {answered} counter"]
    lines += [f'{answered}{{answer="{answer}"}} {counts.get(f"claims_{answer}", 0)}' for answer in _ANSWERS]
    lines += _gauge("toolyard_ledger_leading", "Whether this scheduler keeps the ledger", str(int(leading)))
    lines += _gauge("toolyard_ledger_lag_seconds", "Seconds since the ledger was up to date", f"{lag:.3f}")
    lines += _gauge("toolyard_feed_orgs", "Orgs whose events somebody follows", str(followed))
    return "\n".join(lines) + "\n"


def _gauge(metric: str, meaning: str, value: str) -> list[str]:
    return [f"# HELP {metric} {meaning}", f"# TYPE {metric} gauge", f"{metric} {value}"]
