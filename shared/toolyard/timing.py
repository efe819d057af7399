"""The times of an installation that have to fit together: whoever starts with some that contradict does not start.

Each part reads those that it lives by, and asks here; `toolyard doctor` asks for all. An attempt fits into the drain of
its worker, the drain into the grace of whoever supervises the process, and attempts into what the broker waits for.
"""

from typing import Final

#: Seconds that one attempt may take where neither tool nor call says, and at most.
USUAL_ATTEMPT: Final = 30.0
LONGEST_ATTEMPT: Final = 1_500.0
#: Seconds after which RabbitMQ takes an unsettled delivery back, where it was not told otherwise.
CONSUMER_TIMEOUT: Final = 1_800.0
#: Seconds that a delivery may be unsettled beside its attempt: it waits for a place and a claim, then for a confirm.
UNSETTLED_BESIDE: Final = 300.0
#: Seconds that the calls of a worker have to end in, when it is asked to stop and nobody has said how long.
DRAIN: Final = 30.0
#: Seconds that a gateway gives to those who wait for answers.
GATEWAY_DRAIN: Final = 10.0
#: Seconds that a part needs beside its drain: to close what is open and to have its last words confirmed.
LAST_WORDS: Final = 5.0
#: Seconds that the ledger may be behind, where nobody says.
LOG_MAX_LAG: Final = 900.0
#: Seconds that the log keeps its records, and how many times the ledger's lag that must be.
LOG_KEPT: Final = 7 * 86_400.0
LAGS_KEPT: Final = 4
#: Seconds after its end in which a call is still found under its idempotency key.
KEY_KEPT: Final = 86_400.0


def drain_of(drain: float | None, longest_attempt: float | None) -> float:
    """Seconds that the calls of a worker are given: what was set, else what the longest attempt needs."""
    if drain is not None:
        return drain
    return DRAIN if longest_attempt is None else max(DRAIN, longest_attempt)


def of_attempts(longest_attempt: float | None, consumer_timeout: float | None) -> list[str]:
    """What contradicts itself in how long attempts may take; for gateways, which let them in, and for workers."""
    longest = LONGEST_ATTEMPT if longest_attempt is None else longest_attempt
    problems = of_longest(longest_attempt)
    patience = CONSUMER_TIMEOUT if consumer_timeout is None else consumer_timeout
    if patience < longest + UNSETTLED_BESIDE:
        said = "" if longest_attempt is not None else ", which is what it is where it is not set"
        problems.append(
            f"TOOLYARD_CONSUMER_TIMEOUT ({patience:g} s) contradicts TOOLYARD_LONGEST_ATTEMPT ({longest:g} s{said}): "
            f"the broker would take calls away that still run; a consumer_timeout of {longest + UNSETTLED_BESIDE:g} s "
            f"would do" + _shorter(patience - UNSETTLED_BESIDE)
        )
    return problems


def of_longest(longest_attempt: float | None) -> list[str]:
    """What is wrong with the longest attempt alone."""
    if longest_attempt is None or USUAL_ATTEMPT <= longest_attempt <= LONGEST_ATTEMPT:
        return []
    problem = (
        f"TOOLYARD_LONGEST_ATTEMPT is {longest_attempt:g} s: it is from {USUAL_ATTEMPT:g} s, which tools have that say "
        f"nothing, to {LONGEST_ATTEMPT:g} s"
    )
    return [problem]


def of_drain(longest_attempt: float | None, drain: float | None, grace: float | None) -> list[str]:
    """What contradicts itself in how a worker ends."""
    given, problems = drain_of(drain, longest_attempt), []
    if longest_attempt is not None and given < longest_attempt:
        problems.append(
            f"TOOLYARD_DRAIN ({given:g} s) contradicts TOOLYARD_LONGEST_ATTEMPT ({longest_attempt:g} s): a worker that "
            f"stops would leave calls in the middle; a drain of {longest_attempt:g} s would do, or none, which follows "
            "the longest attempt"
        )
    return problems + of_grace(grace, given, "TOOLYARD_DRAIN")


def of_grace(grace: float | None, drain: float, name: str) -> list[str]:
    """What contradicts itself in how long a supervisor waits for a part that takes so long to end."""
    return _too_short(grace, drain + LAST_WORDS, f"{name} ({drain:g} s)", "while it drains")


def of_stepping_back(grace: float | None) -> list[str]:
    """What contradicts itself in how long a supervisor waits for a scheduler, which has no attempts to wait for."""
    lost = "before its last batch is written and it has stepped back, and the one that stands by would wait"
    return _too_short(grace, LAST_WORDS, f"the end of a scheduler ({LAST_WORDS:g} s)", lost)


def _too_short(grace: float | None, needed: float, against: str, when: str) -> list[str]:
    """What a supervisor cuts off that waits less than is needed."""
    if grace is None or grace >= needed:
        return []
    problem = (
        f"TOOLYARD_GRACE ({grace:g} s) contradicts {against}: the process would be killed {when}; "
        f"a grace of {needed:g} s would do (terminationGracePeriodSeconds, TimeoutStopSec)"
    )
    return [problem]


def of_lag(log_max_lag: float) -> list[str]:
    """What contradicts itself in how far the ledger may be behind a log that forgets."""
    most = LOG_KEPT / LAGS_KEPT
    if log_max_lag <= most:
        return []
    problem = (
        f"TOOLYARD_LOG_MAX_LAG ({log_max_lag:g} s) contradicts x-max-age of toolyard.log ({LOG_KEPT:g} s): the log "
        f"keeps at least {LAGS_KEPT} times what the ledger may be behind, or records are gone before they are read; "
        f"{most:g} s would do"
    )
    return [problem]


def of_retention(retention: float) -> list[str]:
    """What contradicts itself in how long calls are kept that have ended."""
    if retention >= KEY_KEPT:
        return []
    problem = (
        f"TOOLYARD_RETENTION ({retention:g} s) contradicts what is promised of the Idempotency-Key ({KEY_KEPT:g} s): "
        f"a repeat would run the call again; {KEY_KEPT:g} s would do"
    )
    return [problem]


def _shorter(attempt: float) -> str:
    return f", or a longest attempt of {attempt:g} s" if attempt >= USUAL_ATTEMPT else ""
