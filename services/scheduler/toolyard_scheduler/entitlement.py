"""Whether a worker may be told the secrets that it asks for. Pure but for what it is handed to look things up with.

Each step looks at one thing; docs/decisions/0021 says what each of them is worth.
"""

from collections import OrderedDict
from typing import Final

from toolyard.contracts.calls import CallMessage
from toolyard.contracts.secrets import Reason, SecretsAsked
from toolyard.contracts.tools import ToolSpec, pinned
from toolyard.needed_secrets import needed_secrets
from toolyard.store.base import CallRow

#: Seconds that the time of a question may differ from ours: it was on its way, and clocks differ.
FRESH: Final = 30.0
#: Seconds past its deadline in which a call may still be running.
GRACE: Final = 5.0
#: Questions that are remembered: more than come in the time in which one is fresh.
_REMEMBERED: Final = 100_000


class NotEntitled(Exception):  # noqa: N818 - the end of a question, not a fault
    """Nothing is told; the message holds no value."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


class Seen:
    """The questions of late, so that one that is played again is not answered again."""

    def __init__(self) -> None:
        self._at: OrderedDict[str, float] = OrderedDict()

    def first_time(self, nonce: str, now: float) -> bool:
        """Whether this question has not been seen before; from now on it has."""
        while self._at and (len(self._at) > _REMEMBERED or next(iter(self._at.values())) < now - 2 * FRESH):
            self._at.popitem(last=False)
        if nonce in self._at:
            return False
        self._at[nonce] = now
        return True


def check_fresh(asked: SecretsAsked, now: float) -> None:
    """A question of long ago, or of a worker whose clock is wrong, is not answered.

    Raises:
        NotEntitled: it is one.
    """
    if abs(now - asked.time) > FRESH:
        raise NotEntitled("stale", f"the question is of another time: {now - asked.time:+.0f} s")


def check_held(asked: SecretsAsked, message: CallMessage, now: float) -> None:
    """The message that the worker holds is the one of the call that it asks for, and may still run.

    Raises:
        NotEntitled: it is not.
    """
    call = message.call
    told = (asked.org, asked.call_id, asked.attempt, asked.tool, asked.version, asked.pool)
    if (call.org, call.call_id, message.attempt, call.tool, call.version, call.pool) != told:
        raise NotEntitled("not_held", "the message that came with the question is of another call")
    if now > call.deadline + GRACE:
        raise NotEntitled("not_held", "the call's deadline has passed")


def check_open(row: CallRow | None) -> None:
    """The ledger does not say that the call is over; it may not know it yet.

    Raises:
        NotEntitled: it says so.
    """
    if row is not None and row.finished_at is not None:
        raise NotEntitled("not_held", "the call has ended")


def check_named(asked: SecretsAsked, spec: ToolSpec | None) -> None:
    """The tool's version is there, is the pool's that asks, and names each of these secrets.

    Raises:
        NotEntitled: it is or does not.
    """
    if spec is None:
        raise NotEntitled("not_named", f"there is no version {asked.version} of this tool")
    ways = [way for way in spec.ways if way.pool == asked.pool]
    if not ways:
        raise NotEntitled("not_named", f"the tool is none of the pool {asked.pool}")
    named = {name for way in ways for name in needed_secrets(pinned(way))}
    unnamed = sorted(set(asked.names) - named)
    if unnamed:
        raise NotEntitled("not_named", f"the tool does not name {', '.join(unnamed[:5])}")
