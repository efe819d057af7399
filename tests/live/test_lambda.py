"""AWS Lambda itself: a function that answers, one that is not there, credentials that are none.

The function is any that returns what it is given, and the environment has what the SDK of AWS signs in with.
"""

import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import pytest
from tests.live.conftest import needed
from tests.unit.executors.making import NO_SECRETS, a_tool, an_attempt, value_of

from toolyard.contracts.tools import LambdaBinding
from toolyard_executors.executor import Finished
from toolyard_executors.kinds.aws_lambda import LambdaExecutor

_KEYS = {"access_key_field": "AWS_KEY", "secret_key_field": "AWS_SECRET"}


class Live(NamedTuple):
    """An executor, and the function in its region."""

    executor: LambdaExecutor
    function: str
    region: str

    async def run(self, function: str = "", secrets: Mapping[str, str] = NO_SECRETS, **binding: Any) -> Finished:
        named = LambdaBinding(function_name=function or self.function, aws_region=self.region, **binding)
        attempt = an_attempt(self.executor, a_tool(named), secrets=secrets, arguments={"said": "ä"}, pool="lambda")
        return await self.executor.run(attempt)


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    function, region = needed("TOOLYARD_TEST_LAMBDA_FUNCTION", "AWS_REGION", why="AWS Lambda")
    executor = LambdaExecutor(concurrency=4)
    await executor.open()
    yield Live(executor, function, region)
    await executor.close()


async def test_a_function_answers_with_what_it_was_given(live: Live):
    finished = await live.run()

    assert finished.error is None, finished.error
    assert (finished.effect, value_of(finished)) == ("done", {"said": "ä"})
    assert finished.report is not None
    assert finished.report.billed_seconds is not None


async def test_an_event_is_accepted(live: Live):
    finished = await live.run(invocation_type="Event")

    assert finished.error is None, finished.error


async def test_a_function_that_is_not_there(live: Live):
    finished = await live.run("toolyard-no-such-function")

    assert finished.error is not None
    assert finished.effect == "none"


async def test_keys_that_are_none_are_refused(live: Live):
    secrets = {"AWS_KEY": "AKIA0000000000000000", "AWS_SECRET": "x" * 40}
    finished = await live.run(secrets=secrets, credentials=_KEYS)

    assert finished.error is not None
    assert (finished.error.code, finished.effect) == ("permission_denied", "none")
    assert os.environ.get("AWS_ACCESS_KEY_ID", "-") not in str(finished)
