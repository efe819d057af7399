"""Arcade tools for tests, and an executor that runs attempts of them against the tests' own engine."""

from collections.abc import Mapping
from typing import Any

from tests.support.arcade.engine import KEY, ArcadeEngine
from tests.unit.executors.making import a_tool, an_attempt

from toolyard.contracts.calls import Authorization
from toolyard.contracts.tools import ARCADE_KEY, ArcadeBinding, PinnedTool
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished
from toolyard_executors.kinds.arcade import ArcadeExecutor

SECRETS: Mapping[str, str] = {ARCADE_KEY: KEY}


def of_arcade(name: str, **binding: Any) -> PinnedTool:
    """The tool of this name in the toolkit of the tests."""
    return a_tool(ArcadeBinding(tool_name=name if "." in name else f"Yard.{name}", **binding))


class Runner:
    """An open executor, and the attempts that it runs, for the user ``ann`` unless another one is named."""

    def __init__(self, engine: ArcadeEngine, *, url: str | None = None, concurrency: int = 8) -> None:
        self.engine = engine
        self.executor = ArcadeExecutor(concurrency=concurrency, url=url or engine.url)

    def attempt(self, tool: PinnedTool, *, secrets: Mapping[str, str] = SECRETS, **call: Any) -> Attempt:
        return an_attempt(self.executor, tool, secrets=secrets, **{"user": "ann", "pool": "arcade", **call})

    async def run(self, name: str, arguments: Mapping[str, Any] | None = None, **options: Any) -> Finished:
        """Run a tool with these arguments."""
        return await self.executor.run(self.attempt(of_arcade(name), arguments=dict(arguments or {}), **options))


def failure(finished: Finished) -> tuple[str, str, bool]:
    """Code, effect and whether it may be tried again."""
    assert finished.error is not None, finished.result
    return finished.error.code, finished.effect, finished.error.retryable


def asked_for(finished: Finished) -> Authorization:
    """The consent that it waits for."""
    assert finished.authorization is not None, finished
    return finished.authorization
