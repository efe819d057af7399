"""The steps of a call in a worker, in the log: for whoever has set the level ``debug`` for its tool or org.

Called by `runtime`; where nobody wants it, nothing is done. No arguments and no results: they are the caller's.
"""

from typing import Any

from toolyard.telemetry.levels import LEVELS
from toolyard.telemetry.logs import logger
from toolyard_executors.life import Life

log = logger("runtime")


def taken(life: Life) -> None:
    """It is in hand."""
    if LEVELS.detail:
        _say("a delivery is in hand", life, deliveries=life.delivery.count + 1, seconds_left=round(life.remaining, 3))


def admitted(life: Life) -> None:
    """It has a place, and the ledger's leave where it needs that; or it was decided that it does not start."""
    if LEVELS.detail:
        _say("it may start" if not life.decided else "it does not start", life, claimed=life.grant is not None)


def starts(life: Life, seconds: float, circuit: str | None) -> None:
    """Its attempt is about to start."""
    if LEVELS.detail:
        _say("its attempt starts", life, seconds=round(seconds, 3), circuit=circuit)


def ended(life: Life) -> None:
    """It is clear how it ends."""
    if LEVELS.detail:
        _say("it is clear how it ends", life, settle=life.settle, **_how(life))


def told(life: Life) -> None:
    """Others know it."""
    if LEVELS.detail:
        _say("its end is told", life, confirmed=life.told)


def _say(what: str, life: Life, **more: Any) -> None:
    call = life.message.call
    log.debug(what, pool=call.pool, version=call.version, attempt=life.number, **more)


def _how(life: Life) -> dict[str, object]:
    if life.outcome is not None:
        end, error = life.outcome, life.outcome.error
        seconds = None if end.started_at is None else round(end.finished_at - end.started_at, 6)
        return {"end": type(end).__name__, "effect": end.effect, "code": error and error.code, "ran_seconds": seconds}
    return {"parked": life.parked.reason} if life.parked is not None else {"end": None}
