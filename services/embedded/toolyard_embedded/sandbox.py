"""The sandbox of the one process: the worker runs tools in it, and the gateway has their code looked at in it.

Built and opened by the composition root. Where this machine cannot lock tools up as well as is asked for, the system
runs without the pool, says so in one line, and saves no such tools; calls of those that are there end at once.
"""

from collections.abc import Sequence
from typing import Final

from toolyard.errors import SettingsError, ToolyardError
from toolyard.sandbox.runner import Checked, Level, Runner
from toolyard.security.egress import AllowList
from toolyard.telemetry.logs import logger
from toolyard_embedded.lazily import LeftOut
from toolyard_embedded.settings import EmbeddedSettings
from toolyard_executors.executor import Executor
from toolyard_executors.kinds.sandbox import SandboxExecutor
from toolyard_executors.places import places_of

#: The pool, and processes that wait locked at most, whatever was asked of all pools together.
POOL: Final = "sandbox"
_MOST_PROCESSES: Final = 64

log = logger("embedded")


class Sandbox:
    """Locked processes that all parts share.

    Attributes:
        left_out: why there are none; empty where there are.
    """

    def __init__(self, settings: EmbeddedSettings) -> None:
        self.left_out = ""
        self._asked = places_of(POOL, settings.concurrency)
        self._runner = Runner(
            children=min(self._asked, _MOST_PROCESSES),
            memory=settings.sandbox_memory << 20,
            minimum=Level(settings.sandbox_minimum),
        )

    async def open(self) -> None:
        """Start them, or know why not."""
        try:
            await self._runner.start()
        except (ToolyardError, OSError) as error:
            self.left_out = str(error)
            await self._runner.stop()
            log.warning("the sandbox pool is left out", reason=self.left_out)
        if self._asked > _MOST_PROCESSES and not self.left_out:
            log.warning("the sandbox has fewer places than TOOLYARD_CONCURRENCY", places=_MOST_PROCESSES)

    @property
    def level(self) -> str:
        """How well tools are locked up; empty where none are run."""
        found = None if self.left_out else self._runner.isolation
        return "" if found is None else str(found.level)

    def executors(self, allow: AllowList) -> list[Executor]:
        """What runs sandboxed tools, which closes the sandbox in the end; or says why there is none."""
        return [LeftOut(POOL, self.left_out) if self.left_out else SandboxExecutor(self._runner, allow=allow)]

    async def check(self, source: str, allowed_imports: Sequence[str] | None) -> Checked:
        """What is wrong with a source; see `toolyard_gateway.code_check.Checker`."""
        if self.left_out:
            raise SettingsError(self.left_out)
        return await self._runner.check(source, allowed_imports)
