"""What a sandboxed tool may use and is given."""

from typing import Any

import pytest
from tests.unit.executors.making import a_call, a_tool

from toolyard.clock import SYSTEM
from toolyard.contracts.tools import HttpBinding, SandboxBinding
from toolyard.templates import ContextMissing, SecretMissing
from toolyard_executors.context import Attempt
from toolyard_executors.kinds.sandbox.plans import Plan, plan_of

GIB = 1 << 30


def a_plan(contexts: tuple[str, ...] = (), **binding: Any) -> Plan:
    return plan_of(a_tool(SandboxBinding(**({"code": "x"} | binding)), contexts=contexts), GIB)


def an_attempt(plan: Plan, **call: Any) -> Attempt:
    return Attempt(
        call=a_call(**call),
        tool=a_tool(),
        plan=plan,
        number=1,
        ends_at=SYSTEM.monotonic() + 30,
        clock=SYSTEM,
        get_secret=lambda org, name: f"the {name} of {org}" if name != "MISSING" else None,
    )


def test_a_tool_that_says_nothing_has_the_usual_limits():
    plan = a_plan()
    assert (plan.memory, plan.output, plan.prints, plan.requests) == (128 << 20, 1 << 20, 64 << 10, 10)
    assert (plan.timeout, plan.allowed_imports, plan.hosts) == (None, None, ())


def test_a_tool_has_the_limits_that_it_asks_for():
    plan = a_plan(memory_limit_mb=16, output_limit_kb=1, print_limit_kb=0, request_limit=0, execution_timeout=0.5)
    assert (plan.memory, plan.output, plan.prints, plan.requests) == (16 << 20, 1 << 10, 0, 0)
    assert plan.timeout == 0.5


def test_a_tool_that_needs_more_memory_than_there_is_says_what_to_do():
    with pytest.raises(ValueError, match=r"2048 MiB is more than .* \(1024 MiB\): .*raise TOOLYARD_SANDBOX_MEMORY"):
        a_plan(memory_limit_mb=2048)
    assert a_plan(memory_limit_mb=1024).memory == GIB


def test_a_tool_of_another_kind():
    with pytest.raises(ValueError, match="not a sandbox tool"):
        plan_of(a_tool(HttpBinding(method="GET", url="http://h.example/")), GIB)


def test_what_is_checked_once_depends_on_the_source_and_its_imports():
    keys = [a_plan(code=code, allowed_imports=allowed).key for code in "ab" for allowed in (None, (), ("re",))]
    assert len(set(keys)) == 6
    assert a_plan(memory_limit_mb=1).key == a_plan(execution_timeout=3).key


@pytest.mark.parametrize(
    ("timeout", "remaining", "wall", "total"),
    [(None, 30.0, 29.8, 29.8), (5.0, 30.0, 5.0, 29.8), (60.0, 30.0, 60.0, 29.8), (None, 0.5, 0.45, 0.45)],
)
def test_a_process_ends_before_its_attempt_does(timeout: float | None, remaining: float, wall: float, total: float):
    limits = a_plan(execution_timeout=timeout).limits(remaining)
    assert (limits.wall, limits.total) == pytest.approx((wall, total))
    assert limits.cpu == pytest.approx(min(wall, total))
    assert limits.memory == 128 << 20


def test_a_run_is_given_the_arguments_the_context_and_the_named_secrets():
    plan = a_plan(contexts=("tenant",), environment_variables=("KEY",), allowed_imports=("re",))
    attempt = an_attempt(plan, arguments={"n": 1}, context={"tenant": "t", "call_id": "forged"}, org="o")
    job = plan.job(attempt)
    assert job.parameters == {"n": 1}
    assert job.context == {"tenant": "t", "call_id": attempt.call.call_id}
    assert job.environment == {"KEY": "the KEY of o"}
    assert job.allowed_imports == ("re",)
    assert attempt.redactor.text("the KEY of o") == "[redacted:KEY]"


@pytest.mark.parametrize("context", [None, {}, {"Tenant": 1}])
def test_a_missing_key_of_the_context_is_named(context: dict[str, Any] | None):
    plan = a_plan(contexts=("tenant",))
    with pytest.raises(ContextMissing, match="'tenant'"):
        plan.job(an_attempt(plan, context=context))


def test_a_missing_secret_is_named():
    plan = a_plan(environment_variables=("KEY", "MISSING"))
    with pytest.raises(SecretMissing, match="'MISSING'"):
        plan.job(an_attempt(plan))
