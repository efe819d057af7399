"""How long an upstream asks to wait before another try. Pure."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

#: Seconds; whoever asks for more is taken to ask for this.
MAX_WAIT: Final = 7 * 86400.0


def seconds_of(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds of ``Retry-After`` (a number, or a date), or of ``Retry-After-Ms``; None where neither is there."""
    milliseconds = headers.get("retry-after-ms", "").strip()
    if milliseconds.isascii() and milliseconds.isdecimal():
        return min(float(milliseconds[:15]) / 1000, MAX_WAIT)
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:12]), MAX_WAIT)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return min(max(moment.timestamp() - now, 0.0), MAX_WAIT)
