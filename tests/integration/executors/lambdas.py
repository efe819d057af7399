"""Lambda tools for tests, and an executor that runs attempts of them in a Lambda of the test's own."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.support.aws.lambda_server import REGION, Asked, LambdaServer
from tests.support.numbers import lines
from tests.unit.executors.making import NO_SECRETS, a_tool, an_attempt

from toolyard.clock import SYSTEM, Clock
from toolyard.contracts.tools import LambdaBinding, PinnedTool
from toolyard_executors.context import Attempt
from toolyard_executors.executor import Finished
from toolyard_executors.kinds.aws_lambda import LambdaExecutor

ROLE = "arn:aws:iam::123456789012:role/price-list"


def invoking(function: str, payload: Any = None, **binding: Any) -> PinnedTool:
    """A tool whose function is given this, or the arguments."""
    return a_tool(LambdaBinding(function_name=function, aws_region=REGION, payload_template=payload, **binding))


class Invoker:
    """An open executor, and the attempts that it runs."""

    def __init__(self, server: LambdaServer, *, concurrency: int = 8, clock: Clock = SYSTEM) -> None:
        self.server = server
        self.clock = clock
        self.executor = LambdaExecutor(concurrency=concurrency, clock=clock)

    def attempt(self, tool: PinnedTool, *, secrets: Mapping[str, str] = NO_SECRETS, **call: Any) -> Attempt:
        return an_attempt(self.executor, tool, secrets=secrets, clock=self.clock, **call)

    async def run(self, tool: PinnedTool, **options: Any) -> Finished:
        return await self.executor.run(self.attempt(tool, **options))

    def begin(self, attempt: Attempt) -> "asyncio.Task[Finished]":
        return asyncio.create_task(self.executor.run(attempt))

    def asked(self, attempt: Attempt) -> list[Asked]:
        """The requests for an invocation that this attempt has made."""
        return [asked for asked in self.server.asked if asked.custom.get("call_id") == attempt.call.call_id]

    def metric(self, name: str) -> float:
        """One of the executor's numbers, by its name and labels."""
        found = [line for line in lines(self.executor.standing().metrics) if line.startswith(f"{name} ")]
        return float(found[0].rpartition(" ")[2])

    @property
    def left_behind(self) -> float:
        """Threads that wait for what nobody wants any more."""
        return self.metric('toolyard_lambda_threads{state="left_behind"}')


def failure(finished: Finished) -> tuple[str, str, bool]:
    """Code, effect and whether it may be tried again."""
    assert finished.error is not None, finished.result
    return finished.error.code, finished.effect, finished.error.retryable


def message(finished: Finished) -> str:
    """What people are told of it."""
    assert finished.error is not None, finished.result
    return finished.error.message
