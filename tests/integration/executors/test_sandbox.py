"""The sandbox kind with real processes: what a tool is given and may use, how it ends, and what is left of it."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import pytest_asyncio
from structlog.testing import capture_logs
from tests.integration.executors.sandboxes import MEMORY, Sandbox, failure, sandboxed
from tests.sandbox.conftest import pid_of
from tests.support import leash
from tests.support.numbers import lines
from tests.support.upstream import Upstream
from tests.support.waiting import async_wait_until
from tests.unit.executors.making import a_tool, value_of

from toolyard.contracts.calls import Result
from toolyard.contracts.tools import SandboxBinding
from toolyard.errors import SettingsError
from toolyard.sandbox.runner import Level, Runner
from toolyard_executors.kinds.sandbox import SandboxExecutor
from toolyard_executors.progress import Said

SECRET = "s3cret/value+ü"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Sandbox]:
    made = Sandbox()
    await made.executor.open()
    yield made
    await made.executor.close()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """One of the test's own, whose parts it may kill."""
    made = Sandbox()
    await made.executor.open()
    yield made
    await made.executor.close()


# ---- what it says on its way --------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="module")
async def test_a_tool_says_how_far_it_has_come_while_it_runs(shared: Sandbox):
    tool = sandboxed("for n in range(4): progress(n, 3, f'page {n}')", "return 'done'")
    said: list[Said] = []
    attempt = shared.attempt(tool)
    attempt.hear = said.append
    finished = await shared.executor.run(attempt)
    assert finished.error is None
    assert (said[0], said[-1]) == (Said(0.0, 3.0, "page 0"), Said(3.0, 3.0, "page 3"))


@pytest.mark.parametrize(
    "word", ['b"no json"', "b'{\"done\":-1}'", "b'{\"total\":1}'", 'b"x" * 9000'], ids=["text", "less", "half", "large"]
)
async def test_a_process_that_says_what_no_honest_one_says_is_stopped(word: str):
    hostile = Sandbox(guest="escaped_guest")
    await hostile.executor.open()
    try:
        said: list[Said] = []
        attempt = hostile.attempt(a_tool(SandboxBinding(code=f"tell({word})\nvalue = 1")))
        attempt.hear = said.append
        code, _, _ = failure(await hostile.executor.run(attempt))
        assert (code, said) == ("security_violation", [])
    finally:
        await hostile.executor.close()


# ---- what a tool is given -----------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="module")
async def test_a_tool_gets_its_arguments_its_context_and_its_secrets(shared: Sandbox):
    tool = sandboxed(
        "return [parameters, context, os.environ['KEY'], sorted(os.environ)]",
        environment_variables=("KEY",),
        contexts=("tenant",),
    )
    attempt = shared.attempt(tool, arguments={"n": 2**70}, context={"tenant": "t"}, secrets={"KEY": "k", "OTHER": "o"})
    value = value_of(await shared.executor.run(attempt))
    assert value[0] == {"n": 2**70}
    assert value[1] == {"tenant": "t", "call_id": attempt.call.call_id, "environment_variables": {"KEY": "k"}}
    assert value[2:] == ["k", ["KEY"]]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_a_tool_prints_and_uses_is_reported(shared: Sandbox):
    finished = await shared.run(sandboxed("print('seen')", "kept = 'x' * 20_000_000", "return len(kept)"))
    assert value_of(finished) == 20_000_000
    report = finished.report
    assert report is not None
    assert (report.logs, report.output_bytes, report.requests) == ("seen\n", 8, 0)
    assert report.isolation == shared.runner.isolation.level  # type: ignore[union-attr]
    assert report.cpu_seconds > 0  # type: ignore[operator]
    assert report.peak_memory_bytes > 19 << 20  # type: ignore[operator]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_printed_is_kept_up_to_a_limit_and_however_it_ends(shared: Sandbox):
    finished = await shared.run(sandboxed("print('x' * 5000)", "return 1 / 0", print_limit_kb=1))
    assert failure(finished)[0] == "tool_error"
    assert finished.report is not None
    assert finished.report.logs.startswith("x" * 1024 + "…")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_tool_may_import_what_cannot_reach_the_network_unless_it_says_more(shared: Sandbox):
    source = "import {}\ndef execute_tool(parameters, context):\n    return 1\n"
    for module, allowed, passes in [
        ("re", None, True),
        ("requests", None, False),
        ("re", ("json",), False),
        ("requests", ("requests",), True),
    ]:
        finished = await shared.run(a_tool(SandboxBinding(code=source.format(module), allowed_imports=allowed)))
        assert (finished.error is None) is passes, module


@pytest.mark.asyncio(loop_scope="module")
async def test_code_that_does_not_pass_here_is_told_with_its_place(shared: Sandbox):
    code, effect, message = failure(await shared.run(a_tool(SandboxBinding(code="x = 1\nimport pandas\n"))))
    assert (code, effect) == ("internal", "none")
    assert message.startswith("this worker cannot run it: line ")


@pytest.mark.asyncio(loop_scope="module")
async def test_the_code_of_a_tool_is_looked_at_once(shared: Sandbox):
    tool = sandboxed("return parameters['n']", "# of this test")
    before = shared.runner.runs
    ends = await asyncio.gather(*(shared.run(tool, arguments={"n": number}) for number in range(10)))
    assert [value_of(end) for end in ends] == list(range(10))
    assert shared.runner.runs - before == 11


# ---- what it may use ----------------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("lines", "limits", "code", "says"),
    [
        (["while True: pass"], {"execution_timeout": 0.5}, "timed_out", "it did not end within 0.5 s"),
        (["import time", "time.sleep(60)"], {"execution_timeout": 0.5}, "timed_out", "within 0.5 s"),
        (["return len('x' * 10**9)"], {"memory_limit_mb": 32}, "resource_exhausted", "memory"),
        (["return ['x' * 1000] * 1000"], {"output_limit_kb": 10}, "output_too_large", "10,240 bytes"),
        (["return {1, 2}"], {}, "output_invalid", "is of type set"),
        (["raise KeyError('no city')"], {}, "tool_error", "KeyError: 'no city'"),
        (["def f(): return f()", "return f()"], {}, "tool_error", "RecursionError"),
    ],
)
async def test_how_a_tool_fails(shared: Sandbox, lines: list[str], limits: dict[str, Any], code: str, says: str):
    finished = await shared.run(sandboxed(*lines, **limits))
    assert failure(finished)[:2] == (code, "none")
    assert says in failure(finished)[2]
    assert finished.report is not None
    assert not finished.error.retryable  # type: ignore[union-attr]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_failure_tells_the_line_and_nothing_of_the_machine(shared: Sandbox):
    finished = await shared.run(sandboxed("return int('x')"))
    assert finished.error is not None
    assert finished.error.details == {"line": 4, "traceback": ["line 4, in execute_tool"]}
    assert "/" not in msgspec.json.encode(finished).decode()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_tool_that_says_that_it_failed_has_failed(shared: Sandbox):
    finished = await shared.run(sandboxed("return {'success': False, 'message': 'no such city', 'data': [1]}"))
    assert failure(finished) == ("tool_error", "none", "no such city")
    assert finished.error.details == {"data": [1]}  # type: ignore[union-attr]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_text_is_the_text_for_the_model(shared: Sandbox):
    assert (await shared.run(sandboxed("return 'fine'"))).result == Result(content="fine")


async def test_an_attempt_that_waits_for_its_place_has_that_less_time():
    waiting = Sandbox(children=1)
    await waiting.executor.open()
    try:
        await waiting.run(sandboxed("return 1"))
        await until_places(waiting, 1)
        sleeps = sandboxed("import time", "time.sleep(60)")
        ends = await asyncio.gather(waiting.run(sleeps, timeout=3), waiting.run(sleeps, timeout=10))
        assert [failure(end)[0] for end in ends] == ["timed_out", "timed_out"]
    finally:
        await waiting.executor.close()


async def test_a_tool_that_needs_more_memory_than_a_worker_has_can_never_run(sandbox: Sandbox):
    with pytest.raises(ValueError, match="TOOLYARD_SANDBOX_MEMORY"):
        sandbox.executor.prepare(sandboxed("return 1", memory_limit_mb=(MEMORY >> 20) + 1))


# ---- secrets ------------------------------------------------------------------------------------


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    "written",
    [
        "key",
        "base64.b64encode(key.encode()).decode()",
        "base64.urlsafe_b64encode(b'u:' + key.encode()).decode()",
        "urllib.parse.quote(key, safe='')",
        "json.dumps(key)",
    ],
)
async def test_a_secret_is_in_nothing_that_is_told(shared: Sandbox, written: str):
    """The runtime takes it out: here with the redactor that it would use."""
    lines = ("import base64, json, urllib.parse", "key = os.environ['KEY']", f"told = {written}", "print(told)")
    for last in ("return {'told': told, told: 1}", "raise ValueError(told)"):
        tool = sandboxed(*lines, last, environment_variables=("KEY",))
        attempt = shared.attempt(tool, secrets={"KEY": SECRET})
        finished = await shared.executor.run(attempt)
        text = attempt.redactor.text(msgspec.json.encode(finished).decode())
        for form in (SECRET, quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode(), json.dumps(SECRET)):
            assert form not in text
        assert "[redacted:KEY]" in text


async def test_a_secret_is_in_no_later_process():
    """Code that has left the language looks through the memory of its process, after calls that were given a secret."""
    hostile = Sandbox(guest="escaped_guest")
    await hostile.executor.open()
    try:
        knows = a_tool(SandboxBinding(code="value = len(json.dumps(given))", environment_variables=("KEY",)))
        looks = "value = sum(given['parameters']['backwards'][::-1] in repr(one) for one in gc.get_objects())"
        for _ in range(5):
            assert value_of(await hostile.run(knows, secrets={"KEY": "stays-in-memory"})) > 0
        backwards = {"backwards": "stays-in-memory"[::-1]}
        looking = a_tool(SandboxBinding(code=looks, environment_variables=("KEY",)))
        for key, found in (("another", False), ("stays-in-memory", True)):
            seen = value_of(await hostile.run(looking, arguments=backwards, secrets={"KEY": key}))
            assert (seen > 0) is found
    finally:
        await hostile.executor.close()


# ---- what ends it from outside ------------------------------------------------------------------


async def until_busy(sandbox: Sandbox, upstream: Upstream) -> int:
    """The process of the one tool that runs, once it has reached out."""

    async def seen() -> bool:
        return len(upstream.requests) > 0 and len(sandbox.busy()) == 1

    await async_wait_until(seen, within=60, what="the tool's request")
    return sandbox.busy().pop()


def reaching(upstream: Upstream, *after: str):
    line = f"requests.get('{upstream.url}/echo')"
    return sandboxed(line, *after, allowed_hosts=("127.0.0.1",))


async def test_cancelling_ends_the_process(sandbox: Sandbox, upstream: Upstream):
    running = sandbox.begin(reaching(upstream, "while True: pass"))
    child = await until_busy(sandbox, upstream)
    running.cancel()
    await asyncio.wait({running})

    async def gone() -> bool:
        return not leash.alive(child)

    await async_wait_until(gone, within=60, what="the end of the process")
    assert running.cancelled()


async def test_a_process_that_was_ended_from_outside_may_have_done_something(sandbox: Sandbox, upstream: Upstream):
    running = sandbox.begin(reaching(upstream, "while True: pass"))
    os.kill(await until_busy(sandbox, upstream), signal.SIGKILL)
    finished = await running
    assert failure(finished)[:2] == ("resource_exhausted", "unknown")
    assert not finished.error.retryable  # type: ignore[union-attr]


@pytest.mark.proof
async def test_a_tool_whose_fork_server_ends_may_run_again_if_it_reached_nothing(sandbox: Sandbox):
    await sandbox.run(sandboxed("return 1"))
    attempt, begun = sandbox.attempt(sandboxed("progress(1)", "while True: pass")), asyncio.Event()
    attempt.hear = lambda _: begun.set()
    running = asyncio.create_task(sandbox.executor.run(attempt))
    await begun.wait()
    os.kill(pid_of(sandbox.jail), signal.SIGKILL)
    finished = await running
    assert failure(finished) == ("resource_exhausted", "none", "the process that ran it was lost")
    assert finished.error.retryable  # type: ignore[union-attr]
    assert value_of(await sandbox.run(sandboxed("return 2"))) == 2
    assert "toolyard_sandbox_fork_servers_total 2" in lines(sandbox.executor.standing().metrics)


async def test_without_a_fork_server_it_is_not_ready_and_says_so_to_calls(sandbox: Sandbox):
    tool = sandboxed("return 1")
    assert value_of(await sandbox.run(tool)) == 1
    assert sandbox.executor.standing().reason == ""
    pool = sandbox.jail._pool
    pool._guest, guest = "no_such_guest", pool._guest
    os.kill(pid_of(sandbox.jail), signal.SIGKILL)

    async def refused() -> bool:
        finished = await sandbox.run(tool)
        return finished.error is not None and finished.error.code == "unavailable"

    await async_wait_until(refused, within=60, what="a call that cannot be run")
    finished = await sandbox.run(tool)
    assert failure(finished) == ("unavailable", "none", "the sandbox of this worker is not there at the moment")
    assert finished.error.retryable  # type: ignore[union-attr]
    assert "no fork server could be started" in sandbox.executor.standing().reason
    pool._guest = guest

    async def well() -> bool:
        return not sandbox.executor.standing().reason

    await async_wait_until(well, within=60, what="a fork server again")
    assert value_of(await sandbox.run(tool)) == 1


@pytest.mark.proof
async def test_a_fork_server_that_says_nothing_costs_calls_that_did_not_begin_nothing(sandbox: Sandbox):
    tool = sandboxed("return 1")
    assert value_of(await sandbox.run(tool)) == 1
    server = pid_of(sandbox.jail)
    os.kill(server, signal.SIGSTOP)
    ends = await asyncio.gather(*(sandbox.run(tool, timeout=5) for _ in range(6)))
    assert "the fork server is there and says nothing" in sandbox.executor.standing().reason
    late = [end for end in ends if end.error is not None]
    assert late
    assert {failure(end) for end in late} == {
        ("unavailable", "none", "the sandbox of this worker is not there at the moment")
    }
    assert all(end.error.retryable for end in late)  # type: ignore[union-attr]

    async def gone() -> bool:
        return not leash.alive(server)

    await async_wait_until(gone, within=60, what="the end of the fork server")
    assert value_of(await sandbox.run(tool)) == 1
    assert sandbox.executor.standing().reason == ""


async def test_code_that_nobody_could_look_at_in_time_was_not_run(sandbox: Sandbox):
    os.kill(pid_of(sandbox.jail), signal.SIGSTOP)
    tools = [sandboxed(f"return {number}") for number in range(6)]
    ends = await asyncio.gather(*(sandbox.run(tool, timeout=2) for tool in tools))
    os.kill(pid_of(sandbox.jail), signal.SIGCONT)
    assert {failure(end)[:2] for end in ends if end.error is not None} == {("unavailable", "none")}


async def until_places(sandbox: Sandbox, free: int) -> None:
    async def found() -> bool:
        return sandbox.jail._budget._places == free

    await async_wait_until(found, within=60, what=f"{free} places")


async def test_a_call_that_got_no_place_says_so():
    full = Sandbox(children=1)
    await full.executor.open()
    try:
        tool = sandboxed("import time", "time.sleep(60 if parameters else 0)")
        await full.run(tool)
        await until_places(full, 1)
        running = full.begin(tool, arguments={"sleep": 1}, timeout=60)
        await until_places(full, 0)
        finished = await full.run(tool, timeout=0.5)
        running.cancel()
        await asyncio.wait({running})
    finally:
        await full.executor.close()
    assert failure(finished) == (
        "unavailable",
        "none",
        "no place in the sandbox of this worker came free in its time",
    )
    assert finished.error.retryable  # type: ignore[union-attr]


async def test_below_the_minimum_it_does_not_open(monkeypatch):
    found = Runner(children=1, memory=MEMORY, minimum=Level.DEGRADED)
    if (await found.start()).level is Level.FULL:
        monkeypatch.setattr("toolyard.sandbox.jail.pool.isolation", _without_landlock)
    await found.stop()
    executor = SandboxExecutor(Runner(children=1, memory=MEMORY, minimum=Level.FULL))
    with pytest.raises(SettingsError, match="the sandbox reaches the level"):
        await executor.open()
    await executor.close()


def _without_landlock(missing, attempts, abi):
    from toolyard.sandbox.jail.levels import isolation

    return isolation({**missing, "landlock": "not here"}, attempts, abi)


async def test_it_shows_how_well_tools_are_locked_up(sandbox: Sandbox):
    standing, found = sandbox.executor.standing(), sandbox.runner.isolation
    assert found is not None
    assert standing.details["isolation"] == found.level
    assert standing.details.get("isolation_missing", {}) == found.missing
    assert f'toolyard_sandbox_isolation{{level="{found.level}"}} 1' in lines(standing.metrics)
    assert 'toolyard_sandbox_wall{wall="seccomp"} 1' in lines(standing.metrics)
    assert "toolyard_sandbox_runs_total 0" in lines(standing.metrics)


# ---- code that has left the language ------------------------------------------------------------


_QUESTION = (
    '{"method": "GET", "url": "http://127.0.0.1/", "headers": {}, "body": "%s", "timeout": 1, "redirects": true}'
)


@pytest.mark.parametrize(
    "source",
    [
        "answer = b'no answer'",
        'answer = b\'{"kind":"value","value":\' + b\'[\' * 100_000',
        "answer = json.dumps({'kind': 'value', 'value': 1, 'prints': 'x' * 200_000, 'requests': 0}).encode()",
        "answer = json.dumps({'kind': 'value', 'value': 'x' * 1_100_000, 'prints': '', 'requests': 0}).encode()",
        "ask(b'GET / HTTP/1.1')",
        f"ask({_QUESTION % '%'!r}.encode())",
        f"[ask({_QUESTION % ''!r}.encode()) for n in range(99)]",
        "os.write(3, b'\\x01\\x00\\x00\\x00\\x00')",
        "os.execv('/bin/true', ['true'])",
    ],
)
async def test_code_that_has_left_the_language_is_stopped_and_logged(source: str):
    hostile = Sandbox(guest="escaped_guest")
    await hostile.executor.open()
    try:
        attempt = hostile.attempt(a_tool(SandboxBinding(code=source)))
        with capture_logs() as logs:
            finished = await hostile.executor.run(attempt)
        after = await hostile.run(a_tool(SandboxBinding(code="value = 'still here'")))
    finally:
        await hostile.executor.close()
    assert failure(finished)[:2] == ("security_violation", "none")
    assert finished.report is not None
    assert finished.report.cpu_seconds > 0  # type: ignore[operator]
    assert after.result == Result(content="still here")
    (warning,) = [line for line in logs if line["log_level"] == "warning"]
    assert (warning["call_id"], warning["org"], warning["tool"]) == (attempt.call.call_id, "default", "t")
    assert "GET" not in str(warning)


async def test_hostile_code_finds_no_file_no_network_and_no_process():
    hostile = Sandbox(guest="escaped_guest")
    await hostile.executor.open()
    tries = """
import socket
def how(attempt):
    try:
        return repr(attempt())
    except OSError as error:
        return error.errno
value = [how(lambda: open("/etc/passwd")), how(lambda: socket.socket()), how(os.fork), how(lambda: os.kill(1, 9))]
"""
    try:
        assert value_of(await hostile.run(a_tool(SandboxBinding(code=tries)))) == [1, 1, 1, 1]
    finally:
        await hostile.executor.close()


def test_a_worker_never_loads_the_compiler_of_tools():
    source = "import sys, toolyard_executors.__main__, toolyard_executors.kinds.sandbox; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True, text=True).stdout.split()
    assert "toolyard.sandbox.runner" in loaded
    assert not [name for name in loaded if name.startswith(("RestrictedPython", "toolyard.sandbox.language"))]
