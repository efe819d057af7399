"""Everything that tools do well, and everything that they try, once more as calls: through the pool's executor."""

import json
import platform
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.executors.sandboxes import Sandbox
from tests.sandbox.language import cases
from tests.sandbox.language.test_hostile_tools import HOSTILE, MARK, REFUSED, STOPPED
from tests.sandbox.language.test_ordinary_tools import ORDINARY
from tests.support.jail.attacks import ATTACKS, MIB, Attack
from tests.unit.executors.making import a_tool, json_of

from toolyard.contracts.codec import encode_json
from toolyard.contracts.tools import SandboxBinding
from toolyard_executors.executor import Finished
from toolyard_executors.outbound.cleaning import clean_value

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "do-not-" + "tell-4711"
#: How a run that ends so is told.
CODES = {
    "answered": {"succeeded", "security_violation"},
    "crashed": {"tool_error", "security_violation"},
    "timed_out": {"timed_out"},
    "out_of_memory": {"resource_exhausted"},
    "too_much_output": {"output_too_large"},
    "broke_protocol": {"security_violation"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox() -> AsyncIterator[Sandbox]:
    made = Sandbox()
    await made.executor.open()
    yield made
    await made.executor.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planted() -> AsyncIterator[Sandbox]:
    made = Sandbox(guest="planted_guest", folder=str(HOSTILE / "planted"))
    await made.executor.open()
    yield made
    await made.executor.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def escaped() -> AsyncIterator[Sandbox]:
    made = Sandbox(guest="escaped_guest")
    await made.executor.open()
    yield made
    await made.executor.close()


def code_of(finished: Finished) -> str:
    return "succeeded" if finished.error is None else finished.error.code


def value_of(finished: Finished) -> Any:
    assert finished.error is None, finished.error
    assert finished.result is not None
    return json_of(finished.result) if finished.result.content is None else finished.result.content


@pytest.mark.parametrize("case", [case for case in ORDINARY if "asks" not in case.fields], ids=lambda case: case.name)
async def test_an_ordinary_tool_works(sandbox: Sandbox, case: cases.Case):
    environment: dict[str, str] = case.fields.get("environment", {})
    binding = SandboxBinding(
        code=case.source, allowed_imports=tuple(cases.EVERYTHING), environment_variables=tuple(environment)
    )
    given = {"arguments": case.fields.get("parameters", {}), "context": case.fields.get("context")}
    finished = await sandbox.run(a_tool(binding), secrets=environment, **given)
    expected = case.fields["expects"]
    if isinstance(expected, dict) and expected.get("success") is False:
        assert code_of(finished) == "tool_error"
    else:
        assert value_of(finished) == clean_value(expected)
    assert finished.report is not None
    assert finished.report.logs == case.fields.get("prints", "")


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
async def test_a_hostile_source_is_never_run(planted: Sandbox, case: cases.Case):
    runs = planted.runner.runs
    binding = SandboxBinding(code=case.source, allowed_imports=tuple(cases.EVERYTHING))
    finished = await planted.run(a_tool(binding))
    assert (code_of(finished), finished.effect) == ("internal", "none")
    assert planted.runner.runs == runs + 1


@pytest.mark.parametrize("case", STOPPED, ids=lambda case: case.name)
async def test_a_hostile_tool_is_stopped(planted: Sandbox, case: cases.Case):
    binding = SandboxBinding(
        code=case.source,
        allowed_imports=tuple(cases.EVERYTHING),
        execution_timeout=2.0 if "timed_out" in str(case.fields) else 60.0,
        memory_limit_mb=64,
        output_limit_kb=97,
        print_limit_kb=1,
        request_limit=3,
        allowed_hosts=("a.example",),
    )
    finished = await planted.run(a_tool(binding), arguments={"x": None})
    assert MARK.encode() not in encode_json(finished)
    assert finished.effect == "none" or finished.error is None
    match case.fields:
        case {"how": wanted}:
            assert code_of(finished) in CODES[wanted]
        case {"how_or_code": wanted}:
            assert code_of(finished) in {*wanted, *(code for how in wanted for code in CODES.get(how, ()))}
        case {"value": wanted}:
            assert value_of(finished) == wanted
        case {"code": wanted}:
            assert code_of(finished) == wanted
        case {"error": _} if code_of(finished) == "egress_denied":
            assert re.search(r"requests\.(get|Session\(\)\)?\.get)\(", case.source)
        case {"error": wanted}:
            assert code_of(finished) == "tool_error"
            assert finished.error is not None
            assert wanted in finished.error.message


@pytest.mark.skipif(platform.machine() != "x86_64", reason="attacks by the numbers of x86_64")
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=lambda attack: attack.name.replace(" ", "_"))
async def test_an_attack_by_code_that_has_left_the_language_fails(escaped: Sandbox, attack: Attack):
    knows = a_tool(SandboxBinding(code="value = len(given['environment'])", environment_variables=("KEY",)))
    assert value_of(await escaped.run(knows, secrets={"KEY": SECRET})) == 1
    binding = SandboxBinding(
        code=attack.source,
        execution_timeout=attack.limits.get("wall", 20.0),
        memory_limit_mb=int(attack.limits.get("memory", 64 * MIB)) // MIB,
    )
    finished = await escaped.run(a_tool(binding), timeout=100)
    assert finished.effect == ("done" if finished.error is None else "none")
    assert code_of(finished) in (CODES[attack.how] | ({"security_violation"} if attack.answers else set()))
    assert SECRET.encode() not in encode_json(finished)
    if finished.error is None:
        assert re.search(attack.says, json.dumps(value_of(finished)))
