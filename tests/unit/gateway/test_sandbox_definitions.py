"""Sandboxed tools: what is refused when one is saved, what is taken, how it looks afterwards, and what it needs."""

from typing import Any

import pytest
from tests.unit.gateway.sandbox_cases import ACCEPTED, CODE, REFUSED, WEB, sandboxed

from toolyard.contracts.tools import SandboxBinding, ToolSpec, effective_annotations, is_rerunnable
from toolyard.errors import FieldsRefused, Refused
from toolyard.security.egress import AllowList
from toolyard_gateway.bindings import needed_context
from toolyard_gateway.definitions import patched, read_definition, tool_view

ALLOW = AllowList.parse("10.0.0.1:8080")


def read(definition: Any) -> ToolSpec:
    return read_definition(definition, allow=ALLOW)


def binding_of(spec: ToolSpec) -> SandboxBinding:
    assert isinstance(spec.binding, SandboxBinding)
    return spec.binding


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_never_work_is_refused_with_its_field_and_what_would_be_right(name: str):
    definition, field, said = REFUSED[name]

    with pytest.raises(FieldsRefused) as refused:
        read(definition)

    told = {error.path: error.message for error in refused.value.fields}
    assert list(told) == [field], told
    assert said in told[field]


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_works_is_kept_as_it_was_meant_and_shown_as_it_was_written(name: str):
    definition = ACCEPTED[name]

    spec = read(definition)

    shown = tool_view(spec)
    assert shown["binding"] == definition["binding"]
    assert read({key: value for key, value in shown.items() if key != "version"}) == spec


def test_everything_that_is_wrong_is_named_at_once():
    with pytest.raises(FieldsRefused) as refused:
        read(sandboxed({"timeout": -1, "title": 7}, code=1, cod=2, allowed_imports=1, memory_limit_mb="x"))

    paths = [error.path for error in refused.value.fields]
    fields = ("code", "cod", "allowed_imports", "memory_limit_mb")
    assert sorted(paths) == sorted(["timeout", "title", *(f"binding.{name}" for name in fields)])


def test_the_other_name_of_the_type_becomes_ours():
    spec = read(sandboxed(type="python_function"))

    assert (spec.pool, tool_view(spec)["binding"]["type"]) == ("sandbox", "sandbox")


def test_nothing_said_of_imports_is_not_the_same_as_none_at_all():
    assert binding_of(read(sandboxed())).allowed_imports is None
    assert binding_of(read(sandboxed(allowed_imports=[]))).allowed_imports == ()


def test_a_patch_changes_one_field_of_the_binding_and_null_takes_one_away():
    spec = read(sandboxed(allowed_imports=["json"], memory_limit_mb=64))

    less = read(patched(spec, {"binding": {"memory_limit_mb": 32}}))
    more = read(patched(spec, {"binding": {"allowed_imports": None, "memory_limit_mb": None}}))

    assert (binding_of(less).memory_limit_mb, binding_of(less).code) == (32, CODE)
    assert (binding_of(less).allowed_imports, binding_of(more).allowed_imports) == (("json",), None)
    assert binding_of(more).memory_limit_mb is None


def test_a_patch_by_the_other_name_of_the_type_is_of_the_same_kind():
    spec = read(sandboxed())

    assert read(patched(spec, {"binding": {"type": "python_function", "memory_limit_mb": 16}})).pool == "sandbox"


def test_a_patch_to_another_kind_is_told_which_fields_are_not_its_own():
    http = {"type": "http", "method": "GET", "url": "https://api.example.com"}
    spec = read(sandboxed() | {"binding": http})

    with pytest.raises(FieldsRefused) as refused:
        read(patched(spec, {"binding": {"type": "sandbox", "code": CODE}}))

    assert {error.path for error in refused.value.fields} == {"binding.method", "binding.url"}


def test_what_a_patch_makes_of_a_definition_is_no_larger_than_one_may_be():
    large = {f"p{n}": {"description": "d" * 1_000} for n in range(140)}
    spec = read(sandboxed({"parameters": {"type": "object", "properties": large}}))

    with pytest.raises(Refused) as refused:
        read(patched(spec, {"binding": {"code": CODE + "#" * 120_000}}))

    assert (refused.value.refusal, "a definition has 262,144 at most" in refused.value.detail) == (
        "payload_too_large",
        True,
    )


# ---- what follows for calls ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("definition", "idempotent"),
    [
        (sandboxed(), True),
        (sandboxed(allowed_imports=["json"]), True),
        (sandboxed(**WEB), False),
        (sandboxed({"annotations": {"idempotent": True}}, **WEB), True),
        (sandboxed({"annotations": {"idempotent": False}}), False),
    ],
    ids=["nothing said", "no network", "the network", "said of the network", "said of none"],
)
def test_a_tool_that_cannot_reach_the_network_may_run_twice(definition: dict[str, Any], idempotent: bool):
    spec = read(definition)

    assert (effective_annotations(spec).idempotent, is_rerunnable(spec)) == (idempotent, idempotent)


def test_a_call_needs_the_context_that_the_tool_lists_and_text_of_the_code_is_no_placeholder():
    code = 'def execute_tool(parameters, context):\n    return "${context.user} ${arguments.none} ${"\n'
    spec = read(sandboxed({"contexts": ["tenant", "shop"]}, code=code))

    assert needed_context(spec) == {"tenant", "shop"}
