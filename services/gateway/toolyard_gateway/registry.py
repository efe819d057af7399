"""The tools: kept compiled for calls, read and changed for authors, and forgotten when another gateway changed them.

Called by the door (`find`) and the tool operations. It knows nothing of HTTP.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from msgspec import Raw

from toolyard.clock import Clock
from toolyard.contracts import codec
from toolyard.contracts.tools import ToolSpec, is_rerunnable, pinned
from toolyard.errors import Refused, StoreUnavailable
from toolyard.store.base import Page
from toolyard_gateway.bindings import needed_context, needs_user
from toolyard_gateway.nearest import nearest
from toolyard_gateway.schemas import Compiled, compile_schema
from toolyard_gateway.stores import StoreAccess

T = TypeVar("T")

#: Seconds after which the store is asked again which version is current: a net under the control messages.
FRESH: Final = 5.0
_LONG_AGO: Final = float("-inf")
_KEPT: Final = 2_000


@dataclass(frozen=True, slots=True)
class CompiledTool:
    """One version of a tool, ready for calls.

    Attributes:
        pinned: the bytes that travel with each call.
        needs_context: keys that the context of a call must have.
        needs_user: whether a call must say on whose behalf it is.
    """

    spec: ToolSpec
    validator: Compiled
    pinned: Raw
    rerunnable: bool
    needs_context: frozenset[str]
    needs_user: bool


def compile_tool(spec: ToolSpec) -> CompiledTool:
    """What calls need of a version, worked out once."""
    return CompiledTool(
        spec=spec,
        validator=compile_schema(spec.parameters),
        pinned=Raw(codec.encode(pinned(spec))),
        rerunnable=is_rerunnable(spec),
        needs_context=needed_context(spec),
        needs_user=needs_user(spec),
    )


class Registry:
    """Knows the tools of all orgs."""

    def __init__(self, store: StoreAccess, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._versions: OrderedDict[tuple[str, str, int], CompiledTool] = OrderedDict()
        self._current: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._loading: dict[tuple[str, str, int | None], asyncio.Task[CompiledTool | None]] = {}

    # ---- for calls ----------------------------------------------------------------------------
    async def find(self, org: str, name: str, version: int | None = None) -> CompiledTool:
        """A version of a tool, the current one where none is named.

        Raises:
            Refused: ``tool_not_found`` (with the name that was probably meant) or ``version_gone``.
            StoreUnavailable: the store is away, and this tool was not used lately.
        """
        known, fresh = self._known(org, name, version)
        if known is not None and fresh:
            return known
        try:
            found = await self._load(org, name, version)
        except StoreUnavailable:
            if known is not None:
                return known
            raise
        if found is None:
            raise await self._missing(org, name, version)
        return found

    async def runnable(
        self, org: str, name: str, version: int | None = None, *, disabled_too: bool = False
    ) -> CompiledTool:
        """A version of a tool, to run it: where the current one is deleted or disabled, none runs.

        Raises:
            Refused: as `find` does, or ``permission_denied`` for a disabled tool.
            StoreUnavailable: as `find` does.
        """
        current = await self.find(org, name)
        if not current.spec.enabled and not disabled_too:
            raise Refused("permission_denied", f"The tool {name!r} is disabled.")
        return current if version in (None, current.spec.version) else await self.find(org, name, version)

    def _known(self, org: str, name: str, version: int | None) -> tuple[CompiledTool | None, bool]:
        fresh = True
        if version is None:
            version, at = self._current.get((org, name), (0, 0.0))
            fresh = self._clock.monotonic() - at < FRESH
        return self._versions.get((org, name, version)), fresh

    async def _load(self, org: str, name: str, version: int | None) -> CompiledTool | None:
        """Ask the store, once for all that wait for the same tool."""
        key = (org, name, version)
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.ensure_future(self._ask(org, name, version))
            loading.add_done_callback(lambda _: self._loading.pop(key, None))
        return await asyncio.shield(loading)

    async def _ask(self, org: str, name: str, version: int | None) -> CompiledTool | None:
        spec = await self._store.ask(self._store.tools.get, org, name, version)
        if spec is None:
            self._current.pop((org, name), None)
            return None
        compiled = self._versions.get((org, name, spec.version)) or compile_tool(spec)
        _keep(self._versions, (org, name, spec.version), compiled)
        if version is None:
            _keep(self._current, (org, name), (spec.version, self._clock.monotonic()))
        return compiled

    async def _missing(self, org: str, name: str, version: int | None) -> Refused:
        if version is not None:
            return Refused("version_gone", f"There is no version {version} of a tool {name!r}.")
        near = nearest(name, await self.names(org), 1)
        return Refused(
            "tool_not_found", f"There is no tool {name!r}." + (f" Did you mean {near[0]!r}?" if near else "")
        )

    def forget(self, org: str, name: str) -> None:
        """A tool was changed somewhere: its versions stay as they are, but which is current must be asked."""
        if (org, name) in self._current:
            self._current[org, name] = (self._current[org, name][0], _LONG_AGO)

    def forget_all(self) -> None:
        """Control messages may have been missed."""
        self._current = OrderedDict((key, (version, _LONG_AGO)) for key, (version, _) in self._current.items())

    # ---- for authors --------------------------------------------------------------------------
    async def get(self, org: str, name: str, version: int | None = None) -> ToolSpec:
        """A version as it is kept; raises as `find` does."""
        spec = await self._store.ask(self._store.tools.get, org, name, version)
        if spec is None:
            raise await self._missing(org, name, version)
        return spec

    async def create(self, org: str, spec: ToolSpec) -> ToolSpec:
        """Add a tool; raises `Refused` (conflict) where the name is taken."""
        saved = await self._store.ask(self._store.tools.create, org, spec)
        self.forget(org, spec.name)
        return saved

    async def replace(self, org: str, spec: ToolSpec, *, expected: int) -> ToolSpec:
        """Add a version; raises `Refused` where there is none, or ``expected`` is not the current one."""
        try:
            saved = await self._store.ask(self._store.tools.replace, org, spec, expected=expected)
        except Refused as refused:
            raise _of_a_tool(refused) from None
        self.forget(org, spec.name)
        return saved

    async def delete(self, org: str, name: str, *, expected: int) -> None:
        """Remove a tool; raises as `replace` does."""
        try:
            await self._store.ask(self._store.tools.delete, org, name, expected=expected)
        except Refused as refused:
            raise _of_a_tool(refused) from None
        self._current.pop((org, name), None)

    async def list(
        self, org: str, *, q: str | None, toolkit: str | None, cursor: str | None, limit: int
    ) -> Page[ToolSpec]:
        """The org's tools by name."""
        return await self._store.ask(self._store.tools.list, org, q=q, toolkit=toolkit, cursor=cursor, limit=limit)

    async def names(self, org: str) -> Sequence[str]:
        """The names of the org's tools; at most 10,000."""
        return await self._store.ask(self._store.tools.names, org)

    async def versions(self, org: str, name: str, *, cursor: str | None, limit: int) -> Page[ToolSpec]:
        """All versions of a tool, newest first; raises `Refused` where there is none."""
        page = await self._store.ask(self._store.tools.versions, org, name, cursor=cursor, limit=limit)
        if not page.items and cursor is None:
            raise await self._missing(org, name, None)
        return page


def _of_a_tool(refused: Refused) -> Refused:
    return Refused("tool_not_found", refused.detail) if refused.refusal == "not_found" else refused


K = TypeVar("K")


def _keep(cache: "OrderedDict[K, T]", key: K, value: T) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > _KEPT:
        cache.popitem(last=False)
