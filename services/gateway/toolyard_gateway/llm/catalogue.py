"""An org's tools as a provider sees them: definitions to give to a model, and back from a name to the tool.

Called by turns, once for each, and by the list of tools. It knows the registry and nothing of HTTP.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from toolyard.contracts.tools import ToolSpec
from toolyard.errors import Refused, StoreUnavailable
from toolyard.provider_names import may_be_completed, provider_name, tool_name
from toolyard_gateway.llm.formats.base import Format
from toolyard_gateway.nearest import nearest
from toolyard_gateway.registry import Registry

#: Tools that are read at once.
_PIECE: Final = 200
#: Names that are suggested, and for how many names of one turn.
_SUGGESTED: Final = 3
_HELPED: Final = 16


class Catalogue:
    """The tools of an org in one format."""

    def __init__(self, registry: Registry, org: str, form: Format) -> None:
        self._registry = registry
        self.org = org
        self._format = form
        self._names: dict[str, list[str]] | None = None
        self._helped = 0

    async def definitions(
        self, *, q: str | None, toolkit: str | None, may_run: Callable[[ToolSpec], bool] = lambda _: True
    ) -> list[dict[str, Any]]:
        """All enabled tools by name, as the provider takes them, but those that may not be run.

        Raises:
            Refused: ``conflict``: two of them have one name there.
            StoreUnavailable: the store is away.
        """
        owners: dict[str, str] = {}
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = await self._registry.list(self.org, q=q, toolkit=toolkit, cursor=cursor, limit=_PIECE)
            for spec in page.items:
                if spec.enabled and may_run(spec):
                    name = provider_name(spec.name, self._format.name_limit)
                    if owners.setdefault(name, spec.name) != spec.name:
                        raise _two_of(name, [owners[name], spec.name])
                    found.append(self._format.define(name, spec.description, spec.parameters))
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def tool_of(self, name: str) -> str:
        """The tool that a model means by this name; whether there is one is for others to find.

        Raises:
            Refused: ``conflict``: it stands for two tools.
            StoreUnavailable: the store is away, and only the names of all tools tell.
        """
        limit = self._format.name_limit
        if may_be_completed(name, limit):
            found = (await self._all_names()).get(name, [])
            if len(found) > 1:
                raise _two_of(name, found)
            if found:
                return found[0]
        return tool_name(name, limit) or name

    async def near(self, name: str) -> Sequence[str]:
        """Names of enabled tools, at the provider, that may have been meant; for a few names only."""
        self._helped += 1
        if self._helped > _HELPED:
            return ()
        with contextlib.suppress(Refused, StoreUnavailable):  # then there is nothing to suggest
            names = await self._all_names()
            near = nearest(name, names, _SUGGESTED)
            return [other for other in near if (await self._registry.find(self.org, names[other][0])).spec.enabled]
        return ()

    async def _all_names(self) -> dict[str, list[str]]:
        """The tools by their names at the provider."""
        if self._names is None:
            found: dict[str, list[str]] = {}
            for tool in await self._registry.names(self.org):
                found.setdefault(provider_name(tool, self._format.name_limit), []).append(tool)
            self._names = found
        return self._names


def _two_of(name: str, tools: Sequence[str]) -> Refused:
    return Refused("conflict", f"{name!r} stands for the tools {' and '.join(map(repr, tools))}; rename one of them.")
