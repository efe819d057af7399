"""The runner with real processes: sources are checked and tools run in them, and nothing they say is believed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.sandbox.conftest import children_of, pid_of
from tests.support.waiting import async_wait_until

from toolyard.sandbox.runner import Job, Level, Limits, Runner, ServerLost

HOSTILE = str(Path(__file__).parent / "guests")
SOURCE = """
def execute_tool(parameters, context):
    print("hello", context["user"])
    return {"twice": 2 * parameters["n"], "key": context["environment_variables"]["KEY"]}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def runner() -> AsyncIterator[Runner]:
    made = Runner(children=2, memory=1 << 30, minimum=Level.DEGRADED)
    await made.start()
    yield made
    await made.stop()


def a_job(**changed: object) -> Job:
    given = {"parameters": {"n": 10**30}, "context": {"user": "u"}, "environment": {"KEY": "k"}}
    return Job(**{**given, **changed})  # type: ignore[arg-type]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_checked_can_be_run(runner: Runner):
    checked = await runner.check(SOURCE, None)
    assert checked.problems == ()
    assert checked.code is not None
    verdict, told = await runner.run(checked.code, a_job(), Limits())
    assert verdict.how == "answered"
    assert told is not None
    assert told.plain == {"twice": 2 * 10**30, "key": "k"}
    assert told.prints == "hello u\n"


@pytest.mark.asyncio(loop_scope="module")
async def test_everything_that_is_wrong_is_told_with_its_place(runner: Runner):
    checked = await runner.check("import os.path\nimport json\neval('1')\n", ["os"])
    assert checked.code is None
    assert [problem.line for problem in checked.problems] == [1, 1, 2, 3]
    assert "`json` is not in allowed_imports" in checked.problems[2].message


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = '\ud800'", "half of a surrogate pair"),
        ("(" * 5_000 + ")" * 5_000, "nested"),
        ("\0", "null bytes"),
    ],
)
async def test_a_source_that_cannot_be_read_is_a_problem(runner: Runner, source: str, message: str):
    checked = await runner.check(source, None)
    assert checked.code is None
    assert message in checked.problems[0].message


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("sleep", "takes longer than"),
        ("memory", "takes more than 128 MiB"),
        ("large", "what is made of it is too large"),
        ("exit", "died of it"),
        ("lie", "was led astray"),
        ("ask", "was led astray"),
    ],
)
async def test_a_check_that_comes_to_no_end_is_one_problem_of_the_whole(told: str, message: str, monkeypatch):
    wall = 1.0 if told == "sleep" else 60.0
    limits = Limits(wall=wall, memory=128 << 20, output=8 << 20, requests=0)
    monkeypatch.setattr("toolyard.sandbox.runner._CHECK", limits)
    runner = Runner(children=1, memory=1 << 30, minimum=Level.DEGRADED, guest="checks", folders=[HOSTILE])
    await runner.start()
    try:
        checked = await runner.check(told, None)
    finally:
        await runner.stop()
    assert checked.code is None
    assert [(problem.line, problem.column) for problem in checked.problems] == [(0, 0)]
    assert message in checked.problems[0].message


async def test_a_check_whose_processes_are_gone_says_nothing_about_the_source():
    runner = Runner(children=1, memory=1 << 30, minimum=Level.DEGRADED, guest="checks", folders=[HOSTILE])
    await runner.start()

    async def under_way() -> bool:
        return len(children_of(runner._jail)) > len(runner._jail._pool._ready) > 0

    try:
        checking = asyncio.create_task(runner.check("sleep", None))
        server = pid_of(runner._jail)
        await async_wait_until(under_way, within=60, what="the check")
        os.kill(server, signal.SIGKILL)
        with pytest.raises(ServerLost):
            await checking
    finally:
        await runner.stop()


@pytest.mark.asyncio(loop_scope="module")
async def test_an_answer_that_no_guest_gives_breaks_the_protocol():
    runner = Runner(children=1, memory=1 << 30, minimum=Level.DEGRADED, guest="lies", folders=[HOSTILE])
    await runner.start()
    try:
        for number in range(5):
            verdict, told = await runner.run(b"", a_job(parameters={"n": number}), Limits())
            assert (verdict.how, verdict.body, told) == ("broke_protocol", b"", None), number
    finally:
        await runner.stop()
