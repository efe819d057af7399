"""Which events of the feed somebody wants: found out with a few of them, so that the others need not be made. Pure.

Who has bound a queue, and under which keys, the broker alone knows. But of a mandatory message it tells that no queue
takes it, and then none takes what else has this key and happened before. So some calls go first, whole and in order,
until each key has its witness; of all others follows only what bears a key that was taken.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from toolyard.transport import topology
from toolyard_scheduler.feed import Happening

#: Keys that are known to be taken; beyond that they are asked for anew.
_KEPT: Final = 10_000


class Keyed(NamedTuple):
    """An event and the key under which it is published."""

    happened: Happening
    key: str


class Wanted:
    """Knows the keys that some queue took when it was last asked for."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def split(self, happened: Iterable[Happening]) -> tuple[Sequence[Keyed], Sequence[Keyed]]:
        """What is to be published at once, and what may be wanted too: see `wanted`.

        Each call is in one of the two, with all its events, so that these stay in order.
        """
        if len(self._taken) >= _KEPT:  # here, and not when more come: what is held back is judged by them
            self._taken.clear()
        keyed = [Keyed(one, key_of(one)) for one in happened]
        keys: defaultdict[str, set[str]] = defaultdict(set)
        for one in keyed:
            keys[one.happened.of.call_id].add(one.key)
        asked: set[str] = set()
        first: set[str] = set()
        for call_id, its in keys.items():
            unknown = its - self._taken
            if not unknown or not unknown <= asked:
                first.add(call_id)
                asked |= unknown
        now = [one for one in keyed if one.happened.of.call_id in first]
        return now, [one for one in keyed if one.happened.of.call_id not in first]

    def note(self, key: str, *, taken: bool) -> None:
        """A queue took a message under this key, or none did."""
        if taken:
            self._taken.add(key)
        else:
            self._taken.discard(key)

    def is_taken(self, key: str) -> bool:
        """Whether a queue took a message under this key when it was last asked."""
        return key in self._taken

    def wanted(self, later: Sequence[Keyed]) -> Sequence[Keyed]:
        """Those that some queue takes, once all that was to be published at once was answered."""
        return [one for one in later if one.key in self._taken] if self._taken else []


def key_of(happened: Happening) -> str:
    """The key under which it is published."""
    of = happened.of
    return topology.feed_key(of.org, "call", happened.word, of.pool, of.tool)
