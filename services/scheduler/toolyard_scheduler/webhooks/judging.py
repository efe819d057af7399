"""What an answer means for a delivery: done, again later, or given up. Pure: time and chance are handed in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Final

from toolyard.store.webhooks import Delivery

#: Seconds before each further attempt: more than a day, all together.
DELAYS: Final = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)
#: By which part of itself a pause may be shorter or longer: receivers that come back are not asked all at once.
JITTER: Final = 0.2
#: Seconds; whoever asks to wait for longer is taken to ask for this.
LONGEST: Final = 86_400.0
#: The receiver wants nothing more, ever.
GONE: Final = 410
#: A number from 0 up to 1, by chance.
Chance = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of one attempt.

    Attributes:
        status: of the answer; none where none came.
        error: why it is no success.
        retry_after: seconds, where the receiver names some.
    """

    status: int | None = None
    error: str | None = None
    retry_after: float | None = None


def judged(delivery: Delivery, answered: Answered, now: float, chance: Chance) -> Delivery:
    """The delivery behind an attempt."""
    tried = replace(
        delivery, attempts=delivery.attempts + 1, changed_at=now, status=answered.status, error=answered.error
    )
    if answered.error is None:
        return replace(tried, state="delivered", next_at=None)
    if answered.status == GONE or tried.attempts > len(DELAYS):
        return replace(tried, state="failed", next_at=None)
    pause = DELAYS[tried.attempts - 1] * (1 + JITTER * (2 * chance() - 1))
    return replace(tried, state="pending", next_at=now + max(pause, answered.retry_after or 0.0))


def seconds_of(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds of ``Retry-After``: a number, or a date."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:12]), LONGEST)
    try:
        moment = parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):  # no date, or one whose numbers no date can have
        return None
    return min(max(moment - now, 0.0), LONGEST)
