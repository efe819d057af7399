"""Sandboxed tools for tests, and an executor that runs attempts of them in real processes."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.support.jail.yard import GUESTS
from tests.unit.executors.making import NO_SECRETS, a_tool, an_attempt

from toolyard.contracts.tools import PinnedTool, SandboxBinding
from toolyard.sandbox.jail.jail import Jail
from toolyard.sandbox.runner import Level, Runner
from toolyard.security.egress import AllowList
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished
from toolyard_executors.kinds.sandbox import SandboxExecutor

MEMORY = 1 << 30


def sandboxed(*lines: str, contexts: tuple[str, ...] = (), **binding: Any) -> PinnedTool:
    """A tool whose function has these lines; with hosts it may make requests to them."""
    body = "\n    ".join(lines)
    code = f"import os\n\ndef execute_tool(parameters, context):\n    {body}\n"
    if "allowed_hosts" in binding:
        code = f"import requests\n{code}"
        binding.setdefault("allowed_imports", ("requests", "os", "time"))
    return a_tool(SandboxBinding(code=code, **binding), contexts=contexts)


class Sandbox:
    """An executor, and the attempts that it runs. ``guest`` is another one than that of the language."""

    def __init__(self, *, guest: str | None = None, folder: str = GUESTS, children: int = 2, **options: Any) -> None:
        hostile = {} if guest is None else {"guest": guest, "folders": [folder]}
        self.runner = Runner(children=children, memory=MEMORY, minimum=Level.DEGRADED, **hostile)  # type: ignore[arg-type]
        self.executor = SandboxExecutor(self.runner, **{"allow": AllowList.parse("127.0.0.1")} | options)

    @property
    def jail(self) -> Jail:
        return self.runner._jail

    def attempt(self, tool: PinnedTool, *, secrets: Mapping[str, str] = NO_SECRETS, **call: Any) -> Attempt:
        return an_attempt(self.executor, tool, secrets=secrets, **call)

    async def run(self, tool: PinnedTool, **options: Any) -> Finished:
        return await self.executor.run(self.attempt(tool, **options))

    def begin(self, tool: PinnedTool, **options: Any) -> "asyncio.Task[Finished]":
        return asyncio.create_task(self.run(tool, **options))

    def busy(self) -> set[int]:
        """The processes that run something at this moment, or have just begun."""
        server = self.jail._pool._server
        ready = self.jail._pool._ready
        return set() if server is None else {one.pid for one in server.children.values() if one not in ready}


def failure(finished: Finished) -> tuple[str, str, str]:
    """Code, effect and message of what failed."""
    assert finished.error is not None, finished.result
    return finished.error.code, finished.effect, finished.error.message
