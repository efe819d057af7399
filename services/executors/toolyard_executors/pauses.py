"""What is paused, as far as this worker knows, and since when it knows that. Plain state, no I/O.

Filled by `hearing`, asked for by `attendance`, looked at by `judgement` and `worker`.
"""

import math
from collections.abc import Iterable

from toolyard.contracts.calls import Call
from toolyard.contracts.control import Pause, Paused, Resume

#: Kind, org (of a tool) and name, as in `toolyard.contracts.control.Paused`.
_Key = tuple[str, str, str]


class Pauses:
    """Remembers what must not start for now.

    Attributes:
        known_since: when the last answer came that told all of it, in seconds since 1970 UTC; infinite where an answer
            is awaited: until then nobody knows what was paused or cancelled.
        begun: whether an answer ever came.
    """

    def __init__(self) -> None:
        self.known_since = math.inf
        self.begun = False
        self._doubted_at = -math.inf
        self._paused: set[_Key] = set()
        self._heard: list[Pause | Resume] = []

    @property
    def known(self) -> bool:
        """Whether all of it is known."""
        return self.known_since < math.inf

    def learn(self, paused: Iterable[Paused], *, now: float, asked_at: float = math.inf) -> None:
        """The ledger's answer: all that was paused where our question stood in the log.

        What was heard since we asked may be younger than that, so it counts on top. ``asked_at`` says when that was, on
        the monotonic clock: an answer to what was asked before a doubt does not end it.
        """
        if self.known or asked_at < self._doubted_at:
            return
        self._paused = {_key(each) for each in paused}
        for message in self._heard:
            self._apply(message)
        self._heard.clear()
        self.known_since, self.begun = now, True

    def hear(self, message: Pause | Resume) -> None:
        """Something was paused, or goes on."""
        self._apply(message)
        if not self.known:
            self._heard.append(message)

    def doubt(self, *, at: float) -> None:
        """Something may have been missed up to then (monotonic): what is known stands, but must be asked for anew."""
        self.known_since, self._doubted_at = math.inf, at

    def holds(self, call: Call) -> bool:
        """Whether this call's tool or org is paused."""
        if not self._paused:
            return False
        return ("tool", call.org, call.tool) in self._paused or ("org", "", call.org) in self._paused

    def holds_pool(self, pool: str) -> bool:
        """Whether this pool is paused."""
        return ("pool", "", pool) in self._paused

    def _apply(self, message: Pause | Resume) -> None:
        if isinstance(message, Pause):
            self._paused.add(_key(message))
        else:
            self._paused.discard(_key(message))


def _key(message: Pause | Resume | Paused) -> _Key:
    return message.kind, message.org if message.kind == "tool" else "", message.name
