"""Message ids of late, so that a message that is played again is seen as that.

No part publishes one message twice: what had no confirm is sealed anew, under another id. So an id that comes again,
and not because the broker delivers it again, is somebody else's doing. Used by workers for calls and by the ledger for
the log.
"""

from collections import deque
from typing import Final

from toolyard.errors import BadSignature

#: Ids that are remembered: some seconds of a busy worker, some minutes of an ordinary one.
_REMEMBERED: Final = 20_000


class Remembered:
    """The newest ids; the oldest are forgotten."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._order: deque[str] = deque()
        self._ids: set[str] = set()
        self._most = most

    def first_time(self, message_id: str) -> bool:
        """Whether this id has not been seen; from now on it has."""
        if message_id in self._ids:
            return False
        self._ids.add(message_id)
        self._order.append(message_id)
        if len(self._order) > self._most:
            self._ids.discard(self._order.popleft())
        return True


def replayed() -> BadSignature:
    """The error of a message that came before."""
    return BadSignature("the same message came before: somebody plays it again", reason="replayed")
