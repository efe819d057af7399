"""What was cancelled or withdrawn before it came here. Filled by `worker` from its own queue, asked by `runtime`."""

from collections import OrderedDict
from typing import Final, Literal

from toolyard.contracts.calls import Call
from toolyard.contracts.control import Cancel

#: Calls that are remembered; the oldest is forgotten first. A forgotten cancel is only a request that came too late.
LIMIT: Final = 65_536

Why = Literal["cancelled", "withdrawn"]


class Cancellations:
    """Remembers which calls must not start, and which conversations were stopped when."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._noted: OrderedDict[tuple[str, str], Why] = OrderedDict()
        self._conversations: OrderedDict[tuple[str, str], float] = OrderedDict()

    def note(self, org: str, call_id: str, why: Why) -> None:
        """This call of this org must not start any more."""
        self._noted[org, call_id] = why
        self._noted.move_to_end((org, call_id))
        if len(self._noted) > self._limit:
            self._noted.popitem(last=False)

    def note_conversation(self, org: str, conversation: str, at: float) -> None:
        """The calls of this conversation that were accepted before this time must not start any more."""
        key = org, conversation
        self._conversations[key] = max(at, self._conversations.get(key, at))
        self._conversations.move_to_end(key)
        if len(self._conversations) > self._limit:
            self._conversations.popitem(last=False)

    def why(self, call: Call) -> Why | None:
        """Why the call must not start, or None where nothing is known against it."""
        if self._conversations and call.conversation is not None:
            at = self._conversations.get((call.org, call.conversation))
            if at is not None and call.accepted_at < at:
                return "cancelled"
        return self._noted.get((call.org, call.call_id))


def concerns(cancel: Cancel, call: Call) -> bool:
    """Whether a cancel is about this call."""
    if cancel.org != call.org:
        return False
    if cancel.call_id:
        return cancel.call_id == call.call_id
    return cancel.conversation == call.conversation and call.accepted_at < cancel.time
