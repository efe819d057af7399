"""Lambda tools: what is refused when one is saved, what is taken, how it looks afterwards, and what it needs."""

from typing import Any

import pytest
from tests.unit.gateway.lambda_cases import ACCEPTED, KEYS, LISTED, REFUSED, ROLE, invoking

from toolyard.contracts.tools import LambdaBinding, ToolSpec, effective_annotations, is_rerunnable
from toolyard.errors import FieldsRefused
from toolyard.security.egress import AllowList
from toolyard_gateway.bindings import needed_context
from toolyard_gateway.definitions import patched, read_definition, tool_view


def read(definition: Any) -> ToolSpec:
    return read_definition(definition, allow=AllowList())


def binding_of(spec: ToolSpec) -> LambdaBinding:
    assert isinstance(spec.binding, LambdaBinding)
    return spec.binding


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_never_work_is_refused_with_its_field_and_what_would_be_right(name: str):
    definition, field, said = REFUSED[name]

    with pytest.raises(FieldsRefused) as refused:
        read(definition)

    told = {error.path: error.message for error in refused.value.fields}
    assert field in told
    assert said in told[field]


def test_the_value_of_a_key_that_was_put_for_its_name_is_not_repeated():
    with pytest.raises(FieldsRefused) as refused:
        read(invoking(LISTED, credentials=KEYS | {"secret_key_field": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}))

    assert "wJalr" not in str(refused.value) + str(refused.value.fields)


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_works_is_kept_as_it_was_meant_and_shown_as_it_was_written(name: str):
    definition = ACCEPTED[name]

    spec = read(definition)

    shown = tool_view(spec)
    assert shown["binding"] == definition["binding"]
    assert read({key: value for key, value in shown.items() if key != "version"}) == spec


def test_everything_that_is_wrong_is_named_at_once():
    with pytest.raises(FieldsRefused) as refused:
        read(invoking({"timeout": -1}, function_name="a b", aws_region=1, qualifier="", colour="red"))

    fields = ("function_name", "aws_region", "qualifier", "colour")
    assert sorted(error.path for error in refused.value.fields) == sorted(
        ["timeout", *(f"binding.{name}" for name in fields)]
    )


def test_what_is_usual_is_not_shown():
    usual = {"invocation_type": "RequestResponse", "response_streaming": False, "payload_template": None}

    assert tool_view(read(invoking(**usual, credentials={})))["binding"] == invoking()["binding"]


def test_the_other_name_of_a_role_becomes_ours():
    assert binding_of(read(invoking(credentials={"assume_role": ROLE}))).credentials == {"role": ROLE}


def test_a_patch_changes_one_field_of_the_binding_and_null_takes_one_away():
    spec = read(invoking(qualifier="7", credentials={"role": ROLE, "external_id": "ab"}))

    other = binding_of(read(patched(spec, {"binding": {"qualifier": "8", "credentials": {"external_id": None}}})))
    none = binding_of(read(patched(spec, {"binding": {"qualifier": None, "credentials": None}})))

    assert (other.qualifier, other.credentials) == ("8", {"role": ROLE})
    assert (none.qualifier, none.credentials) == (None, {})


# ---- what follows for calls ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["RequestResponse", "Event"])
def test_a_function_may_do_anything_unless_its_author_says_otherwise(kind: str):
    spec = read(invoking(invocation_type=kind))
    said = read(invoking({"annotations": {"idempotent": True}}, invocation_type=kind))

    found = effective_annotations(spec)
    assert (found.read_only, found.idempotent, is_rerunnable(spec)) == (False, False, False)
    assert is_rerunnable(said)


def test_a_call_needs_the_context_that_the_tool_lists_and_that_its_payload_names():
    spec = read(invoking({"contexts": ["tenant"], "secrets": ["TOKEN"]}, payload_template="${TOKEN}"))
    more = read(invoking({"contexts": ["tenant"]}, payload_template=["${context.shop.id}", "${user}"]))

    assert needed_context(spec) == {"tenant"}
    assert needed_context(more) == {"tenant", "shop", "user"}
