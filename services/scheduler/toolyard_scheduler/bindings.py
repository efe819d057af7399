"""What a worker needs of a pinned tool, read from the store once and kept: for calls that the scheduler dispatches."""

from collections import OrderedDict
from typing import Final

from msgspec import Raw

from toolyard.contracts.calls import Call
from toolyard.contracts.codec import encode
from toolyard.contracts.tools import pinned
from toolyard.store.base import ToolStore
from toolyard.store.crossing import Crossing

#: Versions of tools that are kept at a time.
_KEPT: Final = 1_000


class Bindings:
    """The bindings of tools."""

    def __init__(self, tools: ToolStore, crossing: Crossing) -> None:
        self._tools = tools
        self._crossing = crossing
        self._kept: OrderedDict[tuple[str, str, int, bool], Raw] = OrderedDict()

    async def of(self, call: Call, *, diverted: bool = False) -> Raw | None:
        """What travels with this call, or to its fallback; none where its tool's version is gone from the store.

        Raises:
            StoreUnavailable: the database is away.
        """
        key = (call.org, call.tool, call.version, diverted)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        spec = await self._crossing.run(self._tools.get, *key[:3])
        if spec is None:
            return None
        self._kept[key] = Raw(encode(pinned(spec.ways[-1] if diverted else spec)))
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]
