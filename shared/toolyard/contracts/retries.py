"""Whether an attempt that failed is followed by another one, and when. Pure: the worker and the ledger decide alike.

A worker marks an outcome that may be followed as not final; the ledger parks the call until its next attempt is due.
The pause is made of the call's id, so that a ledger that is rebuilt from the log comes to the same one.
"""

import random
from typing import Final

from toolyard.contracts.calls import Call, ErrorInfo
from toolyard.states import Effect

#: Seconds: no pause that we choose is longer.
LONGEST_PAUSE: Final = 300.0


#: Ends of an attempt that tried nothing: its call waits, and none of what its policy allows is spent.
_WAITS: Final = frozenset({"circuit_open", "authorization_required"})


def only_waits(error: ErrorInfo | None, effect: Effect) -> bool:
    """Whether an attempt that ended so tried nothing, so that its call may wait for another whatever its policy."""
    return effect == "none" and error is not None and error.code in _WAITS


#: Ends of an attempt behind which a tool's fallback may do better: it could not be reached, or was not let in.
_FALLS_BACK: Final = frozenset({"circuit_open", "permission_denied", "timed_out", "unavailable", "upstream_error"})


def may_fall_back(call: Call, error: ErrorInfo | None, effect: Effect) -> bool:
    """Whether the tool's fallback may take over behind an attempt that ended so: never after an effect."""
    return call.fallback is not None and effect == "none" and error is not None and error.code in _FALLS_BACK


def may_follow(call: Call, attempt: int, error: ErrorInfo | None, effect: Effect) -> bool:
    """Whether another attempt may follow one that ended so, by the call's policy; its deadline is not looked at.

    ``attempt`` is the number of the one that ended, without those before it that were waived.

    Never after an effect that is ``done`` or ``unknown``, unless the tool may run twice.
    """
    policy = call.retry
    if policy is None or error is None or attempt >= policy.max_attempts:
        return False
    if effect != "none" and not call.rerunnable:
        return False
    return error.code in policy.codes if policy.codes else error.retryable


def pause_after(call: Call, attempt: int, error: ErrorInfo | None) -> float:
    """Seconds to wait after this attempt: what the upstream asked for, else exponential with full jitter, capped.

    Full jitter is a time between nothing and the bound that doubles with each attempt
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    if error is not None and error.retry_after is not None:
        return max(error.retry_after, 0.0)
    first = 1.0 if call.retry is None else call.retry.backoff
    bound = min(first * 2.0 ** min(attempt - 1, 30), LONGEST_PAUSE)
    return random.Random(f"{call.call_id} {attempt}").uniform(0.0, bound)  # noqa: S311 - spreads load, no secret
