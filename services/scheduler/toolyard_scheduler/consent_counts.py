"""How often users were asked to consent, what became of it, and how long that took: counted by the ledger, in batches.

What is counted is an authorization, however many calls wait for it. Times are of those that are over, from when they
were asked for last.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from toolyard.telemetry import catalogue
from toolyard.telemetry.metrics import Distribution, Reading

BOUNDS: Final = catalogue.AUTHORIZATION_SECONDS.bounds
STATUSES: Final = ("completed", "failed", "expired")
_OPENED: Final = "authorizations opened"
_OVER: Final = "authorizations over"
_KIND: Final = re.compile(r"[a-z_]{1,32}")


def opened(counts: Counter[str], provider: str) -> None:
    """A user was asked who was not being asked for this already."""
    counts[f"{_OPENED} {_kind(provider)}"] += 1


def over(counts: Counter[str], provider: str, status: str, seconds: float) -> None:
    """It is over, that many seconds after it was asked for."""
    kind, seconds = _kind(provider), max(0.0, seconds)
    bound = next((bound for bound in BOUNDS if seconds <= bound), "more")
    counts[f"{_OVER} {kind} {status} {bound}"] += 1
    counts[f"{_OVER} {kind} {status} milliseconds"] += round(seconds * 1_000)


def readings(counts: Mapping[str, int]) -> Iterator[Reading]:
    """What is shown of it."""
    for kind in _kinds(counts, _OPENED):
        yield Reading(catalogue.AUTHORIZATIONS, (kind,), counts[f"{_OPENED} {kind}"])
    for kind in _kinds(counts, _OVER):
        for status in STATUSES:
            taken = _distribution(counts, f"{_OVER} {kind} {status}")
            yield Reading(catalogue.AUTHORIZATION_SECONDS, (kind, status), taken)


def _distribution(counts: Mapping[str, int], key: str) -> Distribution:
    fallen = [counts.get(f"{key} {bound}", 0) for bound in (*BOUNDS, "more")]
    return Distribution(fallen, counts.get(f"{key} milliseconds", 0) / 1_000)


def _kinds(counts: Mapping[str, int], what: str) -> list[str]:
    return sorted({key.removeprefix(f"{what} ").split()[0] for key in counts if key.startswith(f"{what} ")})


def _kind(provider: str) -> str:
    """`arcade` of `arcade/google`: few, whatever tools name."""
    kind = provider.partition("/")[0]
    return kind if _KIND.fullmatch(kind) else "other"
