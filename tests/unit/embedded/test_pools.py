"""Pools that are opened when they are first needed, those that are left out, and what is told of them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.unit.executors.making import NO_SECRETS, a_tool, an_attempt

from toolyard.contracts.calls import Result
from toolyard.errors import SettingsError
from toolyard_embedded.lazily import Lazily, LeftOut
from toolyard_embedded.pools import OFFERS, Surroundings
from toolyard_executors.executor import Executor, Finished, Standing

LAMBDA, ARCADE = OFFERS


class Counted:
    """An executor that counts what happens to it, and may not open."""

    pool = "lambda"

    def __init__(self) -> None:
        self.opened = self.closed = self.prepared = 0
        self.problem: Exception | None = None

    async def open(self) -> None:
        await asyncio.sleep(0)
        if self.problem:
            raise self.problem
        self.opened += 1

    async def close(self) -> None:
        self.closed += 1

    def standing(self) -> Standing:
        return Standing("busy")

    def prepare(self, tool: Any) -> str:
        self.prepared += 1
        if tool.secrets:
            raise ValueError("no such thing")
        return "the plan"

    def circuit(self, attempt: Any) -> str:
        return f"circuit of {attempt.plan}"

    async def run(self, attempt: Any) -> Finished:
        return Finished("done", Result(content=attempt.plan))


def lazily(executor: Counted, *, problem: Exception | None = None) -> Lazily:
    def make(places: int) -> Executor:
        assert places == 7
        if problem:
            raise problem
        return executor

    return Lazily("lambda", make, 7)


async def ran(lazy: Lazily | LeftOut, plan: Any, tool: Any) -> Finished:
    attempt = an_attempt(lazy, tool, secrets=NO_SECRETS)
    attempt.plan = plan
    return await lazy.run(attempt)


async def test_it_is_made_and_opened_once_with_the_first_attempts():
    executor = Counted()
    lazy, tool = lazily(executor), a_tool()
    await lazy.open()
    assert (executor.opened, lazy.standing().reason) == (0, "")

    plan = lazy.prepare(tool)
    ended = await asyncio.gather(*(ran(lazy, plan, tool) for _ in range(5)))

    assert [one.result.content for one in ended if one.result] == ["the plan"] * 5
    assert (executor.opened, executor.prepared, lazy.standing().reason) == (1, 1, "busy")
    await lazy.close()
    assert executor.closed == 1


async def test_a_circuit_is_told_once_it_is_known():
    lazy, tool = lazily(Counted()), a_tool()
    attempt = an_attempt(lazy, tool, secrets=NO_SECRETS)
    assert lazy.circuit(attempt) is None
    await lazy.run(attempt)
    attempt = an_attempt(lazy, tool, secrets=NO_SECRETS)
    assert lazy.circuit(attempt) == "circuit of the plan"
    assert (await lazy.run(attempt)).effect == "done"
    wrong = a_tool(secrets=("TOKEN",))
    attempt = an_attempt(lazy, wrong, secrets=NO_SECRETS)
    assert lazy.circuit(attempt) is None
    assert (await lazy.run(attempt)).error is not None


async def test_one_that_was_never_needed_is_not_closed():
    executor = Counted()
    await lazily(executor).close()
    assert executor.closed == 0


@pytest.mark.parametrize("where", ["made", "opened"])
async def test_one_that_cannot_run_here_says_so_at_once_and_is_tried_again(where: str):
    executor = Counted()
    lazy = lazily(executor, problem=ImportError("No module named 'boto3'") if where == "made" else None)
    executor.problem = SettingsError("the settings of AWS: no profile x") if where == "opened" else None
    tool = a_tool()
    plan = lazy.prepare(tool)
    ended = await ran(lazy, plan, tool)

    assert ended.error is not None
    assert (ended.error.code, ended.effect, ended.error.retryable) == ("unavailable", "none", False)
    assert ended.error.message.startswith("the pool lambda cannot run here: ")
    if where == "opened":
        executor.problem = None
        assert (await ran(lazy, plan, tool)).error is None
    await lazy.close()


async def test_an_attempt_that_is_given_up_does_not_stop_the_opening():
    executor = Counted()
    lazy, tool = lazily(executor), a_tool()
    plan = lazy.prepare(tool)
    first = asyncio.create_task(ran(lazy, plan, tool))
    await asyncio.sleep(0)
    first.cancel()
    assert (await ran(lazy, plan, tool)).error is None
    assert executor.opened == 1


async def test_a_tool_that_can_never_run_is_told_so():
    lazy, tool = lazily(Counted()), a_tool(secrets=("TOKEN",))
    ended = await ran(lazy, lazy.prepare(tool), tool)
    assert ended.error is not None
    assert (ended.error.code, ended.error.message) == ("internal", "this worker cannot run it: no such thing")


async def test_calls_of_a_pool_that_is_left_out_end_at_once():
    left_out, tool = LeftOut("sandbox", "no namespaces"), a_tool()
    await left_out.open()
    ended = await ran(left_out, None, tool)
    await left_out.close()
    assert ended.error is not None
    assert (ended.error.code, ended.effect) == ("unavailable", "none")
    assert ended.error.message == "the pool sandbox is left out here: no namespaces"


# ---- what is told -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("env", "file", "needs"),
    [
        ({}, "", True),
        ({"AWS_REGION": "eu-central-1"}, "", True),
        ({"AWS_ACCESS_KEY_ID": ""}, "", True),
        ({"AWS_ACCESS_KEY_ID": "AKIA"}, "", False),
        ({"AWS_PROFILE": "dev"}, "", False),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}, "", False),
        ({}, ".aws/credentials", False),
        ({}, ".aws/config", False),
        ({"AWS_CONFIG_FILE": "/nonexistent"}, ".aws/config", True),
    ],
)
def test_lambda_says_in_one_line_what_it_needs(env: dict[str, str], file: str, needs: bool, tmp_path: Path):
    if file:
        (tmp_path / ".aws").mkdir()
        (tmp_path / file).touch()
    said = LAMBDA.needs(Surroundings(env, tmp_path, lambda name: False))
    assert bool(said) is needs
    assert "\n" not in said
    assert "AWS_PROFILE" in said or not needs


def test_arcade_needs_a_key(tmp_path: Path):
    without = ARCADE.needs(Surroundings({}, tmp_path, lambda name: False))
    assert without == "a key of Arcade: toolyard secrets set ARCADE_API_KEY"
    assert ARCADE.needs(Surroundings({}, tmp_path, lambda name: name == "ARCADE_API_KEY")) == ""
