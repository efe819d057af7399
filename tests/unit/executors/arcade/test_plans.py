"""With which key and for whom a tool is run."""

from typing import Any

import pytest
from tests.unit.executors.making import a_call, a_tool

from toolyard.clock import SYSTEM
from toolyard.contracts.tools import ArcadeBinding, HttpBinding
from toolyard.templates import ContextMissing, SecretMissing, Unfillable
from toolyard_executors.context import Attempt
from toolyard_executors.kinds.arcade.plans import BadKey, Request, plan_of

KEYS = {"default": "arc_default", "acme": "arc_acme", "two-lines": "arc_\nx", "none": ""}


def request(org: str = "default", *, tool: dict[str, Any] | None = None, **call: Any) -> Request:
    binding = ArcadeBinding(tool_name="Gmail.SendEmail", tool_version=call.pop("version", None))
    pinned = a_tool(binding, **(tool or {}))
    attempt = Attempt(
        call=a_call(pool="arcade", org=org, call_id="c1", **{"user": "ann", **call}),
        tool=pinned,
        plan=plan_of(pinned),
        number=1,
        ends_at=SYSTEM.monotonic() + 30,
        clock=SYSTEM,
        get_secret=lambda org, name: KEYS.get(org) if name == "ARCADE_API_KEY" else None,
    )
    made = attempt.plan.request(attempt)
    assert isinstance(made, Request)
    return made


def test_a_tool_is_run_for_the_user_of_the_call_and_never_for_one_of_its_arguments():
    made = request(arguments={"user_id": "eve", "user": "eve"}, context={"user": "eve"})

    assert (made.user, made.arguments) == ("ann", {"user_id": "eve", "user": "eve"})
    assert (made.tool, made.version) == ("Gmail.SendEmail", None)
    assert request(version="1.2.3").version == "1.2.3"
    assert made.headers["Idempotency-Key"] == "c1"


def test_a_call_for_nobody_is_not_run():
    with pytest.raises(ContextMissing, match="user is missing"):
        request(user=None)


def test_each_org_has_its_own_key():
    assert [request(org).key for org in ("default", "acme")] == ["arc_default", "arc_acme"]
    assert "arc_" not in repr(request())


@pytest.mark.parametrize("org", ["nobodys", "two-lines", "none"])
def test_without_a_key_the_secret_is_named_that_should_hold_it(org: str):
    with pytest.raises(BadKey, match="ARCADE_API_KEY") as refused:
        request(org)

    assert refused.value.code == "tool_error"
    assert "arc_" not in str(refused.value)


def test_what_the_definition_lists_must_be_there():
    with pytest.raises(SecretMissing, match="OTHER"):
        request(tool={"secrets": ("OTHER",)})
    with pytest.raises(ContextMissing, match="tenant"):
        request(tool={"contexts": ("tenant",)}, context={"other": 1})
    assert request(tool={"contexts": ("tenant",)}, context={"tenant": None}).user == "ann"


@pytest.mark.parametrize("call", [{"arguments": {"a": ["\ud800"]}}, {"user": "ann\udfff"}], ids=["argument", "user"])
def test_half_of_a_surrogate_pair_cannot_be_sent(call: dict[str, Any]):
    with pytest.raises(Unfillable, match="surrogate"):
        request(**call)


def test_a_tool_of_another_kind_never_runs_here():
    with pytest.raises(ValueError, match="not an arcade tool"):
        plan_of(a_tool(HttpBinding(method="GET", url="https://h.example/")))
    assert issubclass(BadKey, Unfillable)
