"""Message headers, read when somebody looks: most of a message's headers are for others than its receiver.

Made by the lanes. What the broker adds (delivery count, deaths, offsets) is told apart from what was published.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pika import data
from pika.exceptions import AMQPError

from toolyard.transport.base import Death, Header
from toolyard.transport.rabbitmq import wire

_COUNT = "x-delivery-count"
_OFFSET = "x-stream-offset"
_DEATH = "x-death"
_FIRST_DEATH = "x-first-death-exchange"
_DEATH_BYTES = _DEATH.encode()
#: What the broker adds to a message's headers.
STAMPS = frozenset(
    (_COUNT, _OFFSET, _DEATH, _FIRST_DEATH, "x-first-death-queue", "x-first-death-reason"),
)


_UNREADABLE = (AMQPError, ValueError, IndexError, OverflowError, OSError, RecursionError, struct.error)


class Headers(Mapping[str, Header]):
    """The headers as published; the broker's stamps have methods of their own.

    Args:
        raw: the table as it came, with its length before it; empty when there was none.
    """

    __slots__ = ("_dropped", "_published", "_raw", "_stamps")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._published: dict[str, Header] | None = None
        self._stamps: dict[str, Header] = {}
        self._dropped: Sequence[str] = ()

    def __getitem__(self, name: str) -> Header:
        return self._look()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._look())

    def __len__(self) -> int:
        return len(self._look())

    def get(self, name: str, default: Any = None) -> Any:
        """The header's value, or the default."""
        return (self._published or self._look()).get(name, default)

    def __repr__(self) -> str:
        return f"Headers({self._look()!r})"

    def dropped(self) -> Sequence[str]:
        """The names of those whose values are of other types than `Header`, or no UTF-8."""
        self._look()
        return [name for name in self._dropped if name not in STAMPS]

    def delivery_count(self) -> int:
        """How often a redelivered message was delivered before; queues that do not count say 1."""
        return int(self._stamp(_COUNT, 1))

    def offset(self) -> int:
        """Where the log has it."""
        return int(self._stamp(_OFFSET, 0))

    def died(self) -> bool:
        """Whether it died in some queue, however that is told."""
        self._look()
        return _FIRST_DEATH in self._stamps or self.death() is not None

    def death(self) -> Death | None:
        """Its last death, or None when it never came to the dead letters."""
        if _DEATH_BYTES not in self._raw:
            return None
        try:
            deaths = data.decode_table(self._raw, 0)[0].get(_DEATH)
        except _UNREADABLE:  # anybody may write this header
            return None
        if not isinstance(deaths, list) or not deaths or not isinstance(deaths[0], dict):
            return None
        last = deaths[0]
        keys = last.get("routing-keys") or [""]
        return Death(str(last.get("reason")), str(last.get("queue")), str(last.get("exchange")), str(keys[0]))

    def _stamp(self, name: str, default: int) -> Any:
        self._look()
        value = self._stamps.get(name)
        return value if isinstance(value, int) else default

    def _look(self) -> dict[str, Header]:
        if self._published is None:
            scalars, self._dropped = _readable(self._raw)
            self._stamps = {stamp: scalars.pop(stamp) for stamp in STAMPS if stamp in scalars}
            self._published = scalars
        return self._published


def _readable(raw: bytes) -> tuple[dict[str, Header], Sequence[str]]:
    """The headers and what was dropped, or none where they cannot be read: the message is then an unsigned one."""
    try:
        return wire.decode_scalars(raw)
    except _UNREADABLE:
        return {}, ()
