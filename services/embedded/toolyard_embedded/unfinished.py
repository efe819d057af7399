"""Calls that an earlier process accepted and did not end: put back into their queues at the start.

Called by the composition root, after the ledger has caught up with the log. The worker claims each of them, because it
began after they were accepted: the ledger says which may start.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from toolyard.states import State
from toolyard.store.base import Unfinished, UnfinishedCall
from toolyard.telemetry import logs
from toolyard.telemetry.logs import logger
from toolyard.transport.base import Message
from toolyard.transport.embedded.journal import Kept

#: States of calls whose message was in a queue or with a worker.
IN_HAND: Final[frozenset[State]] = frozenset(("accepted", "queued", "running"))

_log = logger("embedded")


class Log(Protocol):
    """Where their messages stand, accepted or dispatched."""

    def read(self, offset: int, limit: int) -> Sequence[Kept]:
        """The records at this offset and after it."""


@dataclass(frozen=True, slots=True)
class Redelivery:
    """A message for its queue, and how often it was delivered before."""

    message: Message
    count: int


def find(calls: Unfinished, log: Log, never_started: frozenset[str]) -> Sequence[Redelivery]:
    """All that is to be put back, oldest first: of each call its newest message, as it was published.

    What is parked is the ledger's to dispatch.

    A call that may have run counts as delivered before. One that is not rerunnable has not, unless it was granted, and
    then it is not granted again.

    Args:
        calls: the ledger's projection.
        log: has their messages.
        never_started: messages of which the last process, when it ended in good order, knew that nobody had taken them.
    """
    found = []
    for call in calls.unfinished():
        message = _message(call, log) if call.row.state in IN_HAND else None
        if message is not None:
            may_have_run = call.row.call.rerunnable and message.message_id not in never_started
            found.append(Redelivery(message, int(may_have_run)))
    return found


def _message(call: UnfinishedCall, log: Log) -> Message | None:
    records = log.read(call.log_offset, 1) if call.log_offset is not None else ()
    if not records or records[0].offset != call.log_offset:
        _log.warning("a call has no message in the log any more; its deadline ends it", **logs.of(call.row.call))
        return None
    record = records[0]
    return Message(
        record.exchange, record.key, record.body, record.message_id, record.headers, expiration=record.expiration
    )


class GoodOrder:
    """The note that a process leaves when it ends in good order: which messages nobody had taken.

    It is gone as soon as it was read, so that a process that dies later cannot be taken for one that ended well.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "never_started.json"

    def take(self) -> frozenset[str]:
        """The message ids of the note, once."""
        try:
            text = self._file.read_text()
        except FileNotFoundError:
            return frozenset()
        self._file.unlink()
        _sync(self._file.parent)
        try:
            return frozenset(json.loads(text))
        except (ValueError, TypeError):
            return frozenset()  # cut short: as good as none, which is the careful reading

    def leave(self, waiting: Sequence[tuple[Message, int]], before: Mapping[str, int]) -> None:
        """Note those whose count is what it was when they were put into the queue; ``before``: of the redelivered."""
        ids = [message.message_id for message, count in waiting if count == before.get(message.message_id, 0)]
        if not ids:
            return
        try:
            self._file.write_text(json.dumps(ids))
        except OSError as error:  # without the note these calls count as delivered before, which is the careful reading
            _log.warning("calls that wait cannot be noted", file=str(self._file), reason=error.strerror)


def _sync(folder: Path) -> None:
    """Make a removal outlive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
